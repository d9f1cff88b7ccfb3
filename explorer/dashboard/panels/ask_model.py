"""A text typed beside the map: which tokens each prompt's answer rests on."""

from typing import TYPE_CHECKING

import streamlit as st

from explorer.cached import cached
from explorer.dashboard import cache
from explorer.dashboard.markdown import safe
from explorer.dashboard.panels import model_input
from explorer.session import Session
from explorer.words.wording import count

if TYPE_CHECKING:
    from explorer.evaluation.attribution import LeftOut

LONGEST = 2000  # characters of a text
KEPT = "map asked"
"""the text, while other pages are read: Streamlit forgets what was typed on a page that is left"""

OPEN = "ask-open"


def text() -> str:
    """The text that was asked about; empty for none."""
    with (
        st.popover("Ask the model", icon=":material/chat:", key=OPEN, on_change="rerun"),
        st.form("ask-map", border=False),
    ):
        kept = st.session_state.get(KEPT, "")
        typed = st.text_area(
            "A text",
            kept,
            key="map-text",
            max_chars=LONGEST,
            help="Tokens grow with how much the answer changes without them",
        )
        st.form_submit_button("Answer", icon=":material/play_arrow:", on_click=_close)
    st.session_state[KEPT] = typed or ""
    return st.session_state[KEPT].strip()


def _close() -> None:
    """The answers stand in the panel, which the open form would cover."""
    st.session_state[OPEN] = False


def answers(session: Session, text: str) -> "dict[str, LeftOut]":
    """What each prompt that records labels answers, and what leaving out each of its tokens does; says which
    prompt is asked and what was answered.
    """
    asked = [prompt.name for prompt in session.prompts if prompt.origin.labels] if text else []
    if not asked:
        return {}
    model_input.said(session.only(asked[0]))
    with st.empty():
        found = {}
        for number, name in enumerate(asked):
            st.progress(
                number / len(asked),
                f"Prompt {number + 1} of {len(asked)}" + (": the model is read first" if number == 0 else ""),
            )
            found[name] = _left_out(session.only(name), text)
        with st.container():
            for name, one in found.items():
                st.caption(
                    safe(
                        f"{name}: **{one.answer}** ({one.probability:.0%}), most moved by token "
                        f"{abs(one.leave_one_out).argmax()}"
                    ).replace(r"\*\*", "**")
                )
            st.caption(
                "The larger one of the "
                f"{count(sum(len(one.leave_one_out) for one in found.values()), 'token')}, the more "
                "its masking changes the answer."
            )
    return found


def _left_out(session: Session, text: str) -> "LeftOut":
    from explorer.evaluation.attribution import left_out

    (prompt,) = session.prompts
    labels = session.class_labels

    def make() -> "LeftOut":
        model = session.model
        cache.tell(f"{model.name} answers")
        return left_out(model, session.vocabulary, prompt, text, labels)

    return cached(session.vocabulary, ("left out", prompt, text, labels, session.template), make)
