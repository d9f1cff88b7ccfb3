"""What the dashboard uses of Streamlit and uvicorn that they do not document. It is used through here alone.

tests/test_streamlit_internals.py fails when an installed release has renamed any of it.
"""

from pathlib import Path
from typing import Any

UPLOADS = "_stcore/upload_file"
"""where Streamlit takes files: UPLOADS/session/file"""
SCRIPTS = ("PlotlyChart", "DataFrame")
"""the browser's large scripts, without what follows in the names of their files"""
TRIGGERS = ("trigger_value", "string_trigger_value", "chat_input_value", "json_trigger_value")
"""states of widgets that hold for one run alone, as that of a button"""


def session_id() -> str:
    """The session whose page runs in this thread; empty outside of pages."""
    from streamlit.runtime.scriptrunner import get_script_run_ctx

    run = get_script_run_ctx(suppress_warning=True)
    return "" if run is None else run.session_id


def is_page() -> bool:
    """Whether this thread runs a page, rather than starting the server."""
    return session_id() != ""


def is_open(session: str) -> bool:
    """Whether a browser is connected to a session."""
    from streamlit.runtime import Runtime

    return not Runtime.exists() or Runtime.instance().is_active_session(session)


def forget_files(session: str) -> None:
    """Remove the copies that Streamlit holds in memory of what a session uploaded."""
    from streamlit.runtime import Runtime

    if Runtime.exists():
        Runtime.instance().uploaded_file_mgr.remove_session_files(session)


def is_gone(file: object) -> bool:
    """Whether a file of an upload widget is no longer there: the server was restarted, or forgot it."""
    from streamlit.runtime.uploaded_file_manager import DeletedFile

    return isinstance(file, DeletedFile)


def forget_in_address(key: str) -> None:
    """Take a setting out of the address of this run, also for the widget that would begin with it."""
    from streamlit.runtime.state import get_session_state

    with get_session_state().query_params() as address:
        address._initial_query_params.pop(key, None)
        address.remove_param(key)


def script_names() -> list[str]:
    """The files of `SCRIPTS`, which change with every version of Streamlit."""
    from streamlit import file_util

    folder = Path(file_util.get_static_dir()) / "static" / "js"
    return [file.name for script in SCRIPTS for file in folder.glob(f"{script}.*.js")]


def replaces(newer: bytes, older: bytes) -> bool:
    """Whether a message of a browser makes an earlier one needless that was not passed on yet: they are the
    same, or both run the same page anew and the earlier one pressed no button.
    """
    from google.protobuf.message import DecodeError
    from streamlit.proto.BackMsg_pb2 import BackMsg

    try:
        first, second = BackMsg.FromString(older), BackMsg.FromString(newer)
    except DecodeError:
        return newer == older
    if first.WhichOneof("type") != "rerun_script" or second.WhichOneof("type") != "rerun_script":
        return newer == older
    run, next_run = first.rerun_script, second.rerun_script
    return not any(state.WhichOneof("value") in TRIGGERS for state in run.widget_states.widgets) and all(
        getattr(run, name) == getattr(next_run, name)
        for name in ("page_script_hash", "page_name", "fragment_id", "is_history_navigation")
    )


def abort(send: Any) -> None:
    """Close a connection whose other end does not read: a plain close would wait for it. send: the ASGI
    function that uvicorn gave for the connection.
    """
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is not None:
        transport.abort()
