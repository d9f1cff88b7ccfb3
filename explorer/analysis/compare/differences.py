"""Do groups of prompts differ? Permutation tests and effect sizes between groups of a comparison; never a
verdict from one seed.

Prompts are compared within strata: of one task and one length. A relabeling exchanges prompts of one stratum
only, so that a group that holds other tasks than another does not differ for that reason.
"""

from collections.abc import Sequence
from itertools import combinations
from math import comb, prod
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from explorer.analysis.compare.measured import LEVEL, MEASURES
from explorer.analysis.nulls import SIGNIFICANT_AT, benjamini_hochberg, stream
from explorer.words.wording import count

if TYPE_CHECKING:
    from explorer.analysis.compare.groups import Comparison

EXACT_UP_TO, DRAWS = 20_000, 9_999
MARGIN = 0.02
"""difference of a share that is too small to matter: two points, such as two of a hundred texts"""
ASKED = {
    "dev_accuracy": "dev accuracy",
    "significant_share": "share of tokens among words that belong together",
}
"""measures that the conclusion is about: the first that two groups have"""
NAMED = 4
"""groups whose means the conclusion names"""

Stratum = tuple[np.ndarray, np.ndarray]
"""values of the first group [n] and of the second [m], at least one of each"""


def differences(comparison: "Comparison") -> pd.DataFrame:
    """One row per two groups and measure: group_a, group_b, measure, n_a, n_b, difference, effect, p, q,
    least_p, low, high.

    Only prompts of strata (task and length, but for the one they are grouped by) that both groups have are
    compared. difference: mean over the strata, weighted by their prompts, of the mean of a − the mean of b.
    effect: Cliff's delta within strata, −1…1, the chance that one of a is larger than one of b minus the
    reverse (Cliff 1993). p: two-sided permutation test of the difference, over all relabelings where they are
    at most 20,000, else 9,999 random ones; nan where no stratum has two prompts of a group. least_p: the
    smallest p these numbers allow. q: Benjamini–Hochberg over all rows. low, high: the 95 % interval of the
    difference (`difference_interval`).
    """
    return comparison.tests.copy()


def tested(comparison: "Comparison") -> pd.DataFrame:
    """What `differences` gives, computed now."""
    frame, rows = comparison.to_frame(), []
    kept = [column for column in ("task", "length") if comparison.by not in (column, "prompt")]
    keys = list(map(tuple, frame[kept].itertuples(index=False))) if kept else [()] * len(frame)
    for a, b in combinations(dict.fromkeys(frame["group"]), 2):
        for measure in MEASURES:
            strata = _strata(frame[measure].to_numpy(np.float64), frame["group"].to_numpy(), keys, a, b)
            if strata:
                p, least = permutation_test(strata, comparison.seed)
                above = np.concatenate(
                    [np.sign(first[:, None] - second[None]).ravel() for first, second in strata]
                )
                counts = [sum(map(len, side)) for side in zip(*strata, strict=True)]
                rows.append(
                    (
                        a,
                        b,
                        measure,
                        *counts,
                        _gap(strata),
                        above.mean(),
                        p,
                        least,
                        *difference_interval(strata),
                    )
                )
    columns = [
        "group_a",
        "group_b",
        "measure",
        "n_a",
        "n_b",
        "difference",
        "effect",
        "p",
        "least_p",
        "low",
        "high",
    ]
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


def difference_interval(strata: Sequence[Stratum]) -> tuple[float, float]:
    """95 % t interval of the difference within strata, the spread of prompts taken to be the same in all; nan
    where no stratum has more than one of each.
    """
    from scipy.special import stdtrit

    sides = [side for stratum in strata for side in stratum]
    freedom = sum(len(side) - 1 for side in sides)
    if not freedom:
        return float("nan"), float("nan")
    variance = sum(float(((side - side.mean()) ** 2).sum()) for side in sides) / freedom
    total = sum(map(len, sides))
    scale = sum(
        ((len(first) + len(second)) / total) ** 2 * (1 / len(first) + 1 / len(second))
        for first, second in strata
    )
    half = float(stdtrit(freedom, (1 + LEVEL) / 2)) * (variance * scale) ** 0.5
    return _gap(strata) - half, _gap(strata) + half


def in_words(comparison: "Comparison") -> str:
    """What to conclude of a comparison, in one sentence: which group is better, that none is by more than a
    margin, or that these prompts cannot tell.
    """
    frame, by = comparison.to_frame(), comparison.by if comparison.by.isidentifier() else "group"
    groups = list(dict.fromkeys(frame["group"]))
    if len(groups) == 1:
        if len(frame) == 1:
            return "There is one prompt: there is nothing to compare."
        return (
            f"{'Both' if len(frame) == 2 else f'All {len(frame):,}'} prompts are of one {by}, "
            f"{groups[0].rstrip(':')}: there is nothing to compare."
        )
    measure = next((name for name in ASKED if frame.loc[frame[name].notna(), "group"].nunique() >= 2), None)
    if measure is None:
        return f"No two groups have a {' or a '.join(ASKED.values())}: there is nothing to compare."
    means = [
        f"{group} {value:.1%}"
        for group, value in frame.groupby("group", sort=False)[measure].mean().dropna().items()
    ]
    said, what = (
        f"{', '.join(means[:NAMED])}{', …' if len(means) > NAMED else ''}",
        f"has a higher {ASKED[measure]}",
    )
    tests = differences(comparison)
    tests = tests[tests["measure"] == measure]
    found = tests[tests["q"] <= SIGNIFICANT_AT]
    if len(found):
        first = found.loc[found["difference"].abs().idxmax()]
        sign = 1 if first["difference"] > 0 else -1
        ends = sorted(sign * 100 * end for end in (first["low"], first["high"]))
        better, other = (first["group_a"], first["group_b"])[::sign]
        alike = " and ".join(column for column in ("task", "length") if by != column)
        by_points = (
            f"by {100 * abs(first['difference']):.1f} points within a {alike} (95 % interval "
            f"{ends[0]:.1f} to {ends[1]:.1f})"
        )
        more = (
            (
                f", and {count(len(found) - 1, 'more pair')} of groups "
                f"{'differs' if len(found) == 2 else 'differ'}"
            )
            if len(found) > 1
            else ""
        )
        return f"{better} {what} than {other}, {by_points}{more}; means over all prompts: {said}."
    article = "an" if by == "initialization" else "a"
    widest = tests[["low", "high"]].abs().max(axis=None)
    if not len(tests) or tests["low"].isna().any():
        why = (
            "each group is a single prompt"
            if by == "prompt"
            else "there are too few prompts of the same task and length for an interval"
        )
        return f"Cannot tell whether {article} {by} {what}: {said}, but {why}."
    complete = len(tests) == len(means) * (len(means) - 1) // 2
    if complete and widest <= MARGIN:
        return (
            f"No {by} {what} by more than {100 * MARGIN:.0f} points: {said} (the 95 % intervals of the "
            "differences stay within that)."
        )
    return (
        f"Cannot tell whether {article} {by} {what}: {said}, and the 95 % intervals of the differences "
        f"reach to {100 * widest:.1f} points."
    )


def permutation_test(strata: Sequence[Stratum], seed: int = 0) -> tuple[float, float]:
    """Two-sided p of the difference within strata, and the smallest p possible; nan where no stratum has two
    prompts in each group.

    Source: Fisher 1935; Phipson and Smyth 2010 for random relabelings. scipy.stats.permutation_test knows no
    strata, and takes most of a second to import.
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
        drawn = (
            combinations(range(total), size)
            if exact
            else (generator.permutation(total)[:size] for _ in range(DRAWS))
        )
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
