"""Labels found while training: tokens that came to lie nearest to a class label at some saved step, beside
what other words as frequent would show.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from explorer.analysis.labels import TIE, as_frequent
from explorer.analysis.nulls import SIGNIFICANT_AT
from explorer.analysis.trajectory import first_neighbors
from explorer.analysis.vectors import unit
from explorer.prompt import SoftPrompt
from explorer.results import Result
from explorer.vocabulary import Vocabulary
from explorer.words.wording import count


@dataclass(frozen=True, eq=False, repr=False)
class LabelsFound(Result):
    """Which tokens of a prompt found a label: nearest to none before training, nearest to one at a later
    step.
    """

    prompt: str
    labels: tuple[str, ...]
    first_at: np.ndarray
    """[P, C] int64: the saved step at which a token first was nearer to a label than to every piece; −1 for
    never, and for tokens that began so
    """
    saved_steps: int
    """0 where no training steps are saved: nothing can be said then"""
    control: np.ndarray
    """[M] int64: tokens that found words as frequent as the labels, one word in the place of each label"""

    @property
    def tokens(self) -> tuple[int, ...]:
        """Positions that found a label."""
        return tuple(np.flatnonzero((self.first_at >= 0).any(axis=1)).tolist())

    @property
    def labels_of_tokens(self) -> tuple[str, ...]:
        """The labels that some token found."""
        return tuple(label for label, at in zip(self.labels, self.first_at.T, strict=True) if (at >= 0).any())

    @property
    def p(self) -> float:
        """(1 + controls with as many tokens) / (1 + M); nan without saved steps."""
        if not self.saved_steps:
            return float("nan")
        return float((1 + (self.control >= len(self.tokens)).sum()) / (1 + len(self.control)))

    @property
    def found(self) -> bool:
        """Whether more tokens found a label than chance gives."""
        return bool(self.tokens) and self.p <= SIGNIFICANT_AT

    @property
    def conclusion(self) -> str:
        """What to conclude, in one sentence."""
        if not self.saved_steps:
            return "No training steps are saved, so what its tokens passed is not known."
        which = f" ({', '.join(self.labels_of_tokens)})" if self.tokens else ""
        return (
            f"{len(self.tokens)} of {count(len(self.first_at), 'token')} found a label while trained{which}; "
            f"words as frequent: {self.control.mean():.1f} on average, at most {self.control.max()} "
            f"(p {self.p:.2f})."
        )

    def to_frame(self) -> pd.DataFrame:
        """One row per token and label that it found: prompt, position, label, step."""
        place, label = np.nonzero(self.first_at >= 0)
        return pd.DataFrame(
            {
                "prompt": pd.Series([self.prompt] * len(place), dtype="object"),
                "position": place,
                "label": pd.Series([self.labels[one] for one in label], dtype="object"),
                "step": self.first_at[place, label],
            }
        )

    def summary_frame(self) -> pd.DataFrame:
        """One row: prompt, tokens (that found a label), length, saved_steps, control, control_most, p."""
        known = len(self.control) > 0
        row = {
            "prompt": self.prompt,
            "tokens": len(self.tokens) if known else None,
            "length": len(self.first_at),
            "saved_steps": self.saved_steps,
            "control": float(self.control.mean()) if known else float("nan"),
            "control_most": int(self.control.max()) if known else None,
            "p": self.p,
        }
        return pd.DataFrame([row])


def labels_found(
    prompt: SoftPrompt,
    vocabulary: Vocabulary,
    labels: Sequence[str] | None = None,
    template: str | None = None,
) -> LabelsFound:
    """Tokens that found a label at a saved step, and the same for each of 100 words as frequent. labels: by
    default those the prompt records.

    Raises PromptError for another width, DataError for labels that the model does not know.
    """
    names = tuple(prompt.origin.labels or ()) if labels is None else tuple(labels)
    vocabulary.check_width(prompt.vectors, prompt.name)
    if prompt.trajectory is None or not names:
        never = np.full((prompt.length, len(names)), -1)
        return LabelsFound(prompt.name, names, never, 0, np.zeros(0, np.int64))
    template = prompt.origin.template if template is None else template
    targets = unit(vocabulary.label_vectors(names, template))
    steps, length, width = prompt.saved.vectors.shape
    flat = unit(prompt.saved.vectors.reshape(-1, width))
    _, cosine = first_neighbors(prompt, vocabulary)
    nearest = cosine.reshape(-1, 1) - np.float32(TIE)

    def first(words: np.ndarray) -> np.ndarray:
        """[S, P, C]: whether a token is nearest to each word."""
        with np.errstate(invalid="ignore"):
            return (flat @ words.T >= nearest).reshape(steps, length, -1)

    def found(words: np.ndarray) -> np.ndarray:
        near = first(words)
        return near.any(axis=0) & ~near[0]

    near = first(targets)
    at = np.where(found(targets), np.asarray(prompt.saved.steps)[near.argmax(axis=0)], -1)
    alike = np.stack([as_frequent(name, vocabulary, template) for name in names], axis=1)  # [M, C]
    other = found(unit(vocabulary.embedding[alike.ravel()])).reshape(length, *alike.shape)
    return LabelsFound(prompt.name, names, at, steps, other.any(axis=2).sum(axis=0))
