"""What the model reads of a text: the template around it, and where its pieces begin and end."""

import streamlit as st

from explorer.dashboard import cache
from explorer.dashboard.markdown import safe
from explorer.errors import DataError
from explorer.models.templates import LONGEST_TEMPLATE
from explorer.session import Session
from explorer.words.pieces import Mark, spaced


def templated(session: Session) -> Session:
    """The session with the template that the visitor gives, where its model has one. What cannot be used is
    said, and ends the page: nothing is answered with another.
    """
    if not session.verbalizes:
        return session
    mixed = False
    try:
        usual = session.template
    except DataError as error:  # prompts of different templates
        st.warning(safe(f"{error}"), icon=":material/data_object:")
        usual, mixed = session.only(session.prompts[0].name).template, True
    given = st.text_input(
        "Template: what the model reads for a text",
        usual.replace("\n", "\\n"),
        key="template",
        max_chars=LONGEST_TEMPLATE,
        help=(
            "{text} stands for the text, \\n for a new line; the answer follows. chat: the chat model's "
            "own template"
        ),
    )
    wanted = (given or "").replace("\\n", "\n")
    try:
        changed = session.change(template=wanted)
        changed = session if changed.template == usual and not mixed else changed
    except DataError as error:
        st.error(safe(str(error)), icon=":material/error:")
        st.stop()
    said(changed)
    return changed


def said(session: Session) -> None:
    """Which template texts are read in, and how it is known, where there is one."""
    if (words := session.template_in_words) is not None:
        st.caption(safe(f"{words[0].upper()}{words[1:]}."))


def show(session: Session, text: str) -> None:
    """The pieces of a text one by one, as the model reads them behind the prompt."""
    pieces = cache.reading("Reading the tokenizer", session.pieces_read, text)
    st.markdown(" ".join(f":gray-badge[{safe(_shown(piece, session.vocabulary.mark))}]" for piece in pieces))
    st.caption(
        f"{len(pieces)} pieces behind the prompt's {session.prompts[0].length} tokens; ␣ is a space "
        "before a word, ⏎ a new line."
    )


def _shown(piece: str, mark: Mark) -> str:
    """A piece with signs for its spaces and line breaks."""
    return spaced(piece, mark).replace(" ", "␣").replace("\n", "⏎")
