"""The dashboard: `streamlit run app.py`. Sets up the page, draws the shared choice of prompts, and runs the
page asked for.

The file is read twice: once by the server, which takes `app` and its guards from here, and then as a script,
once for each run of a page.
"""

import streamlit as st

from explorer.dashboard import browser, heap, preload, server
from explorer.dashboard.access import read_only
from explorer.dashboard.streamlit_internals import is_page
from explorer.system.files import PACKAGE

PAGES = PACKAGE / "dashboard" / "pages"
"""an absolute path: in an installed package this file lies elsewhere"""

ICON = (
    '<svg viewBox="0 0 32 32"><circle cx="16" cy="16" r="14" fill="#fff" stroke="#0065a3" stroke-width="3"/>'
    '<path d="m16 5 4 11h-8z" fill="#d55e00"/><path d="m16 27 4-11h-8z" fill="#0065a3"/></svg>'
)
"""a compass; as an emoji it would take the server a sixth of a second to look up"""

READING = {
    "Look inside": [
        ("prompts", "Prompts", "list_alt"),
        ("neighbors", "Neighbors", "near_me"),
        ("clusters", "Clusters", "workspaces"),
        ("labels", "Class labels", "label"),
        ("map", "Map", "scatter_plot"),
        ("training", "Training", "timeline"),
        ("words", "Words", "search"),
    ],
    "Side by side": [("compare", "Compare", "compare_arrows"), ("shift", "Domain shift", "alt_route")],
}
RUNNING = {
    "Run": [
        ("playground", "Playground", "play_circle"),
        ("faithfulness", "Faithfulness", "fact_check"),
        ("ensemble", "Ensemble", "how_to_vote"),
    ]
}
"""pages that need the model"""


def page(name: str, title: str, icon: str) -> "st.Page":
    """A page of its own address; the first is at the root too."""
    first = name == "prompts"
    return st.Page(
        PAGES / f"{name}.py",
        title=title,
        icon=f":material/{icon}:",
        url_path="start" if first else name,
        default=first,
    )


def run() -> None:
    """One run of a page."""
    st.set_page_config(
        page_title="Soft Prompt Explorer", page_icon=ICON, layout="wide", initial_sidebar_state=340
    )
    sections = READING if read_only() else READING | RUNNING
    shown = {section: [page(*known) for known in pages] for section, pages in sections.items()}
    # the first page is at the root alone: links to /prompts lead to this one
    hidden = st.Page(PAGES / "prompts.py", title="Prompts", url_path="prompts", visibility="hidden")
    asked = st.navigation([*(one for pages in shown.values() for one in pages), hidden], position="hidden")
    with st.sidebar:
        choosing = st.container()  # stands above the pages, and comes after them: it takes longer
        for section, pages in shown.items():
            with st.container(gap="xxsmall"):
                st.markdown(f"**{section}**")
                for one in pages:
                    st.page_link(one)
        drawing = st.container()
        browser.prepare()  # at the end: it shows nothing, but takes the room between two things

    from explorer.dashboard import (
        charts,
        choice,
        errors,
    )  # they take most of a second; the navigation is on the screen by now

    preload.start(with_model=not read_only())
    with errors.shown():
        with choosing:
            choice.sidebar()
        with drawing:
            charts.sidebar()
        asked.run()


app = st.App(__file__, middleware=server.middleware())
heap.bound()
if is_page():
    run()
