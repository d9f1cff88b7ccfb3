"""Do tokens lie among words that belong together, and do they repeat each other?"""

from typing import TYPE_CHECKING

from explorer.readings.made import On
from explorer.readings.reading import Parameter, Reading, Table, joined, late, whole
from explorer.settings import Settings

if TYPE_CHECKING:
    from explorer.analysis.clusters import Clusters
    from explorer.analysis.redundancy import Redundancy
    from explorer.results import Readings


def _verdict(on: On, k: int, nulls: int, seed: int) -> "Clusters":
    from explorer.analysis.clusters import clusters

    return clusters(on.prompt, on.vocabulary, k, nulls, seed)


def _clusters(on: On, k: int, nulls: int, seed: int) -> "Clusters":
    from explorer.analysis.clusters import with_k

    (verdict,) = on.read(_VERDICT, nulls=nulls, seed=seed)
    return verdict if k == Settings.k else with_k(verdict, on.prompt, on.vocabulary, k, nulls, seed)


def _groups(on: On, nulls: int, seed: int) -> tuple[tuple[str, ...], ...]:
    from explorer.analysis.clusters import significant_groups

    return significant_groups(on.prompt, on.vocabulary, nulls, seed)


def _redundancy(on: On, k: int, seed: int) -> "Redundancy":
    from explorer.analysis.redundancy import redundancy

    return redundancy(on.prompt, on.vocabulary, k, seed=seed)


_VERDICT: "Reading[Readings[Clusters]]" = Reading(
    name="clusters",
    question="The verdict of clusters, with the usual k",
    about="",
    compute=_verdict,
    settings=("nulls", "seed"),
    parameters=(Parameter("k", "Neighbors of each prompt token.", default=Settings.k),),
    kept=late("analysis.clusters", "Clusters"),
)
CLUSTERS: "Reading[Readings[Clusters]]" = Reading(
    name="clusters",
    question="Does a token lie among words that belong together, more than by chance?",
    about="""Test whether tokens lie among words that belong together.

    The five words nearest to a token in the whitened space are near to it and to each other, more than those
    of random vectors: p, and q over the tokens. The whole prompt is compared with random rotations of itself.
    Redundancy: neighbors that positions share, against independent tokens.
    """,
    compute=_clusters,
    settings=("k", "nulls", "seed"),
    tables=(
        Table("clusters", "does a token lie among words that belong together?", whole, "positions"),
        Table(
            "whole-prompts",
            "does the whole prompt hold more such groups than chance?",
            joined("prompt_frame"),
            "prompts",
        ),
    ),
    figure="clusters_figure",
)
GROUPS: "Reading[Readings]" = Reading(
    name="groups",
    question="The words of every token's group where it is significant",
    about="",
    compute=_groups,
    settings=("nulls", "seed"),
    command="",
    method="significant_groups",
    kept=lambda: tuple[tuple[str, ...], ...],
)
REDUNDANCY: "Reading[Readings[Redundancy]]" = Reading(
    name="redundancy",
    question="Do the tokens of a prompt repeat each other?",
    about="",
    compute=_redundancy,
    settings=("k", "seed"),
    tables=(Table("redundancy", "do tokens repeat each other?", whole, "redundancy"),),
    command="clusters",
    kept=late("analysis.redundancy", "Redundancy"),
    figure="redundancy_heatmap",
)
