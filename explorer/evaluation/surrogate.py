"""Ridge regression of scores on the words that texts hold."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from explorer.analysis.nulls import stream
from explorer.errors import DataError
from explorer.evaluation.text_words import TextWords

ALPHAS = tuple(10.0**power for power in np.arange(-2, 4.5, 0.5))
"""penalties that leave-one-out chooses from, for each score"""
PERMUTATIONS = 19
RESAMPLES = 40
LEAST_TEXTS, ONE_IN = 4, 250
"""a term stands in at least so many texts, and in one of so many"""


@dataclass(frozen=True, eq=False)
class Surrogate:
    """What single terms explain of N rows of scores over C labels."""

    effects: np.ndarray
    """[N, C, F] coefficient of each term"""
    alphas: np.ndarray
    """[N, C]"""
    r2: np.ndarray
    """[N, C] share of variance explained on texts left out; nan where a score does not vary or none were"""
    null: np.ndarray
    """[M, N, C] the same with the scores permuted over the texts"""


def presence(texts: Sequence[str], cut: TextWords) -> tuple[tuple[str, ...], np.ndarray]:
    """Terms that enough texts hold, and which text holds which: [F], [B, F] float64 of 0 and 1. Raises
    DataError where there are none.
    """
    from sklearn.feature_extraction.text import CountVectorizer

    least = max(LEAST_TEXTS, math.ceil(len(texts) / ONE_IN))
    vectorizer = CountVectorizer(analyzer=cut.terms, binary=True, min_df=least)
    try:
        held = vectorizer.fit_transform(texts)
    except ValueError:  # of no term left
        raise DataError(
            f"found no word that {least} of {len(texts):,} texts hold; expected texts that share "
            "words: give more"
        ) from None
    return tuple(vectorizer.get_feature_names_out()), held.toarray().astype(np.float64)


def fit_surrogates(
    held: np.ndarray,
    scores: np.ndarray,
    part: np.ndarray | None = None,
    seed: int = 0,
    permutations: int = PERMUTATIONS,
) -> Surrogate:
    """Effects of terms held [B, F] on scores [N, B, C].

    part: [B] the fold of each text, for r2 and its null; None: effects alone.
    """
    rows, texts, labels = scores.shape
    targets = scores.transpose(1, 0, 2).reshape(texts, -1)  # [B, N·C]
    model = _ridge(held, targets)
    effects, alphas = (
        np.asarray(model.coef_).reshape(rows, labels, -1),
        np.broadcast_to(model.alpha_, rows * labels),
    )
    none = np.full((0, rows, labels), np.nan)
    if part is None:
        return Surrogate(effects, alphas.reshape(rows, labels), none[:0].sum(axis=0) * np.nan, none)
    generator = stream(seed, "permuted scores")
    orders = [np.arange(texts), *(generator.permutation(texts) for _ in range(permutations))]
    wanted = np.concatenate([targets[order] for order in orders], axis=1)
    guessed = np.empty_like(wanted)
    for fold in np.unique(part):
        left = part == fold
        guessed[left] = _ridge(held[~left], wanted[~left]).predict(held[left]).reshape(left.sum(), -1)
    total = ((wanted - wanted.mean(axis=0)) ** 2).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        r2 = np.where(total > 1e-12 * texts, 1 - ((wanted - guessed) ** 2).sum(axis=0) / total, np.nan)
    r2 = r2.reshape(len(orders), rows, labels)
    return Surrogate(effects, alphas.reshape(rows, labels), r2[0], r2[1:])


def _ridge(held: np.ndarray, targets: np.ndarray):
    from sklearn.linear_model import RidgeCV

    return RidgeCV(alphas=ALPHAS, alpha_per_target=True).fit(held, targets)


def resampled_effects(
    held: np.ndarray, scores: np.ndarray, alphas: np.ndarray, generator: np.random.Generator
) -> Iterator[np.ndarray]:
    """Effects [N, C, F] on texts drawn anew with replacement, each score with the penalty it has: RESAMPLES
    of them. One decomposition of the texts' inner products serves all scores.
    """
    rows, texts, labels = scores.shape
    targets, penalty = scores.transpose(1, 0, 2).reshape(texts, -1), alphas.reshape(-1)
    for _ in range(RESAMPLES):
        drawn = generator.integers(texts, size=texts)
        x, y = held[drawn] - held[drawn].mean(axis=0), targets[drawn] - targets[drawn].mean(axis=0)
        values, basis = np.linalg.eigh(x @ x.T)
        dual = basis @ ((basis.T @ y) / (values.clip(min=0)[:, None] + penalty))
        yield (x.T @ dual).T.reshape(rows, labels, -1)
