"""The labelled texts a page runs the model on: the examples that ship, or a visitor's own file."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import streamlit as st

from explorer.dashboard import cache
from explorer.dashboard.markdown import safe
from explorer.dashboard.panels import model_input
from explorer.readings.made import MayBeKept
from explorer.session import Session
from explorer.texts.tasks import Task
from explorer.words.wording import count

T = TypeVar("T")


def labelled(labels: tuple[str, ...]) -> Task:
    """The chosen texts of these labels; stops the page where there are none yet."""
    offered = fitting(labels)
    left, right = st.columns([1, 2], vertical_alignment="bottom")
    domain = left.selectbox(
        "Texts", offered, format_func=str.capitalize, key="texts", placeholder="No examples of this task"
    )
    upload = right.file_uploader(
        "or your own: TSV, CSV or JSONL with text and label",
        ["tsv", "csv", "jsonl"],
        max_upload_size=1,
        key="labelled",
    )
    if upload is None and domain is None:
        st.info(
            "There are no example texts of this task; give labelled ones above.",
            icon=":material/upload_file:",
        )
        st.stop()
    task = (
        cache.examples(domain) if upload is None else cache.uploaded(upload.name, upload.getvalue(), labels)
    )
    for note in task.notes:
        st.caption(safe(note))
    return task


def fitting(labels: tuple[str, ...]) -> list[str]:
    """Domains of example texts that have no other labels."""
    return [domain for domain in cache.domains() if set(cache.examples(domain).labels) <= set(labels)]


def kept(session: Session, reading: MayBeKept, *given: Task | str) -> None:
    """Says so where a reading was computed before and nothing was run for it, and where the model does not
    read the texts whole.
    """
    cut(session, [text for one in given for text in ((one,) if isinstance(one, str) else one.texts)])
    if session.kept(reading, *given):
        st.caption(
            "Computed beforehand for this very model, these prompts and these texts; nothing was run "
            "just now."
        )


def taken(session: Session, reading: MayBeKept, given: Sequence[Task], make: Callable[[], T]) -> T:
    """make(), at once where that was computed beforehand and nothing is run; else when a visitor asks for it
    with a button, which another one stops.

    Ends the page until then.
    """
    model_input.said(session)
    if session.kept(reading, *given):
        return make()
    key, asked = f"run-{reading}", (session.prompts, tuple(given))
    place = st.empty()
    if st.session_state.get(key) != asked:
        texts = sum(map(len, given))
        with place.container(horizontal=True, vertical_alignment="center"):
            pressed = st.button(
                f"Run: {count(len(session.prompts), 'prompt')} on {count(texts, 'text')}",
                icon=":material/play_arrow:",
            )
            st.markdown("The model has not answered these texts with these prompts yet.")
        if not pressed:
            st.stop()
        st.session_state[key] = asked
    with place.container():
        st.button(
            "Stop",
            icon=":material/stop:",
            on_click=st.session_state.pop,
            args=(key, None),
            key=f"stop-{reading}",
        )
    made = make()
    place.empty()
    return made


def cut(session: Session, given: Sequence[str]) -> None:
    """Says how many texts are too long for the model and are read in part."""
    if (said := session.cut(given)) is not None:
        st.caption(f"{said}; what follows a cut is not read.")
