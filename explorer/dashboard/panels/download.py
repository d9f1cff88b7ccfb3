"""A report to take along: what `python -m explorer report` writes, as one zip."""

import io
import zipfile

import streamlit as st

from explorer.dashboard import cache
from explorer.dashboard.access import folders, without_roots
from explorer.dashboard.markdown import safe, slug
from explorer.session import Session
from explorer.words.wording import count

DATE = (1980, 1, 1, 0, 0, 0)
"""of every member: the same reading makes the same zip, but for the time that `report.json` and the page
tell
"""
MOST = 30  # prompts, some seconds each


def section(session: Session) -> None:
    """Makes a report of the session's prompts when asked, then offers it for download."""
    st.subheader("A report to share", anchor=False)
    st.markdown(
        "Every table as CSV, one page with every plot that opens offline, and `report.json`: "
        "versions, seeds, fingerprints and the command "
        "that makes each table again. The same as `python -m explorer report` writes."
    )
    number = len(session.prompts)
    asked = session.prompts, session.vocabulary.fingerprint
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("Make the report", icon=":material/summarize:", disabled=number > MOST):
            st.session_state["report"] = asked, _made(session)
        ready, content = st.session_state.get("report", (None, b""))
        if ready == asked:
            name = f"{slug(*(prompt.name for prompt in session.prompts[:3]), 'report')}.zip"
            st.download_button(
                "Report (zip)",
                content,
                name,
                "application/zip",
                on_click="ignore",
                icon=":material/download:",
            )
    if number > MOST:
        st.caption(
            f"{count(number, 'prompt')} are chosen; at most {MOST} here. For more: `python -m "
            "explorer report`."
        )


def _made(session: Session) -> bytes:
    """The zip. A prompt is called by its name, which the shell finds from the folder of prompts; an uploaded
    one only where its file is.
    """
    from explorer.cli.commandline import shell_line
    from explorer.report.bundle import bundle

    given = [prompt.name for prompt in session.prompts]
    with (
        st.status(f"Reading {count(len(given), 'prompt')}: some seconds each") as status,
        cache.telling(lambda said: status.update(label=safe(said))),
    ):
        files = bundle(session, given, lambda recipe: shell_line(recipe, given, session))
        status.update(label="The report is ready", state="complete")
    if not folders():  # what the model is called here, its path, is nobody's business
        files = {name: without_roots(data.decode()).encode() for name, data in files.items()}
    return zipped(files)


def zipped(files: dict[str, bytes]) -> bytes:
    """A zip of files by name, in their order."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(f"report/{name}", DATE), data, zipfile.ZIP_DEFLATED)
    return content.getvalue()
