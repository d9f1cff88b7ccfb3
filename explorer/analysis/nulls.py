"""What a score is compared with: null distributions, p-values against them, and their correction.

The default null is the vocabulary's Gaussian: directions with the mean and covariance of the searchable rows,
which have the vocabulary's anisotropy and hubs but none of its words.
"""

import numpy as np

from explorer.analysis.vectors import ROWS_PER_BLOCK
from explorer.cached import cached
from explorer.choices import NULLS, Null
from explorer.errors import ExplorerError
from explorer.vocabulary import Vocabulary

SIGNIFICANT_AT = 0.05
"""a position is significant where its q is at most this: false-discovery rate 5 %"""

MIXED_ROWS = 3
DRAWS_FOR_EACH, MOST_DRAWS = 40, 20_000
"""null vectors: at least so many for each score that is corrected together, or no single one could ever be
significant; never more than that
"""


def null_vectors(vocabulary: Vocabulary, null: Null, count: int, seed: int) -> np.ndarray:
    """`count` vectors that hold no prompt: [M, H] float32, the same for the same vocabulary, null, count and
    seed.

    isotropic: standard normal. rows: searchable rows, with replacement. mixtures: of 3 searchable rows,
    weights uniform on the simplex. gaussian: see `gaussian_vectors`. Raises ExplorerError for an unknown
    null, a count below 1 or a negative seed.
    """
    if null not in NULLS:
        raise ExplorerError(f"found the null {null!r}; expected one of {', '.join(NULLS)}")
    if null == "gaussian":
        return gaussian_vectors(vocabulary, count, seed)
    _check_count(count)
    generator = stream(seed, null)
    if null == "isotropic":
        return generator.standard_normal((count, vocabulary.dimension)).astype(np.float32)
    drawn = generator.choice(vocabulary.searchable_ids, (count, 1 if null == "rows" else MIXED_ROWS))
    weights = np.ones((count, 1)) if null == "rows" else generator.dirichlet(np.ones(MIXED_ROWS), count)
    return np.einsum("cm,cmh->ch", weights, vocabulary.embedding[drawn]).astype(np.float32)


def _check_count(count: int) -> None:
    if count < 1:
        raise ExplorerError(
            f"found {count} null draws; expected at least 1 (1,000 or more give p-values with three digits)"
        )


def gaussian_vectors(vocabulary: Vocabulary, count: int, seed: int) -> np.ndarray:
    """Draws from the Gaussian with the mean and covariance of the searchable rows: [M, H] float32, M = count.

    Deterministic in (vocabulary's rows as a set, count, seed). Raises ExplorerError when count is below 1 or
    seed negative.
    """
    _check_count(count)
    mean, root = _gaussian(vocabulary)
    normal = stream(seed, "gaussian").standard_normal((count, vocabulary.dimension))
    return (mean + normal @ root).astype(np.float32)


def stream(seed: int, purpose: str) -> np.random.Generator:
    """Random numbers for one purpose. Prompts and small vocabularies are often drawn with the bare seed 0; a
    null drawn with the same numbers would hold them. Raises ExplorerError for a negative seed.
    """
    if seed < 0:
        raise ExplorerError(f"found the seed {seed}; expected 0 or more")
    return np.random.default_rng([seed, *purpose.encode()])


def enough(nulls: int, scores: int) -> int:
    """How many null vectors `scores` scores that are corrected together are compared with: `nulls`, or
    more.
    """
    return max(nulls, min(DRAWS_FOR_EACH * scores, MOST_DRAWS))


def mean_row(vocabulary: Vocabulary) -> np.ndarray:
    """The mean of the searchable rows: [H] float32."""
    return _gaussian(vocabulary)[0].astype(np.float32)


def covariance(vocabulary: Vocabulary) -> np.ndarray:
    """The covariance of the searchable rows: [H, H] float64."""
    root = _gaussian(vocabulary)[1]
    return root.T @ root


def _gaussian(vocabulary: Vocabulary) -> tuple[np.ndarray, np.ndarray]:
    return cached(vocabulary, "gaussian", lambda: _mean_and_root(vocabulary), tuple[np.ndarray, np.ndarray])


def _mean_and_root(vocabulary: Vocabulary) -> tuple[np.ndarray, np.ndarray]:
    """Mean [H] and a root R [H, H] of the covariance, RᵀR = C, both float64."""
    rows = vocabulary.searchable_ids
    blocks = [rows[start : start + ROWS_PER_BLOCK] for start in range(0, len(rows), ROWS_PER_BLOCK)]
    mean = sum(vocabulary.embedding[block].sum(axis=0, dtype=np.float64) for block in blocks) / len(rows)
    covariance = np.zeros((vocabulary.dimension, vocabulary.dimension))
    for block in blocks:
        centered = vocabulary.embedding[block] - mean
        covariance += centered.T @ centered
    covariance /= max(len(rows) - 1, 1)
    try:
        return mean, np.linalg.cholesky(covariance).T
    except np.linalg.LinAlgError:  # fewer rows than dimensions: the symmetric root exists all the same
        values, vectors = np.linalg.eigh(covariance)
        return mean, (vectors * np.sqrt(values.clip(min=0))) @ vectors.T


def p_values(observed: np.ndarray, null: np.ndarray, larger_is_extreme: bool = True) -> np.ndarray:
    """p = (1 + #{null at least as extreme}) / (1 + M), 0…1, smaller is more surprising; nan where `observed`
    is nan.

    observed: any shape, often [P]; null: [M] scores of the same kind. Never 0: with M draws the smallest p is
    1 / (1 + M). Source: Phipson and Smyth 2010.
    """
    ordered = np.sort(null)
    below = np.searchsorted(ordered, observed, side="left" if larger_is_extreme else "right")
    extreme = len(ordered) - below if larger_is_extreme else below
    return np.where(np.isnan(observed), np.nan, (1 + extreme) / (1 + len(ordered)))


def cauchy_combination(p: np.ndarray, draws: int) -> float:
    """One p from several [n] of `p_values` against so many draws, whether or not they depend on each other;
    nan where one is nan.

    Each p stands in the middle of its step meanwhile: a p of 1 would outweigh all others. Source: Liu and Xie
    2020.
    """
    half = 0.5 / (1 + draws)
    together = 0.5 - np.arctan(np.tan((0.5 - p + half) * np.pi).mean()) / np.pi
    return round(float(together) + half, 12)  # so that a single p of 0.05 comes back as that


def percentiles(observed: np.ndarray, null: np.ndarray) -> np.ndarray:
    """Share of the null [M] that lies below what was observed (any shape), ties counted half: 0…100; nan
    where `observed` is nan.
    """
    ordered = np.sort(null)
    below, up_to = (np.searchsorted(ordered, observed, side=side) for side in ("left", "right"))
    return np.where(np.isnan(observed), np.nan, 50 * (below + up_to) / len(ordered))


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """q: the smallest false-discovery rate at which a position would be significant, [P], 0…1; nan where p is
    nan.

    Source: Benjamini and Hochberg 1995.
    """
    # not scipy.stats.false_discovery_control, which the test holds it against: it refuses nan, and importing
    # scipy.stats takes most of a second
    q = np.full(p.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    scaled = p[order] * len(order) / np.arange(1, len(order) + 1)
    q[order] = np.minimum.accumulate(scaled[::-1])[::-1].clip(max=1)
    return q
