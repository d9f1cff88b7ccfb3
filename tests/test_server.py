"""The server before Streamlit: what it refuses, the headers it adds, where uploads lie and how long, what its
log shows, when it ends.
"""

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import planted
import pytest
from browsing import needs_browser, open_page
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ClientState_pb2 import ClientState

from explorer.analysis.clusters import clusters
from explorer.analysis.search import search
from explorer.dashboard import cache, guard, limits
from explorer.dashboard.access import FOLDERS, READ_ONLY
from explorer.dashboard.guard import HEADERS, Guard, of_this_machine
from explorer.dashboard.server import plain_record
from explorer.dashboard.storage import OF_A_SERVER, Storage, remove_left
from explorer.errors import PromptError
from explorer.models.encoder_decoder import FrozenT5
from explorer.system.interruption import asking

ROOT = Path(__file__).resolve().parent.parent
UPLOAD = "/_stcore/upload_file/session/file"


@pytest.fixture(autouse=True)
def open_to_all(monkeypatch):
    monkeypatch.delenv(READ_ONLY, raising=False)
    monkeypatch.delenv(FOLDERS, raising=False)


async def passed(scope, receive, send):
    """Streamlit, for these tests: it takes whatever reaches it."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
        return
    await send(
        {"type": "http.response.start", "status": 204, "headers": [(b"Referrer-Policy", b"no-referrer")]}
    )
    await send({"type": "http.response.body", "body": b""})


def answer(
    path: str = "/",
    method: str = "GET",
    kind: str = "http",
    app=passed,
    guarded: Guard | None = None,
    **headers: str,
) -> list[dict]:
    """What the server sends for one request."""
    given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    sent: list[dict] = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "websocket.connect" if kind == "websocket" else "http.request", "body": b""}

    scope = {"type": kind, "method": method, "path": path, "headers": given}
    asyncio.run((guarded or Guard(app, Storage(thread=False)))(scope, receive, send))
    return sent


def status(*given, **more) -> int:
    return answer(*given, **more)[0]["status"]


# Hosts


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8501", "LOCALHOST.", "127.0.0.1:80", "127.1.2.3", "[::1]:8501", "[::1]"]
)
def test_names_of_this_machine(host):
    assert of_this_machine(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.com",
        "evil.com:8501",
        "localhost.evil.com",
        "127.0.0.1.evil.com",
        "0.0.0.0",
        "192.168.0.7:8501",
        "[fe80::1]:80",
    ],
)
def test_another_host_is_refused_where_folders_may_be_opened_and_nowhere_else(host, monkeypatch):
    assert not of_this_machine(host)
    assert status(host=host) == 204
    monkeypatch.setenv(FOLDERS, "1")
    assert status(host=host) == 403
    assert status(UPLOAD, "PUT", host=host, content_length="3") == 403
    assert [message["type"] for message in answer("/_stcore/stream", kind="websocket", host=host)] == [
        "websocket.close"
    ]
    assert status(host="localhost:8501") == 204
    assert answer("/_stcore/stream", kind="websocket", host="127.0.0.1:8501") == [
        {"type": "websocket.accept"}
    ]


def test_every_answer_says_that_it_is_not_to_be_framed_or_guessed_at():
    headers = dict(answer()[0]["headers"])
    assert headers[b"x-content-type-options"] == b"nosniff"
    assert headers[b"x-frame-options"] == b"SAMEORIGIN"
    assert b"frame-ancestors 'self'" in headers[b"content-security-policy"]
    assert headers[b"Referrer-Policy"] == b"no-referrer", "what Streamlit gives stays"
    assert len(headers) == len(HEADERS)


# Uploads at the endpoint


def test_a_read_only_server_takes_no_file_below_any_path(monkeypatch):
    assert status(UPLOAD, "PUT", content_length="3") == 204
    monkeypatch.setenv(READ_ONLY, "1")
    for path in (UPLOAD, f"/prompts{UPLOAD}", f"{UPLOAD}/"):
        start, body, *_ = answer(path, "PUT", content_length="3")
        assert (start["status"], body["body"]) == (403, b"this dashboard is read-only and takes no uploads\n")
    assert status("/neighbors") == 204


def put(guarded: Guard, *parts: bytes | float, path: str = UPLOAD, size: int | None = None, **headers: str):
    """What the server sends for a file that comes in parts; a number: nothing comes for so many seconds."""
    size = sum(len(part) for part in parts if isinstance(part, bytes)) if size is None else size
    coming, sent = list(parts), []

    async def receive():
        while coming and not isinstance(coming[0], bytes):
            await asyncio.sleep(coming.pop(0))
        part = coming.pop(0) if coming else b""
        return {"type": "http.request", "body": part, "more_body": bool(coming)}

    async def send(message):
        sent.append(message)

    given = [(b"content-length", str(size).encode())]
    given += [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "PUT", "path": path, "headers": given}
    asyncio.run(guarded(scope, receive, send))
    body = b"".join(message.get("body", b"") for message in sent).decode()
    return sent[0]["status"], body, coming


async def reads(scope, receive, send):
    """Streamlit, which reads all of a file before it answers."""
    while (await receive()).get("more_body"):
        pass
    await passed(scope, receive, send)


@pytest.fixture
def small(monkeypatch):
    """Bounds of some bytes, and a guard with a ledger of its own."""
    for name, value in {"BYTES": 100, "FILES": 3, "BYTES_TOGETHER": 150, "FILES_TOGETHER": 5}.items():
        monkeypatch.setattr(f"explorer.dashboard.storage.MOST_{name}", value)
    return Guard(reads, Storage(thread=False))


def test_a_file_says_its_size(small):
    assert status(UPLOAD, "PUT", guarded=small) == 411
    assert status(UPLOAD, "PUT", guarded=small, content_length="many") == 411


def test_the_ledger_counts_what_came_whatever_streamlit_calls_its_own(small):
    assert put(small, bytes(60))[0] == 204
    assert put(small, bytes(41), path=f"{UPLOAD}2")[0] == 413
    assert put(small, bytes(40), path=f"{UPLOAD}2")[0] == 204
    other = UPLOAD.replace("session", "other")
    assert put(small, bytes(51), path=other)[0] == 413, "all of them together"
    assert put(small, bytes(50), path=other)[0] == 204
    assert status(UPLOAD, "DELETE", guarded=small) == 204
    assert put(small, bytes(30), path=f"{UPLOAD}3")[0] == 204, "what the visitor took away is free again"
    small._storage.remove("other")
    assert put(small, bytes(30), path=f"{UPLOAD}4")[0] == 204


def test_files_are_counted_too(small):
    for number in range(3):
        assert put(small, b"1", path=f"{UPLOAD}{number}")[0] == 204
    code, line, _ = put(small, b"1", path=f"{UPLOAD}3")
    assert code == 413
    assert line.startswith("too much is uploaded: expected at most 256 MB and 1,000 files of a visitor")


def test_more_than_was_announced_is_not_taken(small):
    code, line, left = put(small, bytes(60), bytes(60), size=1)
    assert (code, left) == (413, [])
    assert line.startswith("too much is uploaded")
    assert put(small, bytes(100))[0] == 204, "and takes nobody's room"


def test_what_is_announced_takes_nobodys_room_until_it_comes(small):
    seen = []

    async def slow(scope, receive, send):
        if not seen:
            seen.append(1)
            seen[0] = (await asyncio.to_thread(put, small, bytes(100)))[0]
        await reads(scope, receive, send)

    small.app = slow
    assert put(small, bytes(10), path=UPLOAD.replace("session", "idle"), size=100)[0] == 204
    assert seen == [204]


def test_an_upload_that_stalls_is_given_up(small, monkeypatch):
    monkeypatch.setattr(guard, "STALLED", 0.05)
    code, line, _ = put(small, bytes(5), 30.0, bytes(5))
    assert code == 408
    assert line.startswith("nothing came for")
    monkeypatch.setattr(guard, "STALLED", 0.2)
    assert put(small, *([b"1", 0.1] * 50), b"1")[0] == 408, "a byte now and then is no upload"


def test_a_refused_file_is_read_before_the_answer_ends(small):
    code, line, left = put(small, *[bytes(50)] * 20)
    assert (code, left) == (413, [])
    assert line.startswith("too much is uploaded")
    _, _, left = put(small, *[bytes(50)] * 20, expect="100-continue")
    assert len(left) == 20, "a client that waits to be told sends nothing"

    async def refuses(scope, receive, send):
        await send({"type": "http.response.start", "status": 400, "headers": []})
        await send({"type": "http.response.body", "body": b"no such session"})

    small.app = refuses
    assert put(small, bytes(40), bytes(40)) == (400, "no such session", []), "Streamlit's refusals too"
    assert put(small, bytes(40), bytes(40))[0] == 400, "and they take no room"


def test_were_files_taken_elsewhere_none_would_be_unbounded(small):
    assert put(small, b"1", path="/_stcore/other/session/file", size=guard.OTHERS)[0] == 204
    assert put(small, b"1", path="/_stcore/other/session/file", size=guard.OTHERS + 1)[0] == 413


# Uploads on the disk


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_uploads_are_removed_two_minutes_after_the_page_is_closed_though_nobody_comes():
    clock, forgotten = Clock(), []
    storage = Storage(clock, thread=False)
    mine, other = storage.folder("mine", lambda: forgotten.append("mine")), storage.folder("other")
    (mine / "prompt.npy").write_bytes(b"content")
    clock.now = 1000.0
    storage.sweep({"mine", "other"}.__contains__)
    clock.now += limits.CLOSED_KEPT - 1
    storage.sweep({"other"}.__contains__)
    assert mine.is_dir(), "a reload finds it again"
    clock.now += 1
    storage.sweep({"other"}.__contains__)
    assert not mine.exists()
    assert other.is_dir()
    assert forgotten == ["mine"]
    storage.remove("other")
    assert not other.exists()


def test_the_timer_runs_by_itself(monkeypatch):
    monkeypatch.setattr("explorer.dashboard.storage.LOOKED_AT", 0.01)
    monkeypatch.setattr("explorer.dashboard.storage.CLOSED_KEPT", 0.0)
    monkeypatch.setattr("explorer.dashboard.storage.is_open", lambda session: False)
    removed = []
    folder = Storage().folder("mine", lambda: removed.append("mine"))
    end = time.monotonic() + 30
    while not removed and time.monotonic() < end:
        time.sleep(0.01)
    assert removed == ["mine"]
    assert not folder.exists()


def test_what_lies_on_the_disk_is_bounded_by_session_and_in_all(monkeypatch):
    monkeypatch.setattr("explorer.dashboard.storage.MOST_BYTES", 100)
    monkeypatch.setattr("explorer.dashboard.storage.MOST_BYTES_TOGETHER", 150)
    monkeypatch.setattr("explorer.dashboard.storage.MOST_FILES", 3)
    storage = Storage(thread=False)
    (storage.folder("mine") / "a").write_bytes(bytes(60))
    (storage.folder("other") / "b").write_bytes(bytes(60))
    storage.check("mine", 30)
    with pytest.raises(PromptError, match="too much is uploaded: expected at most"):
        storage.check("mine", 41)
    with pytest.raises(PromptError, match="too much is uploaded"):
        storage.check("third", 31)
    for name in "cde":
        (storage.folder("mine") / name).write_bytes(b"")
    with pytest.raises(PromptError, match="too much is uploaded"):
        storage.check("mine")
    storage.remove("mine")
    storage.check("mine", 90)
    storage.remove("other")


def test_the_folder_of_a_server_that_was_killed_is_removed_and_no_other(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    living, closed = Storage(thread=False), Storage(thread=False)
    mine, theirs = living.folder("mine"), closed.folder("theirs")
    assert mine.is_relative_to(tmp_path)
    left = tmp_path / f"{OF_A_SERVER}killed"
    (left / "session-a").mkdir(parents=True)
    (left / "session-a" / "prompt.npy").write_bytes(b"content")
    others = tmp_path / "explorer-notes"
    others.mkdir()
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / f"{OF_A_SERVER}link").symlink_to(outside)
    remove_left()
    assert not left.exists()
    assert mine.is_dir()
    assert theirs.is_dir()
    assert others.is_dir()
    assert outside.is_dir()
    closed.close()
    assert not theirs.parent.exists()
    monkeypatch.setattr(os, "getuid", lambda: os.stat(tmp_path).st_uid + 1)
    left.mkdir()
    remove_left()
    assert left.is_dir(), "somebody else's"
    living.close()


# Work whose visitor has left


class Left(BaseException):
    """As Streamlit's own, raised by whatever a page shows after its visitor has left."""


