"""Regions of the map: which points and words lie in one that somebody drew, and the words by which regions
are told.
"""

import numpy as np
import pandas as pd

from explorer.analysis.map.fit import VocabularyMap
from explorer.analysis.words import frequency_ranks
from explorer.cached import cached
from explorer.vocabulary import Vocabulary
from explorer.words.pieces import spaced

LETTERS = 4
"""of the shortest landmark"""


def inside(xy: np.ndarray, outline: np.ndarray) -> np.ndarray:
    """Which of the points [N, 2] lie within a closed outline of corners [C, 2]: [N] bool.

    Even–odd: a point is inside when a ray from it crosses the outline an odd number of times (Shimrat 1962).
    Where the outline crosses itself, what it goes round twice is outside. False everywhere for fewer than
    three corners.
    """
    x, y = np.asarray(xy, np.float64).reshape(-1, 2).T
    within = np.zeros(len(x), bool)
    if len(outline) < 3:
        return within
    corners = np.asarray(outline, np.float64)
    for (x1, y1), (x2, y2) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if y1 != y2:
            within ^= ((y1 > y) != (y2 > y)) & (x < x1 + (y - y1) * (x2 - x1) / (y2 - y1))
    return within


def pieces_inside(vocabulary_map: VocabularyMap, vocabulary: Vocabulary, outline: np.ndarray) -> pd.DataFrame:
    """The pieces within an outline [C, 2] on the map, the most frequent first: token_id, piece,
    frequency_rank (from 1), x, y.
    """
    within = inside(vocabulary_map.xy, outline)
    ids, xy = vocabulary_map.token_ids[within], vocabulary_map.xy[within]
    pieces = [vocabulary.pieces[token_id] for token_id in ids]
    return pd.DataFrame(
        {
            "token_id": ids,
            "piece": pieces,
            "frequency_rank": frequency_ranks(vocabulary, ids),
            "x": xy[:, 0],
            "y": xy[:, 1],
        }
    )


def landmarks(
    vocabulary_map: VocabularyMap, vocabulary: Vocabulary, most: int = 16, apart: float = 0.13
) -> np.ndarray:
    """Numbers [L] of the map's rows whose words tell its regions, L at most `most`: whole words of four
    letters or more, the most frequent first, each at least `apart` from those before it, in shares of the
    central extent along each axis.

    Words outside the central 98 % along either axis are left out.
    """
    return cached(
        vocabulary,
        ("landmarks", vocabulary_map, most, apart),
        lambda: _landmarks(vocabulary_map, vocabulary, most, apart),
    )


def _landmarks(vocabulary_map: VocabularyMap, vocabulary: Vocabulary, most: int, apart: float) -> np.ndarray:
    low, high = central_extent(vocabulary_map.xy)
    span = np.where(high > low, high - low, 1)
    chosen: list[int] = []
    for number in np.flatnonzero(((vocabulary_map.xy >= low) & (vocabulary_map.xy <= high)).all(axis=1)):
        piece, xy = vocabulary.pieces[vocabulary_map.token_ids[number]], vocabulary_map.xy[number]
        word = spaced(piece, vocabulary.mark)
        whole = word[:1] == " " and len(word) > LETTERS and word[1:].isalpha() and word[1:].islower()
        if whole and (np.abs(vocabulary_map.xy[chosen] - xy) / span >= apart).any(axis=1).all():
            chosen.append(int(number))
        if len(chosen) == most:
            break
    return np.array(chosen, np.int64)


def central_extent(xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The corners [2], [2] of the central 98 % of points [N, 2] along each axis: a few far islands do not
    make all else small.
    """
    return np.quantile(xy, 0.01, axis=0), np.quantile(xy, 0.99, axis=0)
