"""Groups of prompts side by side, measure by measure, as the page Compare shows them."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import streamlit as st

from explorer.analysis.compare.differences import differences
from explorer.analysis.compare.groups import Comparison
from explorer.dashboard import cache, charts, tables
from explorer.dashboard.markdown import safe
from explorer.figures import MEASURE_TITLES, accuracy_curve, comparison_figure, length_figure, norm_boxes
from explorer.prompt import SoftPrompt
from explorer.session import Session

DECISIVE = ("dev_accuracy", "significant_share")
"""what was learned, and whether it reads as words"""


def verdict(
    comparison: Comparison,
    compared: Session,
    groups: Mapping[str, str],
    lengths: Sequence[SoftPrompt],
    name: tuple[object, ...],
) -> None:
    """What the verdict rests on: the two measures that matter, and the tests of every difference."""
    _pictures(comparison, [measure for measure in _recorded(comparison) if measure in DECISIVE])
    tests = differences(comparison)
    if len(tests):
        tables.heading("Group against group", tests, *name, "tests")
        shown = tests.assign(measure=[MEASURE_TITLES[measure][0] for measure in tests["measure"]])
        few, rest = (
            ["measure", "group_a", "group_b", "difference", "p", "q"],
            ["n_a", "n_b", "effect", "least_p"],
        )
        tables.show(
            shown,
            "tests-table",
            few,
            {"measure": st.column_config.TextColumn("Measure", width=255)},
            rest,
            height=300,
        )
        least = tests["least_p"].min()
        said = (
            "No verdict: a group has one prompt only"
            if np.isnan(least)
            else f"With so few prompts no p can be below {least:.3f}"
        )
        st.caption(f"{said}.")
    if len({prompt.length for prompt in lengths}) > 1:
        charts.show(length_figure(lengths), "lengths")
        st.caption(
            safe(
                f"All prompts of {lengths[0].origin.task}, of any length: the line is the mean over "
                "seeds, small marks are prompts."
            )
        )


def every(comparison: Comparison, compared: Session, groups: Mapping[str, str]) -> None:
    """Every measure there is, accuracy while training, and norms."""
    _pictures(comparison, _recorded(comparison))
    curve, norms = st.columns(2, gap="medium")
    charts.show(accuracy_curve(compared.prompts, groups), "curves", curve)
    charts.show(norm_boxes(cache.reading("Measuring norms", compared.norms), groups), "norms", norms)
    summary = comparison.summary()
    tables.heading("Means and intervals", summary, "compare", "summary")
    titled = summary.assign(measure=[MEASURE_TITLES[measure][0] for measure in summary["measure"]])
    tables.show(
        titled,
        "summary-table",
        more={"measure": st.column_config.TextColumn("Measure", width=260)},
        height=300,
    )


def table(rows: pd.DataFrame, name: tuple[object, ...]) -> None:
    """One row a prompt."""
    tables.heading("Every prompt", rows, *name)
    few = ["prompt", "group", "seed", "dev_accuracy", "significant_share", "drift_cosine"]
    tables.show(
        rows,
        "rows-table",
        few,
        rest=[column for column in rows if column not in few],
        height=min(38 + 35 * len(rows), 388),
    )


def _recorded(comparison: Comparison) -> list[str]:
    """Measures that some prompt has."""
    rows = comparison.to_frame()
    return [measure for measure in MEASURE_TITLES if rows[measure].notna().any()]


def _pictures(comparison: Comparison, measures: Sequence[str]) -> None:
    """Two a row."""
    for start in range(0, len(measures), 2):
        for column, measure in zip(st.columns(2, gap="medium"), measures[start : start + 2], strict=False):
            charts.show(comparison_figure(comparison, measure), f"measure-{measure}", column, buttons=False)
