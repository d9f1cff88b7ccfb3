"""What the server refuses before Streamlit sees it: other hosts where folders may be opened, uploads beyond
bounds, floods of messages; headers of every answer.

Pure ASGI, and all of it holds for whoever speaks to the server without a browser too.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from ipaddress import ip_address
from itertools import count

from explorer.dashboard.access import folders, read_only
from explorer.dashboard.flood import Connection, Door, Message, Receive, Send
from explorer.dashboard.limits import UPLOADS_BOUNDED
from explorer.dashboard.storage import STORAGE, Storage
from explorer.dashboard.streamlit_internals import UPLOADS

UPLOAD = re.compile(rf"/{UPLOADS}/([^/]+)/([^/]+)/?")
"""a file, with the session that it is of"""
WITHOUT_BODY = ("GET", "HEAD", "OPTIONS", "DELETE")
OTHERS = 2**20
"""bytes that a request may bring which is no upload: were uploads taken elsewhere, none would be unbounded"""
STALLED, SLOWEST = 30.0, 2**14
"""seconds in which at least so many bytes of a file come"""
DRAINED = 20.0
"""seconds for which a refused file is read, so that the answer arrives"""
MOST_DIGITS = 18
HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"SAMEORIGIN",
    b"content-security-policy": b"frame-ancestors 'self'; base-uri 'self'; object-src 'none'",
    b"referrer-policy": b"same-origin",
}
"""of every answer, where Streamlit gives none; scripts and styles are not named, since Streamlit's own are
written into its page
"""


def of_this_machine(host: str) -> bool:
    """Whether a Host header names this machine itself. A page of others that a name server points here (DNS
    rebinding) has its own name there.
    """
    name = host.rpartition(":")[0] if re.search(r":\d+$", host) else host
    name = name.strip("[]").rstrip(".").casefold()
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


class Refused(Exception):
    """A file that is not taken any further."""

    def __init__(self, status: int, line: str):
        super().__init__(line)
        self.status, self.line = status, line


class Body:
    """What a browser sends with one request, read through `receive`.

    A client that stalls is given up; what nobody read is read here before the answer ends, since a connection
    that is closed with bytes unread is reset, and the answer is lost.
    """

    def __init__(self, receive: Receive, arrives: Callable[[int], bool] = lambda size: True):
        """arrives: told how many bytes came; False refuses them."""
        self._receive, self._arrives = receive, arrives
        self._ended = False
        self._since, self._left = time.monotonic(), SLOWEST

    async def receive(self) -> Message:
        """The next part. Raises Refused when too much comes, or nothing."""
        try:
            async with asyncio.timeout(max(0.0, self._since + STALLED - time.monotonic())):
                message = await self._receive()
        except TimeoutError:
            self._ended = True
            raise Refused(408, f"nothing came for {STALLED:.0f} seconds; send the file again") from None
        size = len(message.get("body", b""))
        self._ended = message["type"] != "http.request" or not message.get("more_body", False)
        self._left -= size
        if self._left <= 0:
            self._since, self._left = time.monotonic(), SLOWEST
        if size and not self._arrives(size):
            raise Refused(413, UPLOADS_BOUNDED)
        return message

    async def drain(self) -> None:
        """Read what is left, for a while."""
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAINED):
                while not self._ended:
                    message = await self._receive()
                    self._ended = message["type"] != "http.request" or not message.get("more_body", False)

    def drained(self, send: Send) -> Send:
        """send, which ends an answer only when all was read."""

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.body" and not message.get("more_body") and not self._ended:
                await send({**message, "more_body": True})
                await self.drain()
                message = {"type": "http.response.body", "body": b""}
            await send(message)

        return sent


class Guard:
    """An ASGI application before Streamlit's."""

    def __init__(self, app: Callable[[Message, Receive, Send], Awaitable[None]], storage: Storage = STORAGE):
        self.app, self._storage = app, storage
        self._door, self._files = Door(), count()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request or connection, or pass it on."""
        if scope["type"] == "lifespan":
            await self.app(scope, self._until_the_end(receive), send)
            return
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if folders() and not of_this_machine(headers.get(b"host", "")):
            line = "this dashboard opens folders of its machine and answers on localhost only"
            await _refuse(scope, receive, send, headers, Refused(403, line))
        elif scope["type"] == "websocket":
            await Connection(receive, send, self._door).run(self.app, scope)
        elif (upload := UPLOAD.search(scope["path"])) and scope["method"] in ("PUT", "POST"):
            await self._upload(scope, receive, send, headers, *upload.groups())
        elif (
            scope["method"] not in WITHOUT_BODY and int(_number(headers.get(b"content-length", "0"))) > OTHERS
        ):
            await _refuse(scope, receive, send, headers, Refused(413, "only files may be this large"))
        else:
            seen = _Seen(_with_headers(send))
            await self.app(scope, receive, seen.send)
            if upload and scope["method"] == "DELETE" and seen.status == 204:
                self._storage.arrived(upload[1], upload[2], None)

    async def _upload(
        self, scope: Message, receive: Receive, send: Send, headers: dict[bytes, str], session: str, file: str
    ) -> None:
        """Take a file, counting what arrives; what it announces alone takes nobody's room."""
        key = f"{file} {next(self._files)}"
        body = Body(receive, lambda size: self._storage.arrives(session, key, size))
        seen = _Seen(_with_headers(body.drained(send)))
        taken = False
        try:
            self._check(session, headers.get(b"content-length", ""))
            await self.app(scope, body.receive, seen.send)
            taken = seen.status is not None and seen.status < 300
        except Refused as refused:
            if seen.status is None:
                await _refuse(scope, body.receive, send, headers, refused, body)
        finally:
            self._storage.arrived(session, key, file if taken else None)

    def _check(self, session: str, size: str) -> None:
        """Raise Refused for a file that is not taken."""
        if read_only():
            raise Refused(403, "this dashboard is read-only and takes no uploads")
        if not (size.isascii() and size.isdigit()):
            raise Refused(411, "a file without its size; expected the header Content-Length")
        if not self._storage.fits(session, int(size[:MOST_DIGITS])):
            raise Refused(413, UPLOADS_BOUNDED)

    def _until_the_end(self, receive: Receive) -> Receive:
        """receive, which removes all uploads when the server ends."""

        async def received() -> Message:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                self._storage.close()
            return message

        return received


