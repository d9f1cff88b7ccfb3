"""95 % interval of a mean over runs and texts that are crossed: every run (a seed, a draw) answers the same
texts.

Resampling the texts alone, as if the runs were all there are, covers far too little: with three seeds that
differ by a standard deviation of 0.03 about half.
"""

from collections.abc import Sequence

import numpy as np

from explorer.evaluation.bootstrap import LEVEL


def crossed_interval(
    sides: Sequence[Sequence[np.ndarray]], most: float = 1.0, least: float | None = None
) -> tuple[float, float]:
    """Interval of the sum of the means of all arrays; nan where a set has one text.

    sides: what is added up (enter what is subtracted with its sign). The sides have different runs and the
    same sets of texts; a side is one array [runs, texts] a set. Sets share no text. most, least: what the sum
    can be (least: −most by default).

    Student's t. The variance is that of the mean over runs (it needs two; one run says nothing of others)
    plus that of the mean over texts, and the degrees of freedom are Satterthwaite's (1946). What runs and
    texts do together is in both parts, so that the interval is rather too wide than too narrow.
    """
    from scipy.special import stdtrit

    parts = [_variance(sum(array.mean(axis=1) for array in side)) for side in sides if len(side[0]) > 1]
    parts += [_variance(sum(array.mean(axis=0) for array in arrays)) for arrays in zip(*sides, strict=True)]
    value = sum(float(array.mean()) for side in sides for array in side)
    variance = sum(part for part, _ in parts)
    if variance == 0:
        return value, value
    freedom = variance**2 / sum(part**2 / degrees for part, degrees in parts)
    half = float(stdtrit(freedom, (1 + LEVEL) / 2) * np.sqrt(variance))
    low, high = np.clip([value - half, value + half], -most if least is None else least, most)
    return float(low), float(high)


def _variance(values: np.ndarray) -> tuple[float, int]:
    """Variance of the mean of values [n], and its degrees of freedom; nan for one value."""
    return (
        (float(values.var(ddof=1)) / len(values), len(values) - 1) if len(values) > 1 else (float("nan"), 1)
    )
