"""Do groups of prompts differ? Permutation tests and effect sizes between groups of a comparison; never a verdict from one seed."""

from itertools import combinations
from math import comb

import numpy as np
import pandas as pd

from explorer.analysis.compare.groups import MEASURES, Comparison
from explorer.analysis.nulls import benjamini_hochberg, stream

EXACT_UP_TO, DRAWS = 20_000, 9_999


def differences(comparison: Comparison) -> pd.DataFrame:
    """One row per two groups and measure: group_a, group_b, measure, n_a, n_b, difference, effect, p, q, least_p.

    difference: mean of a − mean of b. effect: Cliff's delta, −1…1, the chance that one of a is larger than one of b minus the
    reverse (Cliff 1993). p: two-sided permutation test of the difference, over all relabelings where they are at most 20,000, else
    9,999 random ones; nan where a group has fewer than two prompts. least_p: the smallest p these numbers allow. q:
    Benjamini–Hochberg over all rows.
    """
    frame, rows = comparison.to_frame(), []
    for a, b in combinations(dict.fromkeys(frame["group"]), 2):
        for measure in MEASURES:
            first, second = (_known(frame.loc[frame["group"] == group, measure]) for group in (a, b))
            if len(first) and len(second):
                p, least = permutation_test(first, second, comparison.seed)
                effect = np.sign(first[:, None] - second[None]).mean()
                rows.append((a, b, measure, len(first), len(second), first.mean() - second.mean(), effect, p, least))
    columns = ["group_a", "group_b", "measure", "n_a", "n_b", "difference", "effect", "p", "least_p"]
    found = pd.DataFrame(rows, columns=columns)
    found.insert(8, "q", benjamini_hochberg(found["p"].to_numpy(np.float64)))
    return found


def permutation_test(first: np.ndarray, second: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """Two-sided p of the difference in means of [n] and [m] values, and the smallest p possible; nan for fewer than two in one.

    Source: Fisher 1935; Phipson and Smyth 2010 for random relabelings.
    """
    # not scipy.stats.permutation_test: importing scipy.stats takes most of a second, its two-sided p is twice the smaller tail instead of the
    # share of gaps as large, and it does not say the smallest p possible. The test of this function holds it against scipy's.
    n, total = len(first), len(first) + len(second)
    if min(n, total - n) < 2:
        return float("nan"), float("nan")
    values = np.concatenate([first, second])
    exact = comb(total, n) <= EXACT_UP_TO
    if exact:
        members = np.array(list(combinations(range(total), n)))
    else:
        generator = stream(seed, "relabelings")
        members = np.stack([generator.permutation(total)[:n] for _ in range(DRAWS)])
    sums = values[members].sum(axis=1)
    gaps = np.abs(sums / n - (values.sum() - sums) / (total - n))
    extreme = int((gaps >= abs(first.mean() - second.mean()) - 1e-12 * np.abs(values).max()).sum())
    if exact:
        return extreme / len(members), (2 if 2 * n == total else 1) / len(members)
    return (1 + extreme) / (1 + DRAWS), 1 / (1 + DRAWS)


def _known(values: pd.Series) -> np.ndarray:
    found = values.to_numpy(np.float64)
    return found[np.isfinite(found)]
