"""Do a prompt token's neighbors belong together, and do the positions of a prompt repeat each other? Both against nulls."""

from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import pandas as pd

from explorer.analysis.hubness import unit
from explorer.analysis.neighbors import search
from explorer.analysis.nulls import benjamini_hochberg, gaussian_bank, p_values, stream
from explorer.analysis.remembered import remembered
from explorer.prompt import SoftPrompt
from explorer.vocabulary import Vocabulary

QUERIES_PER_BLOCK = 2048
"""queries searched at once; bounds the memory of a bank of nulls"""


@dataclass(frozen=True, eq=False)
class Coherence:
    """How much each prompt token's k nearest rows (cosine) resemble one another, beside the same for the vocabulary's Gaussian."""

    prompt: str
    coherence: np.ndarray
    """[P] float64, −1…1, mean pairwise cosine among the neighbors, higher is closer; nan for k = 1"""
    coherence_merged: np.ndarray
    """[P] the same without the neighbors that are a nearer one but for case or space; nan where fewer than two are left"""
    variant_share: np.ndarray
    """[P] 0…1, share of neighbor pairs that are variants of one word or share a stem: what is lexical rather than semantic"""
    p: np.ndarray
    """[P] against `null`; smaller is more surprising"""
    q: np.ndarray
    """[P] p after Benjamini–Hochberg over the positions"""
    null: np.ndarray
    """[M] the coherence of vectors drawn from the vocabulary's Gaussian"""
    k: int

    @property
    def null_mean(self) -> float:
        """Mean coherence of the null."""
        return float(self.null.mean())

    def to_frame(self) -> pd.DataFrame:
        """One row per prompt token: prompt, position, coherence, coherence_merged, variant_share, p, q."""
        return pd.DataFrame(
            {
                "prompt": self.prompt,
                "position": np.arange(len(self.coherence)),
                "coherence": self.coherence,
                "coherence_merged": self.coherence_merged,
                "variant_share": self.variant_share,
                "p": self.p,
                "q": self.q,
            }
        )


def coherence(prompt: SoftPrompt, vocabulary: Vocabulary, k: int = 10, nulls: int = 1000, seed: int = 0) -> Coherence:
    """Mean pairwise cosine among the vocabulary vectors of each token's k nearest neighbors, the token itself left out.

    nulls: draws from the vocabulary's Gaussian, seeded, the same for every prompt. k is clipped to the searchable rows.
    Raises PromptError when the widths differ and ExplorerError for k or nulls below 1 or a negative seed.
    """
    vocabulary.check_width(prompt.vectors, prompt.name)
    ids, _ = search(prompt.vectors, vocabulary, k)
    observed = _mean_cosine(ids, vocabulary)
    null = remembered(vocabulary, ("coherence", k, nulls, seed), lambda: _null_coherence(vocabulary, k, nulls, seed))
    p = p_values(observed, null)
    merged, variants = zip(*(_merged(row, vocabulary) for row in ids), strict=True)
    return Coherence(prompt.name, observed, np.array(merged), np.array(variants), p, benjamini_hochberg(p), null, ids.shape[1])


def _null_coherence(vocabulary: Vocabulary, k: int, nulls: int, seed: int) -> np.ndarray:
    bank = gaussian_bank(vocabulary, nulls, seed)
    blocks = (bank[start : start + QUERIES_PER_BLOCK] for start in range(0, nulls, QUERIES_PER_BLOCK))
    return np.concatenate([_mean_cosine(search(block, vocabulary, k)[0], vocabulary) for block in blocks])


def _mean_cosine(ids: np.ndarray, vocabulary: Vocabulary) -> np.ndarray:
    """Mean pairwise cosine of the rows in each line of ids [Q, k]: [Q] float64. Σ_{i≠j} u_i·u_j = ‖Σ u‖² − Σ ‖u‖²."""
    k = ids.shape[1]
    if k < 2:
        return np.full(len(ids), np.nan)
    rows = unit(vocabulary.embedding[ids.ravel()]).reshape(*ids.shape, -1)  # [Q, k, H]
    total = rows.sum(axis=1, dtype=np.float64)
    own = np.einsum("qkh,qkh->q", rows, rows, dtype=np.float64)
    return ((total**2).sum(axis=1) - own) / (k * (k - 1))


def _merged(ids: np.ndarray, vocabulary: Vocabulary) -> tuple[float, float]:
    """Coherence of the neighbors [k] with variants left out, and the share of pairs that are variants or share a stem."""
    words = vocabulary.word_groups[ids]
    stems = np.unique([vocabulary.stem(token_id) for token_id in ids], return_inverse=True)[1]
    first = np.sort(np.unique(words, return_index=True)[1])
    pairs = np.triu_indices(len(ids), 1)
    alike = (words[pairs[0]] == words[pairs[1]]) | (stems[pairs[0]] == stems[pairs[1]])
    return float(_mean_cosine(ids[None, first], vocabulary)[0]), float(alike.mean()) if len(alike) else float("nan")


