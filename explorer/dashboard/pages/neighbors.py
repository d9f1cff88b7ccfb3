"""Which words is each prompt token nearest to, and how near?"""

import streamlit as st

from explorer.analysis.nulls import p_values
from explorer.dashboard import cached, choice, controls, tables
from explorer.dashboard.words import model_name, safe
from explorer.figures import similarity_figure
from explorer.figures.style import CONFIG

COMPARABLE = ("cosine", "csls")  # they do not depend on a prompt token's length, so that random vectors compare

st.title("Neighbors", anchor=False)
st.markdown("The pieces of the vocabulary nearest to each prompt token, by exact search.")
chosen, vocabulary = choice.readable()
opened = choice.one(chosen)
with st.container(horizontal=True, gap="large"):
    metric, k = controls.metric(), controls.k()
with st.container(horizontal=True, gap="large"):
    special = st.toggle("Special pieces", key="special", bind="query-params", help="Search control pieces, sentinels and padding rows too")
    merge = st.toggle("Merge variants", key="merge", bind="query-params", help="Leave out a piece that is a nearer one but for case or leading space")

found = cached.neighbors(opened, vocabulary, k, metric, special, merge)
null = cached.nearest_null(vocabulary, metric, special) if metric in COMPARABLE else None
p = None if null is None else p_values(found.similarity[:, 0], null)
searched = len(vocabulary) if special else len(vocabulary.searchable_ids)

name = (opened.name, "neighbors", metric, f"k{k}")
wide = tables.neighbor_rows(opened, found, p)
tables.heading(safe(f"Nearest pieces of {opened.name}"), wide, *name, "wide")
ranks = {column: st.column_config.TextColumn(column, width=86) for column in wide.columns if column.isdigit()}
tables.show(wide, "wide-table", more=ranks, height=min(38 + 35 * len(wide), 738))
against = (
    "p compares the nearest piece with that of 1,000 vectors drawn from the vocabulary's own Gaussian"
    if null is not None
    else f"{metric} depends on a token's length, so no random vectors are comparable: use cosine or CSLS for p"
)
st.caption(
    f"Metric {metric} ({controls.DIRECTION[metric]}), k = {k}, over {searched:,} rows of {model_name(vocabulary.name)}; {against}. "
    "Columns 1, 2, … are the neighbors, the nearest first; a dot (·ing) marks a piece that continues a word. Every vector has nearest "
    "words: read them with their similarity and their margin."
)
st.plotly_chart(similarity_figure(found, null), key="similarity", config=CONFIG)

with st.expander("Every neighbor, one row each", key="long", on_change="rerun") as long:
    if long.open:
        frame = found.to_frame()
        tables.heading("Neighbor table", frame, *name)
        tables.show(frame, "long-table")
        st.caption(f"The same table as `python -m explorer neighbors` writes. Metric {metric}, {controls.DIRECTION[metric]}, k = {k}.")
