"""Which words is each prompt token nearest to, and how near?"""

import numpy as np
import pandas as pd
import streamlit as st

from explorer.analysis.hubness import hubness
from explorer.analysis.neighbors import NearestNeighbors
from explorer.dashboard import cache, charts, choice, controls, focus, tables
from explorer.dashboard.markdown import model_name, safe
from explorer.dashboard.panels import decomposition, how
from explorer.figures import similarity_figure
from explorer.report.tables import neighbor_table, ranked_words

st.title("Neighbors", anchor=False)


def shares(found: NearestNeighbors) -> np.ndarray:
    """How strongly each neighbor is shaded [P, k], 0…1: its cosine, where that is the measure; of other
    metrics, its place among all of the table.
    """
    if found.metric in ("cosine", "whitened", "csls"):
        return np.clip(found.similarity, 0, 1)
    closer = -found.similarity if found.metric == "l2" else found.similarity
    return closer.ravel().argsort().argsort().reshape(closer.shape) / closer.size


session = choice.session()
vocabulary, prompt = session.vocabulary, focus.prompt(session)
focus.panel(session, "neighbors")
with st.container(horizontal=True, gap="large"):
    metric, k = controls.metric(), controls.k()
with st.container(horizontal=True, gap="large"):
    special = st.toggle(
        "Special pieces",
        key="special",
        bind="query-params",
        help="Search control pieces, sentinels and padding rows too",
    )
    merge = st.toggle(
        "Merge variants",
        key="merge",
        bind="query-params",
        help="Leave out a piece that repeats a nearer one in another case or without its leading space",
    )

one = session.only(prompt.name).change(k=k)
found = cache.reading(
    "Searching the neighbors",
    one.change(metric=metric, include_special=special, merge_variants=merge).neighbors,
)[0]
searched = len(vocabulary) if special else len(vocabulary.searchable_ids)

st.markdown(f"**{safe(found.conclusion)}**")
if found.disagreement:
    st.markdown(safe(found.disagreement))
name = (prompt.name, "neighbors", found.metric, f"k{k}")
wide = neighbor_table(prompt, found)
ranks = {column: st.column_config.TextColumn(column, width=70) for column in wide.columns if column.isdigit()}
near = dict(zip(ranks, shares(found).T, strict=True))
tables.heading(
    safe(f"Nearest pieces of {prompt.name}"),
    wide,
    *name,
    "wide",
    also={"One row each": (found.to_frame(), name)},
)
columns, rest = (
    ["position", "source", *ranks, "first"],
    [*(column for column in ("p", "q") if column in wide), "margin"],
)
tables.tokens(
    wide, "wide-table", prompt, columns, ranks, rest=rest, shade=near, height=min(38 + 35 * len(wide), 738)
)
charts.tokens(similarity_figure(found, found.null), "similarity", prompt)

with st.expander("As a sum of few words", key="sums", on_change="rerun") as sums:
    if sums.open:
        decomposition.show(one)

with st.expander("Raw, centered, whitened and CSLS side by side", key="views", on_change="rerun") as views:
    if views.open:
        sides = {
            "cosine": cache.reading("Searching the neighbors", one.change(metric="cosine").neighbors)[0],
            "whitened": cache.reading(
                "Searching the whitened space", one.change(metric="whitened").neighbors
            )[0],
            "centered": cache.reading("Searching without the mean", one.centered_neighbors)[0],
            "CSLS": cache.reading("Searching with CSLS", one.change(metric="csls").neighbors)[0],
        }
        words = {
            name: [", ".join(filter(None, row)) for row in ranked_words(side).to_numpy()]
            for name, side in sides.items()
        }
        raw = sides["cosine"].token_ids
        same = {
            f"same ({name})": [np.isin(*pair).mean() for pair in zip(sides[name].token_ids, raw, strict=True)]
            for name in ("whitened", "centered", "CSLS")
        }
        frame = pd.DataFrame({"position": range(len(found.token_ids)), **words, **same})
        tables.heading("Four ways to be near", frame, prompt.name, "four-ways", f"k{k}")
        tables.tokens(
            frame,
            "views-table",
            prompt,
            more={name: st.column_config.TextColumn(name, width="medium") for name in sides},
        )
        hubs = cache.reading("Counting hubs", hubness, vocabulary)
        listed = (
            ": " + ", ".join(vocabulary.readable(vocabulary.pieces[i]) for i in hubs.hubs[:12])
            if len(hubs.hubs)
            else ""
        )
        st.caption(
            "Whitened: after every direction of the vocabulary has the same energy. Centered: its "
            "mean is subtracted first. CSLS: corrected for "
            "crowding. same: share of the cosine neighbors that stay. "
            f"Hubness of this vocabulary: skewness {hubs.skewness:.1f} (0 is even). "
            f"{safe(hubs.conclusion)} A hub is among the {hubs.k} nearest of "
            f"{2 * hubs.k} or more of them{safe(listed)}."
        )

why = f"; {safe(found.why)}" if found.why else ""
against = (
    (
        f"p compares the nearest piece with those of {len(found.null):,} vectors drawn from the "
        "vocabulary's own Gaussian; q is p after Benjamini–Hochberg"
    )
    if found.null is not None
    else (
        f"{found.metric} depends on a token's length, so random vectors do not compare: use cosine, whitened "
        "or CSLS for p"
    )
)
how.computed(
    f"Metric {found.metric} ({controls.DIRECTION[found.metric]}{why}), k = {k}, by exact search over "
    f"{searched:,} rows of {model_name(vocabulary.name)}; {against}.",
    "Columns 1, 2, … are the neighbors, the nearest first, the darker the nearer. A piece is what "
    "the tokenizer cuts texts into: a word, or a part of one. "
    "A dot (·ing) marks a piece that continues a word, an asterisk a hub: a piece near to much of "
    "the vocabulary. Every vector has nearest words, so read "
    "them with their similarity and margin. CSLS: cosine, corrected for pieces near to everything.",
)
