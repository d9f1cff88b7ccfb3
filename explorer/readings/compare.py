"""Do prompts, or groups of them, differ, and which are alike?"""

from typing import TYPE_CHECKING

from explorer.readings.clusters import CLUSTERS
from explorer.readings.labels import LABELS
from explorer.readings.made import On
from explorer.readings.norms import NORMS
from explorer.readings.reading import Parameter, Reading, Table, whole

if TYPE_CHECKING:
    import pandas as pd

    from explorer.analysis.compare.groups import Comparison, Read
    from explorer.prompt import SoftPrompt

MOST_PAIRED = 12
"""prompts that a report matches two by two"""


def _compare(on: On, by: str, k: int, nulls: int, seed: int, template: str | None) -> "Comparison":
    from explorer.analysis.compare.groups import compare

    def read(prompt: "SoftPrompt") -> "Read":
        (clusters,) = on.read(CLUSTERS, prompt, k=k, nulls=nulls, seed=seed)
        labels = None
        if prompt.origin.labels:
            (labels,) = on.read(LABELS, prompt, labels=None, nulls=nulls, seed=seed, template=template)
        return clusters, labels, on.read(NORMS, prompt)[0]

    return compare(on.prompts, on.vocabulary, by, k, nulls, seed, on.progress, read)


def _pairs(on: On, seed: int) -> "pd.DataFrame":
    from explorer.analysis.compare.matching import pairs

    return pairs(on.prompts, on.vocabulary, seed=seed)


def _tests(comparison: "Comparison") -> "pd.DataFrame":
    from explorer.analysis.compare.differences import differences

    return differences(comparison)


def _alike(pairs: "pd.DataFrame") -> str:
    from explorer.analysis.compare.matching import alike_in_words

    return alike_in_words(pairs)


COMPARE: "Reading[Comparison]" = Reading(
    name="compare",
    question="Do prompts, or groups of them, differ?",
    about="""Compare groups of prompts, such as initializations.

    Means over each group with 95 % t intervals, permutation tests between groups, and similarity of every two
    prompts.
    """,
    compute=_compare,
    settings=("k", "nulls", "seed", "template"),
    parameters=(
        Parameter(
            "by",
            "What puts prompts into one group: initialization, task, length, prompt or any recorded field, "
            "several with commas, or a part of the name, as name:lr([0-9.]+).",
            str,
            default="initialization",
            metavar="FIELD",
        ),
    ),
    each=False,
    fewest=2,
    tables=(
        Table("comparison", "one row a prompt, by initialization", whole, "prompts"),
        Table(
            "comparison-means",
            "means of each initialization, 95 % intervals",
            lambda comparison: comparison.summary(),
            "summary",
        ),
        Table("comparison-tests", "initialization against initialization", _tests, "tests"),
    ),
    figure="comparison_figure",
)
PAIRS: "Reading[pd.DataFrame]" = Reading(
    name="pairs",
    question="Which prompts are alike, their tokens matched one to one?",
    about="",
    compute=_pairs,
    settings=("seed",),
    each=False,
    fewest=2,
    most=MOST_PAIRED,
    tables=(Table("pairs", "prompt against prompt", lambda pairs: pairs, "pairs"),),
    command="compare",
    conclusion=_alike,
    figure="likeness_heatmap",
)
