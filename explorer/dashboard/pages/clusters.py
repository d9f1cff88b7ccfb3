"""Do a token's neighbors belong together, more than those of a random vector? Do tokens repeat each other?"""

import streamlit as st

from explorer.analysis.nulls import SIGNIFICANT_AT
from explorer.dashboard import cache, charts, choice, controls, focus, tables
from explorer.dashboard.markdown import safe
from explorer.figures import coherence_figure, redundancy_heatmap
from explorer.pieces import readable
from explorer.report.tables import sources
from explorer.wording import count

st.title("Clusters", anchor=False)
st.markdown("Do a token's neighbors belong together, more than those of a random vector? Do tokens repeat each other?")
session = choice.session()
prompt = focus.prompt(session)
focus.panel(session, "clusters")
k = controls.k(2)

one = session.only(prompt.name).change(k=k)
neighbors = cache.reading("Searching the neighbors", one.neighbors)[0]
coherence = cache.reading("Comparing clusters with random vectors", one.clusters)[0]
charts.tokens(coherence_figure(coherence, neighbors.pieces), "coherence", prompt)

significant = coherence.significant
frame = coherence.to_frame()
shown = frame.assign(significant=significant, source=sources(prompt), neighbors=[", ".join(map(readable, row)) for row in neighbors.pieces])
title = f"{significant.sum()} of {count(prompt.length, 'token')} of {prompt.name} {'has' if significant.sum() == 1 else 'have'} coherent neighbors"
tables.heading(safe(title), frame, prompt.name, "coherence", "cosine", f"k{k}")
columns = ["position", "source", "neighbors", "coherence", "p", "q", "significant", "kind", "percentile", "coherence_merged", "p_merged", "variant_share"]
columns += ["p_isotropic", "p_mixtures", "p_rows", "p_initial"]
tables.tokens(shown, "coherence-table", prompt, columns, height=min(38 + 35 * len(shown), 738))
st.caption(
    f"Cosine, k = {k}. p compares with {one.settings.nulls:,} vectors drawn from the Gaussian with the vocabulary's mean and covariance (mean coherence "
    f"{coherence.null_mean:.3f}). q is p after Benjamini–Hochberg over the tokens; a token is significant if q ≤ {SIGNIFICANT_AT}. Merged: without "
    "neighbors that repeat a nearer one in another case or with another space. Variants: the share of pairs that are one word or share a stem. Kind: a "
    "significant token is semantic if it stays significant with variants merged, else lexical. The other p's use other null distributions; they are "
    "for context and decide nothing."
)

if prompt.length < 2:
    st.caption("Redundancy compares the tokens of a prompt; this one has a single token.")
    st.stop()
redundancy = cache.reading("Comparing redundancy with random rotations", one.redundancy)[0]
tables.heading("Do the tokens repeat each other?", redundancy.to_frame(), prompt.name, "redundancy", "cosine", f"k{k}")
facts, picture = st.columns([1, 2], gap="large")
with facts:
    st.metric("Mean Jaccard of neighbors", f"{redundancy.mean_jaccard:.3f}", help="Of two tokens: shared neighbors over all their neighbors; 0…1")
    st.metric("p against random rotations", f"{redundancy.p:.3f}", help="200 rotations of the whole prompt: they keep every angle between its tokens")
    shared = f"p against random rotations: {redundancy.p_shared_first:.3f}"
    st.metric("Share their nearest piece", f"{redundancy.shared_first:.0%}", help=shared)
    st.metric("Mean cosine between tokens", f"{redundancy.mean_cosine:.3f}")
    st.metric("Effective rank", f"{redundancy.effective_rank:.1f} of {prompt.length}", help="exp of the entropy of the squared singular values")
with picture:
    charts.tokens(redundancy_heatmap(redundancy), "redundancy", prompt, down=True)
st.caption(
    f"Cosine, k = {k}. Tokens may share neighbors because some pieces are near to everything. p asks whether they share more than the same prompt "
    "does after random rotations, which keep the angles between its tokens but not its words."
)
