"""The cost of the cluster test beside exact search: `python benchmarks/nulls.py`.

A table of T5 base's size, 32,128 × 768, of random rows with a common offset and falling spectrum. Measured:
the verdict on a prompt of 100 tokens with its null (4,000 vectors, fresh each time), over FAISS's own exact
search of as many queries for k = 10 neighbors; and sums of five words over exact search.
"""

import argparse
import sys
import time
from pathlib import Path

import faiss
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from explorer.analysis.clusters import clusters, group_statistic, null_statistic
from explorer.analysis.decomposition import pursue
from explorer.analysis.nulls import gaussian_vectors
from explorer.analysis.search import search
from explorer.analysis.vectors import unit
from explorer.prompt import Origin, SoftPrompt
from explorer.vocabulary import Vocabulary

ROWS, WIDTH, LENGTH, NULLS, K, WORDS = 32_128, 768, 100, 4_000, 10, 5


def table() -> Vocabulary:
    """Random rows with a common offset and a falling spectrum, as embedding tables have."""
    generator = np.random.default_rng(0)
    spectrum = np.arange(1, WIDTH + 1) ** -0.4
    rows = (generator.standard_normal((ROWS, WIDTH)) * spectrum + 0.1).astype(np.float32)
    return Vocabulary(rows, tuple(f"▁word{i}" for i in range(ROWS)), np.ones(ROWS, bool), "random table")


def seconds(work) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    """Print medians and spreads of the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=5)
    repeat = parser.parse_args().repeat
    vocabulary = table()
    prompt = SoftPrompt(
        np.random.default_rng(1).standard_normal((LENGTH, WIDTH)).astype(np.float32),
        "random",
        Origin(format="benchmark"),
    )
    index = faiss.IndexFlatIP(WIDTH)
    index.add(unit(vocabulary.embedding))
    queries = unit(gaussian_vectors(vocabulary, NULLS, 0))
    clusters(
        prompt, vocabulary, K, nulls=10
    )  # what is made once per vocabulary: its indexes, its covariance and whitening
    pursue(prompt.vectors, vocabulary, WORDS)
    verdict, whole, words = [], [], []
    for seed in range(1, repeat + 1):
        of_null = seconds(lambda: index.search(queries, K))
        verdict.append(
            seconds(
                lambda seed=seed: (
                    group_statistic(prompt.vectors, vocabulary),
                    null_statistic(vocabulary, "gaussian", NULLS, seed),
                )
            )
            / of_null
        )
        whole.append(seconds(lambda seed=seed: clusters(prompt, vocabulary, K, 1000, seed + 1000)) / of_null)
        words.append(
            seconds(lambda: pursue(prompt.vectors, vocabulary, WORDS))
            / seconds(lambda: search(prompt.vectors, vocabulary, K))
        )
    told = (
        (
            f"the verdict on {LENGTH} tokens with its null of {NULLS:,}, in searches of as many queries",
            verdict,
        ),
        ("the same with the whole prompt's rotations, all other nulls and coherence", whole),
        (f"{LENGTH} tokens as sums of {WORDS} words, in exact searches of these tokens", words),
    )
    for name, ratios in told:
        low, middle, high = np.quantile(ratios, [0, 0.5, 1])
        print(f"{name}: {middle:.1f} (least {low:.1f}, most {high:.1f}, {repeat} repeats)")


if __name__ == "__main__":
    main()
