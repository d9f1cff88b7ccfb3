"""Deletion and insertion: does an order of the prompt's tokens find what an answer rests on, more than random
orders do?

What answers is any function of a mask: the model, or, where the test itself is put to the test, one whose
answers are random. The order comes from leave-one-out. It must not be tested on what it was made from, so:

- of several texts, the order of one half is tested on the other half, and the reverse; the p of both halves
  are combined (`cauchy_combination`);
- the areas leave out the masks that leave-one-out has used (no token masked, one token masked) and the one
  that all orders share (all masked). So one text can be tested too: what is left is independent of its order
  when the answer is a random function of the mask.

Random orders are then as likely as the order itself, and p is exact (Phipson and Smyth 2010). Source of the
halves: Cox 1975, Biometrika 62.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from explorer.analysis.nulls import cauchy_combination, p_values, stream

CURVE_POINTS = 20
"""tokens of longer prompts are deleted several at a time"""
FEWEST_TOKENS = 3
"""of a prompt: those of fewer have no mask that leave-one-out does not use"""

Answer = Callable[[np.ndarray], np.ndarray]
"""masks [R, P] bool, true where a token is seen → log-probability of the answer [R], nats"""


@dataclass(frozen=True, eq=False)
class Curves:
    """Deletion and insertion in one order, the mean over the texts it is tested on, beside random orders."""

    texts: int
    moved: np.ndarray
    """[K] int64, how many tokens are masked (deletion) or seen (insertion) at each point: 0 … P"""
    deletion: np.ndarray
    """[K] probability of the answer while tokens are masked, those of largest leave-one-out first"""
    insertion: np.ndarray
    """[K] the same while they are added"""
    deletion_areas: np.ndarray
    """[1 + M] mean of the tested points, 0…1: of the order, then of random orders; nan for fewer than three
    tokens
    """
    insertion_areas: np.ndarray
    """[1 + M] likewise for insertion"""

    @property
    def deletion_p(self) -> float:
        """Share of random orders that take the answer away as early; smaller: the order finds what the answer
        rests on.
        """
        return float(p_values(self.deletion_areas[0], self.deletion_areas[1:], larger_is_extreme=False))

    @property
    def insertion_p(self) -> float:
        """Share of random orders that bring the answer as early."""
        return float(p_values(self.insertion_areas[0], self.insertion_areas[1:]))


def leave_one_out(answer: Answer, length: int) -> np.ndarray:
    """[P] nats: the answer with all tokens minus the answer with this one masked."""
    found = answer(np.concatenate([np.ones((1, length), bool), ~np.eye(length, dtype=bool)]))
    return found[0] - found[1:]


def curves(
    answers: Sequence[Answer],
    left_out: np.ndarray,
    orders: int,
    seed: int = 0,
    told: Callable[[int], None] | None = None,
) -> tuple[Curves, ...]:
    """One test for one text, two for several: each half in the order of the other.

    answers: one function a text. left_out: [T, P], leave-one-out of each. orders: random orders compared
    with, the same for every text. told: the number of each text, before it answers.
    """
    texts, length = left_out.shape
    generator = stream(seed, "orders")
    drawn = [generator.permutation(length) for _ in range(orders)]
    half = np.zeros(texts, int)
    half[stream(seed, "halves").permutation(texts)[: texts // 2]] = 1
    halves = np.unique(half)
    order = {
        one: np.argsort(
            -left_out[half != one if len(halves) > 1 else half == one].mean(axis=0), kind="stable"
        )
        for one in halves
    }
    moved, found = _points(length), []
    for number, answer in enumerate(answers):
        if told is not None:
            told(number)
        found.append(_along(answer, np.stack([order[half[number]], *drawn]), moved))
    return tuple(_mean(moved, [found[number] for number in np.flatnonzero(half == one)]) for one in halves)


def combined_p(found: Sequence[Curves], deletion: bool = False, insertion: bool = False) -> float:
    """One p of the tests of both halves, of one kind of curve or of both."""
    p = [one.deletion_p for one in found if deletion] + [one.insertion_p for one in found if insertion]
    return cauchy_combination(np.array(p), len(found[0].deletion_areas) - 1)


def _points(length: int) -> np.ndarray:
    """[K] how many tokens are moved at each point, from none to all."""
    return np.unique(np.linspace(0, length, min(length, CURVE_POINTS) + 1).round().astype(int))


def _along(answer: Answer, orders: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """Probability of the answer while tokens go, and while they come, in each of the orders [M, P]: [2, M,
    K].
    """
    rank = np.argsort(orders, axis=1)  # [M, P] when each token's turn comes
    gone = rank[:, None, :] < moved[None, :, None]  # [M, K, P]
    masks = np.concatenate([~gone, gone]).reshape(-1, orders.shape[1])
    return np.exp(answer(masks)).reshape(2, *gone.shape[:2])


def _mean(moved: np.ndarray, found: Sequence[np.ndarray]) -> Curves:
    """The mean over texts of [2, 1 + M, K]; areas over the points whose masks leave-one-out has not used."""
    deletion, insertion = np.mean(found, axis=0)
    length = moved[-1]
    seen = {"deletion": length - moved, "insertion": moved}
    areas = {
        name: _area(values, (seen[name] > 0) & (seen[name] < length - 1))
        for name, values in (("deletion", deletion), ("insertion", insertion))
    }
    return Curves(len(found), moved, deletion[0], insertion[0], areas["deletion"], areas["insertion"])


def _area(values: np.ndarray, tested: np.ndarray) -> np.ndarray:
    """Mean [M] of the tested points of curves [M, K]; nan where there is none."""
    return values[:, tested].mean(axis=1) if tested.any() else np.full(len(values), np.nan)
