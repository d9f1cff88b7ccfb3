"""Every reading, declared once, in reading order: its question, what it needs, how it is made, its tables.

How to add one, with a command, a Python method, a section of the report, JSON and CSV (eight places):

1. its computation, in `analysis/` or `evaluation/`: arrays in, a frozen dataclass (`results.Result`) out;
2. its declaration: a module here with a small compute function, which imports the computation late, and one
   `Reading` (see `reading.py`; `decompose.py` is the shortest with a command);
3. its line in READINGS below;
4. its method in `session.py`: one line, `return self.read(readings.NAME, ...)`, typed, the same parameters;
5. its test; 6. its row in docs/index.md and 7. its part of docs/method.md; 8. CHANGELOG.md.

Its command is built from the declaration (`cli/reading.py`) with conclusion and table as text; a file in
`cli/` is needed only for a text of its own, a figure in `figures/` and a page only if it has one.
"""

from explorer.readings.attribution import ATTRIBUTION
from explorer.readings.changes import CHANGES
from explorer.readings.clusters import CLUSTERS, GROUPS, REDUNDANCY
from explorer.readings.compare import COMPARE, PAIRS
from explorer.readings.cues import CUES, TEXT_CUES
from explorer.readings.decode import DECODE, LABEL_MASS, VERBALIZE
from explorer.readings.decompose import DECOMPOSE
from explorer.readings.faithfulness import FAITHFULNESS, TYPED_WORDS
from explorer.readings.gain import GAIN
from explorer.readings.labels import LABELS, LABELS_FOUND
from explorer.readings.layers import LAYERS
from explorer.readings.map import MAP
from explorer.readings.neighbors import CENTERED, NEIGHBORS
from explorer.readings.norms import NORMS
from explorer.readings.on_texts import ENSEMBLE, EVALUATE, PREDICT, SHIFT
from explorer.readings.reading import Reading

READINGS: tuple[Reading, ...] = (
    NEIGHBORS,
    CENTERED,
    CLUSTERS,
    GROUPS,
    DECOMPOSE,
    REDUNDANCY,
    NORMS,
    LABELS,
    LABELS_FOUND,
    CHANGES,
    DECODE,
    VERBALIZE,
    LABEL_MASS,
    MAP,
    COMPARE,
    PAIRS,
    PREDICT,
    EVALUATE,
    GAIN,
    CUES,
    TEXT_CUES,
    LAYERS,
    SHIFT,
    ENSEMBLE,
    FAITHFULNESS,
    TYPED_WORDS,
    ATTRIBUTION,
)
"""in the order of the report and of the documents"""


def of_command(name: str) -> tuple[Reading, ...]:
    """The readings that a command shows, its own first."""
    shown = [reading for reading in READINGS if reading.shown_by == name]
    return tuple(sorted(shown, key=lambda reading: reading.name != name))
