"""Hubness: a few vocabulary rows are neighbors of nearly everything, so being someone's neighbor says little
about them.

Radovanović et al. 2010 for k-occurrence; Conneau et al. 2018, §2.3, for CSLS, which takes the crowding back
out.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from explorer.analysis.nulls import gaussian_vectors, null_vectors
from explorer.analysis.vectors import ROWS_PER_BLOCK, Space, rough_neighbors, rough_search, unit
from explorer.cached import cached
from explorer.choices import Null
from explorer.results import Result
from explorer.vocabulary import Vocabulary
from explorer.words.wording import count

QUERIES, QUERY_SEED, CSLS_SEED = 1000, 0, 2**40
"""the queries of CSLS: draws from the vocabulary's Gaussian, since the tokens of one prompt are too few for a
mean. Its seed is far from any seed of a null: null vectors that stood among the queries themselves would
score too low
"""
CSLS_NEIGHBORS = 10
DEEPEST = 30
"""neighbors that are sought of a null's vectors, however few are asked for first"""


def row_crowding(vocabulary: Vocabulary) -> np.ndarray:
    """r_Q of CSLS: each row's mean cosine to its 10 nearest queries, [V] float32, −1…1, higher is more of a
    hub.

    The queries are 1,000 draws of `gaussian_vectors` with a seed of its own: the same for every prompt, so
    that scores are comparable.
    """
    return cached(vocabulary, "row crowding", lambda: _row_crowding(vocabulary), np.ndarray)


def _row_crowding(vocabulary: Vocabulary) -> np.ndarray:
    import faiss

    index = faiss.IndexFlatIP(vocabulary.dimension)
    index.add(unit(gaussian_vectors(vocabulary, QUERIES, CSLS_SEED)))
    table = vocabulary.embedding
    blocks = (unit(table[start : start + ROWS_PER_BLOCK]) for start in range(0, len(table), ROWS_PER_BLOCK))
    return np.concatenate([rough_search(index, block, CSLS_NEIGHBORS)[0].mean(axis=1) for block in blocks])


def hubness(vocabulary: Vocabulary, k: int = 10) -> "Hubness":
    """How unevenly the k nearest rows (cosine) of CSLS's queries fall on the vocabulary. k is clipped to the
    searchable rows.
    """
    return cached(vocabulary, ("hubness", k), lambda: _hubness(vocabulary, k), Hubness)


def _hubness(vocabulary: Vocabulary, k: int) -> "Hubness":
    return k_occurrence(null_neighbors(vocabulary, k)[1], vocabulary)


def null_neighbors(
    vocabulary: Vocabulary,
    k: int,
    count: int = QUERIES,
    seed: int = QUERY_SEED,
    null: Null = "gaussian",
    space: Space = "cosine",
) -> tuple[np.ndarray, np.ndarray]:
    """Cosines [M, k] in a space and ids [M, k] of the searchable rows nearest to M = count vectors of a null;
    k is clipped to the number of rows.

    In single precision: for counts and nulls, where the order of near ties does not matter. At least DEEPEST
    neighbors are sought, so that a smaller k, asked for later, is there already.
    """
    deep = max(k, DEEPEST)
    similarity, ids = cached(
        vocabulary,
        ("null neighbors", null, space, deep, count, seed),
        lambda: _null_neighbors(vocabulary, deep, count, seed, null, space),
        tuple[np.ndarray, np.ndarray],
    )
    return similarity[:, :k], ids[:, :k]


def _null_neighbors(
    vocabulary: Vocabulary, k: int, count: int, seed: int, null: Null, space: Space
) -> tuple[np.ndarray, np.ndarray]:
    return rough_neighbors(null_vectors(vocabulary, null, count, seed), vocabulary, k, space)


@dataclass(frozen=True, eq=False, repr=False)
class Hubness(Result):
    """How unevenly the neighbor slots of many queries fall on the searchable rows."""

    token_ids: np.ndarray
    """[V'] int64 the searchable rows"""
    occurrence: np.ndarray
    """[V'] int64 N_k: in how many queries' k nearest each row stands"""
    k: int
    queries: int

    @property
    def skewness(self) -> float:
        """Third standardized moment of N_k: 0 is even, above 1 is strong hubness; nan when every row occurs
        equally often.
        """
        centered = self.occurrence - self.occurrence.mean()
        spread = np.sqrt((centered**2).mean())
        return float((centered**3).mean() / spread**3) if spread > 0 else float("nan")

    @property
    def expected(self) -> float:
        """N_k if every row occurred equally often: queries · k / V'."""
        return self.queries * self.k / len(self.token_ids)

    @property
    def hubs(self) -> np.ndarray:
        """int64 ids of rows with N_k ≥ 2k, the most frequent first (ties to the lower id)."""
        order = np.argsort(-self.occurrence, kind="stable")
        return self.token_ids[order[self.occurrence[order] >= 2 * self.k]]

    @property
    def hub_share(self) -> float:
        """Share of all neighbor slots that hubs take, 0…1."""
        return float(self.occurrence[self.occurrence >= 2 * self.k].sum() / (self.queries * self.k))

    @property
    def anti_hub_share(self) -> float:
        """Share of rows that are no query's neighbor, 0…1."""
        return float((self.occurrence == 0).mean())

    @property
    def conclusion(self) -> str:
        """What to conclude, in one sentence: how many rows are hubs, and the share of places that they take
        beside an even one.
        """
        hubs, rows = len(self.hubs), len(self.token_ids)
        said = (
            f"{hubs:,} of {count(rows, 'piece')} {'is a hub' if hubs == 1 else 'are hubs'}, near to "
            "much of the space"
        )
        taken = (
            f": they take {self.hub_share:.0%} of the places among the {self.k} nearest of "
            f"{self.queries:,} random vectors, {hubs / rows:.1%} if all were even"
        )
        return f"{said}{taken if hubs else ''}."

    def to_frame(self) -> pd.DataFrame:
        """One row: k, queries, rows, hubs, hub_share, anti_hub_share, skewness."""
        shares = {
            "hub_share": self.hub_share,
            "anti_hub_share": self.anti_hub_share,
            "skewness": self.skewness,
        }
        return pd.DataFrame(
            [
                {
                    "k": self.k,
                    "queries": self.queries,
                    "rows": len(self.token_ids),
                    "hubs": len(self.hubs),
                    **shares,
                }
            ]
        )


def k_occurrence(neighbor_ids: np.ndarray, vocabulary: Vocabulary) -> Hubness:
    """Hubness from the neighbors of many queries.

    neighbor_ids: [Q, k] int64, searchable rows as `neighbors.search` returns them.
    """
    counts = np.bincount(neighbor_ids.ravel(), minlength=len(vocabulary))[vocabulary.searchable_ids]
    return Hubness(vocabulary.searchable_ids, counts, neighbor_ids.shape[1], len(neighbor_ids))
