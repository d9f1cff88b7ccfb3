"""What later pages need, fetched and imported while nobody waits for it: modules by the server, the scripts of charts and tables by the browser."""

import threading
import time
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import streamlit as st
from streamlit import file_util

from explorer.dashboard import heap

HEAD_START = 5.0
"""seconds that the first page has to itself"""
READING = ("scipy.optimize", "scipy.spatial", "plotly.graph_objects")
"""what pages without the model need"""
RUNNING = ("torch", "transformers", "explorer.evaluation.scoring", "explorer.evaluation.attribution", "explorer.evaluation.faithfulness")
"""what pages with the model need"""

SCRIPTS = ("PlotlyChart", "DataFrame")
"""what draws charts and tables: Streamlit fetches each of them, up to 5 MB, only when the first chart or table is sent"""
_FETCH = """
export default function ({ data }) {
    if (window.scriptsFetched) return;
    window.scriptsFetched = true;
    const beside = document.querySelector("script[type=module][src]").src;
    for (const name of data) import(new URL(name, beside)).catch(() => {});
}
"""
_scripts = st.components.v2.component("scripts", js=_FETCH)


def scripts() -> None:
    """Call once in every run: the browser fetches the scripts while the server reads the prompts."""
    _scripts(key="scripts", data=_names())


@st.cache_resource(show_spinner=False)
def _names() -> list[str]:
    """The names of the files, which change with every version of Streamlit."""
    folder = Path(file_util.get_static_dir()) / "static" / "js"
    return [file.name for script in SCRIPTS for file in folder.glob(f"{script}.*.js")]


@st.cache_resource(show_spinner=False)
def start(with_model: bool) -> threading.Thread:
    """Begin importing in a thread of its own, once for all sessions."""
    thread = threading.Thread(target=_import, args=(READING + RUNNING * with_model,), name="imports ahead", daemon=True)
    thread.start()
    return thread


def _import(names: tuple[str, ...]) -> None:
    time.sleep(HEAD_START)
    for name in names:
        with suppress(ImportError, OSError):  # whoever needs it will say what is missing
            import_module(name)
    heap.settle()
