"""Prompt tokens that are special rows of the vocabulary: a TEXT initialization puts `<bos>` first, and its
nearest words mean nothing.
"""

from collections.abc import Mapping

import numpy as np

from explorer.analysis.nulls import gaussian_vectors
from explorer.analysis.vectors import ROWS_PER_BLOCK, rough_neighbors, unit
from explorer.cached import cached
from explorer.prompt import SoftPrompt
from explorer.vocabulary import Vocabulary

TIE = 1e-6
"""cosines this close are equal: a special row that equals a searchable one counts as that word"""
DRAWS, SEED = 1000, 0
"""random vectors that a special row's nearness is compared with"""
NEARER = 2 / 3
"""a token is a special row where 1 − cosine is at most this share of what the nearest random vector has"""


def special_tokens(prompt: SoftPrompt, vocabulary: Vocabulary) -> dict[int, str]:
    """Positions whose nearest row of all rows, by cosine, is one that is not searched, and that row's piece.

    Random vectors have a special row as their nearest one too (of a T5, 29 in 100 have a sentinel), so it
    counts only where it is much nearer than to any of 1,000 draws from the vocabulary's Gaussian.
    """
    return cached(vocabulary, ("special", prompt), lambda: _special_tokens(prompt, vocabulary))


def _special_tokens(prompt: SoftPrompt, vocabulary: Vocabulary) -> dict[int, str]:
    if vocabulary.searchable.all():
        return {}
    cosine, nearest = _nearest_special(prompt.vectors, vocabulary)
    chance = cached(vocabulary, "nearest special of random vectors", lambda: _by_chance(vocabulary), float)
    near = np.flatnonzero(1 - cosine <= NEARER * (1 - chance))
    if not len(near):
        return {}
    words = rough_neighbors(prompt.vectors[near], vocabulary, 1)[0][:, 0]
    return {
        int(position): vocabulary.pieces[nearest[position]] for position in near[cosine[near] > words + TIE]
    }


def _by_chance(vocabulary: Vocabulary) -> float:
    """The largest cosine of random vectors to a special row."""
    return float(_nearest_special(gaussian_vectors(vocabulary, DRAWS, SEED), vocabulary)[0].max())


def _nearest_special(vectors: np.ndarray, vocabulary: Vocabulary) -> tuple[np.ndarray, np.ndarray]:
    """Cosine [Q] and id [Q] of the row nearest to each vector [Q, H] among those that are not searched."""
    ids, directions = np.flatnonzero(~vocabulary.searchable), unit(vectors)
    best, nearest = np.full(len(vectors), -1, np.float32), np.zeros(len(vectors), np.int64)
    for start in range(0, len(ids), ROWS_PER_BLOCK):
        block = ids[start : start + ROWS_PER_BLOCK]
        cosine = directions @ unit(vocabulary.embedding[block]).T
        nearer = cosine.max(axis=1) > best
        best[nearer], nearest[nearer] = cosine.max(axis=1)[nearer], block[cosine.argmax(axis=1)[nearer]]
    return best, nearest


def without(special: Mapping[int, str], length: int) -> np.ndarray:
    """[P] bool: the tokens that enter a verdict, all but the special ones."""
    entered = np.ones(length, bool)
    entered[list(special)] = False
    return entered
