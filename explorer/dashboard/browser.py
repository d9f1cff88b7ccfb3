"""What every page asks of the browser, in one component that shows nothing.

*Back* goes back one page: what changes in the address of a page replaces its entry in the history. Streamlit
adds an entry whenever the server rewrites the query of the address (1.67: `handlePageInfoChanged`), so that
*Back* seemed to do nothing.

The scripts that draw charts and tables, up to 5 MB each, are fetched while the server reads the prompts:
Streamlit fetches each of them only when the first chart or table is sent.
"""

import streamlit as st

from explorer.dashboard import streamlit_internals

_PREPARED = """
export default function ({ data }) {
    if (window.prepared) return;
    window.prepared = true;
    const push = window.history.pushState.bind(window.history);
    window.history.pushState = (state, title, address) => {
        const here = new URL(window.location.href), there = new URL(address ?? "", here);
        if (there.pathname === here.pathname) window.history.replaceState(state, title, address);
        else push(state, title, address);
    };
    const beside = document.querySelector("script[type=module][src]").src;
    for (const name of data) import(new URL(name, beside)).catch(() => {});
}
"""
_prepared = st.components.v2.component("prepared", js=_PREPARED)


def prepare() -> None:
    """Call in every run; the browser does it once."""
    _prepared(key="prepared", data=script_names())


@st.cache_resource(show_spinner=False)
def script_names() -> list[str]:
    """Of the large scripts."""
    return streamlit_internals.script_names()