def test_work_ends_at_the_next_pass_when_its_visitor_has_left(tiny, monkeypatch):
    shown, passes = [], []

    def caption(text):
        shown.append(text)
        raise Left

    place = SimpleNamespace(caption=caption, empty=lambda: None)
    monkeypatch.setattr(
        cache, "st", SimpleNamespace(spinner=lambda *_, **__: nullcontext(), empty=lambda: place)
    )
    encode = FrozenT5.encode
    texts = [f"a good film {number}" for number in range(200)]
    monkeypatch.setattr(cache, "ASKED_EVERY", 1e9)

    def last_pass(self, *given):
        monkeypatch.setattr(cache, "ASKED_EVERY", -1.0)  # he leaves meanwhile
        passes.append(1)
        return encode(self, *given)

    monkeypatch.setattr(FrozenT5, "encode", last_pass)
    passes.clear()
    with pytest.raises(Left):
        cache.reading("Asking", tiny.label_probabilities, [None], texts, ["negative", "positive"])
    assert (len(passes), len(shown)) == (1, 1)
    tiny.label_probabilities([None], texts[:2], ["negative", "positive"])


def test_readings_without_a_model_end_too(vocabulary):
    def left():
        raise Left

    with asking(left):
        for work in (
            lambda: search(vocabulary.embedding[:3], vocabulary, 5),
            lambda: clusters(planted.prompt(vocabulary.embedding[100:104]), vocabulary),
        ):
            with pytest.raises(Left):
                work()


