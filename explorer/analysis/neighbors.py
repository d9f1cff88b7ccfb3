"""The vocabulary pieces nearest to each prompt token: exact search with FAISS in four metrics.

Knows neither models nor files. Imports nothing heavier than FAISS and pandas, so that `python -m explorer neighbors` is quick.
"""

from dataclasses import dataclass, replace
from typing import Literal, get_args

import faiss
import numpy as np
import pandas as pd

from explorer.analysis.hubness import CSLS_NEIGHBORS, bank_neighbors, cosine_index, filled, hubness, row_crowding, unit
from explorer.analysis.nulls import benjamini_hochberg, gaussian_bank, p_values, percentiles
from explorer.analysis.remembered import remembered
from explorer.errors import ExplorerError, PromptError
from explorer.prompt import Origin, SoftPrompt
from explorer.vocabulary import Vocabulary

Metric = Literal["cosine", "l2", "dot", "csls"]
METRICS: tuple[Metric, ...] = get_args(Metric)
COMPARABLE: tuple[Metric, ...] = ("cosine", "csls")
"""metrics that do not depend on a prompt token's length, so that random vectors compare"""

SPARE = 15
"""candidates beyond those asked for, to sort ties among"""
FLOAT_NOISE = 1e-5
"""how far a float32 sum over H products may be off, relative to the vectors' lengths"""
BLOCK_VALUES = 8_000_000
"""float64 values of candidate rows held at once"""


@dataclass(frozen=True, eq=False)
class NearestNeighbors:
    """The k nearest vocabulary rows of every prompt token, the nearest first; ties go to the lower id."""

    prompt: str
    token_ids: np.ndarray
    """[P, k] int64"""
    similarity: np.ndarray
    """[P, k] float32, higher is closer; for l2 the distance in units of the embeddings, smaller is closer"""
    metric: Metric
    margin: np.ndarray
    """[P] float32, how much closer rank k is than rank k + 1, 0 or more, bigger is safer; nan where there is no rank k + 1"""
    pieces: tuple[tuple[str, ...], ...]
    """[P, k] as the tokenizer writes them"""
    tokens: tuple[tuple[str, ...], ...]
    """[P, k] as people read them"""
    percentile: np.ndarray
    """[P, k] 0…100, share of random vectors (vocabulary's Gaussian) whose neighbor of the same rank is less near; like p and q nan
    for metrics that depend on length and without nulls"""
    p: np.ndarray
    """[P, k] of that; smaller is more surprising"""
    q: np.ndarray
    """[P, k] p after Benjamini–Hochberg over the positions, each rank by itself; a position is called by its first neighbor's"""
    hub: np.ndarray
    """[P, k] bool: the neighbor is a hub of the vocabulary, near to much, see hubness.Hubness"""
    null: np.ndarray | None
    """[M] similarity of the first neighbor of random vectors; None where there are none to compare with"""

    def to_frame(self) -> pd.DataFrame:
        """One row per prompt token and rank: prompt, position (from 0), rank (from 1), token_id, piece, token, similarity, metric,
        percentile, p, q, hub."""
        length, k = self.token_ids.shape
        return pd.DataFrame(
            {
                "prompt": self.prompt,
                "position": np.repeat(np.arange(length), k),
                "rank": np.tile(np.arange(1, k + 1), length),
                "token_id": self.token_ids.ravel(),
                "piece": [piece for row in self.pieces for piece in row],
                "token": [token for row in self.tokens for token in row],
                "similarity": self.similarity.ravel(),
                "metric": self.metric,
                "percentile": self.percentile.ravel(),
                "p": self.p.ravel(),
                "q": self.q.ravel(),
                "hub": self.hub.ravel(),
            }
        )


def nearest_neighbors(
    prompt: SoftPrompt,
    vocabulary: Vocabulary,
    k: int = 10,
    metric: Metric = "cosine",
    include_special: bool = False,
    merge_variants: bool = False,
    nulls: int = 1000,
    seed: int = 0,
) -> NearestNeighbors:
    """The k nearest vocabulary rows of every prompt token, by exact search.

    metric: `cosine`, `dot`, `csls` (higher is closer) or `l2` (a distance, smaller is closer). include_special: search
    control pieces, sentinels and padding rows too. merge_variants: leave out a piece that is the same word as a nearer one
    but for case and leading space. When the vocabulary has fewer than k rows (or words) to offer, all of them are returned.
    nulls: seeded draws from the vocabulary's Gaussian that cosine and CSLS are compared with, the same for every prompt; 0 for none.
    Raises PromptError when the widths differ and ExplorerError for k below 1, nulls or seed below 0, or an unknown metric.
    """
    vocabulary.check_width(prompt.vectors, prompt.name)
    _check(k, metric)
    find = _distinct_words if merge_variants else search
    ids, scores = find(prompt.vectors, vocabulary, k + 1, metric, include_special)
    margin = np.full(prompt.length, np.nan, np.float32)
    if ids.shape[1] > k:
        margin = np.abs(scores[:, k - 1] - scores[:, k])
        ids, scores = ids[:, :k], scores[:, :k]
    if nulls < 0:
        raise ExplorerError(f"found {nulls} nulls; expected 0 or more")
    null = None
    if nulls and metric in COMPARABLE:
        k = ids.shape[1]
        if metric == "cosine" and not include_special and not merge_variants:
            null = bank_neighbors(vocabulary, k, nulls, seed)[0]
        else:
            key = ("nearest null", k, metric, include_special, merge_variants, nulls, seed)
            null = remembered(vocabulary, key, lambda: find(gaussian_bank(vocabulary, nulls, seed), vocabulary, k, metric, include_special)[1])
    percentile, p, q = _against(scores, null)
    return NearestNeighbors(
        prompt.name,
        np.ascontiguousarray(ids),
        np.ascontiguousarray(scores),
        metric,
        margin,
        tuple(tuple(vocabulary.pieces[token_id] for token_id in row) for row in ids),
        tuple(tuple(vocabulary.tokens[token_id] for token_id in row) for row in ids),
        percentile,
        p,
        q,
        np.isin(ids, hubness(vocabulary).hubs),
        None if null is None else null[:, 0],
    )


