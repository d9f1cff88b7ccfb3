"""How long is each prompt token beside the vocabulary's rows?"""

from typing import TYPE_CHECKING

from explorer.readings.made import On
from explorer.readings.reading import Reading, Table, whole

if TYPE_CHECKING:
    from explorer.analysis.norms import Norms
    from explorer.results import Readings


def _norms(on: On) -> "Norms":
    from explorer.analysis.norms import read_norms

    return read_norms(on.prompt, on.vocabulary)


NORMS: "Reading[Readings[Norms]]" = Reading(
    name="norms",
    question="How long is each token beside the vocabulary's rows, and how far did it move?",
    about="",
    compute=_norms,
    tables=(Table("norms", "length of every token beside the vocabulary's", whole),),
    command="",
    figure="norm_figure",
)
