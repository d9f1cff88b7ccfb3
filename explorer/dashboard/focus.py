"""The token in focus: chosen in the sidebar, in a chart or in a table, marked on every page. The address
holds it.
"""

from collections.abc import Sequence

import streamlit as st

from explorer.dashboard import cache
from explorer.dashboard.limits import MOST_TOKENS
from explorer.dashboard.markdown import safe
from explorer.formats.names import number_of
from explorer.prompt import SoftPrompt
from explorer.report.tables import sources
from explorer.session import Session
from explorer.system.files import PACKAGE
from explorer.words.pieces import readable

PROMPT, TOKEN = "prompt", "token"
NONE = "none"
PAGES_FOLDER = PACKAGE / "dashboard" / "pages"


def sidebar(chosen: Sequence[SoftPrompt]) -> None:
    """Which of the chosen prompts is shown in detail, and which of its tokens is marked."""
    if not chosen:
        return
    names = [prompt.name for prompt in chosen]
    name = st.selectbox(
        "In detail",
        names,
        key=PROMPT,
        bind="query-params",
        help="The prompt that pages about one prompt show.",
    )
    shown = chosen[names.index(name)] if name in names else chosen[0]
    positions = [NONE, *map(str, range(min(shown.length, MOST_TOKENS)))]
    st.selectbox(
        "Token in focus",
        positions,
        key=TOKEN,
        bind="query-params",
        help="Marked on every page. A click in a chart or table chooses it too.",
    )


def prompt(session: Session) -> SoftPrompt:
    """The prompt in detail; the first of the session's when it is not among them."""
    return next(
        (one for one in session.prompts if one.name == st.session_state.get(PROMPT)), session.prompts[0]
    )


def position(one: SoftPrompt) -> int | None:
    """The position of the token in focus, if it is one of this prompt's."""
    token = number_of(str(st.session_state.get(TOKEN, NONE)))
    if st.session_state.get(PROMPT, one.name) != one.name or token is None or token >= one.length:
        return None
    return token


def choose(name: str, token: int | None) -> None:
    """Put a token into focus; to be called before the sidebar is drawn, from a callback."""
    st.session_state[PROMPT], st.session_state[TOKEN] = name, NONE if token is None else str(token)


PAGES = {
    "neighbors": ("Neighbors", ":material/near_me:"),
    "clusters": ("Clusters", ":material/workspaces:"),
    "labels": ("Class labels", ":material/label:"),
    "map": ("Map", ":material/scatter_plot:"),
    "training": ("Training", ":material/timeline:"),
}
"""that show a token in focus"""


def panel(session: Session, here: str) -> None:
    """The token in focus in one line, and the way to it on the other pages; nothing when it is none of the
    prompt in detail.
    """
    one = prompt(session)
    token = position(one)
    if token is None:
        return
    found = cache.reading("Searching the neighbors", session.only(one.name).neighbors)[0]
    began = f", began as {safe(sources(one)[token])}" if one.origin.rows else ""
    words = safe(", ".join(readable(piece, found.mark) for piece in found.pieces[token][:5]))
    near = (
        f"Nearest by cosine: {words} ({found.similarity[token, 0]:.2f}, q {found.q[token, 0]:.3f})"
        if any(found.pieces[token])
        else "It is zero: nothing is near"
    )
    with st.container(border=True):
        st.markdown(f"**Token {token}** of {safe(one.name)}{began}. {near}.")
        with st.container(horizontal=True, vertical_alignment="center"):
            for page, (title, icon) in PAGES.items():
                if page != here:
                    st.page_link(str(PAGES_FOLDER / f"{page}.py"), label=title, icon=icon)
            st.button(
                "Clear focus",
                on_click=choose,
                args=(one.name, None),
                icon=":material/close:",
                type="tertiary",
                key="out-of-focus",
            )
