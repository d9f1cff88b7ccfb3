"""What readings of answers ask of a model, and how texts are ordered and parted without regard to where they
stand.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from explorer.errors import DataError
from explorer.prompt import SoftPrompt
from explorer.words.wording import count

Prompts = Sequence[SoftPrompt | None]


class Scorer(Protocol):
    """A frozen model, as far as its answers are concerned."""

    def label_log_probabilities(
        self,
        prompts: Prompts,
        texts: Sequence[str],
        labels: Sequence[str],
        done: Callable[[int], object] | None = None,
    ) -> np.ndarray:
        """log p(label | prompt, text), natural logarithm: [N, B, C] float32; None is no prompt."""

    def generate(
        self,
        prompts: Prompts,
        texts: Sequence[str],
        max_new_tokens: int = 16,
        done: Callable[[int], object] | None = None,
    ) -> list[list[str]]:
        """N lists of B greedy continuations."""

    def says(self, written: str, labels: Sequence[str]) -> bool:
        """Whether a generated text is one of the labels."""

    def label_ids(self, label: str) -> list[int]:
        """Pieces of a label."""


def centered(scores: np.ndarray) -> np.ndarray:
    """ℓ: log-probabilities of labels [..., C] minus their mean over the labels, float64. It says which label
    is preferred, and not whether the model says a label at all.
    """
    scores = np.asarray(scores, np.float64)
    return scores - scores.mean(axis=-1, keepdims=True)


def text_order(texts: Sequence[str], seed: int = 0) -> np.ndarray:
    """Numbers of the texts in an order by hash: random, yet the same wherever a text stands; equal texts are
    next to each other.
    """
    keys = [hashlib.blake2b(f"{seed}\n{text}".encode(), digest_size=8).digest() for text in texts]
    return np.array(sorted(range(len(texts)), key=lambda number: (keys[number], texts[number])), np.int64)


def parts(texts: Sequence[str], number: int, seed: int = 0) -> np.ndarray:
    """[B] int64: which of `number` parts each text belongs to. Parts hold as many different texts as each
    other, and equal texts are in one part.
    """
    place: dict[str, int] = {}
    for index in text_order(texts, seed):
        place.setdefault(texts[index], len(place) % number)
    return np.array([place[text] for text in texts], np.int64)


def check_different(texts: Sequence[str], least: int, what: str) -> None:
    """Raise DataError for fewer different texts than a reading needs."""
    if (found := len(set(texts))) < least:
        raise DataError(
            f"found {count(found, 'different text')}; expected at least {least} to {what}: give more texts"
        )
