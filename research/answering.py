"""Do the tests that run the model hold what they promise? Simulations in which the truth is known.

    python -m research.answering [--draws 400] [--seed 0]

Prints how often the order of leave-one-out is called better than random orders where the answer is a random
function of the mask, of each text alone or of all texts alike (5 % is promised), and where some tokens matter
(the more, the better); then how often the 95 % interval of a drop, and of a difference between methods, holds
the true value, by the deviation between seeds.
"""

import argparse
from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.special import ndtri

from explorer.analysis.nulls import SIGNIFICANT_AT
from explorer.evaluation.curves import Answer, combined_p, curves, leave_one_out
from explorer.evaluation.domain_shift import MODEL_TUNING, PROMPT_TUNING, Answered, DomainShift

TOKENS, ORDERS, TEXTS = 10, 99, 1000
ACCURACIES = {PROMPT_TUNING: (0.8, 0.7), MODEL_TUNING: (0.8, 0.65)}
"""true, on source and target"""
OWN = (0.2, 0.8)
"""share of a text's difficulty that every seed meets alike"""

Figures = tuple[float, float, float]
"""p of deletion, of insertion, of both"""


def random_answer(key: int) -> Answer:
    """A function of the mask without any structure: log of a uniform number for each mask, the same whenever
    it is asked (splitmix64 of the mask).
    """
    start = np.uint64(key * 0x9E3779B97F4A7C15 % 2**64)

    def answer(keep: np.ndarray) -> np.ndarray:
        code = keep.astype(np.uint64) @ (np.uint64(1) << np.arange(keep.shape[1], dtype=np.uint64)) + start
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            code = (code ^ (code >> np.uint64(shift))) * np.uint64(factor)
        return np.log(((code ^ (code >> np.uint64(31))) >> np.uint64(11)) / 2.0**53 + 2.0**-54)

    return answer


def additive_answer(effects: np.ndarray, noise: Answer, deviation: float) -> Answer:
    """Log-probability of two labels whose logits differ by the sum of the seen tokens' effects [P], give or
    take a random function of the mask.
    """

    def answer(keep: np.ndarray) -> np.ndarray:
        return -np.log1p(np.exp(-(keep @ effects + deviation * ndtri(np.exp(noise(keep))))))

    return answer


def figures(answers: list[Answer], seed: int) -> Figures:
    """What `attribution` would say of these texts."""
    found = curves(answers, np.stack([leave_one_out(answer, TOKENS) for answer in answers]), ORDERS, seed)
    return (
        combined_p(found, deletion=True),
        combined_p(found, insertion=True),
        combined_p(found, deletion=True, insertion=True),
    )


def random_for_each(texts: int, draw: int) -> list[Answer]:
    """Another random function for every text."""
    return [random_answer(1000 * draw + text) for text in range(texts)]


def random_for_all(texts: int, draw: int) -> list[Answer]:
    """One random function for all texts, as if they were one text given several times."""
    return [random_answer(1000 * draw)] * texts


def own_tokens(texts: int, draw: int) -> list[Answer]:
    """Two tokens matter in every text, others in each: an order from other texts finds nothing."""
    return [
        additive_answer(_two_that_matter(1000 * draw + text), noise, 0.3)
        for text, noise in enumerate(random_for_each(texts, draw))
    ]


def same_tokens(texts: int, draw: int) -> list[Answer]:
    """Two tokens matter, the same in all texts."""
    return [additive_answer(_two_that_matter(draw), noise, 0.3) for noise in random_for_each(texts, draw)]


def _two_that_matter(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(np.repeat([1.0, 0.0], [2, TOKENS - 2]))


def rejections(make: Callable[[int, int], list[Answer]], texts: int, draws: int, seed: int = 0) -> np.ndarray:
    """Share of draws with p ≤ 0.05: [3] of deletion, insertion, both."""
    found = [figures(make(texts, 1 + draw + 100_000 * seed), seed + draw) for draw in range(draws)]
    return (np.array(found) <= SIGNIFICANT_AT).mean(axis=0)


def drawn_shift(
    generator: np.random.Generator, seeds: int, texts: int, deviation: float, own: float
) -> DomainShift:
    """Prompts and models of some seeds on a source and a target; their true accuracies vary by `deviation`
    between seeds, on each domain.
    """
    hard = generator.standard_normal((2, texts))
    answered = []
    for method, accuracies in ACCURACIES.items():
        for seed in range(seeds):
            right = []
            for accuracy, shared in zip(accuracies, hard, strict=True):
                limit = ndtri(np.clip(accuracy + deviation * generator.standard_normal(), 0.01, 0.99))
                right.append(
                    np.sqrt(own) * shared + np.sqrt(1 - own) * generator.standard_normal(texts) < limit
                )
            answered.append(
                Answered(f"{method} {seed}", method, method, seed, tuple(right), (0.0, 0.0), (0.0, 0.0))
            )
    return DomainShift(("source", "target"), tuple(answered))


def coverage(
    seeds: int, texts: int, deviation: float, own: float, draws: int, seed: int = 0
) -> tuple[float, float, float]:
    """Share of draws in which the intervals hold the truth: the drop of prompts, prompts minus models on the
    target, the difference of drops.
    """
    generator = np.random.default_rng([seed, seeds, texts])
    (source, target), (source_of_models, target_of_models) = (
        ACCURACIES[PROMPT_TUNING],
        ACCURACIES[MODEL_TUNING],
    )
    drop, gap = source - target, target - target_of_models
    less = (source_of_models - target_of_models) - drop
    held = np.zeros(3)
    for _ in range(draws):
        result = drawn_shift(generator, seeds, texts, deviation, own)
        means, between = result.summary().iloc[1], result.differences().iloc[1]
        held += [
            means.drop_low <= drop <= means.drop_high,
            between.low <= gap <= between.high,
            between.drop_low <= less <= between.drop_high,
        ]
    return float(held[0] / draws), float(held[1] / draws), float(held[2] / draws)


def orders_table(draws: int, seed: int) -> pd.DataFrame:
    """How often an order is called better than random ones."""
    rows = []
    for make in (random_for_each, random_for_all, own_tokens, same_tokens):
        for texts in (1, 10):
            rows.append(
                {
                    "answer": make.__name__.replace("_", " "),
                    "texts": texts,
                    **dict(zip(NAMES, rejections(make, texts, draws, seed), strict=True)),
                }
            )
    return pd.DataFrame(rows)


NAMES = ("deletion", "insertion", "both")


def coverage_table(draws: int, seed: int) -> pd.DataFrame:
    """How often intervals hold the truth."""
    rows = []
    for seeds in (2, 3, 5):
        for own in OWN:
            for deviation in (0, 0.008, 0.015, 0.03):
                held = dict(
                    zip(
                        ("drop", "difference", "less drop"),
                        coverage(seeds, TEXTS, deviation, own, draws, seed),
                        strict=True,
                    )
                )
                rows.append({"seeds": seeds, "alike": own, "deviation": deviation, **held})
    return pd.DataFrame(rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description="False alarms of deletion and insertion, and coverage of domain shift's intervals."
    )
    parser.add_argument("--draws", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for title, made in (
        ("share with p ≤ 0.05", orders_table),
        ("share of 95 % intervals that hold the truth", coverage_table),
    ):
        print(
            f"{title}\n{made(arguments.draws, arguments.seed).to_string(index=False, float_format=lambda value: f'{value:.3f}')}\n",
            flush=True,
        )
