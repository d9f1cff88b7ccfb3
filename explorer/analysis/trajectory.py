"""How a prompt's tokens passed from word to word while they were trained."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from explorer.analysis.search import search
from explorer.analysis.vectors import directionless
from explorer.prompt import SoftPrompt
from explorer.results import Result
from explorer.vocabulary import Vocabulary
from explorer.words.wording import count


@dataclass(frozen=True, eq=False, repr=False)
class NeighborChanges(Result):
    """Every time a token's nearest piece is another than at the saved step before."""

    prompt: str
    positions: np.ndarray
    """[C] int64, by step and position"""
    steps: np.ndarray
    """[C] int64: the saved step at which the change is seen; it happened at some time since the saved step
    before
    """
    before: tuple[str, ...]
    """[C] pieces; empty where the token was zero"""
    after: tuple[str, ...]
    """[C] pieces; empty where the token became zero"""
    similarity: np.ndarray
    """[C] float32, cosine to the new piece, higher is closer; nan where the token became zero"""
    kept: int
    """tokens of the prompt itself, which is that of its best step, whose nearest piece is that of the first
    saved step
    """
    length: int
    """P"""
    saved_steps: int
    step: int | None = None
    """at which the prompt itself was taken"""
    since: int | None = None
    """the first saved step, where training had begun by then; None where it is the beginning"""

    @property
    def conclusion(self) -> str:
        """What to conclude, in one sentence: how many tokens still have their first word, and when the last
        change was seen.
        """
        last = (
            f"{count(len(self.steps), 'change')} of nearest piece, the last seen at step {self.steps[-1]:,}"
            if len(self.steps)
            else "no change of nearest piece"
        )
        one = 1 in (self.kept, self.length)
        first = f"{'it' if one else 'they'} began nearest to"
        if self.since is not None:
            first = f"was nearest at step {self.since:,}, the first that was saved"
        at = "" if self.step is None else f" (of step {self.step:,})"
        return (
            f"{self.kept} of {count(self.length, 'token')} of the kept prompt{at} "
            f"{'is' if one else 'are'} still nearest to the piece that "
            f"{first} ({last}; {count(self.saved_steps, 'saved step')})."
        )

    def to_frame(self) -> pd.DataFrame:
        """One row per change: prompt, position, step, before, after (pieces), similarity (cosine to the new
        one), by step and position.
        """
        columns = {
            "position": self.positions,
            "step": self.steps,
            "before": list(self.before),
            "after": list(self.after),
            "similarity": self.similarity,
        }
        frame = pd.DataFrame(columns)
        frame.insert(0, "prompt", self.prompt)
        return frame


def first_neighbors(prompt: SoftPrompt, vocabulary: Vocabulary) -> tuple[np.ndarray, np.ndarray]:
    """The nearest piece (cosine) of every token at every saved step: ids [S, P] int64 and cosines [S, P]
    float32, higher is closer; −1 and nan for zeros.

    Raises PromptError for a prompt without a trajectory or of another width.
    """
    steps, length, width = prompt.saved.vectors.shape
    vocabulary.check_width(prompt.vectors, prompt.name)
    vectors = prompt.saved.vectors.reshape(steps * length, width)
    ids, cosine = (found[:, 0] for found in search(vectors, vocabulary, 1))
    zero = directionless(vectors)
    return np.where(zero, -1, ids).reshape(steps, length), np.where(zero, np.float32("nan"), cosine).reshape(
        steps, length
    )


def neighbor_changes(prompt: SoftPrompt, vocabulary: Vocabulary) -> NeighborChanges:
    """Every change of a token's nearest piece (cosine) between two saved steps. Raises as
    `first_neighbors`.
    """
    ids, cosine = first_neighbors(prompt, vocabulary)
    place, token = np.nonzero(ids[1:] != ids[:-1])

    def pieces(found: np.ndarray) -> tuple[str, ...]:
        return tuple(vocabulary.pieces[token_id] if token_id >= 0 else "" for token_id in found)

    return NeighborChanges(
        prompt=prompt.name,
        positions=token,
        steps=np.asarray(prompt.saved.steps)[place + 1],
        before=pieces(ids[place, token]),
        after=pieces(ids[place + 1, token]),
        similarity=cosine[place + 1, token],
        kept=int(
            (
                np.where(directionless(prompt.vectors), -1, search(prompt.vectors, vocabulary, 1)[0][:, 0])
                == ids[0]
            ).sum()
        ),
        length=prompt.length,
        saved_steps=len(ids),
        step=prompt.origin.step,
        since=None if prompt.saved.from_start else int(prompt.saved.steps[0]),
    )
