"""Do the initialization strategies differ, over several seeds?"""

import numpy as np
import pandas as pd
import streamlit as st

from explorer.analysis.compare.differences import differences
from explorer.dashboard import cached, charts, choice, controls, tables
from explorer.dashboard.markdown import count, safe
from explorer.figures import MEASURE_TITLES, accuracy_curve, comparison_figure, length_figure, likeness_heatmap, map_figure, norm_boxes, readable

MOST_PAIRED = 12  # prompts matched in pairs, a second or two

st.title("Compare", anchor=False)
st.markdown("Do the initialization strategies differ, and by more than seeds do?")
chosen, vocabulary = choice.readable()
everyone = choice.peers(chosen, vocabulary)
with st.container(horizontal=True, gap="large"):
    scope = st.segmented_control(
        "Prompts compared",
        ["same task", "chosen only"],
        default="same task",
        required=True,
        key="scope",
        bind="query-params",
        help="A strategy is judged over several seeds: by default all prompts of the chosen ones' tasks and lengths are compared.",
    )
    by = st.selectbox("Group by", ["initialization", "task", "length", "prompt"], key="by", bind="query-params", width=150)
    k = controls.k(2)
compared = everyone if scope == "same task" else chosen
if len(compared) < 2:
    st.info("Choose at least two prompts in the sidebar; there is no other prompt of this task and length.", icon=":material/compare_arrows:")
    st.stop()

comparison = cached.compared(compared, vocabulary, by, k)
rows, summary = comparison.to_frame(), comparison.summary()
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
    f"Each colored mark is a prompt; the gray bar is the group's mean with its 95 % bootstrap interval over prompts, too narrow for a handful of seeds. "
    f"Coherence: cosine, k = {k}, called against {cached.NULLS:,} vectors drawn from the vocabulary's Gaussian."
)
curve, norms = st.columns(2, gap="medium")
charts.show(accuracy_curve([opened.prompt for opened in compared], groups), "curves", curve)
charts.show(norm_boxes([cached.norm_reading(opened, vocabulary) for opened in compared], groups), "norms", norms)
lengths = [opened.prompt for opened in choice.of_any_length(chosen, vocabulary)]
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
    tables.show(shown, "tests-table", more={"measure": st.column_config.TextColumn("Measure", width=220)}, height=300)
    said = "no verdict: a group has one prompt only" if np.isnan(least) else f"with so few prompts no p can be below {least:.3f}"
    st.caption(f"Two-sided permutation test of the difference in means, q over all rows of the table; {said}.")
tables.heading("Every prompt", rows, *name)
tables.show(rows, "rows-table")

found = {opened.name: cached.neighbors(opened, vocabulary, k, "cosine") for opened in chosen}
most = range(max(len(one.pieces) for one in found.values()))
side = pd.DataFrame({name: [", ".join(map(readable, one.pieces[row][:4])) if row < len(one.pieces) else "" for row in most] for name, one in found.items()})
tables.heading("Neighbors side by side", side, *name, "neighbors")
side.insert(0, "position", most)
wide = {opened.name: st.column_config.TextColumn(opened.name, width=max(200, 690 // len(chosen))) for opened in chosen}
tables.show(side, "side-table", more=wide, height=388)
st.caption(f"The first four by cosine over {len(vocabulary.searchable_ids):,} pieces, for the chosen prompts. Positions of two prompts have no common order.")
if 1 < len(chosen) <= MOST_PAIRED:
    alike = cached.pairs(chosen, vocabulary)
    tables.heading("Prompt against prompt", alike, *name, "pairs")
    tables.show(alike, "pairs-table")
    st.caption(
        "Tokens are matched one to one by cosine. p compares the matched cosine with that after random rotations of the second prompt about its "
        "own mean: what the prompts share as an offset stays. p of the mean token compares with means of as many random words."
    )
everything = tuple(one for one in private.collection() if isinstance(one, cached.Opened) and one.prompt.dimension == vocabulary.dimension)
charts.show(likeness_heatmap(cached.likeness(everything), [opened.name for opened in everything]), "likeness")
st.caption("Cosine of the mean tokens of all prompts here (SPoT; Vu et al. 2022): −1…1, higher is closer.")
placements = [cached.placement(opened, vocabulary) for opened in compared]
charts.show(map_figure(cached.vocabulary_map(vocabulary), vocabulary, placements, groups=groups), "map")
st.caption("UMAP, for looking only: it keeps neighborhoods, not distances, and no number here is taken from it.")
