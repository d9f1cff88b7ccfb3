"""How near are the prompt tokens to the class labels?"""

from typing import TYPE_CHECKING

from explorer.readings.made import On
from explorer.readings.reading import NAMES, Parameter, Reading, Table, joined, whole

if TYPE_CHECKING:
    from explorer.analysis.labels import LabelReading
    from explorer.analysis.labels_found import LabelsFound
    from explorer.results import Readings


def _labels(
    on: On,
    others: tuple[str, ...],
    labels: tuple[str, ...] | None,
    nulls: int,
    seed: int,
    template: str | None,
) -> "LabelReading":
    from explorer.analysis.labels import read_labels

    return read_labels(on.prompt, on.vocabulary, labels, nulls, seed, others, template)


def _labels_found(on: On, labels: tuple[str, ...] | None, template: str | None) -> "LabelsFound":
    from explorer.analysis.labels_found import labels_found

    return labels_found(on.prompt, on.vocabulary, labels, template)


LABELS: "Reading[Readings[LabelReading]]" = Reading(
    name="labels",
    question="How near are the tokens to the class labels?",
    about="""Measure how near prompt tokens are to the class labels.

    Similarity is the cosine to the mean of a label's pieces; rank 1 means nearer than every piece of the
    vocabulary.
    """,
    compute=_labels,
    settings=("labels", "nulls", "seed", "template"),
    parameters=(
        Parameter(
            "others",
            "Labels of other tasks, a baseline of persistence.",
            NAMES,
            default=(),
            typed="other_labels",
            metavar="A,B",
        ),
    ),
    needs=frozenset({"labels"}),
    tables=(
        Table("labels", "similarity and rank of class labels", whole, "similarities"),
        Table(
            "persistence",
            "did tokens stay the label they began as?",
            joined("persistence_frame"),
            "persistence",
        ),
        Table(
            "dispersion",
            "over how many tokens is label similarity spread?",
            joined("dispersion_frame"),
            "dispersion",
        ),
    ),
    figure="label_heatmap",
)
LABELS_FOUND: "Reading[Readings[LabelsFound]]" = Reading(
    name="labels found",
    question="Did tokens find a label while they were trained?",
    about="Find the tokens that came to lie nearest to a class label at some saved step.",
    compute=_labels_found,
    settings=("labels", "template"),
    needs=frozenset({"labels", "trajectory"}),
    command="labels",
    method="labels_found",
    tables=(
        Table("labels-found", "which tokens found which label, and when", whole, "found"),
        Table(
            "labels-found-summary",
            "how many tokens found a label, beside words as frequent",
            joined("summary_frame"),
            "found_summary",
        ),
    ),
)
