"""Imports that later pages need, done while the first page is read, so that no click waits for them."""

import threading
import time
from contextlib import suppress
from importlib import import_module

import streamlit as st

from explorer.dashboard import heap, server

HEAD_START = 5.0
"""seconds that the first page has to itself"""
READING = ("scipy.optimize", "scipy.spatial", "plotly.graph_objects")
"""what pages without the model need"""
RUNNING = (
    "torch",
    "transformers",
    "explorer.evaluation.scoring",
    "explorer.evaluation.attribution",
    "explorer.evaluation.faithfulness",
)
"""what pages with the model need"""


@st.cache_resource(show_spinner=False)
def start(with_model: bool) -> threading.Thread:
    """Begin importing in a thread of its own, once for all sessions."""
    thread = threading.Thread(
        target=_import, args=(READING + RUNNING * with_model,), name="imports ahead", daemon=True
    )
    thread.start()
    return thread


def _import(names: tuple[str, ...]) -> None:
    time.sleep(HEAD_START)
    for name in names:
        with suppress(ImportError, OSError):  # whoever needs it will say what is missing
            import_module(name)
    if server.serves():
        heap.settle()
