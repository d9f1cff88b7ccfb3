"""The cost of 1,000 nulls beside one neighbor search of as many queries: `python benchmarks/nulls.py`.

A table of T5 base's size, 32,128 × 768, of random rows with a common offset and falling spectrum. Measured: the coherence of a prompt of
100 tokens with its verdict's null (fresh each time), over FAISS's own exact search of the 1,000 null vectors for k = 10 neighbors.
"""

import argparse
import sys
import time
from pathlib import Path

import faiss
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from explorer.analysis.clusters import coherence, null_coherence
from explorer.analysis.nulls import gaussian_vectors
from explorer.analysis.vectors import unit
from explorer.prompt import Origin, SoftPrompt
from explorer.vocabulary import Vocabulary

ROWS, WIDTH, LENGTH, NULLS, K = 32_128, 768, 100, 1_000, 10


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
    """Print the ratio's median and spread."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=5)
    repeat = parser.parse_args().repeat
    vocabulary = table()
    prompt = SoftPrompt(np.random.default_rng(1).standard_normal((LENGTH, WIDTH)).astype(np.float32), "random", Origin(format="benchmark"))
    index = faiss.IndexFlatIP(WIDTH)
    index.add(unit(vocabulary.embedding))
    queries = unit(gaussian_vectors(vocabulary, NULLS, 0))
    coherence(prompt, vocabulary, K, nulls=10)  # what is made once per vocabulary: its index and its covariance
    one, four = [], []
    for seed in range(1, repeat + 1):
        search = seconds(lambda: index.search(queries, K))
        one.append(seconds(lambda seed=seed: null_coherence(vocabulary, "gaussian", K, NULLS, seed)) / search)
        four.append(seconds(lambda seed=seed: coherence(prompt, vocabulary, K, NULLS, seed + 1000)) / search)
    for name, ratios in (("the verdict's null alone", one), (f"coherence of {LENGTH} tokens with all four nulls", four)):
        low, middle, high = np.quantile(ratios, [0, 0.5, 1])
        print(f"{name}: {middle:.1f} searches (least {low:.1f}, most {high:.1f}, {repeat} repeats)")


if __name__ == "__main__":
    main()
