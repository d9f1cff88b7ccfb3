"""Do the positions of a prompt repeat each other, more than the vocabulary's hubs make independent tokens
do?
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from explorer.analysis.hubness import DEEPEST
from explorer.analysis.nulls import SIGNIFICANT_AT, p_values, stream
from explorer.analysis.search import search
from explorer.analysis.surrogates import flipped, other_words, parts
from explorer.analysis.vectors import rough_neighbors, unit
from explorer.cached import cached
from explorer.prompt import SoftPrompt
from explorer.results import Result
from explorer.system.interruption import checkpoint
from explorer.vocabulary import Vocabulary
from explorer.words.wording import all_zero

if TYPE_CHECKING:
    from scipy.sparse import csr_array

DRAWN, FEWEST_DRAWS = 20_000, 19
"""independent tokens in all, so that prompts of thousands of tokens do not take minutes; prompts at least"""
DENSE = 512
"""tokens whose pairs are looked at together"""
QUERIES_PER_BLOCK = 2048
"""queries searched at once; bounds the memory of a null distribution"""


@dataclass(frozen=True, eq=False, repr=False)
class Redundancy(Result):
    """How much the positions of a prompt repeat each other."""

    prompt: str
    shared_first: float
    """0…1, share of positions whose first neighbor is another position's too"""
    mean_cosine: float
    """−1…1, mean pairwise cosine of the positions; nan for a prompt of one token"""
    effective_rank: float
    """1…P, exp of the entropy of the normalized squared singular values"""
    mean_jaccard: float
    """0…1, mean over pairs of positions of |A ∩ B| / |A ∪ B| of their neighbor sets; nan for a prompt of one
    token
    """
    p: float
    """of `mean_jaccard`, against prompts of independent tokens as near to words; nan for a prompt of one
    token
    """
    jaccard: np.ndarray
    """[P, P] float64, 0…1, 1 on the diagonal"""
    p_shared_first: float
    """of `shared_first`, against the same; nan for a prompt of one token. No verdict: of most prompts no two
    positions share their first neighbor, and p is 1
    """
    null: np.ndarray
    """[M] the mean Jaccard of those prompts, 0…1; empty for a prompt of one token"""

    @property
    def conclusion(self) -> str:
        """What to conclude, in one sentence."""
        length = len(self.jaccard)
        if length < 2:
            return "A single token has no other to repeat."
        if self.effective_rank != self.effective_rank:
            return f"{all_zero(length)}: there are no neighbors to share."
        rank = f"effective rank {self.effective_rank:.1f} of {length}"
        more = "more than by chance" if self.p <= SIGNIFICANT_AT else "not clearly more than by chance"
        return (
            f"Two tokens share {self.mean_jaccard:.1%} of their neighbors on average, {more} "
            f"({self.null.mean():.1%}, p {self.p:.3f}); {rank}."
        )

    def to_frame(self) -> pd.DataFrame:
        """One row: prompt, shared_first, mean_cosine, effective_rank, p, mean_jaccard (which p is about),
        p_shared_first.
        """
        columns = (
            "prompt",
            "shared_first",
            "mean_cosine",
            "effective_rank",
            "p",
            "mean_jaccard",
            "p_shared_first",
        )
        return pd.DataFrame([{column: getattr(self, column) for column in columns}])


