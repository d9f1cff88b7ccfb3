"""How a prompt's tokens passed from word to word while they were trained."""

import numpy as np
import pandas as pd

from explorer.analysis.search import search
from explorer.prompt import SoftPrompt
from explorer.vocabulary import Vocabulary


def first_neighbors(prompt: SoftPrompt, vocabulary: Vocabulary) -> tuple[np.ndarray, np.ndarray]:
    """The nearest piece (cosine) of every token at every saved step: ids [S, P] int64 and cosines [S, P] float32, higher is closer.

    Raises PromptError for a prompt without a trajectory or of another width.
    """
    count, length, width = prompt.saved.vectors.shape
    vocabulary.check_width(prompt.vectors, prompt.name)
    ids, cosine = search(prompt.saved.vectors.reshape(count * length, width), vocabulary, 1)
    return ids.reshape(count, length), cosine.reshape(count, length)


def neighbor_changes(prompt: SoftPrompt, vocabulary: Vocabulary) -> pd.DataFrame:
    """One row each time a token's nearest piece is another than at the saved step before.

    Columns: prompt, position, step, before, after (pieces), similarity (cosine to the new one), by step and position. A change seen at a step
    happened at some time since the saved step before. Raises as `first_neighbors`.
    """
    ids, cosine = first_neighbors(prompt, vocabulary)
    places = np.argwhere(ids[1:] != ids[:-1])
    rows = [
        {
            "prompt": prompt.name,
            "position": int(token),
            "step": int(prompt.saved.steps[place + 1]),
            "before": vocabulary.pieces[ids[place, token]],
            "after": vocabulary.pieces[ids[place + 1, token]],
            "similarity": cosine[place + 1, token],
        }
        for place, token in places
    ]
    return pd.DataFrame(rows, columns=["prompt", "position", "step", "before", "after", "similarity"])
