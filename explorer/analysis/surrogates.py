"""Prompts that chance would give in place of one: as near to words as it is, but to other words.

A token is a word and a rest: its nearest vocabulary row, as far as it is nearer than random vectors are to
theirs, and what is left. The words of real prompts have close relatives in the vocabulary far more often than
random directions do, so a null distribution that only turns a prompt about calls prompts of random words
alike; one that draws random words calls nothing else alike. Here words are replaced by other words, and the
rest by a like rest.
"""

from dataclasses import dataclass

import numpy as np

from explorer.analysis.hubness import null_neighbors
from explorer.analysis.nulls import covariance, mean_row
from explorer.analysis.vectors import cosine_index, rough_neighbors, stored_rows, unit
from explorer.cached import cached
from explorer.system.interruption import checkpoint
from explorer.vocabulary import Vocabulary

A_WORD_FROM = 0.99
"""a token is near a word where its nearest row is nearer than this share of Gaussian draws have theirs"""
AS_FREQUENT, FEWEST_WORDS = 1000, 50
"""rows that another word is drawn from, at most a tenth of them but not below the second number: those about
as frequent, where ids are ordered by frequency. Common words have more relatives than rare ones
"""
REDRAWN = 20
"""times that words drawn twice are drawn anew, in a vocabulary that has hardly more words than the prompt"""
TURNED_AT_ONCE = 128
"""tokens mixed with each other; bounds the time of long prompts"""


@dataclass(frozen=True, eq=False, repr=False)
class Parts:
    """The tokens of a prompt at length 1: token = share · (row − mean row) + rest, rows at length 1."""

    places: np.ndarray
    """[P] int64, the nearest row among the searchable ones, in the whitened space"""
    shares: np.ndarray
    """[P] float64, how much of it; 0 for a token that is near to no word"""
    rest: np.ndarray
    """[P, H] float64"""


def parts(vectors: np.ndarray, vocabulary: Vocabulary, offset: bool = False) -> Parts:
    """Tokens [P, H] as words and rests; offset: the word is that of a token's difference from the mean of the
    others, so that what all share is rest.
    """
    tokens = unit(vectors).astype(np.float64)
    own = tokens - (tokens.sum(axis=0) - tokens) / (len(tokens) - 1) if offset and len(tokens) > 1 else tokens
    similarity, ids = rough_neighbors(own.astype(np.float32), vocabulary, 1, "whitened")
    places = np.searchsorted(vocabulary.searchable_ids, ids[:, 0])
    least = np.quantile(null_neighbors(vocabulary, 1, space="whitened")[0][:, 0], A_WORD_FROM)
    mean = unit(mean_row(vocabulary)[None])[0].astype(np.float64)
    words = stored_rows(cosine_index(vocabulary))[places] - _mean_direction(vocabulary)
    if not offset:  # the component along the mean row is everybody's
        own = own - np.outer(own @ mean, mean)
    energy = np.einsum("ph,ph->p", words, words)
    shares = np.einsum("ph,ph->p", own, words) / np.where(energy > 0, energy, 1)
    shares = np.where(similarity[:, 0] > least, shares.clip(min=0), 0)
    return Parts(places, shares, tokens - shares[:, None] * words)


def _mean_direction(vocabulary: Vocabulary) -> np.ndarray:
    """Mean of the searchable rows at length 1: [H] float64."""

    def make() -> np.ndarray:
        return stored_rows(cosine_index(vocabulary)).mean(axis=0, dtype=np.float64)

    return cached(vocabulary, "mean direction", make, np.ndarray)


def other_words(
    found: Parts, vocabulary: Vocabulary, draws: int, generator: np.random.Generator
) -> np.ndarray:
    """Random words about as frequent in place of each token's own, at the same share: [draws, P, H] float32.

    Different words for the tokens of one prompt, as far as there are enough.
    """
    table = stored_rows(cosine_index(vocabulary))
    window = min(len(table), AS_FREQUENT, max(FEWEST_WORDS, len(table) // 10))
    first = np.clip(found.places - window // 2, 0, len(table) - window)
    places = first + generator.integers(0, window, (draws, len(first)))
    for _ in range(REDRAWN):  # no word twice in a prompt
        order = np.argsort(places, axis=1, kind="stable")
        ordered = np.take_along_axis(places, order, axis=1)
        draw, rank = np.nonzero(ordered[:, 1:] == ordered[:, :-1])
        if not len(draw):
            break
        twice = order[draw, rank + 1]
        places[draw, twice] = first[twice] + generator.integers(0, window, len(twice))
    words = table[places] - _mean_direction(vocabulary).astype(np.float32)
    return words * found.shares.astype(np.float32)[:, None]


def mixed(rest: np.ndarray, draws: int, generator: np.random.Generator) -> np.ndarray:
    """Rests [P, H] mixed with each other at random: [draws, P, H] float32, of the same mean and covariance.

    An orthogonal matrix that keeps the mean is applied to the tokens, not to the coordinates: what two
    prompts share as an offset, or because both lie in the same few directions, stays; which token lies where
    does not. Under such a mixture independent Gaussian tokens are distributed as before.
    """
    turned = np.empty((draws, *rest.shape), np.float32)
    for block in np.array_split(generator.permutation(len(rest)), -(-len(rest) // TURNED_AT_ONCE)):
        checkpoint()
        count = len(block)
        mean = rest[block].mean(axis=0)
        frame = np.linalg.qr(np.column_stack([np.ones(count), np.eye(count)[:, 1:]]))[0][
            :, 1:
        ]  # what is orthogonal to the mean
        turns, upper = np.linalg.qr(generator.standard_normal((draws, count - 1, count - 1)))
        turns *= np.sign(np.diagonal(upper, axis1=1, axis2=2))[:, None, :]
        turned[:, block] = mean + (frame @ turns) @ (frame.T @ rest[block])
    return turned


def flipped(
    rest: np.ndarray, vocabulary: Vocabulary, draws: int, generator: np.random.Generator
) -> np.ndarray:
    """Each token's rest [P, H] turned by itself: [draws, P, H] float32, of the same length and as much in
    each of the vocabulary's directions.

    The signs of its coordinates along the vocabulary's principal components are drawn anew; the component
    along the mean row, which all vectors of the vocabulary's Gaussian share, stays.
    """
    axes = cached(vocabulary, "principal axes", lambda: _principal_axes(vocabulary), np.ndarray)
    coordinates = (rest @ axes).astype(np.float32)
    signs = generator.choice(np.array([-1, 1], np.float32), (draws, *coordinates.shape))
    signs[:, :, 0] = 1
    return (coordinates * signs) @ axes.T.astype(np.float32)


def _principal_axes(vocabulary: Vocabulary) -> np.ndarray:
    """Principal components of the searchable rows orthogonal to their mean, as columns [H, H] float64 behind
    the mean's own direction.
    """
    mean = unit(mean_row(vocabulary)[None])[0].astype(np.float64)
    across = np.eye(len(mean)) - np.outer(mean, mean)
    energy = across @ covariance(vocabulary) @ across
    # the mean's direction comes first: an energy below all others
    return np.linalg.eigh(energy - (1 + np.trace(energy)) * np.outer(mean, mean))[1]
