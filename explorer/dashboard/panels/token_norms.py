"""How long the tokens are, as the first page shows it."""

import streamlit as st

from explorer.dashboard import cache, charts, tables
from explorer.dashboard.markdown import model_name, safe
from explorer.figures import norm_figure
from explorer.session import Session


def show(session: Session) -> None:
    """The norms of the session's prompts against those of the vocabulary."""
    vocabulary, norms = session.vocabulary, cache.reading("Measuring norms", session.norms)
    tables.heading(
        "Norms of the chosen prompts",
        norms.to_frame(),
        *(prompt.name for prompt in session.prompts[:3]),
        "norms",
    )
    for name, sentence in norms.conclusions.items():
        st.markdown(f"{safe(name)}: **{safe(sentence)}**")
    charts.show(norm_figure(norms), "norms")
    st.caption(
        f"Length of a token over the median length of {model_name(vocabulary.name)}'s "
        f"{len(vocabulary.searchable_ids):,} pieces (dotted line: 1). Hollow "
        "marks: before training, where that was saved. Cosine ignores length: a token many times as "
        "long as any word is not a word, however near it is."
    )
