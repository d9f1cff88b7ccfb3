"""Which words did a token pass while it was trained?"""

from typing import TYPE_CHECKING

from explorer.readings.made import On
from explorer.readings.reading import Reading, Table, whole

if TYPE_CHECKING:
    from explorer.analysis.trajectory import NeighborChanges
    from explorer.results import Readings


def _changes(on: On) -> "NeighborChanges":
    from explorer.analysis.trajectory import neighbor_changes

    return neighbor_changes(on.prompt, on.vocabulary)


CHANGES: "Reading[Readings[NeighborChanges]]" = Reading(
    name="changes",
    question="Which words did the tokens pass while they were trained?",
    about="",
    compute=_changes,
    needs=frozenset({"trajectory"}),
    tables=(Table("changes", "every change of a token's nearest piece", whole, reported=False),),
    command="",
)