# The log


def test_the_log_escapes_what_steers_a_terminal_and_forges_no_line():
    record = plain_record(
        "name", logging.ERROR, "file.py", 1, "read %s of %d\nbelow", ("a\x1b[31m\nERROR forged", 3), None
    )
    assert record.getMessage() == "read a\\x1b[31m\\nERROR forged of 3\nbelow"
    try:
        raise ValueError("bad \x1b]0;title\x07 name")
    except ValueError:
        record = plain_record("name", logging.ERROR, "file.py", 1, "failed", (), sys.exc_info())
    shown = logging.Formatter().format(record)
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert shown.splitlines()[-1] == "ValueError: bad \\x1b]0;title\\x07 name"


# The process


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def served(
    log: Path, *options: str, port: int | None = None, **environment: str
) -> tuple[subprocess.Popen, str]:
    """The dashboard as the command line starts it, and its address."""
    port = port or free_port()
    command = [sys.executable, "-m", "explorer", "app", "--no-browser", "--port", str(port), *options]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | environment, stdout=output, stderr=output
        )
    address = f"http://127.0.0.1:{port}"
    end = time.monotonic() + 120
    while not answers(f"{address}/_stcore/health"):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.2)
    return process, address


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


@pytest.mark.slow
def test_a_server_is_guarded_and_ends_when_whoever_started_it_is_killed(tmp_path):
    process, address = served(tmp_path / "log", "--read-only")
    try:
        request = urllib.request.Request(f"{address}{UPLOAD}", data=b"content", method="PUT")
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=30)
        assert refused.value.code == 403
        assert b"read-only" in refused.value.read()
        refused.value.close()
        request = urllib.request.Request(f"{address}/_stcore/health", headers={"Host": "evil.com"})
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=30)
        assert refused.value.code == 403
        refused.value.close()
        with urllib.request.urlopen(address, timeout=30) as page:
            assert page.headers["X-Frame-Options"] == "SAMEORIGIN"
            assert page.headers["X-Content-Type-Options"] == "nosniff"
        process.send_signal(signal.SIGKILL)
        end = time.monotonic() + 60
        while answers(f"{address}/_stcore/health"):
            assert time.monotonic() < end, "the server outlives who started it"
            time.sleep(0.2)
    finally:
        process.kill()
        process.wait()


