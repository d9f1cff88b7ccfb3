"""Do the null distributions of `pairs` and `redundancy` hold? Share of p ≤ 0.05 among what is unrelated, and
among what is not.

    python -m research.calibration {pairs,redundancy,former} [--tables bundled anisotropic] [--prompts 200]
    [--lengths 5 20 100] [--draws 199] [--seed 0]

Unrelated: prompts of random vocabulary rows, of rows among the 5,000 first, of Gaussian draws, of mixtures of
three rows, on the bundled table and on a small anisotropic one (one direction holds half of the energy);
bundled prompts of different tasks and seeds, before and after training. Not unrelated: a prompt and itself
with noise or half way through training, other seeds of one task, other tasks from the same rows; and several
tokens planted near one category. `former` prints what null distributions of `pairs` call that were measured
to be wrong.
"""

import argparse
from collections.abc import Callable, Iterator
from itertools import combinations

import numpy as np

from explorer.analysis.compare.matching import matched_positions, pairs
from explorer.analysis.nulls import covariance, gaussian_vectors, null_vectors, p_values, stream
from explorer.analysis.redundancy import redundancy
from explorer.analysis.surrogates import mixed
from explorer.analysis.vectors import unit
from explorer.choices import INITIALIZATIONS
from explorer.models.loading import DEFAULT_MODEL
from explorer.prompt import SoftPrompt
from explorer.vocabulary import Vocabulary
from research.power import categories, planted
from research.study import bundled

COMMON, LENGTH = 5000, 20
Two = tuple[np.ndarray, np.ndarray]


