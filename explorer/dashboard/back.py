"""*Back* in the browser goes back one page: what changes in the address of a page replaces its entry in the history.

Streamlit adds an entry whenever the server rewrites the query of the address (1.67: `handlePageInfoChanged`), so that *Back* seemed to do nothing.
"""

import streamlit as st

_ONE_ENTRY_A_PAGE = """
export default function () {
    if (window.history.oneEntryAPage) return;
    window.history.oneEntryAPage = true;
    const push = window.history.pushState.bind(window.history);
    window.history.pushState = (state, title, address) => {
        const here = new URL(window.location.href), there = new URL(address ?? "", here);
        if (there.pathname === here.pathname) window.history.replaceState(state, title, address);
        else push(state, title, address);
    };
}
"""
_history = st.components.v2.component("history", js=_ONE_ENTRY_A_PAGE)


def one_entry_a_page() -> None:
    """Call once in every run; the browser keeps to it from then on."""
    _history(key="history")
