"""Do the initialization strategies differ, over several seeds?"""

import numpy as np
import streamlit as st

from explorer.analysis.compare.differences import differences
from explorer.dashboard import cache, charts, choice, controls, tables
from explorer.dashboard.markdown import safe
from explorer.dashboard.panels import pairwise
from explorer.figures import MEASURE_TITLES, accuracy_curve, comparison_figure, length_figure, map_figure, norm_boxes
from explorer.wording import count

st.title("Compare", anchor=False)
st.markdown("Do the initialization strategies differ, and by more than seeds do?")
session = choice.session()
with st.container(horizontal=True, gap="large"):
    scope = st.segmented_control(
        "Prompts compared",
        ["same task", "chosen only"],
        default="same task",
        required=True,
        key="scope",
        bind="query-params",
        help="One seed tells little about a strategy: by default all prompts of the chosen ones' tasks and lengths are compared.",
    )
    by = controls.grouping()
    k = controls.k(2)
compared = (choice.with_peers(session) if scope == "same task" else session).change(k=k)
if len(compared.prompts) < 2:
    st.info("Choose at least two prompts in the sidebar; there is no other prompt of this task and length.", icon=":material/compare_arrows:")
    st.stop()

comparison = cache.reading("Reading every prompt", compared.compare, by)
rows, summary = comparison.to_frame(), comparison.summary()
st.markdown(f"**{safe(comparison.conclusion)}**")
groups = dict(zip(rows["prompt"], rows["group"], strict=True))
sizes = rows["group"].value_counts(sort=False)
seeds = rows.dropna(subset="seed").groupby("group", sort=False)["seed"].nunique()
told = [f"{group}: {count(size, 'prompt')}, {count(seeds.get(group, 0), 'seed')}" for group, size in sizes.items()]
st.markdown(safe("; ".join(told)) + ".")
if sizes.min() < 2:
    st.warning("A group of one prompt has no interval: nothing can be concluded from one seed.", icon=":material/priority_high:")

measures = [measure for measure in MEASURE_TITLES if rows[measure].notna().any()]
for start in range(0, len(measures), 2):
    for column, measure in zip(st.columns(2, gap="medium"), measures[start : start + 2], strict=False):
        charts.show(comparison_figure(comparison, measure), f"measure-{measure}", column, buttons=False)
st.caption(
    "Each colored mark is a prompt; the gray bar is the group's mean with its 95 % t interval over prompts, wide for a handful of seeds. "
    "Significant: tokens that lie among words that belong together, against vectors drawn from the vocabulary's Gaussian."
)
curve, norms = st.columns(2, gap="medium")
charts.show(accuracy_curve(compared.prompts, groups), "curves", curve)
charts.show(norm_boxes(cache.reading("Measuring norms", compared.norms), groups), "norms", norms)
lengths = choice.of_any_length(session)
if len({prompt.length for prompt in lengths}) > 1:
    charts.show(length_figure(lengths), "lengths")
    st.caption(safe(f"All prompts of {lengths[0].origin.task}, of any length: the line is the mean over seeds, small marks are prompts."))

name = ("compare", by, f"k{k}")
tables.heading("Means and intervals", summary, *name, "summary")
titled = summary.assign(measure=[MEASURE_TITLES[measure][0] for measure in summary["measure"]])
tables.show(titled, "summary-table", more={"measure": st.column_config.TextColumn("Measure", width=260)})
tests = differences(comparison)
if len(tests):
    least = tests["least_p"].min()
    tables.heading("Group against group", tests, *name, "tests")
    shown = tests.assign(measure=[MEASURE_TITLES[measure][0] for measure in tests["measure"]])
    tables.show(shown, "tests-table", more={"measure": st.column_config.TextColumn("Measure", width=255)}, height=300)
    said = "no verdict: a group has one prompt only" if np.isnan(least) else f"with so few prompts no p can be below {least:.3f}"
    st.caption(f"Two-sided permutation test of the difference in means, q over all rows of the table; {said}.")
tables.heading("Every prompt", rows, *name)
tables.show(rows, "rows-table")


pairwise.show(session.change(k=k), name)
places = cache.reading("Placing the prompts on the map", compared.change(labels=()).map)
charts.show(map_figure(places.map, session.vocabulary, places.placements, groups=groups), "map")
st.caption("UMAP, for looking only: it keeps neighborhoods, not distances, and no number here is taken from it.")
