"""A region that somebody drew on the map: which points are in it, and which words."""

import numpy as np
import pandas as pd

from explorer.analysis.projection import VocabularyMap
from explorer.analysis.words import frequency_ranks
from explorer.vocabulary import Vocabulary


def inside(xy: np.ndarray, outline: np.ndarray) -> np.ndarray:
    """Which of the points [N, 2] lie within a closed outline of corners [C, 2]: [N] bool.

    Even–odd: a point is inside when a ray from it crosses the outline an odd number of times (Shimrat 1962). Where the outline crosses itself, what it
    goes round twice is outside. False everywhere for fewer than three corners.
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
    """The pieces within an outline [C, 2] on the map, the most frequent first: token_id, piece, frequency_rank (from 1), x, y."""
    within = inside(vocabulary_map.xy, outline)
    ids, xy = vocabulary_map.token_ids[within], vocabulary_map.xy[within]
    pieces = [vocabulary.pieces[token_id] for token_id in ids]
    return pd.DataFrame({"token_id": ids, "piece": pieces, "frequency_rank": frequency_ranks(vocabulary, ids), "x": xy[:, 0], "y": xy[:, 1]})