class Visitor:
    """A browser that only sends and receives, with the session that the server gave it."""

    def __init__(self, address: str):
        from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
        from websockets.sync.client import connect

        self.address = address
        self._connected = ExitStack()
        connection = self._connected.enter_context(
            connect(
                f"{address.replace('http', 'ws')}/_stcore/stream",
                additional_headers={"Origin": address},
                subprotocols=["streamlit"],
                max_size=None,
            )
        )
        connection.send(BackMsg(rerun_script=ClientState()).SerializeToString())
        while True:
            message = ForwardMsg.FromString(connection.recv(timeout=120))
            if message.WhichOneof("type") == "new_session":
                self.session = message.new_session.initialize.session_id
                return

    def __enter__(self) -> "Visitor":
        return self

    def __exit__(self, *_: object) -> None:
        self._connected.close()

    def put(self, content: bytes, name: str = "file", announced: int | None = None) -> socket.socket:
        """Begin to upload a file; the connection that the answer comes on."""
        host, port = self.address.removeprefix("http://").split(":")
        body = (
            b'--part\r\nContent-Disposition: form-data; name="file"; filename="a.npy"\r\n\r\n'
            + content
            + b"\r\n--part--\r\n"
        )
        head = (
            f"PUT /_stcore/upload_file/{self.session}/{name} HTTP/1.1\r\nHost: {host}:{port}\r\n"
            f"Content-Type: multipart/form-data; boundary=part\r\n"
            f"Content-Length: {len(body) if announced is None else announced}\r\nConnection: close\r\n\r\n"
        )
        connection = socket.create_connection((host, int(port)), timeout=60)
        connection.sendall(head.encode())
        connection.sendall(body if announced is None else content)
        return connection


