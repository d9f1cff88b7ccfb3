"""A report to take along: what `python -m explorer report` writes, as one zip."""

import io
import os
import zipfile

import streamlit as st

from explorer.dashboard.cached import NULLS, Opened
from explorer.dashboard.markdown import count, slug
from explorer.vocabulary import Vocabulary

DATE = (1980, 1, 1, 0, 0, 0)
"""of every member: the same reading makes the same zip, but for the time that `report.json` and the page tell"""
MOST = 30  # prompts, some seconds each


def section(chosen: tuple[Opened, ...], vocabulary: Vocabulary, k: int = 10) -> None:
    """Makes a report of the chosen prompts when asked, then offers it for download."""
    st.subheader("A report to share", anchor=False)
    st.markdown(
        "Every table as CSV, one page with every plot that opens without a network, and `report.json`: versions, seeds, fingerprints and the command "
        "that makes each table again. What the shell writes with `python -m explorer report`."
    )
    asked = (tuple((one.name, one.state) for one in chosen), vocabulary.fingerprint, k)
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("Make the report", icon=":material/summarize:", disabled=len(chosen) > MOST):
            st.session_state["report"] = asked, _made(chosen, vocabulary, k)
        ready, content = st.session_state.get("report", (None, b""))
        if ready == asked:
            name = f"{slug(*(one.name for one in chosen[:3]), 'report')}.zip"
            st.download_button("Report (zip)", content, name, "application/zip", on_click="ignore", icon=":material/download:")
    if len(chosen) > MOST:
        st.caption(f"{count(len(chosen), 'prompt')} are chosen; at most {MOST} here: use `python -m explorer report`.")


def _made(chosen: tuple[Opened, ...], vocabulary: Vocabulary, k: int) -> bytes:
    """The zip. A prompt is called by its name, which its commands find from the folder of prompts; those of an uploaded one only where the file is."""
    from explorer.report.bundle import Settings, bundle

    settings = Settings(k=k, nulls=NULLS, model=os.environ.get("EXPLORER_MODEL"))
    with st.status(f"Reading {count(len(chosen), 'prompt')}: some seconds each") as status:
        files = bundle([one.prompt for one in chosen], [one.name for one in chosen], vocabulary, settings, progress=lambda said: status.update(label=said))
        status.update(label="The report is ready", state="complete")
    return zipped(files)


def zipped(files: dict[str, bytes]) -> bytes:
    """A zip of files by name, in their order."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(f"report/{name}", DATE), data, zipfile.ZIP_DEFLATED)
    return content.getvalue()
