"""Which vocabulary pieces is each prompt token nearest to?"""

from typing import TYPE_CHECKING

from explorer.choices import Metric
from explorer.readings.made import On
from explorer.readings.reading import Parameter, Reading, Table, whole

if TYPE_CHECKING:
    from explorer.analysis.neighbors import NearestNeighbors
    from explorer.results import Readings


def _neighbors(
    on: On, k: int, metric: Metric, include_special: bool, merge_variants: bool, nulls: int, seed: int
) -> "NearestNeighbors":
    from explorer.analysis.neighbors import nearest_neighbors

    return nearest_neighbors(
        on.prompt, on.vocabulary, k, metric, include_special, merge_variants, nulls, seed
    )


def _centered(on: On, k: int) -> "NearestNeighbors":
    from explorer.analysis.neighbors import centered_neighbors

    return centered_neighbors(on.prompt, on.vocabulary, k)


NEIGHBORS: "Reading[Readings[NearestNeighbors]]" = Reading(
    name="neighbors",
    question="Which words is each prompt token nearest to, and how near?",
    about="""List the vocabulary pieces nearest to each prompt token.

    The search is exact, over every piece that stands for text.
    """,
    compute=_neighbors,
    settings=("k", "metric", "include_special", "merge_variants", "nulls", "seed"),
    tables=(Table("neighbors", "nearest pieces", whole),),
    options={
        "nulls": Parameter(
            "nulls", "Random vectors that cosine, whitened and csls are compared with; 0: none.", minimum=0
        )
    },
    figure="similarity_figure",
)
CENTERED: "Reading[Readings[NearestNeighbors]]" = Reading(
    name="centered neighbors",
    question="Which words is it nearest to after the vocabulary's mean is taken away?",
    about="",
    compute=_centered,
    settings=("k",),
    tables=(Table("centered", "nearest pieces without the vocabulary's mean", whole, reported=False),),
    command="",
    method="centered_neighbors",
)
