"""Exact search with FAISS: the vocabulary rows nearest to vectors, in every metric."""

from dataclasses import dataclass

import faiss
import numpy as np

from explorer.analysis.hubness import CSLS_NEIGHBORS, row_crowding
from explorer.analysis.vectors import (
    exact_search,
    filled,
    index_of,
    rough_search,
    stored_rows,
    unit,
    whitening,
)
from explorer.cached import cached
from explorer.choices import METRICS, Metric
from explorer.errors import ExplorerError, PromptError
from explorer.prompt import Vectors
from explorer.system.interruption import checkpoint
from explorer.vocabulary import Vocabulary

SPARE = 15
"""candidates beyond those asked for, to sort ties among"""
FLOAT_NOISE = 1e-5
"""how far a float32 sum over H products may be off, relative to the vectors' lengths"""
BLOCK_VALUES = 8_000_000
"""float64 values of candidate rows held at once"""


def search(
    queries: Vectors, vocabulary: Vocabulary, k: int, metric: Metric = "cosine", include_special: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest rows of each query: ids [Q, k] int64 and scores [Q, k] float32, the nearest first.

    queries: [Q, H], or a prompt. Exact: FAISS proposes more candidates than asked for, their scores are taken
    again in double precision, and rows with equal float32 scores stand in the order of their ids. k is
    clipped to the number of rows searched. Raises PromptError when the widths differ, values are not finite
    or overflow, ExplorerError for k below 1 or an unknown metric.
    """
    queries = np.ascontiguousarray(queries, np.float32)
    vocabulary.check_width(queries, "queries")
    check(k, metric)
    if bad := int((~np.isfinite(queries)).any(axis=1).sum()):
        raise PromptError(
            f"{bad} of {len(queries)} vectors to search for hold NaN or infinity; expected finite values"
        )
    index = cached(
        vocabulary, ("index", metric, include_special), lambda: _Index.of(vocabulary, metric, include_special)
    )
    if metric == "whitened":
        queries = whitening(vocabulary)(queries)
    k = min(k, len(index.token_ids))
    crowding = (
        search(queries, vocabulary, CSLS_NEIGHBORS)[1].mean(axis=1)
        if metric == "csls"
        else np.zeros(len(queries), np.float32)
    )
    ids, scores = np.empty((len(queries), k), np.int64), np.empty((len(queries), k), np.float32)
    open_queries, wanted = np.arange(len(queries)), min(k + SPARE, len(index.token_ids))
    while len(open_queries):
        checkpoint()
        found, settled = index.propose(queries[open_queries], k, wanted)
        rows = open_queries[settled]
        ids[rows], scores[rows] = index.ranked(queries[rows], found[settled], crowding[rows], vocabulary, k)
        open_queries, wanted = open_queries[~settled], min(4 * wanted, len(index.token_ids))
    return ids, scores


def check(k: int, metric: str) -> None:
    """Raise ExplorerError for k below 1 or an unknown metric."""
    if k < 1:
        raise ExplorerError(f"found k = {k}; expected 1 or more neighbors")
    if metric not in METRICS:
        raise ExplorerError(f"found the metric {metric!r}; expected one of {', '.join(METRICS)}")


@dataclass(frozen=True, eq=False)
class _Index:
    """A FAISS index over the rows searched, and what it needs to turn a query into an inner product or
    distance.
    """

    faiss: faiss.IndexFlat
    token_ids: np.ndarray
    """[R] int64, ascending: the rows searched"""
    metric: Metric
    longest: float
    """norm of the longest row as FAISS holds it"""

    @classmethod
    def of(cls, vocabulary: Vocabulary, metric: Metric, include_special: bool) -> "_Index":
        if metric in ("cosine", "whitened") and not include_special:
            return cls(index_of(vocabulary, metric), vocabulary.searchable_ids, metric, 1.0)
        token_ids = np.arange(len(vocabulary)) if include_special else vocabulary.searchable_ids
        empty: faiss.IndexFlat = (faiss.IndexFlatL2 if metric == "l2" else faiss.IndexFlatIP)(
            vocabulary.dimension + (metric == "csls")
        )
        if metric == "csls":  # 2 cos(x, y) − r(y) is the inner product of (2x, 1) and (y, −r(y))
            crowding = row_crowding(vocabulary)
            index = filled(
                empty,
                vocabulary.embedding,
                token_ids,
                lambda rows, ids: np.column_stack([unit(rows), -crowding[ids]]),
            )
        else:
            index = filled(
                empty, vocabulary.embedding, token_ids, lambda rows, _: _as_compared(rows, vocabulary, metric)
            )
        rows = stored_rows(index)
        return cls(index, token_ids, metric, float(np.sqrt(np.einsum("rh,rh->r", rows, rows).max())))

    def propose(self, queries: np.ndarray, k: int, wanted: int) -> tuple[np.ndarray, np.ndarray]:
        """Candidates [Q, wanted] (places in `token_ids`), and [Q] whether float noise cannot have kept one of
        the first k out.
        """
        if self.metric in ("cosine", "csls"):
            queries = unit(queries)
        if self.metric == "csls":
            queries = np.column_stack([2 * queries, np.ones(len(queries), np.float32)])
        if self.metric in ("cosine", "whitened", "csls"):  # directions: their products are finite
            scores, found = rough_search(self.faiss, np.ascontiguousarray(queries), wanted)
        else:
            scores, found = exact_search(self.faiss, queries, wanted)
        if (found < 0).any():
            raise PromptError(
                f"vectors too large for the metric {self.metric} in single precision; use cosine, "
                "which does not depend on length"
            )
        lengths = np.linalg.norm(queries.astype(np.float64), axis=1)
        noise = FLOAT_NOISE * (
            (lengths + self.longest) ** 2 if self.metric == "l2" else lengths * self.longest
        )
        with np.errstate(invalid="ignore"):  # inner products that overflow tie at infinity
            clear = np.abs(scores[:, k - 1].astype(np.float64) - scores[:, -1]) > noise
        return found, clear | (wanted == len(self.token_ids))

    def ranked(
        self, queries: np.ndarray, found: np.ndarray, crowding: np.ndarray, vocabulary: Vocabulary, k: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """The first k of the candidates [Q, c] by exact score, then by id."""
        found = np.sort(found, axis=1)  # ascending ids: a stable sort by score leaves ties in that order
        ids, scores = self.token_ids[found], np.empty(found.shape, np.float32)
        step = max(1, BLOCK_VALUES // (found.shape[1] * vocabulary.dimension))
        for start in range(0, len(queries), step):
            block = slice(start, start + step)
            with np.errstate(over="ignore"):
                rows = (
                    stored_rows(self.faiss)[found[block]]
                    if self.metric == "whitened"
                    else vocabulary.embedding[ids[block]]
                )
                scores[block] = _scores(queries[block], rows, self.metric)
                if self.metric == "csls":
                    scores[block] = (
                        2 * scores[block] - crowding[block][:, None] - row_crowding(vocabulary)[ids[block]]
                    )
        order = np.argsort(scores if self.metric == "l2" else -scores, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(ids, order, 1), np.take_along_axis(scores, order, 1)


def _as_compared(rows: np.ndarray, vocabulary: Vocabulary, metric: Metric) -> np.ndarray:
    """Rows [R, H] of the table as the metric's index holds them."""
    return unit(rows) if metric == "cosine" else whitening(vocabulary)(rows) if metric == "whitened" else rows


def _scores(queries: np.ndarray, rows: np.ndarray, metric: Metric) -> np.ndarray:
    """Scores [Q, c] of given rows [Q, c, H] in double precision: distances for l2, inner products for dot,
    else cosines.

    einsum sums every row in the same order: equal rows score equal.
    """
    queries, rows = queries.astype(np.float64), rows.astype(np.float64)
    if metric == "l2":
        difference = rows - queries[:, None]
        return np.sqrt(np.einsum("qch,qch->qc", difference, difference))
    scores = np.einsum("qch,qh->qc", rows, queries)
    if metric == "dot":
        return scores
    lengths = np.sqrt(np.einsum("qch,qch->qc", rows, rows)) * np.linalg.norm(queries, axis=1)[:, None]
    return np.divide(scores, lengths, out=np.zeros_like(scores), where=lengths > 0)