@dataclass(frozen=True, eq=False)
class Redundancy:
    """How much the positions of a prompt repeat each other."""

    prompt: str
    shared_first: float
    """0…1, share of positions whose first neighbor is another position's too"""
    mean_cosine: float
    """−1…1, mean pairwise cosine of the positions; nan for a prompt of one token"""
    effective_rank: float
    """1…P, exp of the entropy of the normalized squared singular values"""
    mean_jaccard: float
    """0…1, mean over pairs of positions of |A ∩ B| / |A ∪ B| of their neighbor sets; nan for a prompt of one token"""
    p: float
    """of `mean_jaccard`, against random rotations of the prompt, which keep every cosine between its positions;
    nan for a prompt of one token"""
    jaccard: np.ndarray
    """[P, P] float64, 0…1, 1 on the diagonal"""

    def to_frame(self) -> pd.DataFrame:
        """One row: prompt, shared_first, mean_cosine, effective_rank, p, mean_jaccard (which p is about)."""
        columns = ("prompt", "shared_first", "mean_cosine", "effective_rank", "p", "mean_jaccard")
        return pd.DataFrame([{column: getattr(self, column) for column in columns}])


def redundancy(prompt: SoftPrompt, vocabulary: Vocabulary, k: int = 10, nulls: int = 200, seed: int = 0) -> Redundancy:
    """Overlap of neighbor sets, pairwise cosine and effective rank of a prompt's positions.

    The null rotates the whole prompt at random: the Gram matrix stays, the words are gone, the vocabulary's hubs remain. It
    asks whether positions share more neighbors than their directions alone and the vocabulary's hubs make them share.
    Raises PromptError when the widths differ and ExplorerError for k below 1.
    """
    vocabulary.check_width(prompt.vectors, prompt.name)
    ids, _ = search(prompt.vectors, vocabulary, k)
    directions = unit(prompt.vectors).astype(np.float64)
    with _one_thread():
        left, values, _ = np.linalg.svd(prompt.vectors.astype(np.float64), full_matrices=False)
        jaccard, cosine = _jaccard(ids), directions @ directions.T
    _, counts = np.unique(ids[:, 0], return_counts=True)
    observed = _mean_of_pairs(jaccard)
    null = _rotated_overlap(left * values, vocabulary, k, nulls, seed) if prompt.length > 1 else np.empty(0)
    return Redundancy(
        prompt.name,
        float(counts[counts > 1].sum() / prompt.length),
        _mean_of_pairs(cosine),
        _effective_rank(values),
        observed,
        float(p_values(np.array(observed), null)),
        jaccard,
    )


def _one_thread() -> AbstractContextManager:
    """Linear algebra on one thread: those of many small products wait for each other far longer than they work."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1, "blas")


def _rotated_overlap(scores: np.ndarray, vocabulary: Vocabulary, k: int, nulls: int, seed: int) -> np.ndarray:
    """Mean Jaccard of `nulls` random rotations of a prompt U S Vᵀ, given U S [P, r]: only V needs to be drawn, as a random frame."""
    generator = stream(seed, "rotations")
    length, rank = scores.shape
    at_once = max(1, QUERIES_PER_BLOCK // length)
    overlap: list[float] = []
    while len(overlap) < nulls:
        count = min(at_once, nulls - len(overlap))
        normal = generator.standard_normal((count, rank, vocabulary.dimension))
        with _one_thread():  # L⁻¹ normal is a uniform frame (Mezzadri 2007), without a QR
            lower = np.linalg.cholesky(normal @ normal.transpose(0, 2, 1))
            rotated = np.linalg.solve(lower.transpose(0, 2, 1), scores.T[None]).transpose(0, 2, 1) @ normal
        ids, _ = search(rotated.reshape(count * length, -1).astype(np.float32), vocabulary, k)
        with _one_thread():
            overlap += [_mean_of_pairs(_jaccard(one)) for one in ids.reshape(count, length, -1)]
    return np.array(overlap)


def _jaccard(ids: np.ndarray) -> np.ndarray:
    """Jaccard similarity of the neighbor sets ids [P, k]: [P, P]."""
    distinct, column = np.unique(ids, return_inverse=True)
    member = np.zeros((len(ids), len(distinct)), np.float32)
    member[np.arange(len(ids))[:, None], column.reshape(ids.shape)] = 1
    shared = (member @ member.T).astype(np.float64)
    return shared / (2 * ids.shape[1] - shared)


def _mean_of_pairs(square: np.ndarray) -> float:
    """Mean of a symmetric matrix without its diagonal; nan for one row."""
    count = len(square)
    return float((square.sum() - np.trace(square)) / (count * (count - 1))) if count > 1 else float("nan")


def _effective_rank(singular_values: np.ndarray) -> float:
    """exp(entropy of the normalized squared singular values), Roy and Vetterli 2007; nan for a prompt of zeros."""
    energy = singular_values**2
    if not energy.sum() > 0:
        return float("nan")
    share = energy[energy > 0] / energy.sum()
    return float(np.exp(-(share * np.log(share)).sum()))
