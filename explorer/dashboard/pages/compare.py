"""Do the initialization strategies differ, over several seeds? A verdict first; what it rests on in tabs."""

import streamlit as st

from explorer.dashboard import cache, charts, choice, controls
from explorer.dashboard.markdown import safe
from explorer.dashboard.panels import how, measures, pairwise, sizes
from explorer.figures import map_figure
from explorer.words.wording import count

st.title("Compare", anchor=False)
session = choice.session()
with st.container(horizontal=True, gap="large"):
    scope = st.segmented_control(
        "Prompts compared",
        ["same task", "chosen only"],
        default="same task",
        required=True,
        key="scope",
        bind="query-params",
        help=(
            "One seed tells little about a strategy: by default all prompts of the chosen ones' tasks "
            "and lengths are compared."
        ),
    )
    by = controls.grouping()
    k = controls.k(2)
compared = (choice.with_peers(session) if scope == "same task" else session).change(k=k)
if len(compared.prompts) < 2:
    st.info(
        "Choose at least two prompts in the sidebar; "
        + (
            "there is no other prompt of this task and length."
            if session.prompts[0].origin.task
            else "this one records no task, so no others are taken with it."
        ),
        icon=":material/compare_arrows:",
    )
    st.stop()

comparison = cache.reading("Reading every prompt", compared.compare, by)
rows = comparison.to_frame()
st.markdown(f"**{safe(comparison.conclusion)}**")
groups = dict(zip(rows["prompt"], rows["group"], strict=True))
members = rows["group"].value_counts(sort=False)
seeds = rows.dropna(subset="seed").groupby("group", sort=False)["seed"].nunique()
told = [
    f"{group}: {count(size, 'prompt')}, {count(seeds.get(group, 0), 'seed')}"
    for group, size in members.items()
]
st.markdown(safe("; ".join(told)) + ".")
if members.min() < 2:
    st.warning(
        "A group of one prompt has no interval: nothing can be concluded from one seed.",
        icon=":material/priority_high:",
    )

name = ("compare", by, f"k{k}")
verdict, measured, neighbors, everything, size, where = st.tabs(
    ["Verdict", "Measures", "Neighbors", "All prompts", "Model size", "Map"],
    key="tab",
    on_change="rerun",
    bind="query-params",
)
if verdict.open:
    with verdict:
        measures.verdict(comparison, compared, groups, choice.of_any_length(session), name)
if measured.open:
    with measured:
        measures.every(comparison, compared, groups)
if neighbors.open:
    with neighbors:
        pairwise.neighbors(session.change(k=k), name)
if everything.open:
    with everything:
        measures.table(rows, name)
        pairwise.matched(session, name)
if size.open:
    with size:
        sizes.show(session)
if where.open:
    with where:
        places = cache.reading("Placing the prompts on the map", compared.change(labels=()).map)
        charts.show(map_figure(places.map, session.vocabulary, places.placements, groups=groups), "map")
        st.caption(
            "UMAP, for looking only: it keeps neighborhoods, not distances, and no number here is "
            "taken from it."
        )
how.computed(
    "Each colored mark is a prompt; the gray bar is the group's mean with its 95 % t interval over "
    "prompts, wide for a handful of seeds. Group against "
    "group: two-sided permutation test of the difference in means; p is the share of relabelings "
    "that differ as much, q corrects it over all rows of the "
    "table (Benjamini–Hochberg).",
    "Significant: tokens that lie among words that belong together, against vectors drawn from the "
    "vocabulary's Gaussian. Matched: tokens of two prompts "
    "paired one to one by cosine, in the best way over the whole prompt.",
)
