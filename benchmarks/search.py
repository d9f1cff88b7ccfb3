"""How long FAISS takes to find the neighbors of a prompt's tokens, with the threshold that explorer sets
against FAISS's own.

Both search the same flat index in turn, random vectors of the shapes of T5 vocabularies; the ratio of each
pair is what counts. Then how long it takes for the thousands of vectors of a null distribution, with that
threshold, against our own way to keep the best of each (`rough_search`). Usage: python benchmarks/search.py
[--repeat 9]
"""

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

os.environ["OMP_WAIT_POLICY"] = (
    "PASSIVE"  # as in the dashboard; else the idle threads of one search take the processor from the next
)

import faiss
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from explorer.analysis.vectors import filled, rough_search

SHAPES = {"mini-t5": (16_000, 256), "T5 base": (32_128, 768)}
TOKENS, K = (20, 100), 10
NULLS, GROUP = 2000, 5
"""vectors of a null distribution, and how many rows each is nearest to"""


def seconds(index: faiss.Index, queries: np.ndarray, threshold: int) -> float:
    """Of one search."""
    faiss.cvar.distance_compute_blas_threshold = threshold
    started = time.perf_counter()
    index.search(queries, K)
    return time.perf_counter() - started


def many(index: faiss.Index, queries: np.ndarray, own: bool) -> float:
    """Of the searches of a null distribution."""
    started = time.perf_counter()
    rough_search(index, queries, GROUP) if own else index.search(queries, GROUP)
    return time.perf_counter() - started


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=9)
    repeat, usual = parser.parse_args().repeat, faiss.cvar.distance_compute_blas_threshold
    generator = np.random.default_rng(0)
    for name, (rows, width) in SHAPES.items():
        table = generator.standard_normal((rows, width), np.float32)
        index = filled(faiss.IndexFlatIP(width), table, np.arange(rows), lambda block, _: block)
        own = faiss.cvar.distance_compute_blas_threshold
        for tokens in TOKENS:
            queries = generator.standard_normal((tokens, width), np.float32)
            pairs = [
                (seconds(index, queries, usual), seconds(index, queries, own)) for _ in range(repeat + 1)
            ][1:]
            ratios = [slow / fast for slow, fast in pairs]
            print(
                f"{name}, {tokens} tokens: {statistics.median(ratios):.1f} times as fast "
                f"({min(ratios):.1f} to {max(ratios):.1f}, {repeat} pairs)"
            )
            faiss.cvar.distance_compute_blas_threshold = own
        queries = generator.standard_normal((NULLS, width), np.float32)
        ratios = [many(index, queries, False) / many(index, queries, True) for _ in range(repeat + 1)][1:]
        print(
            f"{name}, {NULLS:,} random vectors: {statistics.median(ratios):.1f} times as fast "
            f"({min(ratios):.1f} to {max(ratios):.1f}, {repeat} pairs)"
        )


if __name__ == "__main__":
    main()
