"""Do a prompt token's neighbors belong together, and do the positions of a prompt repeat each other? Both against nulls."""

from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import pandas as pd

from explorer.analysis.hubness import null_neighbors
from explorer.analysis.memo import remembered
from explorer.analysis.nulls import SIGNIFICANT_AT, benjamini_hochberg, p_values, percentiles, stream
from explorer.analysis.search import search
from explorer.analysis.vectors import rough_neighbors, unit
from explorer.choices import NULLS, Null
from explorer.prompt import SoftPrompt
from explorer.results import Result
from explorer.vocabulary import Vocabulary

QUERIES_PER_BLOCK = 2048
"""queries searched at once; bounds the memory of a null"""


@dataclass(frozen=True, eq=False, repr=False)
class Coherence(Result):
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
    percentile: np.ndarray
    """[P] 0…100, share of `null` below"""
    p_merged: np.ndarray
    """[P] of `coherence_merged`, against the same of the null"""
    q_merged: np.ndarray
    """[P] p_merged after Benjamini–Hochberg"""
    others: dict[str, np.ndarray]
    """[P] p against the other nulls: `isotropic`, `rows` (few real words are less coherent: the upper anchor), `mixtures`, and `initial`,
    the prompt's own tokens before training, only P of them; nan where those were not saved"""

    @property
    def significant(self) -> np.ndarray:
        """[P] bool: q ≤ 0.05."""
        return self.q <= SIGNIFICANT_AT

    @property
    def kind(self) -> list[str]:
        """[P] `semantic` where a significant token stays so with variants merged, `lexical` where it does not, else empty."""
        merged = self.q_merged <= SIGNIFICANT_AT
        return ["" if not found else "semantic" if still else "lexical" for found, still in zip(self.significant, merged, strict=True)]

    @property
    def null_mean(self) -> float:
        """Mean coherence of the null."""
        return float(self.null.mean())

    def to_frame(self) -> pd.DataFrame:
        """One row per prompt token: prompt, position, coherence, coherence_merged, variant_share, p, q, percentile, p_merged, q_merged,
        kind, p_isotropic, p_rows, p_mixtures, p_initial."""
        return pd.DataFrame(
            {
                "prompt": self.prompt,
                "position": np.arange(len(self.coherence)),
                "coherence": self.coherence,
                "coherence_merged": self.coherence_merged,
                "variant_share": self.variant_share,
                "p": self.p,
                "q": self.q,
                "percentile": self.percentile,
                "p_merged": self.p_merged,
                "q_merged": self.q_merged,
                "kind": self.kind,
                **{f"p_{name}": values for name, values in self.others.items()},
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
    merged, variants = _merged(ids, vocabulary)
    null = {name: _null(vocabulary, name, k, nulls, seed) for name in NULLS}
    verdict, verdict_merged = null["gaussian"]
    p, p_merged = p_values(observed, verdict), p_values(merged, verdict_merged[~np.isnan(verdict_merged)])
    others: dict[str, np.ndarray] = {name: p_values(observed, null[name][0]) for name in NULLS if name != "gaussian"}
    others["initial"] = np.full(len(ids), np.nan)
    if prompt.initial is not None:
        others["initial"] = p_values(observed, _mean_cosine(search(prompt.initial, vocabulary, k)[0], vocabulary))
    return Coherence(
        prompt.name,
        observed,
        merged,
        variants,
        p,
        benjamini_hochberg(p),
        verdict,
        ids.shape[1],
        percentiles(observed, verdict),
        p_merged,
        benjamini_hochberg(p_merged),
        others,
    )


def _null(vocabulary: Vocabulary, name: Null, k: int, nulls: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Coherence [M] of a null, and for the verdict's null the same with variants merged; computed once for all prompts."""
    return remembered(vocabulary, ("coherence", name, k, nulls, seed), lambda: null_coherence(vocabulary, name, k, nulls, seed))


def null_coherence(vocabulary: Vocabulary, name: Null, k: int, nulls: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Coherence [M] of a null's vectors, and for `gaussian` the same with variants merged [M]; their rows are gathered block by block."""
    found = null_neighbors(vocabulary, k, nulls, seed, name)[1]
    plain, merged = [], []
    for start in range(0, nulls, QUERIES_PER_BLOCK):
        ids = found[start : start + QUERIES_PER_BLOCK]
        plain.append(_mean_cosine(ids, vocabulary))
        merged.append(_merged(ids, vocabulary)[0] if name == "gaussian" else np.empty(0))
    return np.concatenate(plain), np.concatenate(merged)


def _mean_cosine(ids: np.ndarray, vocabulary: Vocabulary, kept: np.ndarray | None = None) -> np.ndarray:
    """Mean pairwise cosine of the rows in each line of ids [Q, k], or of those kept [Q, k]: [Q] float64, nan for fewer than two.

    Σ_{i≠j} u_i·u_j = ‖Σ u‖² − Σ ‖u‖².
    """
    rows = unit(vocabulary.embedding[ids.ravel()]).reshape(*ids.shape, -1)  # [Q, k, H]
    if kept is not None:
        rows = rows * kept[:, :, None]
    count = np.full(len(ids), ids.shape[1]) if kept is None else kept.sum(axis=1)
    total = rows.sum(axis=1, dtype=np.float64)
    own = np.einsum("qkh,qkh->q", rows, rows, dtype=np.float64)
    pairs = (count * (count - 1)).astype(np.float64)
    return np.divide((total**2).sum(axis=1) - own, pairs, out=np.full(len(ids), np.nan), where=pairs > 0)


def _merged(ids: np.ndarray, vocabulary: Vocabulary) -> tuple[np.ndarray, np.ndarray]:
    """Coherence of neighbors [Q, k] with variants left out: [Q]; and the share of pairs that are variants or share a stem: [Q]."""
    words, stems = vocabulary.word_groups[ids], vocabulary.stem_groups[ids]
    pairs = np.triu_indices(ids.shape[1], 1)
    alike = (words[:, pairs[0]] == words[:, pairs[1]]) | (stems[:, pairs[0]] == stems[:, pairs[1]])
    repeated = np.zeros(ids.shape, bool)  # the same word as a nearer neighbor
    for nearer, other in zip(*pairs, strict=True):
        repeated[:, other] |= words[:, nearer] == words[:, other]
    share = alike.mean(axis=1) if alike.shape[1] else np.full(len(ids), np.nan)
    return _mean_cosine(ids, vocabulary, ~repeated), share


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
    """0…1, mean over pairs of positions of |A ∩ B| / |A ∪ B| of their neighbor sets; nan for a prompt of one token"""
    p: float
    """of `mean_jaccard`, against random rotations of the prompt, which keep every cosine between its positions;
    nan for a prompt of one token"""
    jaccard: np.ndarray
    """[P, P] float64, 0…1, 1 on the diagonal"""
    p_shared_first: float
    """of `shared_first`, against the same rotations; nan for a prompt of one token"""

    def to_frame(self) -> pd.DataFrame:
        """One row: prompt, shared_first, mean_cosine, effective_rank, p, mean_jaccard (which p is about), p_shared_first."""
        columns = ("prompt", "shared_first", "mean_cosine", "effective_rank", "p", "mean_jaccard", "p_shared_first")
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
    observed, shared = _mean_of_pairs(jaccard), _shared_first(ids)
    null = _rotated_overlap(left * values, vocabulary, k, nulls, seed) if prompt.length > 1 else np.empty((2, 0))
    return Redundancy(
        prompt.name,
        shared,
        _mean_of_pairs(cosine),
        _effective_rank(values),
        observed,
        float(p_values(np.array(observed), null[0])),
        jaccard,
        float(p_values(np.array(shared), null[1])) if prompt.length > 1 else float("nan"),
    )


def _one_thread() -> AbstractContextManager:
    """Linear algebra on one thread: those of many small products wait for each other far longer than they work."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1, "blas")


def _rotated_overlap(scores: np.ndarray, vocabulary: Vocabulary, k: int, nulls: int, seed: int) -> np.ndarray:
    """Mean Jaccard and share of shared first neighbors of `nulls` random rotations of a prompt U S Vᵀ: [2, nulls].

    Given U S [P, r], only V needs to be drawn, as a random frame.
    """
    generator = stream(seed, "rotations")
    length, rank = scores.shape
    at_once = max(1, QUERIES_PER_BLOCK // length)
    overlap: list[tuple[float, float]] = []
    while len(overlap) < nulls:
        count = min(at_once, nulls - len(overlap))
        normal = generator.standard_normal((count, rank, vocabulary.dimension))
        with _one_thread():  # L⁻¹ normal is a uniform frame (Mezzadri 2007), without a QR
            lower = np.linalg.cholesky(normal @ normal.transpose(0, 2, 1))
            rotated = np.linalg.solve(lower.transpose(0, 2, 1), scores.T[None]).transpose(0, 2, 1) @ normal
        ids = rough_neighbors(rotated.reshape(count * length, -1).astype(np.float32), vocabulary, k)[1]
        with _one_thread():
            overlap += [(_mean_of_pairs(_jaccard(one)), _shared_first(one)) for one in ids.reshape(count, length, -1)]
    return np.array(overlap).T


def _shared_first(ids: np.ndarray) -> float:
    """Share of positions whose first neighbor in ids [P, k] is another position's too, 0…1."""
    _, counts = np.unique(ids[:, 0], return_counts=True)
    return float(counts[counts > 1].sum() / len(ids))


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
