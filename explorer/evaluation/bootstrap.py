"""Percentile bootstrap over texts. The same texts are drawn for everything that is compared, so that
differences are paired.
"""

import numpy as np

from explorer.analysis.nulls import stream

RESAMPLES, LEVEL = 2000, 0.95


def resamples(seed: int, n: int) -> np.ndarray:
    """Numbers of n texts drawn with replacement, over and over: [RESAMPLES, n] int64."""
    return stream(seed, "bootstrap").integers(n, size=(RESAMPLES, n))


def interval(values: np.ndarray, draws: np.ndarray) -> tuple[float, float]:
    """Where the central 95 % of the resampled means of values [n] lie."""
    low, high = np.quantile(values[draws].mean(axis=1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
