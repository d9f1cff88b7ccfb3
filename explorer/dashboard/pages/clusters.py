"""Do a token's neighbors belong together, more than those of a random vector? Do tokens repeat each other?"""

import streamlit as st

from explorer.analysis.nulls import SIGNIFICANT_AT
from explorer.dashboard import cached, charts, choice, controls, focus, tables
from explorer.dashboard.markdown import safe
from explorer.figures import coherence_figure, readable, redundancy_heatmap

st.title("Clusters", anchor=False)
st.markdown("Do a token's neighbors belong together, more than those of a random vector? Do tokens repeat each other?")
chosen, vocabulary = choice.readable()
opened = focus.opened(chosen)
focus.panel(opened, vocabulary, "clusters")
k = controls.k(2)

neighbors = cached.neighbors(opened, vocabulary, k, "cosine")
coherence = cached.coherence(opened, vocabulary, k)
charts.tokens(coherence_figure(coherence, neighbors.pieces), "coherence", opened)

called = coherence.called
frame = coherence.to_frame()
shown = frame.assign(called=called, source=tables.sources(opened), neighbors=[", ".join(readable(piece) for piece in row) for row in neighbors.pieces])
tables.heading(safe(f"{called.sum()} of {len(called)} tokens of {opened.name} have coherent neighbors"), frame, opened.name, "coherence", "cosine", f"k{k}")
columns = ["position", "source", "called", "kind", "coherence", "percentile", "p", "q", "coherence_merged", "p_merged", "variant_share"]
columns += ["p_isotropic", "p_mixtures", "p_rows", "p_initial", "neighbors"]
tables.tokens(shown, "coherence-table", opened, columns, height=min(38 + 35 * len(shown), 738))
st.caption(
    f"Cosine, k = {k}. p compares with {cached.NULLS:,} vectors drawn from the Gaussian with the vocabulary's mean and covariance (mean coherence "
    f"{coherence.null_mean:.3f}); q is p after Benjamini–Hochberg over the tokens, and called means q ≤ {SIGNIFICANT_AT}. Merged leaves out pieces that are "
    "a nearer one but for case or space; variants is the share of pairs that are one word or share a stem. Kind: a called token is semantic if it stays "
    "called with variants merged, else lexical. The other p's compare with other nulls, for context; none of them decides."
)

if opened.prompt.length < 2:
    st.caption("Redundancy compares the tokens of a prompt; this one has a single token.")
    st.stop()
redundancy = cached.redundancy(opened, vocabulary, k)
tables.heading("Do the tokens repeat each other?", redundancy.to_frame(), opened.name, "redundancy", "cosine", f"k{k}")
facts, picture = st.columns([1, 2], gap="large")
with facts:
    st.metric("Mean Jaccard of neighbors", f"{redundancy.mean_jaccard:.3f}", help="Of two tokens: shared neighbors over all their neighbors; 0…1")
    st.metric("p against random rotations", f"{redundancy.p:.3f}", help="200 rotations of the whole prompt: they keep every angle between its tokens")
    shared = f"p against random rotations: {redundancy.p_shared_first:.3f}"
    st.metric("Share their nearest piece", f"{redundancy.shared_first:.0%}", help=shared)
    st.metric("Mean cosine between tokens", f"{redundancy.mean_cosine:.3f}")
    st.metric("Effective rank", f"{redundancy.effective_rank:.1f} of {opened.prompt.length}", help="exp of the entropy of the squared singular values")
with picture:
    charts.tokens(redundancy_heatmap(redundancy), "redundancy", opened, down=True)
st.caption(
    f"Cosine, k = {k}. Tokens may share neighbors because some pieces are near to everything; p asks whether they share more than the same prompt "
    "does after random rotations, which keep the angles between its tokens and lose its words."
)
