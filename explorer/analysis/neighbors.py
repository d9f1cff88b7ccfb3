"""The vocabulary pieces nearest to each prompt token: exact search with FAISS in every metric.

Knows neither models nor files. Imports nothing heavier than FAISS and pandas, so that whoever asks for
neighbors alone waits for no more.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from explorer.analysis.hubness import hubness, null_neighbors
from explorer.analysis.metric import metric_for, why_auto
from explorer.analysis.nulls import (
    SIGNIFICANT_AT,
    benjamini_hochberg,
    enough,
    gaussian_vectors,
    mean_row,
    p_values,
    percentiles,
)
from explorer.analysis.search import check, search
from explorer.analysis.special import special_tokens, without
from explorer.analysis.vectors import directionless
from explorer.cached import cached
from explorer.choices import Metric, MetricChoice
from explorer.errors import ExplorerError
from explorer.prompt import Origin, SoftPrompt
from explorer.results import Result
from explorer.vocabulary import Vocabulary
from explorer.words.pieces import Mark, readable
from explorer.words.wording import all_zero, count, special_said, zeros_said

COMPARABLE: tuple[Metric, ...] = ("cosine", "whitened", "csls")
"""metrics that do not depend on a prompt token's length, so that random vectors compare"""
Search = Callable[..., tuple[np.ndarray, np.ndarray]]
"""like `search`: (vectors, vocabulary, k, metric, include_special) -> ids [Q, k], scores [Q, k]"""


