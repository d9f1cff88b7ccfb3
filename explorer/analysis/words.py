"""From words to prompt tokens: finding pieces of the vocabulary, and the tokens that have one among their
neighbors.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from explorer.analysis.neighbors import NearestNeighbors
from explorer.vocabulary import Vocabulary


def find_pieces(vocabulary: Vocabulary, text: str, most: int = 50) -> np.ndarray:
    """Ids of searchable pieces that hold a text, without regard to case and leading space: [F] int64, at most
    `most`.

    First pieces that are the text, then those that begin with it, then the others; the more frequent first.
    Nothing for an empty text.
    """
    asked = text.strip().casefold()
    if not asked:
        return np.zeros(0, np.int64)
    ids = vocabulary.searchable_ids
    words = [vocabulary.tokens[token_id].strip().casefold() for token_id in ids]
    holding = [place for place, word in enumerate(words) if asked in word]
    order = sorted(
        holding, key=lambda place: (words[place] != asked, not words[place].startswith(asked), place)
    )
    return ids[order[:most]]


def frequency_ranks(vocabulary: Vocabulary, token_ids: np.ndarray) -> np.ndarray:
    """Rank of pieces among the searchable ones, from 1, the most frequent: [F] int64. Tokenizers number
    pieces by frequency.
    """
    return np.searchsorted(vocabulary.searchable_ids, token_ids) + 1


def tokens_near(found: Sequence[NearestNeighbors], token_id: int) -> pd.DataFrame:
    """The prompt tokens that have a piece among their neighbors (reverse neighbors), the nearest first, of
    one metric.

    One row each: prompt, position, rank (from 1), similarity (for l2 a distance).
    """
    rows = [
        {
            "prompt": one.prompt,
            "position": int(position),
            "rank": int(rank) + 1,
            "similarity": one.similarity[position, rank],
        }
        for one in found
        for position, rank in np.argwhere(one.token_ids == token_id)
    ]
    frame = pd.DataFrame(rows, columns=["prompt", "position", "rank", "similarity"])
    return frame.sort_values(
        "similarity", ascending=bool(found) and found[0].metric == "l2", kind="stable", ignore_index=True
    )