def anisotropic(rows: int = 2000, width: int = 64, seed: int = 0) -> Vocabulary:
    """A table like that of a language model: one direction holds half of the energy, the others fall off,
    rows lie in bundles of relatives.
    """
    generator = np.random.default_rng(seed)
    scale = 1 / np.sqrt(np.arange(1, width + 1))
    bundles = np.repeat(generator.standard_normal((rows // 5, width)), 5, axis=0) * generator.uniform(
        0, 1.2, (rows // 5, 1)
    ).repeat(5, axis=0)
    table = scale * (bundles + generator.standard_normal((rows, width)))
    table[:, 0] = np.sqrt((table**2).sum(axis=1).mean()) + 0.2 * table[:, 0]
    generator.shuffle(table)
    return Vocabulary(
        table.astype(np.float32),
        tuple(f"▁word{number}" for number in range(rows)),
        np.ones(rows, bool),
        "anisotropic",
    )


TABLES: dict[str, Callable[[], Vocabulary]] = {"bundled": Vocabulary.load, "anisotropic": anisotropic}


def drawers(vocabulary: Vocabulary, generator: np.random.Generator) -> dict[str, Callable[[int], np.ndarray]]:
    """Kinds of prompts that hold nothing in common: name -> length -> tokens [P, H]."""
    rows = vocabulary.searchable_ids
    fresh = lambda: int(generator.integers(1, 2**31))  # noqa: E731
    return {
        "rows": lambda length: vocabulary.embedding[generator.choice(rows, length, replace=False)],
        "common rows": lambda length: vocabulary.embedding[
            generator.choice(rows[: min(COMMON, len(rows) // 3)], length, replace=False)
        ],
        "gaussian": lambda length: gaussian_vectors(vocabulary, length, fresh()),
        "mixtures": lambda length: null_vectors(vocabulary, "mixtures", length, fresh()),
    }


def share(p: list[float]) -> str:
    """Of p ≤ 0.05, with the number of trials."""
    return f"{np.mean(np.array(p) <= 0.05):.3f} of {len(p)}"


def pair_p(first: np.ndarray, second: np.ndarray, vocabulary: Vocabulary, draws: int, seed: int) -> float:
    """p of two prompts of tokens [P, H]."""
    return float(
        pairs([SoftPrompt(first, "a"), SoftPrompt(second, "b")], vocabulary, draws, seed)["p"].item()
    )


def trained_pairs(generator: np.random.Generator) -> Iterator[tuple[str, list[Two]]]:
    """Bundled prompts of 20 tokens, two by two, by what they have in common."""
    prompts = [
        prompt
        for prompt in bundled(DEFAULT_MODEL)
        if prompt.length == LENGTH and prompt.origin.initialization in INITIALIZATIONS
    ]
    apart = [(a, b) for a, b in combinations(prompts, 2) if a.origin.seed != b.origin.seed]
    for step in (0, 1):
        for tasks in combinations(sorted({prompt.origin.task or "" for prompt in prompts}), 2):
            chosen = [(a, b) for a, b in apart if {a.origin.task, b.origin.task} == set(tasks)]
            yield (
                f"{' and '.join(tasks)}, {step:.0%} of training",
                [(_at(a, step), _at(b, step)) for a, b in chosen],
            )
    yield (
        "one task, other seeds, before training",
        [(_at(a, 0), _at(b, 0)) for a, b in apart if a.origin.task == b.origin.task],
    )
    yield (
        "one task, other seeds",
        [(a.vectors, b.vectors) for a, b in apart if a.origin.task == b.origin.task],
    )
    yield "a prompt and itself half way", [(prompt.vectors, _at(prompt, 0.5)) for prompt in prompts]
    for noise in (1, 2, 4):
        spread = [
            np.linalg.norm(prompt.vectors, axis=1, keepdims=True) * noise / np.sqrt(prompt.dimension)
            for prompt in prompts
        ]
        noisy = [
            prompt.vectors + scale * generator.standard_normal(prompt.vectors.shape)
            for prompt, scale in zip(prompts, spread, strict=True)
        ]
        yield (
            f"a prompt and itself with noise {noise} times as long",
            [(a.vectors, b) for a, b in zip(prompts, noisy, strict=True)],
        )
    shared = [
        (a, b)
        for a, b in combinations(prompts, 2)
        if a.origin.task != b.origin.task and a.origin.seed == b.origin.seed
    ]
    shared = [
        (a, b)
        for a, b in shared
        if a.origin.initialization == b.origin.initialization and a.origin.initialization != "random"
    ]
    yield "other tasks, same initial rows, before training", [(_at(a, 0), _at(b, 0)) for a, b in shared]
    yield "other tasks, same initial rows", [(a.vectors, b.vectors) for a, b in shared]


def _at(prompt: SoftPrompt, part: float) -> np.ndarray:
    """Tokens at a part of the saved steps, 0…1."""
    return prompt.saved.vectors[round(part * (len(prompt.saved.steps) - 1))]


def of_pairs(asked: argparse.Namespace) -> None:
    """Print the table of `pairs`."""
    for vocabulary in (TABLES[name]() for name in asked.tables):
        generator = stream(asked.seed, "calibration")
        kinds = drawers(vocabulary, generator)
        for length in asked.lengths:
            for one, other in (
                ("rows", "rows"),
                ("common rows", "common rows"),
                ("gaussian", "gaussian"),
                ("rows", "gaussian"),
                ("mixtures", "mixtures"),
            ):
                p = [
                    pair_p(kinds[one](length), kinds[other](length), vocabulary, asked.draws, n)
                    for n in range(asked.prompts)
                ]
                print(f"{vocabulary.name:12} {length:4} tokens  {one} and {other}: {share(p)}", flush=True)
    if "bundled" not in asked.tables:
        return
    vocabulary, generator = Vocabulary.load(), stream(asked.seed, "noise")
    for kind, chosen in trained_pairs(generator):
        print(
            f"{kind}: {share([pair_p(*two, vocabulary, asked.draws, n) for n, two in enumerate(chosen)])}",
            flush=True,
        )


def of_redundancy(asked: argparse.Namespace) -> None:
    """Print the table of `redundancy`: p of the mean Jaccard, and of shared first neighbors."""
    for vocabulary in (TABLES[name]() for name in asked.tables):
        generator = stream(asked.seed, "calibration")
        kinds = drawers(vocabulary, generator)
        for length in asked.lengths:
            for kind, draw in kinds.items():
                _print_redundancy(
                    f"{length:4} tokens  {kind}",
                    [draw(length) for _ in range(asked.prompts)],
                    vocabulary,
                    asked.draws,
                )
    if "bundled" not in asked.tables:
        return
    vocabulary, generator = Vocabulary.load(), stream(asked.seed, "planted")
    lines, kinds = categories(vocabulary), drawers(vocabulary, generator)
    for cosine in (0.9, 0.7, 0.5):
        for several in (2, 3, 5):
            prompts = [kinds["gaussian"](LENGTH) for _ in range(asked.prompts)]
            for number, tokens in enumerate(prompts):
                words = generator.choice(lines[generator.integers(len(lines))], 5, replace=False)
                tokens[:several] = (
                    planted(vocabulary, np.tile(words, (several, 1)), cosine, number + 1)
                    * np.linalg.norm(tokens, axis=1).mean()
                )
            _print_redundancy(
                f"{several} of {LENGTH} tokens at cosine {cosine} to one category",
                prompts,
                vocabulary,
                asked.draws,
            )


def of_former(asked: argparse.Namespace) -> None:
    """Print what null distributions of `pairs` would call that were measured to be wrong, on the bundled
    table at 20 tokens.
    """
    vocabulary, generator = Vocabulary.load(), stream(asked.seed, "former")
    kinds = drawers(vocabulary, generator)
    groups = {
        kind: [(kinds[kind](LENGTH), kinds[kind](LENGTH)) for _ in range(asked.prompts)]
        for kind in ("rows", "common rows", "gaussian")
    }
    groups |= {
        kind: two
        for kind, two in trained_pairs(generator)
        if kind == "question-type and sentiment, 100% of training"
    }
    for name, draw in FORMER.items():
        for kind, chosen in groups.items():
            p = []
            for first, second in chosen:
                tokens, drawn = (
                    unit(first),
                    draw(unit(second).astype(np.float64), vocabulary, asked.draws, generator),
                )
                null = [matched_positions(tokens, one)[2].mean() for one in drawn]
                p.append(
                    float(p_values(np.array(matched_positions(tokens, second)[2].mean()), np.array(null)))
                )
            print(f"{name}, {kind}: {share(p)}", flush=True)


def _rotated(
    tokens: np.ndarray, vocabulary: Vocabulary, draws: int, generator: np.random.Generator
) -> np.ndarray:
    """Tokens [P, H] rotated about their mean: [draws, P, H]."""
    mean = tokens.mean(axis=0)
    left, values, _ = np.linalg.svd(tokens - mean, full_matrices=False)
    frames = np.linalg.qr(generator.standard_normal((draws, vocabulary.dimension, len(values))))[0]
    return mean + (left * values) @ frames.transpose(0, 2, 1)


def _of_signs(
    tokens: np.ndarray, vocabulary: Vocabulary, draws: int, generator: np.random.Generator
) -> np.ndarray:
    """Tokens [P, H] about their mean, with new signs along the principal components of the rows, the same for
    all tokens.
    """
    mean, axes = tokens.mean(axis=0), np.linalg.eigh(covariance(vocabulary))[1]
    signs = generator.choice([-1.0, 1.0], (draws, 1, len(axes)))
    return mean + (((tokens - mean) @ axes) * signs) @ axes.T


def _of_rows(
    tokens: np.ndarray, vocabulary: Vocabulary, draws: int, generator: np.random.Generator
) -> np.ndarray:
    """Random rows in place of tokens [P, H]; their length does not matter to a cosine."""
    return vocabulary.embedding[generator.choice(vocabulary.searchable_ids, (draws, len(tokens)))]


FORMER: dict[str, Callable[[np.ndarray, Vocabulary, int, np.random.Generator], np.ndarray]] = {
    "rotated about its mean": _rotated,
    "signs along principal components drawn anew": _of_signs,
    "random rows": _of_rows,
    "tokens mixed, words kept": lambda tokens, _, draws, generator: mixed(tokens, draws, generator),
}
"""what the second prompt was replaced by"""


def _print_redundancy(title: str, prompts: list[np.ndarray], vocabulary: Vocabulary, draws: int) -> None:
    found = [
        redundancy(SoftPrompt(tokens, "prompt"), vocabulary, nulls=draws, seed=number)
        for number, tokens in enumerate(prompts)
    ]
    jaccard, first = share([one.p for one in found]), share([one.p_shared_first for one in found])
    nothing = np.mean([one.mean_jaccard == 0 for one in found])
    print(
        f"{vocabulary.name:12} {title}: mean Jaccard {jaccard}, shared first {first}; nothing shared "
        f"in {nothing:.2f}",
        flush=True,
    )


READINGS = {"pairs": of_pairs, "redundancy": of_redundancy, "former": of_former}


def main() -> None:
    """Print one of the tables."""
    parser = argparse.ArgumentParser(
        description="Calibration of the null distributions of pairs and redundancy."
    )
    parser.add_argument("reading", choices=READINGS)
    parser.add_argument("--prompts", type=int, default=200, help="prompts or pairs of each kind")
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--lengths", type=int, nargs="+", default=[5, 20, 100])
    parser.add_argument("--draws", type=int, default=199, help="of the null distribution")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    READINGS[asked.reading](asked)


if __name__ == "__main__":
    main()
