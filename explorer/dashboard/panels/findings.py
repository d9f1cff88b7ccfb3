"""What the chosen prompts learned and what they read as: one card each, the first thing on the first page."""

import streamlit as st

from explorer.dashboard import cache, charts
from explorer.dashboard.markdown import safe
from explorer.figures import map_figure, sketched
from explorer.report.findings import Finding, NearWord, findings
from explorer.session import Session

IN_A_ROW = 3
SMALL = 860, 300
"""pixels of the map"""
STRONG = 0.5
"""cosine from which a word is shown strongest"""


def cards(session: Session) -> None:
    """A card for each prompt, three in a row."""
    found = cache.reading("Comparing with random vectors and rotations", findings, session)
    for start in range(0, len(found), IN_A_ROW):
        for column, one in zip(st.columns(IN_A_ROW), found[start : start + IN_A_ROW], strict=False):
            with column.container(border=True, height="stretch"):
                _card(one)


def _card(one: Finding) -> None:
    st.markdown(f":small[{safe(one.prompt)}]")
    st.markdown(f"**{safe(one.conclusion)}**")
    if one.accuracy is not None:
        over = None if one.gain is None else f"{100 * one.gain:+.1f} points over no prompt"
        st.metric("Accuracy on dev", f"{one.accuracy:.1%}", over)
        known = {"before training": one.start, "no prompt": one.without_prompt}
        told = ", ".join(f"{name} {share:.1%}" for name, share in known.items() if share is not None)
        st.markdown(f":small[{told}]")
    st.markdown(
        f"{one.grouped_in_words}: {' '.join(map(_chip, one.words))}"
        if one.words
        else f"{one.grouped_in_words}."
    )


def _chip(near: NearWord) -> str:
    """A word, the stronger the surer: significant and near, significant, neither."""
    look = (
        ("blue-badge" if near.cosine >= STRONG else "blue-background") if near.grouped else "gray-background"
    )
    return f":{look}[{safe(near.word)}]"


def small_map(session: Session) -> None:
    """The map of the prompts, to look at; its page has the rest. One that would have to be fitted first waits
    to be asked for.
    """
    if not session.map_is_kept and not st.button(
        "Draw the map",
        icon=":material/map:",
        help="Fitted once for this model and then kept; takes some minutes",
    ):
        return
    places = cache.reading("Placing the prompts on the map", session.map, False, False)
    figure = sketched(
        map_figure(places.map, session.vocabulary, places.placements, told=True, pixels=SMALL), SMALL
    )
    figure.update_layout(height=400, title_text="", dragmode=False)
    charts.show(figure, "small-map", buttons=False)
