"""The frozen model in memory: what it takes, what is odd about it, and how to unload it."""

import streamlit as st

from explorer.dashboard import cache, errors
from explorer.dashboard.markdown import safe
from explorer.session import Session


def footer(session: Session) -> None:
    """One line at the end of a page; the model is not loaded for it."""
    left, right = st.columns([4, 1], vertical_alignment="center")
    model = cache.loader().in_memory(session.vocabulary.name)
    if model is None:
        left.caption("The frozen model is not in memory; the next question loads it.")
        return
    for doubt in model.templated(session.template).doubts:
        st.warning(errors.hinted(f"{model.name}: {doubt}", None), icon=":material/help:")
    left.caption(
        f"The frozen model takes {model.memory / 2**20:,.0f} MB on {safe(model.device)}, once for all "
        "visitors."
    )
    right.button(
        "Unload it",
        on_click=cache.loader().unload,
        icon=":material/eject:",
        help="Frees the memory; the next question loads it again.",
    )
