"""What an interval of a difference in accuracy lets one say: more, less, as much, or that it cannot be
told.
"""

import math
from typing import Literal

MARGIN = 0.02
"""accuracies this near are called equal; said wherever it is used"""
WITHIN = f"±{100 * MARGIN:.0f} points"

Verdict = Literal["more", "less", "equal", "open"]


def verdict(low: float, high: float, texts: int) -> Verdict:
    """`more` or `less` where the 95 % interval leaves out zero; `equal` only where all of it lies within the
    margin (Schuirmann 1987); else `open`.

    Few texts that all go the same way have an interval without width. By the rule of three (Hanley and
    Lippman-Hand 1983) up to 3 in n could go otherwise, so that a difference no larger than 3 / n shows
    nothing, and fewer texts than 3 / margin never show that two are equal.
    """
    if clear(low, high, texts):
        return "more" if low > 0 else "less"
    return "equal" if low >= -MARGIN and high <= MARGIN and 3 / texts <= MARGIN else "open"


def clear(low: float, high: float, texts: int) -> bool:
    """Whether the interval of a difference leaves out zero, by more than so many texts could turn."""
    return (low > 0 or high < 0) and abs(low + high) / 2 > 3 / texts


def span(low: float, high: float) -> str:
    """A 95 % interval in a sentence."""
    return f"95 %: {low:+.3f} to {high:+.3f}" if math.isfinite(low) and math.isfinite(high) else "no interval"
