"""What an address asked for and is not here: said, instead of something else shown in silence."""

from collections.abc import Collection

import streamlit as st

from explorer.choices import GROUPINGS, METRIC_CHOICES
from explorer.dashboard.controls import LARGEST_K
from explorer.dashboard.markdown import safe
from explorer.words.wording import printable

_LOST, _READ = "lost", "address read"
LONGEST, MOST = 60, 5
"""characters of what was asked for, and how many of a kind are named"""


def read(prompts: Collection[str]) -> None:
    """Look once a visit, before any control has put the address right, for what it asks for and the page
    cannot show; prompts: names there are.
    """
    if _READ in st.session_state:
        return
    st.session_state[_READ] = True
    st.session_state[_LOST] = _lost(prompts)


def say() -> None:
    """What was not found, until it is dismissed or another choice is made."""
    if lost := st.session_state.get(_LOST):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.warning("  \n".join(map(safe, lost)), icon=":material/link_off:")
            st.button("Dismiss", key="dismiss", on_click=forget, type="tertiary")


def forget() -> None:
    """The visitor knows now."""
    st.session_state[_LOST] = []


def _lost(prompts: Collection[str]) -> list[str]:
    asked = {
        key: [value for value in st.query_params.get_all(key) if value]
        for key in ("prompts", "metric", "by", "k", "token")
    }
    gone = [name for name in asked["prompts"] if name not in prompts]
    said = []
    if gone:
        more = f" and {len(gone) - MOST} more" if len(gone) > MOST else ""
        said.append(
            f"The address names {', '.join(map(_cut, gone[:MOST]))}{more}: not here. What is uploaded "
            "goes when its page is loaded anew."
        )
    for key, known in (("metric", METRIC_CHOICES), ("by", GROUPINGS)):
        said += [
            f"The address asks for the {_NAMES[key]} {_cut(value)}; there are {', '.join(known)}."
            for value in asked[key]
            if value not in known
        ]
    said += [
        f"The address asks for k = {_cut(value)}; it goes from 1 to {LARGEST_K}."
        for value in asked["k"]
        if not (value.isdecimal() and 1 <= int(value[:6]) <= LARGEST_K)
    ]
    return said + [
        f"The address asks for token {_cut(value)}; tokens are numbered from 0."
        for value in asked["token"]
        if not (value.isdecimal() or value == "none")
    ]


_NAMES = {"metric": "metric", "by": "grouping"}


def _cut(value: str) -> str:
    text = printable(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
