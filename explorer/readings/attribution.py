"""Which prompt tokens does the answer rest on?"""

from typing import TYPE_CHECKING

from explorer.readings.made import On
from explorer.readings.reading import TEXTS, Parameter, Reading, Table, late, whole

if TYPE_CHECKING:
    from explorer.evaluation.attribution import Attribution
    from explorer.results import Readings


def _attribution(
    on: On, texts: tuple[str, ...], labels: tuple[str, ...], label: str | None, orders: int, seed: int
) -> "Attribution":
    from explorer.evaluation.attribution import attribute

    return attribute(on.model, on.vocabulary, on.prompt, texts, labels, label, orders, seed, on.progress)


ATTRIBUTION: "Reading[Readings[Attribution]]" = Reading(
    name="attribution",
    question="Which prompt tokens does the answer rest on?",
    about="""Measure how much each prompt token matters to an answer.

    Leave-one-out, gate gradient and integrated gradients of the answer's log-probability; deletion and
    insertion curves.
    """,
    compute=_attribution,
    settings=("seed",),
    needs=frozenset({"model", "labels", "texts"}),
    parameters=(
        Parameter(
            "texts",
            "A text; may be repeated, figures are means then.",
            TEXTS,
            typed="text",
            metavar="T",
            repeated=True,
        ),
        Parameter(
            "label",
            "The label asked about. Default: the model's answer on each text.",
            str,
            default=None,
            metavar="L",
        ),
        Parameter(
            "orders",
            "Random orders that deletion and insertion are compared with.",
            default=100,
            minimum=1,
        ),
    ),
    single=True,
    tables=(Table("attribution", "how much the answer loses without each token", whole),),
    kept=late("evaluation.attribution", "Attribution"),
    figure="attribution_figure",
)