class _Seen:
    """The status that an answer began with, as it passes."""

    def __init__(self, send: Send):
        self._send = send
        self.status: int | None = None

    async def send(self, message: Message) -> None:
        self.status = message.get("status", self.status)
        await self._send(message)


def _number(size: str) -> str:
    """The digits of a header; a size that is none counts as too large."""
    return size[:MOST_DIGITS] if size.isascii() and size.isdigit() else "9" * MOST_DIGITS


def _with_headers(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            there = {name.lower() for name, _ in message.get("headers", ())}
            message["headers"] = [
                *message.get("headers", ()),
                *((name, value) for name, value in HEADERS.items() if name not in there),
            ]
        await send(message)

    return sent


async def _refuse(
    scope: Message,
    receive: Receive,
    send: Send,
    headers: dict[bytes, str],
    refused: Refused,
    body: Body | None = None,
) -> None:
    """One line instead of an answer. A client that waits to be told to send its file sends none."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": refused.line})
        return
    text = f"{refused.line}\n".encode()
    answer = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(text)).encode()),
        (b"connection", b"close"),
    ]
    comes = headers.get(b"content-length", "0") != "0" or b"transfer-encoding" in headers
    if comes and b"expect" not in headers:
        send = (body or Body(receive)).drained(send)
    await _with_headers(send)({"type": "http.response.start", "status": refused.status, "headers": answer})
    await send({"type": "http.response.body", "body": text})
