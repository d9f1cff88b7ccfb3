"""How the numbers of a page are computed: folded away below what they say."""

import streamlit as st


def computed(*said: str, key: str = "how") -> None:
    """Paragraphs in Markdown under "How this is computed", closed at first."""
    with st.expander("How this is computed", icon=":material/function:", key=key):
        for paragraph in said:
            st.caption(paragraph)
