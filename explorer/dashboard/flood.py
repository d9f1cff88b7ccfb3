"""What one browser may send through its WebSocket: a few messages a second, so that nobody else waits.

Streamlit takes all that comes: some thousand requests to run a page anew keep it from answering anybody for
minutes. Here they are merged while they wait, as Streamlit itself merges those that it has not begun.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any

from explorer.dashboard.streamlit_internals import abort, replaces

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

AT_ONCE, A_SECOND = 10, 4
"""messages of one browser that are passed on at once, and then in each second"""
PAUSE, LATE, LATEST = 0.01, 0.05, 2.0
"""seconds between two messages of any browsers; how late the server may answer before the next one waits, and
how long it waits at most
"""
MOST_WAITING, MOST_BYTES_WAITING = 200, 32 * 2**20
"""messages of one browser that wait; one that sends more is disconnected"""
NOT_READ = 20.0
"""seconds after which a browser that takes no answers is disconnected"""
TOO_MANY = "too many messages at once; load the page anew"


class Pace:
    """So many at once, and then so many a second."""

    def __init__(self, at_once: float, a_second: float, clock: Callable[[], float] = time.monotonic):
        self._most, self._a_second, self._clock = at_once, a_second, clock
        self._left, self._when = at_once, clock()

    def wait(self) -> float:
        """Seconds until one more may pass."""
        now = self._clock()
        self._left = min(self._most, self._left + (now - self._when) * self._a_second)
        self._when = now
        return max(0.0, (1 - self._left) / self._a_second)

    def take(self) -> None:
        """One passes."""
        self._left -= 1


class Door:
    """Lets messages of all browsers through one by one, each when the server is free enough to answer."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    async def pass_through(self) -> None:
        """Wait for a turn. Every page that runs delays all answers; twenty at once would stop them."""
        async with self._lock:
            began = time.monotonic()
            while True:
                asked = time.monotonic()
                await asyncio.sleep(PAUSE)
                now = time.monotonic()
                if now - asked - PAUSE < LATE or now - began > LATEST:
                    return


class Connection:
    """One WebSocket between uvicorn and Streamlit: `receive` and `send` stand in for uvicorn's."""

    def __init__(self, receive: Receive, send: Send, door: Door):
        self._receive, self._send, self._door = receive, send, door
        self._pace = Pace(AT_ONCE, A_SECOND)
        self._waiting: deque[Message] = deque()
        self._arrived, self._ended = asyncio.Event(), asyncio.Event()
        self._end: Message | None = None
        self._reader: asyncio.Task[None] | None = None

    async def run(self, app: Callable[[Message, Receive, Send], Awaitable[None]], scope: Message) -> None:
        """Have Streamlit serve the connection."""
        try:
            await app(scope, self.receive, self.send)
        finally:
            if self._reader is not None:
                self._reader.cancel()

    async def receive(self) -> Message:
        """The next message, when it may pass; that the connection ended, as soon as it has."""
        if self._reader is None:  # the first says that somebody connects
            first = await self._receive()
            self._reader = asyncio.create_task(self._read(), name="messages of a browser")
            return first
        await self._arrived.wait()
        while self._end is None and (pause := self._pace.wait()) > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), pause)
        if self._end is None:
            await self._door.pass_through()
        if self._end is not None:
            return self._end
        self._pace.take()
        message = self._waiting.popleft()
        if not self._waiting:
            self._arrived.clear()
        return message

    async def send(self, message: Message) -> None:
        """Pass an answer on; a browser that takes none is disconnected."""
        try:
            async with asyncio.timeout(NOT_READ):
                await self._send(message)
        except TimeoutError:
            self._finish({"type": "websocket.disconnect", "code": 1008, "reason": "answers are not read"})
            abort(self._send)

    async def _read(self) -> None:
        """Take what comes until the connection ends or too much waits."""
        while self._end is None:
            message = await self._receive()
            if message["type"] != "websocket.receive":
                self._finish(message)
            elif not self._merge(message):
                self._waiting.append(message)
                self._arrived.set()
                if len(self._waiting) > MOST_WAITING or self._bytes() > MOST_BYTES_WAITING:
                    self._finish({"type": "websocket.disconnect", "code": 1008, "reason": TOO_MANY})
                    with suppress(OSError, RuntimeError):  # gone meanwhile
                        await self.send({"type": "websocket.close", "code": 1008, "reason": TOO_MANY})

    def _merge(self, message: Message) -> bool:
        """Whether it took the place of the last one that waits."""
        newer = message.get("bytes")
        older = self._waiting[-1].get("bytes") if self._waiting else None
        if newer is None or older is None or not replaces(newer, older):
            return False
        self._waiting[-1] = message
        return True

    def _bytes(self) -> int:
        """Of all that waits behind the first."""
        return sum(len(message.get("bytes") or b"") for message in list(self._waiting)[1:])

    def _finish(self, message: Message) -> None:
        self._end = message
        self._waiting.clear()
        self._arrived.set()
        self._ended.set()