def redundancy(
    prompt: SoftPrompt, vocabulary: Vocabulary, k: int = 10, nulls: int = 200, seed: int = 0
) -> Redundancy:
    """Overlap of neighbor sets, pairwise cosine and effective rank of a prompt's positions.

    The null distribution are `nulls` prompts (of more than 100 tokens fewer, about 20,000 tokens in all, 19
    at least) of independent tokens, each as near to a word as one of the
    prompt's is, but to another word about as frequent (see analysis.surrogates): the vocabulary's hubs
    remain, whatever the positions have in common is gone. It asks whether positions share more neighbors than
    the vocabulary alone makes them share. Raises PromptError when the widths differ and ExplorerError for k
    below 1.
    """
    vocabulary.check_width(prompt.vectors, prompt.name)
    ids, _ = search(prompt.vectors, vocabulary, k)
    directions = unit(prompt.vectors).astype(np.float64)
    with _one_thread():
        values = np.linalg.svd(prompt.vectors.astype(np.float64), compute_uv=False)
        jaccard = _jaccard(ids)
    observed, shared = _mean_jaccard(ids), _shared_first(ids)
    draws = int(np.clip(DRAWN // prompt.length, FEWEST_DRAWS, nulls))
    null = _independent_overlap(prompt, vocabulary, k, draws, seed) if prompt.length > 1 else np.empty((2, 0))
    return Redundancy(
        prompt.name,
        shared,
        _mean_cosine(directions),
        _effective_rank(values),
        observed,
        float(p_values(np.array(observed), null[0])),
        jaccard,
        float(p_values(np.array(shared), null[1])) if prompt.length > 1 else float("nan"),
        null[0],
    )


def _one_thread() -> AbstractContextManager:
    """Linear algebra on one thread: those of many small products wait for each other far longer than they
    work.
    """
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1, "blas")


def _independent_overlap(
    prompt: SoftPrompt, vocabulary: Vocabulary, k: int, nulls: int, seed: int
) -> np.ndarray:
    """Mean Jaccard and share of shared first neighbors of `nulls` prompts of independent tokens in place of
    the prompt's: [2, nulls].
    """
    deep = max(k, DEEPEST)
    found = cached(
        vocabulary,
        ("independent tokens", prompt, deep, nulls, seed),
        lambda: _independent(prompt.vectors, vocabulary, deep, nulls, seed),
    )
    with _one_thread():
        return np.array([(_mean_jaccard(ids), _shared_first(ids)) for ids in found[:, :, :k]]).T


def _independent(vectors: np.ndarray, vocabulary: Vocabulary, k: int, nulls: int, seed: int) -> np.ndarray:
    """The k nearest rows of independent tokens in place of tokens [P, H], `nulls` times: ids [nulls, P,
    k].
    """
    generator, known, length = stream(seed, "independent tokens"), parts(vectors, vocabulary), len(vectors)
    at_once = max(1, QUERIES_PER_BLOCK // length)
    found: list[np.ndarray] = []
    for start in range(0, nulls, at_once):
        count = min(at_once, nulls - start)
        drawn = other_words(known, vocabulary, count, generator) + flipped(
            known.rest, vocabulary, count, generator
        )
        ids = rough_neighbors(drawn.reshape(count * length, -1), vocabulary, k)[1]
        found.append(ids.reshape(count, length, -1).astype(np.int32))
    return np.concatenate(found)


def _shared_first(ids: np.ndarray) -> float:
    """Share of positions whose first neighbor in ids [P, k] is another position's too, 0…1."""
    _, counts = np.unique(ids[:, 0], return_counts=True)
    return float(counts[counts > 1].sum() / len(ids))


def _members(ids: np.ndarray) -> "csr_array":
    """Which rows each token of ids [P, k] has among its neighbors: [P, distinct], 1 where it has one."""
    from scipy.sparse import csr_array

    distinct, column = np.unique(ids, return_inverse=True)
    starts = np.arange(0, ids.size + 1, ids.shape[1])
    return csr_array((np.ones(ids.size, np.float32), column.ravel(), starts), (len(ids), len(distinct)))


def _jaccard(ids: np.ndarray) -> np.ndarray:
    """Jaccard similarity of the neighbor sets ids [P, k]: [P, P]."""
    members = _members(ids)
    if len(ids) <= DENSE:
        dense = members.toarray()
        shared = (dense @ dense.T).astype(np.float64)
    else:
        shared = (members @ members.T).toarray().astype(np.float64)
    return shared / (2 * ids.shape[1] - shared)


def _mean_jaccard(ids: np.ndarray) -> float:
    """The mean of `_jaccard` over pairs, from those pairs alone that share a neighbor; nan for one token."""
    (length, k), total = ids.shape, 0.0
    if length <= DENSE:
        return _mean_of_pairs(_jaccard(ids))
    members = _members(ids)
    for start in range(0, length, DENSE):
        checkpoint()
        shared = (members[start : start + DENSE] @ members.T).data.astype(np.float64)
        total += float((shared / (2 * k - shared)).sum())
    return (total - length) / (length * (length - 1))


def _mean_cosine(directions: np.ndarray) -> float:
    """Mean cosine of two of the directions [P, H]; nan for one."""
    if len(directions) <= DENSE:
        return _mean_of_pairs(directions @ directions.T)
    count, total = len(directions), directions.sum(axis=0)
    return float((total @ total - (directions**2).sum()) / (count * (count - 1)))


def _mean_of_pairs(square: np.ndarray) -> float:
    """Mean of a symmetric matrix without its diagonal; nan for one row."""
    count = len(square)
    return float((square.sum() - np.trace(square)) / (count * (count - 1))) if count > 1 else float("nan")


def _effective_rank(singular_values: np.ndarray) -> float:
    """exp(entropy of the normalized squared singular values), Roy and Vetterli 2007; nan for a prompt of
    zeros.
    """
    energy = singular_values**2
    if not energy.sum() > 0:
        return float("nan")
    share = energy[energy > 0] / energy.sum()
    return float(np.exp(-(share * np.log(share)).sum()))