@dataclass(frozen=True, eq=False, repr=False)
class NearestNeighbors(Result):
    """The k nearest vocabulary rows of every prompt token, the nearest first; ties go to the lower id."""

    prompt: str
    token_ids: np.ndarray
    """[P, k] int64; −1 for a token of zeros, which has no neighbors but by l2"""
    similarity: np.ndarray
    """[P, k] float32, higher is closer; for l2 the distance in units of the embeddings, smaller is closer;
    nan where there is no neighbor
    """
    metric: Metric
    margin: np.ndarray
    """[P] float32, how much closer rank k is than rank k + 1, 0 or more, bigger is safer; nan where there is
    no rank k + 1
    """
    pieces: tuple[tuple[str, ...], ...]
    """[P, k] as the tokenizer writes them; empty where there is no neighbor"""
    tokens: tuple[tuple[str, ...], ...]
    """[P, k] as people read them"""
    percentile: np.ndarray
    """[P, k] 0…100, share of random vectors (vocabulary's Gaussian) whose neighbor of the same rank is less
    near; like p and q nan for metrics that depend on length and without nulls
    """
    p: np.ndarray
    """[P, k] of that; smaller is more surprising"""
    q: np.ndarray
    """[P, k] p after Benjamini–Hochberg over the positions, each rank by itself; a position is significant by
    its first neighbor's
    """
    hub: np.ndarray
    """[P, k] bool: the neighbor is a hub of the vocabulary, near to much, see hubness.Hubness"""
    null: np.ndarray | None
    """[M] similarity of the first neighbor of random vectors; None where there are none to compare with"""
    began: np.ndarray | None = None
    """[P] int64, the first neighbor before training, by the same metric; None where the vectors before
    training were not saved
    """
    special: Mapping[int, str] = field(default_factory=dict)
    """positions of tokens that are special rows, such as `<bos>`, and their pieces: no verdict, p is nan"""
    why: str | None = None
    """why `auto` stands for this metric; None where the metric was named"""
    other: tuple[Metric, np.ndarray] | None = None
    """a second metric and [P] bool, which tokens are significant by it; None without nulls"""
    mark: Mark = ""
    """how its pieces show where words begin or end"""

    @property
    def significant(self) -> np.ndarray:
        """[P] bool: the first neighbor's q ≤ 0.05; nowhere without a null."""
        return self.q[:, 0] <= SIGNIFICANT_AT

    @property
    def conclusion(self) -> str:
        """What to conclude, in one sentence: how many tokens are nearer to a piece than random vectors are,
        and which is nearest.
        """
        zeros = int((self.token_ids[:, 0] < 0).sum())
        if zeros == len(self.token_ids):
            return f"{all_zero(zeros)} and as near to everything: there are no neighbors."
        first, without = self.similarity[:, 0], zeros_said(zeros, "no neighbors")
        nearest = int(np.nanargmin(first) if self.metric == "l2" else np.nanargmax(first))
        without += special_said(self.special)
        best = (
            f"nearest of all is token {nearest} to “{readable(self.pieces[nearest][0], self.mark)}” "
            f"({self.metric} {first[nearest]:.2f})"
        )
        if self.null is None:
            why = (
                "random vectors were not asked for"
                if self.metric in COMPARABLE
                else f"{self.metric} depends on a token's length"
            )
            return f"Nothing was compared with chance, since {why}; {best}{without}."
        near, length = int(self.significant.sum()), len(self.q) - len(self.special)
        said = (
            f"{near} of {count(length, 'token')} {'is' if 1 in (near, length) else 'are'} nearer to a "
            "piece than random vectors are"
        )
        return f"{said}{self._inherited(near)}; {best}{without}."

    @property
    def disagreement(self) -> str:
        """One line where a second metric finds other tokens significant; empty where the two agree."""
        if self.null is None or self.other is None or (self.other[1] == self.significant).all():
            return ""
        name, significant = self.other
        tokens = count(len(self.q) - len(self.special), "token")
        return (
            f"The metrics differ: {int(self.significant.sum())} of {tokens} are significant by "
            f"{self.metric}, {int(significant.sum())} by {name}."
        )

    def _inherited(self, near: int) -> str:
        """How many of the significant tokens had the same nearest piece before training, which then need not
        be learned.
        """
        if self.began is None or not near:
            return ""
        same = int((self.significant & (self.began == self.token_ids[:, 0])).sum())
        if same == 0:
            return ", none of them nearest to the piece that it began nearest to"
        of = (
            "it was"
            if near == 1
            else "all of them were"
            if same == near
            else f"{same} of them {'was' if same == 1 else 'were'}"
        )
        return f", but {of} nearest to the same piece before training"

    def to_frame(self) -> pd.DataFrame:
        """One row per prompt token and rank: prompt, position (from 0), rank (from 1), token_id, piece,
        token, similarity, metric, percentile, p, q, hub; none for a token without neighbors.
        """
        length, k = self.token_ids.shape
        frame = pd.DataFrame(
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
        return frame[self.token_ids.ravel() >= 0].reset_index(drop=True)


def nearest_neighbors(
    prompt: SoftPrompt,
    vocabulary: Vocabulary,
    k: int = 10,
    metric: MetricChoice = "auto",
    include_special: bool = False,
    merge_variants: bool = False,
    nulls: int = 1000,
    seed: int = 0,
) -> NearestNeighbors:
    """The k nearest vocabulary rows of every prompt token, by exact search.

    metric: `cosine`, `whitened`, `dot`, `csls` (higher is closer) or `l2` (a distance, smaller is closer);
    `auto` is whitened where the vocabulary's rows share a direction, else cosine. include_special: search
    control pieces, sentinels and padding rows too. merge_variants: leave out a piece that is the same word as
    a nearer one but for case and leading space. When the vocabulary has fewer than k rows (or words) to
    offer, all of them are returned. nulls: seeded draws from the vocabulary's Gaussian that cosine, whitened
    cosine and CSLS are compared with, the same for every prompt, raised to 40 for each position; 0 for none.
    Raises PromptError when the widths differ and ExplorerError for k below 1, nulls or seed below 0, or an
    unknown metric.
    """
    vocabulary.check_width(prompt.vectors, prompt.name)
    why = why_auto(vocabulary) if metric == "auto" else None
    metric = metric_for(metric, vocabulary)
    check(k, metric)
    if nulls < 0:
        raise ExplorerError(f"found {nulls} nulls; expected 0 or more")
    find = _distinct_words if merge_variants else search
    ids, scores = find(prompt.vectors, vocabulary, k + 1, metric, include_special)
    margin = np.full(prompt.length, np.nan, np.float32)
    if ids.shape[1] > k:
        margin = np.abs(scores[:, k - 1] - scores[:, k])
        ids, scores = ids[:, :k], scores[:, :k]
    if metric != "l2":
        zero = directionless(prompt.vectors)
        ids, scores = np.where(zero[:, None], -1, ids), np.where(zero[:, None], np.float32("nan"), scores)
        margin = np.where(zero, np.float32("nan"), margin)
    special = special_tokens(prompt, vocabulary)
    entered = without(special, prompt.length)
    null, other = None, None
    if nulls and metric in COMPARABLE:
        draws = enough(nulls, prompt.length)
        null = _null_scores(vocabulary, find, ids.shape[1], metric, include_special, draws, seed)
        second: Metric = "whitened" if metric == "cosine" else "cosine"
        nearest = find(prompt.vectors, vocabulary, 1, second, include_special)[1]
        nearest = np.where((entered & ~zero)[:, None], nearest, np.float32("nan"))
        chance = _null_scores(vocabulary, find, 1, second, include_special, draws, seed)
        other = second, _against(nearest, chance)[2][:, 0] <= SIGNIFICANT_AT
    percentile, p, q = _against(np.where(entered[:, None], scores, np.float32("nan")), null)
    before = prompt.initial
    return NearestNeighbors(
        prompt=prompt.name,
        token_ids=np.ascontiguousarray(ids),
        similarity=np.ascontiguousarray(scores),
        metric=metric,
        margin=margin,
        pieces=_named(ids, vocabulary.pieces),
        tokens=_named(ids, vocabulary.tokens),
        percentile=percentile,
        p=p,
        q=q,
        hub=np.isin(ids, hubness(vocabulary).hubs),
        null=None if null is None else null[:, 0],
        began=None if before is None else find(before, vocabulary, 1, metric, include_special)[0][:, 0],
        special=special,
        why=why,
        other=other,
        mark=vocabulary.mark,
    )


def _null_scores(
    vocabulary: Vocabulary,
    find: Search,
    k: int,
    metric: Metric,
    include_special: bool,
    draws: int,
    seed: int,
) -> np.ndarray:
    """Scores [M, k] of the neighbors of random vectors, computed once for all prompts."""
    if metric in ("cosine", "whitened") and not include_special and find is search:
        return null_neighbors(vocabulary, k, draws, seed, space=metric)[0]
    return cached(
        vocabulary,
        ("nearest null", k, metric, include_special, find is search, draws, seed),
        lambda: find(gaussian_vectors(vocabulary, draws, seed), vocabulary, k, metric, include_special)[1],
        np.ndarray,
    )


def _named(ids: np.ndarray, names: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """Names of rows [P, k], empty for −1."""
    return tuple(tuple(names[token_id] if token_id >= 0 else "" for token_id in row) for row in ids)


def centered_neighbors(prompt: SoftPrompt, vocabulary: Vocabulary, k: int = 10) -> NearestNeighbors:
    """`nearest_neighbors` by cosine, without nulls, after the mean of the searchable rows is subtracted from
    rows and prompt.

    Embedding tables have a common offset that makes everything alike; without it other pieces may come first
    (Mu and Viswanath 2018).
    """
    vocabulary.check_width(prompt.vectors, prompt.name)
    mean = mean_row(vocabulary)
    centered = cached(
        vocabulary, "centered", lambda: replace(vocabulary, embedding=vocabulary.embedding - mean)
    )
    return nearest_neighbors(
        SoftPrompt(prompt.vectors - mean, prompt.name, Origin(format=prompt.origin.format)),
        centered,
        k,
        "cosine",
        nulls=0,
    )


def _against(scores: np.ndarray, null: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Percentile, p and q [P, k] of scores [P, k] against those of random vectors at the same rank [M, k]."""
    if null is None:
        unknown = np.full(scores.shape, np.nan)
        return unknown, unknown, unknown
    p = np.column_stack([p_values(scores[:, rank], null[:, rank]) for rank in range(scores.shape[1])])
    percentile = np.column_stack(
        [percentiles(scores[:, rank], null[:, rank]) for rank in range(scores.shape[1])]
    )
    return percentile, p, np.column_stack([benjamini_hochberg(column) for column in p.T])


def _distinct_words(
    queries: np.ndarray, vocabulary: Vocabulary, k: int, metric: Metric, include_special: bool
) -> tuple[np.ndarray, np.ndarray]:
    """`search`, but only each row's first piece of every word."""
    rows = len(vocabulary) if include_special else len(vocabulary.searchable_ids)
    groups = vocabulary.word_groups if include_special else vocabulary.word_groups[vocabulary.searchable_ids]
    k, wanted = min(k, len(np.unique(groups))), min(2 * k, rows)
    while True:
        ids, scores = search(queries, vocabulary, wanted, metric, include_special)
        first = [np.sort(np.unique(vocabulary.word_groups[row], return_index=True)[1])[:k] for row in ids]
        if all(len(columns) == k for columns in first):
            return np.take_along_axis(ids, np.array(first), 1), np.take_along_axis(scores, np.array(first), 1)
        wanted = min(2 * wanted, rows)
