"""Does a token lie among words that belong together, more than a random vector? Do tokens repeat each
other?
"""

import streamlit as st

from explorer.analysis.nulls import SIGNIFICANT_AT
from explorer.dashboard import cache, charts, choice, controls, focus, tables
from explorer.dashboard.markdown import safe
from explorer.dashboard.panels import how
from explorer.figures import clusters_figure, redundancy_heatmap
from explorer.report.tables import group_words, sources

GROUPS_TOLD = 6  # significant tokens whose words stand above the picture

st.title("Clusters", anchor=False)
session = choice.session()
prompt = focus.prompt(session)
focus.panel(session, "clusters")
k = controls.k(2)

one = session.only(prompt.name).change(k=k)
found = cache.reading("Comparing with random vectors and rotations", one.clusters)[0]
st.markdown(f"**{safe(found.conclusion)}**")
for position in found.significant.nonzero()[0][:GROUPS_TOLD]:
    st.markdown(
        f"- Token {position}: "
        + " ".join(f":blue-background[{safe(word)}]" for word in found.groups[position])
    )
charts.tokens(clusters_figure(found), "clusters", prompt)

frame = found.to_frame()
shown = frame.assign(
    significant=found.significant,
    source=sources(prompt),
    group_words=group_words(found),
)
tables.heading(safe(f"Every token of {prompt.name} and its group"), frame, prompt.name, "clusters", f"k{k}")
columns = ["position", "source", "group_words", "statistic", "q", "significant"]
rest = [
    *("p", "kind", "group_variants", "coherence", "percentile", "coherence_merged"),
    *("variant_share", "p_isotropic", "p_mixtures", "p_rows", "p_initial"),
]
tables.tokens(shown, "clusters-table", prompt, columns, rest=rest, height=min(38 + 35 * len(shown), 738))
said = [
    "Group: the five words nearest to a token in the whitened space, where every direction of the "
    "vocabulary has the same energy. Nearness: the mean, over "
    "pairs of these words, of the cosine of each to the token times the cosine between the two. "
    f"p compares with {len(found.null):,} vectors drawn from the vocabulary's Gaussian; q is p after "
    "Benjamini–Hochberg over the tokens, significant where "
    f"q ≤ {SIGNIFICANT_AT}. Kind: lexical where half of the group's pairs or more are forms of one "
    "word, semantic where at most a fifth are, else mixed. "
    f"Coherence, the mean cosine among the {k} nearest pieces, is a description; percentile: of "
    "random words. The p of other null distributions decide nothing."
]
if prompt.length < 2:
    st.caption("Redundancy compares the tokens of a prompt; this one has a single token.")
    how.computed(*said)
    st.stop()
redundancy = cache.reading("Comparing redundancy with independent tokens", one.redundancy)[0]
tables.heading(
    "Do the tokens repeat each other?", redundancy.to_frame(), prompt.name, "redundancy", "cosine", f"k{k}"
)
st.markdown(f"**{safe(redundancy.conclusion)}**")
facts, picture = st.columns([1, 2], gap="large")
with facts:
    st.metric(
        "Mean Jaccard of neighbors",
        f"{redundancy.mean_jaccard:.3f}",
        help="Of two tokens: shared neighbors over all their neighbors; 0…1",
    )
    against = (
        f"{len(redundancy.null)} prompts of independent tokens, each as near to a word as one of this "
        "prompt's is, but to another word"
    )
    st.metric("p against independent tokens", f"{redundancy.p:.3f}", help=against)
    shared = (
        f"p against independent tokens: {redundancy.p_shared_first:.3f}; no verdict, since mostly no "
        "two tokens share one"
    )
    st.metric("Share their nearest piece", f"{redundancy.shared_first:.0%}", help=shared)
    st.metric("Mean cosine between tokens", f"{redundancy.mean_cosine:.3f}")
    st.metric(
        "Effective rank",
        f"{redundancy.effective_rank:.1f} of {prompt.length}",
        help="exp of the entropy of the squared singular values",
    )
with picture:
    charts.tokens(redundancy_heatmap(redundancy), "redundancy", prompt, down=True)
how.computed(
    *said,
    f"Redundancy: cosine, k = {k}. Tokens may share neighbors because some pieces are near to "
    "everything. p asks whether they share more than independent "
    "tokens do that are as near to words, but to other words about as frequent. Effective rank: how "
    "many directions the tokens spread over.",
)
