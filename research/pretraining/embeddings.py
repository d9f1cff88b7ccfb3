"""Warm-started embeddings: positive PMI over a small window, reduced by a truncated SVD (Levy & Goldberg
2014).

A count-based table makes neighbours mean something from the first step of pretraining, at the price of a
minute.
"""

import numpy as np
from tqdm import tqdm

WINDOW = 5
CONTEXT_SMOOTHING = 0.75


def cooccurrence(tokens: np.ndarray, rows: int) -> np.ndarray:
    """Distance-weighted co-occurrence counts within ±5 tokens.

    tokens: [N] integer ids. Returns [rows, rows] float32, symmetric; a pair at distance d counts (6 - d) / 5.
    """
    counts = np.zeros(rows * rows, np.float32)
    chunk = 4_000_000
    for start in tqdm(range(0, len(tokens), chunk), desc="co-occurrence", unit="chunk"):
        part = tokens[start : start + chunk + WINDOW].astype(np.int64)
        for distance in range(1, WINDOW + 1):
            weight = np.float32((WINDOW + 1 - distance) / WINDOW)
            left = part[:-distance][: min(chunk, len(tokens) - start - distance)]
            right = part[distance:][: len(left)]
            np.add.at(counts, left * rows + right, weight)
    table = counts.reshape(rows, rows)
    for start in range(
        0, rows, 512
    ):  # symmetrize block by block: a whole transposed copy would double the memory
        stop = min(start + 512, rows)
        block = table[start:, start:stop] + table[start:stop, start:].T
        table[start:, start:stop] = block
        table[start:stop, start:] = block.T
    return table


def positive_pmi(counts: np.ndarray) -> np.ndarray:
    """Positive pointwise mutual information with smoothed contexts, in place of the counts.

    counts: [V, V] float32, overwritten. PPMI(i, j) = max(0, log(n_ij · Σ_c n_c^0.75 / (n_i · n_j^0.75))).
    """
    totals = counts.sum(axis=1, dtype=np.float64)
    context = totals**CONTEXT_SMOOTHING
    with np.errstate(divide="ignore"):
        row_term = np.where(totals > 0, -np.log(totals), 0.0).astype(np.float32)
        context_term = np.where(context > 0, np.log(context.sum()) - np.log(context), 0.0).astype(np.float32)
        np.log(counts, out=counts)
    counts += row_term[:, None]
    counts += context_term[None, :]
    return np.maximum(counts, 0.0, out=counts)


def warm_start(tokens: np.ndarray, rows: int, dimension: int, seed: int) -> np.ndarray:
    """An embedding table from text statistics: [rows, dimension] float32, every seen row of norm √dimension.

    Rows never seen in `tokens` (sentinels, padding) are drawn from a normal distribution of unit deviation.
    """
    from sklearn.utils.extmath import randomized_svd

    generator = np.random.default_rng(seed)
    ppmi = positive_pmi(cooccurrence(tokens, rows))
    seen = ppmi.any(axis=1)
    left, values, _ = randomized_svd(ppmi, dimension, n_iter=3, random_state=seed)
    table = (left * np.sqrt(values)).astype(np.float32)
    table -= table[seen].mean(axis=0)
    table /= np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-6)
    table *= np.sqrt(dimension)
    table[~seen] = generator.standard_normal((int((~seen).sum()), dimension), dtype=np.float32)
    return table.astype(np.float32)
