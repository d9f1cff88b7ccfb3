"""Do groups of prompts differ? Permutation tests and effect sizes between groups of a comparison; never a verdict from one seed.

Prompts are compared within strata: of one task and one length. A relabeling exchanges prompts of one stratum only, so that a group that holds other
tasks than another does not differ for that reason.
"""

from collections.abc import Sequence
from itertools import combinations
from math import comb, prod

import numpy as np
import pandas as pd

from explorer.analysis.compare.groups import MEASURES, Comparison
from explorer.analysis.nulls import benjamini_hochberg, stream

EXACT_UP_TO, DRAWS = 20_000, 9_999

Stratum = tuple[np.ndarray, np.ndarray]
"""values of the first group [n] and of the second [m], at least one of each"""


def differences(comparison: Comparison) -> pd.DataFrame:
    """One row per two groups and measure: group_a, group_b, measure, n_a, n_b, difference, effect, p, q, least_p.

    Only prompts of strata (task and length, but for the one they are grouped by) that both groups have are compared. difference: mean over the strata,
    weighted by their prompts, of the mean of a − the mean of b. effect: Cliff's delta within strata, −1…1, the chance that one of a is larger than one
    of b minus the reverse (Cliff 1993). p: two-sided permutation test of the difference, over all relabelings where they are at most 20,000, else
    9,999 random ones; nan where no stratum has two prompts of a group. least_p: the smallest p these numbers allow. q: Benjamini–Hochberg over all rows.
    """
    frame, rows = comparison.to_frame(), []
    kept = [column for column in ("task", "length") if comparison.by not in (column, "prompt")]
    keys = list(map(tuple, frame[kept].itertuples(index=False))) if kept else [()] * len(frame)
    for a, b in combinations(dict.fromkeys(frame["group"]), 2):
        for measure in MEASURES:
            strata = _strata(frame[measure].to_numpy(np.float64), frame["group"].to_numpy(), keys, a, b)
            if strata:
                p, least = permutation_test(strata, comparison.seed)
                above = np.concatenate([np.sign(first[:, None] - second[None]).ravel() for first, second in strata])
                counts = [sum(map(len, side)) for side in zip(*strata, strict=True)]
                rows.append((a, b, measure, *counts, _gap(strata), above.mean(), p, least))
    columns = ["group_a", "group_b", "measure", "n_a", "n_b", "difference", "effect", "p", "least_p"]
    found = pd.DataFrame(rows, columns=columns)
    found.insert(8, "q", benjamini_hochberg(found["p"].to_numpy(np.float64)))
    return found


def _strata(values: np.ndarray, groups: np.ndarray, keys: Sequence[tuple], a: str, b: str) -> list[Stratum]:
    """Finite values of both groups, stratum by stratum; strata that only one group has are left out."""
    found = []
    for key in dict.fromkeys(keys):
        here = np.array([one == key for one in keys]) & np.isfinite(values)
        first, second = values[here & (groups == a)], values[here & (groups == b)]
        if len(first) and len(second):
            found.append((first, second))
    return found


def _gap(strata: Sequence[Stratum]) -> float:
    """Mean difference within strata, weighted by their prompts."""
    weights = np.array([len(first) + len(second) for first, second in strata], np.float64)
    return float(np.average([first.mean() - second.mean() for first, second in strata], weights=weights))


def permutation_test(strata: Sequence[Stratum], seed: int = 0) -> tuple[float, float]:
    """Two-sided p of the difference within strata, and the smallest p possible; nan where no stratum has two prompts in each group.

    Source: Fisher 1935; Phipson and Smyth 2010 for random relabelings. scipy.stats.permutation_test knows no strata, and takes most of a second to import.
    """
    if not any(min(len(first), len(second)) >= 2 for first, second in strata):
        return float("nan"), float("nan")
    pooled = [np.concatenate(stratum) for stratum in strata]
    sizes = [len(first) for first, _ in strata]
    weights = np.array(list(map(len, pooled)), np.float64) / sum(map(len, pooled))
    count = prod(comb(len(values), size) for values, size in zip(pooled, sizes, strict=True))
    exact = count <= EXACT_UP_TO
    generator = stream(seed, "relabelings")
    gaps = np.zeros(1 if exact else DRAWS)
    for values, size, weight in zip(pooled, sizes, weights, strict=True):
        total = len(values)
        drawn = combinations(range(total), size) if exact else (generator.permutation(total)[:size] for _ in range(DRAWS))
        members = np.array(list(drawn))
        sums = values[members].sum(axis=1)
        part = weight * (sums / size - (values.sum() - sums) / (total - size))
        gaps = np.add.outer(gaps, part).ravel() if exact else gaps + part
    largest = max(float(np.abs(values).max()) for values in pooled)
    extreme = int((np.abs(gaps) >= abs(_gap(strata)) - 1e-12 * largest).sum())
    if exact:
        mirrored = all(2 * size == len(values) for values, size in zip(pooled, sizes, strict=True))
        return extreme / len(gaps), (2 if mirrored else 1) / len(gaps)
    return (1 + extreme) / (1 + DRAWS), 1 / (1 + DRAWS)
