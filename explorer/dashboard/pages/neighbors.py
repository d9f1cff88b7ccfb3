"""Which words is each prompt token nearest to, and how near?"""

import numpy as np
import pandas as pd
import streamlit as st

from explorer.analysis.nulls import SIGNIFICANT_AT
from explorer.dashboard import cached, charts, choice, controls, focus, tables
from explorer.dashboard.markdown import model_name, safe
from explorer.figures import readable, similarity_figure

st.title("Neighbors", anchor=False)
st.markdown("The pieces of the vocabulary nearest to each prompt token, by exact search.")
chosen, vocabulary = choice.readable()
opened = focus.opened(chosen)
focus.panel(opened, vocabulary, "neighbors")
with st.container(horizontal=True, gap="large"):
    metric, k = controls.metric(), controls.k()
with st.container(horizontal=True, gap="large"):
    special = st.toggle("Special pieces", key="special", bind="query-params", help="Search control pieces, sentinels and padding rows too")
    merge = st.toggle("Merge variants", key="merge", bind="query-params", help="Leave out a piece that is a nearer one but for case or leading space")

found = cached.neighbors(opened, vocabulary, k, metric, special, merge)
searched = len(vocabulary) if special else len(vocabulary.searchable_ids)

name = (opened.name, "neighbors", metric, f"k{k}")
wide = tables.neighbor_rows(opened, found)
called = f": {(found.q[:, 0] <= SIGNIFICANT_AT).sum()} of {len(wide)} nearer than chance" if found.null is not None else ""
tables.heading(safe(f"Nearest pieces of {opened.name}{called}"), wide, *name, "wide")
ranks = {column: st.column_config.TextColumn(column, width=86) for column in wide.columns if column.isdigit()}
tables.tokens(wide, "wide-table", opened, more=ranks, height=min(38 + 35 * len(wide), 738))
against = (
    f"p compares the nearest piece with that of {len(found.null):,} vectors drawn from the vocabulary's own Gaussian, q is p after Benjamini–Hochberg"
    if found.null is not None
    else f"{metric} depends on a token's length, so no random vectors are comparable: use cosine or CSLS for p"
)
st.caption(
    f"Metric {metric} ({controls.DIRECTION[metric]}), k = {k}, over {searched:,} rows of {model_name(vocabulary.name)}; {against}. "
    "Columns 1, 2, … are the neighbors, the nearest first; a dot (·ing) marks a piece that continues a word, an asterisk a hub, which is near "
    "to much. Every vector has nearest words: read them with their similarity and their margin."
)
charts.tokens(similarity_figure(found, found.null), "similarity", opened)

with st.expander("Raw, centered and CSLS side by side", key="views", on_change="rerun") as views:
    if views.open:
        sides = {
            "cosine": cached.neighbors(opened, vocabulary, k, "cosine"),
            "centered": cached.centered_neighbors(opened, vocabulary, k),
            "CSLS": cached.neighbors(opened, vocabulary, k, "csls"),
        }
        words = {name: tables.ranked(one).agg(", ".join, axis=1) for name, one in sides.items()}
        same = {f"same ({name})": [np.isin(*pair).mean() for pair in zip(one.token_ids, sides["cosine"].token_ids, strict=True)] for name, one in sides.items()}
        del same["same (cosine)"]
        frame = pd.DataFrame({"position": range(len(found.token_ids)), **words, **same})
        tables.heading("Three ways to be near", frame, opened.name, "three-views", f"k{k}")
        tables.tokens(frame, "views-table", opened, more={name: st.column_config.TextColumn(name, width="medium") for name in sides})
        hubs = cached.hubness(vocabulary)
        listed = ", ".join(readable(vocabulary.pieces[i]) for i in hubs.hubs[:12]) or "none"
        st.caption(
            "Centered: the mean of the vocabulary is taken away first. CSLS: crowding is taken out. same: share of the raw neighbors that stay. "
            f"Hubness of this vocabulary: skewness {hubs.skewness:.1f} (0 is even); {len(hubs.hubs)} hubs (in {2 * hubs.k} or more of "
            f"{hubs.queries:,} random vectors' {hubs.k} nearest) take {hubs.hub_share:.0%} of all places; the largest: " + safe(listed)
        )

with st.expander("Every neighbor, one row each", key="long", on_change="rerun") as long:
    if long.open:
        frame = found.to_frame()
        tables.heading("Neighbor table", frame, *name)
        tables.show(frame, "long-table")
        st.caption(f"The same table as `python -m explorer neighbors` writes. Metric {metric}, {controls.DIRECTION[metric]}, k = {k}.")
