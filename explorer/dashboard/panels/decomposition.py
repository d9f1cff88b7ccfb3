"""A prompt's tokens as sums of few words."""

import streamlit as st

from explorer.dashboard import cache, controls, tables
from explorer.dashboard.markdown import safe
from explorer.report.tables import sources
from explorer.session import Session

LARGEST = 20
"""words of a token"""


def show(session: Session) -> None:
    """What each token of the session's one prompt is made of, how much that explains, and what chance
    would.
    """
    (prompt,) = session.prompts
    controls.from_address("words", 1, LARGEST)
    words = st.number_input(
        "Words of a token, at most", 1, LARGEST, 5, key="words", bind="query-params", width=190
    )
    found = cache.reading("Looking for the words that a token is made of", session.decompose, words)[0]
    st.markdown(f"**{safe(found.conclusion)}**")
    frame = found.to_frame()
    tables.heading("Sums of words", frame, prompt.name, "decomposition", f"{words}-words")
    shown = frame.groupby("position", as_index=False).agg(energy=("energy", "last"), p=("p", "last"))
    texts, began = found.sums(), sources(prompt)
    shown = shown.assign(
        source=[began[position] for position in shown["position"]],
        sum=[texts[position] for position in shown["position"]],
    )
    more = {
        "sum": st.column_config.TextColumn("Weight × word", width="large"),
        "energy": st.column_config.NumberColumn("Energy", format="%.2f"),
    }
    tables.tokens(shown, "decomposition-table", prompt, ["position", "source", "sum", "energy", "p"], more)
    st.caption(
        "Matching pursuit with weights of 0 or more. Energy: the share of a token's squared length "
        "that its words explain; p compares with that of vectors "
        "drawn from the vocabulary's Gaussian, which any few words explain in part."
    )