def centered_neighbors(prompt: SoftPrompt, vocabulary: Vocabulary, k: int = 10) -> NearestNeighbors:
    """As `nearest_neighbors` by cosine after the mean of the searchable rows is taken from rows and prompt alike, without nulls.

    Embedding tables have a common offset that makes everything alike; without it other pieces may come first (Mu and Viswanath 2018).
    """
    vocabulary.check_width(prompt.vectors, prompt.name)
    mean = vocabulary.embedding[vocabulary.searchable_ids].mean(axis=0)
    centered = remembered(vocabulary, "centered", lambda: replace(vocabulary, embedding=vocabulary.embedding - mean))
    return nearest_neighbors(SoftPrompt(prompt.vectors - mean, prompt.name, Origin(format=prompt.origin.format)), centered, k, nulls=0)


def _against(scores: np.ndarray, null: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Percentile, p and q [P, k] of scores [P, k] against those of random vectors at the same rank [M, k]."""
    if null is None:
        return tuple(np.full(scores.shape, np.nan) for _ in range(3))
    p = np.column_stack([p_values(scores[:, rank], null[:, rank]) for rank in range(scores.shape[1])])
    percentile = np.column_stack([percentiles(scores[:, rank], null[:, rank]) for rank in range(scores.shape[1])])
    return percentile, p, np.column_stack([benjamini_hochberg(column) for column in p.T])


def search(
    queries: np.ndarray, vocabulary: Vocabulary, k: int, metric: Metric = "cosine", include_special: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest rows of each query: ids [Q, k] int64 and scores [Q, k] float32, the nearest first.

    queries: [Q, H]. Exact: FAISS proposes more candidates than asked for, their scores are taken again in double precision,
    and rows with equal float32 scores stand in the order of their ids. k is clipped to the number of rows searched.
    Raises PromptError when the widths differ, values are not finite or overflow, ExplorerError for k below 1 or an unknown metric.
    """
    vocabulary.check_width(queries, "queries")
    _check(k, metric)
    queries = np.ascontiguousarray(queries, np.float32)
    if bad := int((~np.isfinite(queries)).any(axis=1).sum()):
        raise PromptError(f"{bad} of {len(queries)} vectors to search for hold NaN or infinity; expected finite values")
    index = remembered(vocabulary, ("index", metric, include_special), lambda: _Index.of(vocabulary, metric, include_special))
    k = min(k, len(index.token_ids))
    crowding = search(queries, vocabulary, CSLS_NEIGHBORS)[1].mean(axis=1) if metric == "csls" else np.zeros(len(queries), np.float32)
    ids, scores = np.empty((len(queries), k), np.int64), np.empty((len(queries), k), np.float32)
    open_queries, wanted = np.arange(len(queries)), min(k + SPARE, len(index.token_ids))
    while len(open_queries):
        found, settled = index.propose(queries[open_queries], k, wanted)
        rows = open_queries[settled]
        ids[rows], scores[rows] = index.ranked(queries[rows], found[settled], crowding[rows], vocabulary, k)
        open_queries, wanted = open_queries[~settled], min(4 * wanted, len(index.token_ids))
    return ids, scores


def _check(k: int, metric: str) -> None:
    if k < 1:
        raise ExplorerError(f"found k = {k}; expected 1 or more neighbors")
    if metric not in METRICS:
        raise ExplorerError(f"found the metric {metric!r}; expected one of {', '.join(METRICS)}")


def _distinct_words(queries: np.ndarray, vocabulary: Vocabulary, k: int, metric: Metric, include_special: bool) -> tuple[np.ndarray, np.ndarray]:
    """As `search`, but each row's first piece of every word only."""
    rows = len(vocabulary) if include_special else len(vocabulary.searchable_ids)
    groups = vocabulary.word_groups if include_special else vocabulary.word_groups[vocabulary.searchable_ids]
    k, wanted = min(k, len(np.unique(groups))), min(2 * k, rows)
    while True:
        ids, scores = search(queries, vocabulary, wanted, metric, include_special)
        first = [np.sort(np.unique(vocabulary.word_groups[row], return_index=True)[1])[:k] for row in ids]
        if all(len(columns) == k for columns in first):
            return np.take_along_axis(ids, np.array(first), 1), np.take_along_axis(scores, np.array(first), 1)
        wanted = min(2 * wanted, rows)


@dataclass(frozen=True, eq=False)
class _Index:
    """A FAISS index over the rows searched, and what it needs to turn a query into an inner product or distance."""

    faiss: faiss.Index
    token_ids: np.ndarray
    """[R] int64, ascending: the rows searched"""
    metric: Metric
    longest: float
    """norm of the longest row as FAISS holds it"""

    @classmethod
    def of(cls, vocabulary: Vocabulary, metric: Metric, include_special: bool) -> "_Index":
        if metric == "cosine" and not include_special:
            return cls(cosine_index(vocabulary), vocabulary.searchable_ids, metric, 1.0)
        token_ids = np.arange(len(vocabulary)) if include_special else vocabulary.searchable_ids
        if metric == "csls":  # 2 cos(x, y) − r(y) is the inner product of (2x, 1) and (y, −r(y))
            crowding, width = row_crowding(vocabulary), vocabulary.dimension + 1
            index = filled(faiss.IndexFlatIP(width), vocabulary.embedding, token_ids, lambda rows, ids: np.column_stack([unit(rows), -crowding[ids]]))
        else:
            kind = faiss.IndexFlatL2 if metric == "l2" else faiss.IndexFlatIP
            change = (lambda rows, _: unit(rows)) if metric == "cosine" else (lambda rows, _: rows)
            index = filled(kind(vocabulary.dimension), vocabulary.embedding, token_ids, change)
        rows = faiss.rev_swig_ptr(index.get_xb(), index.ntotal * index.d).reshape(index.ntotal, index.d)
        return cls(index, token_ids, metric, float(np.sqrt(np.einsum("rh,rh->r", rows, rows).max())))

    def propose(self, queries: np.ndarray, k: int, wanted: int) -> tuple[np.ndarray, np.ndarray]:
        """Candidates [Q, wanted] (places in `token_ids`), and [Q] whether float noise cannot have kept one of the first k out."""
        if self.metric in ("cosine", "csls"):
            queries = unit(queries)
        if self.metric == "csls":
            queries = np.column_stack([2 * queries, np.ones(len(queries), np.float32)])
        scores, found = self.faiss.search(np.ascontiguousarray(queries), wanted)
        if (found < 0).any():
            raise PromptError(f"vectors too large for the metric {self.metric} in single precision; use cosine, which does not depend on length")
        lengths = np.linalg.norm(queries.astype(np.float64), axis=1)
        noise = FLOAT_NOISE * ((lengths + self.longest) ** 2 if self.metric == "l2" else lengths * self.longest)
        with np.errstate(invalid="ignore"):  # inner products that overflow tie at infinity
            clear = np.abs(scores[:, k - 1].astype(np.float64) - scores[:, -1]) > noise
        return found, clear | (wanted == len(self.token_ids))

    def ranked(self, queries: np.ndarray, found: np.ndarray, crowding: np.ndarray, vocabulary: Vocabulary, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The first k of the candidates [Q, c] by exact score, then by id."""
        found = np.sort(found, axis=1)  # ascending ids: a stable sort by score leaves ties in that order
        ids, scores = self.token_ids[found], np.empty(found.shape, np.float32)
        step = max(1, BLOCK_VALUES // (found.shape[1] * vocabulary.dimension))
        for start in range(0, len(queries), step):
            block = slice(start, start + step)
            with np.errstate(over="ignore"):
                scores[block] = _scores(queries[block], ids[block], vocabulary, self.metric, crowding[block])
        order = np.argsort(scores if self.metric == "l2" else -scores, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(ids, order, 1), np.take_along_axis(scores, order, 1)


def _scores(queries: np.ndarray, ids: np.ndarray, vocabulary: Vocabulary, metric: Metric, crowding: np.ndarray) -> np.ndarray:
    """Scores [Q, c] of given rows in double precision. einsum sums every row in the same order: equal rows score equal."""
    queries, rows = queries.astype(np.float64), vocabulary.embedding[ids].astype(np.float64)
    if metric == "l2":
        difference = rows - queries[:, None]
        return np.sqrt(np.einsum("qch,qch->qc", difference, difference))
    scores = np.einsum("qch,qh->qc", rows, queries)
    if metric == "dot":
        return scores
    lengths = np.sqrt(np.einsum("qch,qch->qc", rows, rows)) * np.linalg.norm(queries, axis=1)[:, None]
    cosine = np.divide(scores, lengths, out=np.zeros_like(scores), where=lengths > 0)
    return cosine if metric == "cosine" else 2 * cosine - crowding[:, None] - row_crowding(vocabulary)[ids]
