"""What one browser may send: floods are merged and bounded, and stop nobody else."""

import asyncio
import sys
from pathlib import Path

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg

from explorer.dashboard import flood
from explorer.dashboard.flood import Connection, Door, Pace

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))
from flood import FLOODS, rerun, serving, silence


def urls(number: int) -> bytes:
    """A message that no other makes needless."""
    message = BackMsg()
    message.file_urls_request.request_id = str(number)
    return message.SerializeToString()


def connection(messages, app, sent=None, left: bool = True):
    """Run an app on a connection that sends so many messages, and leaves after them."""
    coming = [
        {"type": "websocket.connect"},
        *({"type": "websocket.receive", "bytes": one} for one in messages),
    ]
    coming += [{"type": "websocket.disconnect", "code": 1001}] if left else []
    taken = asyncio.Event()

    async def receive():
        if not coming:
            taken.set()
            await asyncio.Event().wait()
        return coming.pop(0)

    async def send(message):
        if sent is not None:
            sent.append(message)

    async def run():
        made = Connection(receive, send, Door())
        await made.run(lambda scope, receive, send: app(receive, send, taken), {})

    asyncio.run(run())


def test_waiting_requests_for_a_page_are_merged_into_the_newest():
    seen = []

    async def app(receive, send, taken):
        await receive()
        first = asyncio.create_task(receive())
        await taken.wait()
        seen.append((await first)["bytes"])

    connection(map(rerun, range(5_000)), app, left=False)
    assert seen == [rerun(4_999)]


def test_a_browser_that_sends_too_much_is_disconnected_and_one_that_does_not_is_not():
    ended, sent = [], []

    async def app(receive, send, taken):
        await receive()
        while (message := await receive())["type"] == "websocket.receive":
            ended.append(message["bytes"])
        ended.append(message)

    connection(map(urls, range(flood.MOST_WAITING + 1)), app, sent, left=False)
    assert ended[-1]["type"] == "websocket.disconnect"
    assert [(message["type"], message["code"]) for message in sent] == [("websocket.close", 1008)]
    assert "too many messages" in sent[0]["reason"]


def test_messages_pass_in_their_order_a_few_a_second(monkeypatch):
    clock = [0.0]
    pace = Pace(2, 4, lambda: clock[0])
    for _ in range(2):
        assert pace.wait() == 0
        pace.take()
    assert pace.wait() == 0.25
    clock[0] = 0.25
    assert pace.wait() == 0
    pace.take()
    clock[0] = 100.0
    pace.wait()
    pace.take()
    pace.take()
    assert pace.wait() == 0.25, "what was not used is not saved up"
    seen = []

    async def app(receive, send, taken):
        await receive()
        for _ in range(3):
            seen.append((await receive())["bytes"])

    connection(map(urls, range(3)), app, left=False)
    assert seen == [urls(0), urls(1), urls(2)]


def test_that_a_browser_left_is_told_before_what_it_sent():
    seen = []

    async def app(receive, send, taken):
        await receive()
        first = asyncio.create_task(receive())
        seen.append((await first)["type"])

    connection([rerun()], app)
    assert seen == ["websocket.disconnect"]


def test_a_browser_that_reads_nothing_is_disconnected(monkeypatch):
    monkeypatch.setattr(flood, "NOT_READ", 0.02)
    aborted, seen = [], []
    monkeypatch.setattr(flood, "abort", lambda send: aborted.append(send))

    async def receive():
        if seen:
            await asyncio.Event().wait()
        seen.append(1)
        return {"type": "websocket.connect"}

    async def send(message):
        await asyncio.Event().wait()

    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.send", "bytes": b"answer"})
        seen.append((await receive())["type"])

    asyncio.run(Connection(receive, send, Door()).run(app, {}))
    assert aborted == [send]
    assert seen[-1] == "websocket.disconnect"


@pytest.mark.slow
@pytest.mark.parametrize(("connections", "messages"), FLOODS)
def test_a_flood_leaves_nobody_without_an_answer(connections, messages):
    with serving("explorer", "app", "--no-browser", "--port", "PORT") as address:
        assert silence(address, connections, messages) < 2.0
