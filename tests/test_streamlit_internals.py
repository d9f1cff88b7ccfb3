"""The contract with Streamlit and uvicorn: whatever they do not document and the dashboard uses is there."""

import asyncio
from dataclasses import fields

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from streamlit.runtime import Runtime
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.scriptrunner_utils.script_run_context import ScriptRunContext
from streamlit.runtime.uploaded_file_manager import DeletedFile, UploadedFileRec
from streamlit.web.server.starlette.starlette_routes import BASE_ROUTE_UPLOAD_FILE
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from explorer.dashboard import streamlit_internals as internals
from explorer.dashboard.guard import UPLOAD


def test_files_are_taken_where_the_guard_counts_them():
    assert BASE_ROUTE_UPLOAD_FILE == internals.UPLOADS
    address = MemoryUploadedFileManager(f"/{BASE_ROUTE_UPLOAD_FILE}").get_upload_urls("session", ["a"])[0]
    match = UPLOAD.fullmatch(address.upload_url)
    assert match is not None
    assert match.groups() == ("session", address.file_id)
    assert UPLOAD.fullmatch(address.delete_url)


def test_a_session_can_be_asked_for_and_forgotten():
    assert get_script_run_ctx(suppress_warning=True) is None
    assert internals.session_id() == ""
    assert not internals.is_page()
    assert "session_id" in {field.name for field in fields(ScriptRunContext)}
    assert all(callable(getattr(Runtime, name)) for name in ("exists", "instance", "is_active_session"))
    assert isinstance(Runtime.uploaded_file_mgr, property)
    files = MemoryUploadedFileManager("/")
    files.add_file("session", UploadedFileRec("1", "a.npy", "", b"content"))
    files.remove_session_files("session")
    assert files.get_files("session", ["1"]) == []


def test_a_file_that_is_gone_is_known():
    assert internals.is_gone(DeletedFile("1"))
    assert not internals.is_gone(UploadedFileRec("1", "a.npy", "", b""))


def test_the_large_scripts_are_files():
    assert [name.split(".")[0] for name in internals.script_names()] == list(internals.SCRIPTS)


def test_uvicorn_gives_a_send_that_knows_its_connection():
    assert "transport" in WebSocketsSansIOProtocol.__init__.__code__.co_names
    closed = []

    class Protocol:
        """Like uvicorn's."""

        class transport:
            abort = staticmethod(lambda: closed.append(1))

        async def send(self, message):
            """Never called."""

    internals.abort(Protocol().send)
    internals.abort(asyncio.sleep)
    assert closed == [1]


def rerun(page: str = "", fragment: str = "", **state: object) -> bytes:
    message = BackMsg()
    message.rerun_script.page_script_hash = page
    message.rerun_script.fragment_id = fragment
    message.rerun_script.query_string = str(state)
    if state:
        message.rerun_script.widget_states.widgets.append(WidgetState(id="widget", **state))
    return message.SerializeToString()


def test_states_that_hold_for_one_run_are_known():
    names = {field.name for field in WidgetState.DESCRIPTOR.oneofs_by_name["value"].fields}
    assert {name for name in names if "trigger" in name or name == "chat_input_value"} == set(
        internals.TRIGGERS
    )


@pytest.mark.parametrize(
    ("newer", "older", "needless"),
    [
        (rerun(int_value=2), rerun(int_value=1), True),
        (rerun(trigger_value=True), rerun(int_value=1), True),
        (rerun(int_value=1), rerun(trigger_value=True), False),
        (rerun(trigger_value=True), rerun(trigger_value=True), False),
        (rerun("other"), rerun("page"), False),
        (rerun(fragment="a"), rerun(), False),
        (rerun(), rerun(fragment="a"), False),
        (rerun(fragment="a", int_value=1), rerun(fragment="a"), True),
        (BackMsg(app_heartbeat=True).SerializeToString(),) * 2 + (True,),
        (rerun(), BackMsg(stop_script=True).SerializeToString(), False),
        (BackMsg(clear_cache=True).SerializeToString(), rerun(), False),
        (b"\xff\xff", rerun(), False),
    ],
)
def test_which_messages_a_newer_one_makes_needless(newer, older, needless):
    assert internals.replaces(newer, older) is needless
