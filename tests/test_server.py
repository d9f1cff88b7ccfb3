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
import time
import urllib.error
import urllib.request
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import planted
import pytest

from explorer.analysis.clusters import clusters
from explorer.analysis.search import search
from explorer.dashboard import cache, guard, limits
from explorer.dashboard.access import FOLDERS, READ_ONLY
from explorer.dashboard.guard import HEADERS, Guard, of_this_machine
from explorer.dashboard.server import plain_record
from explorer.dashboard.storage import Storage
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

    scope = {"type": kind, "method": method, "path": path, "headers": given}
    asyncio.run((guarded or Guard(app))(scope, None, send))
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
        start, body = answer(path, "PUT", content_length="3")
        assert (start["status"], body["body"]) == (403, b"this dashboard is read-only and takes no uploads\n")
    assert status("/neighbors") == 204


def test_files_are_bounded_by_session_and_in_all(monkeypatch):
    there = {}
    monkeypatch.setattr(guard, "held", lambda: {session: list(taken) for session, taken in there.items()})
    assert status(UPLOAD, "PUT") == 411, "a file of unknown size"
    assert status(UPLOAD, "PUT", content_length=str(limits.MOST_BYTES)) == 204
    assert status(UPLOAD, "PUT", content_length=str(limits.MOST_BYTES + 1)) == 413
    there["session"] = [1, limits.MOST_BYTES - 10]
    assert (status(UPLOAD, "PUT", content_length="10"), status(UPLOAD, "PUT", content_length="11")) == (
        204,
        413,
    )
    there["session"] = [limits.MOST_FILES, 1]
    start, body = answer(UPLOAD, "PUT", content_length="1")
    assert start["status"] == 413
    assert (
        body["body"]
        .decode()
        .startswith("too much is uploaded: expected at most 256 MB and 1,000 files of a visitor, 1,024 MB")
    )
    there.clear()
    there["another"] = [5, limits.MOST_BYTES_TOGETHER - 10]
    assert (status(UPLOAD, "PUT", content_length="10"), status(UPLOAD, "PUT", content_length="11")) == (
        204,
        413,
    )


def test_files_on_their_way_count(monkeypatch):
    monkeypatch.setattr(guard, "held", dict)
    seen = []

    async def slow(scope, receive, send):
        seen.append(answer_while(guarded))
        await passed(scope, receive, send)

    def answer_while(guarded):
        return guarded._refusal("session", "1")

    guarded = Guard(slow)
    assert status(UPLOAD, "PUT", guarded=guarded, content_length=str(limits.MOST_BYTES)) == 204
    assert seen[0][0] == 413
    assert guarded._refusal("session", "1") is None


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


def served(log: Path, *options: str, **environment: str) -> tuple[subprocess.Popen, str]:
    """The dashboard as the command line starts it, and its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
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
