"""How bad input is told on a page: the one place where an ExplorerError becomes visible."""

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from explorer.dashboard.access import without_paths
from explorer.dashboard.markdown import safe
from explorer.errors import ExplorerError

MENDED_BY = {"model": "start the app with the model to read them with"}
"""what to do on the dashboard, by the setting that an error names; other settings have a control on the
page
"""


def in_words(error: ExplorerError) -> str:
    """The message with what to do, safe for Markdown."""
    return hinted(str(error), error.setting)


def hinted(text: str, setting: str | None) -> str:
    """A text with what mends it, safe for Markdown, without folders of the server."""
    text = without_paths(text)
    return safe(f"{text} ({MENDED_BY[setting]})" if setting in MENDED_BY else text)


@contextmanager
def shown() -> Iterator[None]:
    """Show an ExplorerError where it happens and let the rest of the app live; anything else is a bug and is
    raised.
    """
    try:
        yield
    except ExplorerError as error:
        st.error(in_words(error), icon=":material/error:")