def said(connection: socket.socket) -> bytes:
    """All that is answered."""
    with connection:
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
        return b"".join(parts)


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A dashboard with a folder of its own for temporary files: its process, address and that folder."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    process, address = served(
        tmp_path / "log", TMPDIR=str(temporary), STREAMLIT_SERVER_ENABLE_XSRF_PROTECTION="0"
    )
    yield process, address, temporary
    process.kill()
    process.wait()


@pytest.mark.slow
def test_idle_uploads_lock_nobody_out_and_a_refusal_arrives(server):
    _, address, _ = server
    with Visitor(address) as idle, Visitor(address) as other:
        waiting = [idle.put(b"", f"idle{number}", announced=60 * 2**20) for number in range(20)]
        assert said(other.put(bytes(1000))).startswith(b"HTTP/1.1 204")
        answer = said(other.put(bytes(65 * 2**20), "large"))
        assert answer.startswith(b"HTTP/1.1 413"), answer[:200]
        answer = said(other.put(bytes(300 * 2**20), "larger"))
        assert b"too much is uploaded: expected at most 256 MB" in answer
        for connection in waiting:
            connection.close()


def uploaded_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def until(done, message: str) -> None:
    end = time.monotonic() + 60
    while not done():
        assert time.monotonic() < end, message
        time.sleep(0.1)


@pytest.mark.slow
@needs_browser
def test_uploads_go_with_the_server_and_the_next_one_says_so(page, tmp_path):
    temporary, port = tmp_path / "temporary", free_port()
    temporary.mkdir()
    files = [tmp_path / f"{name}.npy" for name in ("first", "second", "third")]
    for file in files:
        np.save(file, np.ones((3, 768), np.float32))

    def start() -> tuple[subprocess.Popen, str]:
        return served(tmp_path / "log", port=port, TMPDIR=str(temporary))

    def upload(file: Path) -> None:
        page.wait_for_selector("[data-testid=stApp][data-test-connection-state=CONNECTED]", timeout=60_000)
        page.get_by_text("CONNECTING").wait_for(state="detached", timeout=60_000)
        page.set_input_files("input[type=file]", str(file))
        page.get_by_text(f"uploaded/{file.stem}").first.wait_for(timeout=60_000)
        assert uploaded_bytes(temporary) >= file.stat().st_size

    process, address = start()
    try:
        open_page(page, address)
        page.get_by_text("Open your own prompt").click()
        upload(files[0])
        process.terminate()
        process.wait(60)
        until(lambda: not any(temporary.iterdir()), "SIGTERM leaves uploads on the disk")
        process, address = start()
        upload(files[1])
        page.get_by_text("An earlier file is gone").wait_for(timeout=60_000)
        server = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])
        for running in (server, process.pid):
            os.kill(running, signal.SIGKILL)
        process.wait(60)
        assert uploaded_bytes(temporary) > 0
        process, address = start()
        until(lambda: not any(temporary.iterdir()), "what a killed server left stays")
        upload(files[2])
        page.get_by_text("An earlier file is gone").wait_for(timeout=60_000)
    finally:
        process.terminate()
        process.wait(60)
