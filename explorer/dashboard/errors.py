"""How bad input is told on a page: the one place where an ExplorerError becomes visible."""

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from explorer.dashboard.markdown import safe
from explorer.errors import ExplorerError


@contextmanager
def shown() -> Iterator[None]:
    """Show an ExplorerError where it happens and let the rest of the app live; anything else is a bug and is raised."""
    try:
        yield
    except ExplorerError as error:
        st.error(safe(error), icon=":material/error:")
