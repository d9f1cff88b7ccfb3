"""What the server refuses before Streamlit sees it: other hosts where folders may be opened, uploads beyond
bounds; headers of every answer.

Pure ASGI, and all of it holds for whoever speaks to the server without a browser too.
"""

import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, MutableMapping
from ipaddress import ip_address
from typing import Any

from explorer.dashboard.access import folders, read_only
from explorer.dashboard.limits import (
    MOST_BYTES,
    MOST_BYTES_TOGETHER,
    MOST_FILES,
    MOST_FILES_TOGETHER,
    UPLOADS_BOUNDED,
)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

UPLOAD = re.compile(r"/_stcore/upload_file/([^/]+)/[^/]+/?")
"""where Streamlit takes files, with the session they are of"""
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


def held() -> dict[str, list[int]]:
    """Files and bytes that Streamlit holds, by session."""
    from streamlit.runtime import Runtime

    if not Runtime.exists():
        return {}
    sessions = getattr(Runtime.instance().uploaded_file_mgr, "file_storage", {})
    return {
        session: [len(files), sum(len(file.data) for file in list(files.values()))]
        for session, files in list(sessions.items())
    }


class Guard:
    """An ASGI application before Streamlit's."""

    def __init__(self, app: Callable[[Message, Receive, Send], Awaitable[None]]):
        self.app = app
        self._coming: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        """files and bytes on their way, by session; changed on the server's one event loop only"""

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request or connection, or pass it on."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        given = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if folders() and not of_this_machine(given.get(b"host", "")):
            await _refuse(
                scope, send, 403, "this dashboard opens folders of its machine and answers on localhost only"
            )
            return
        upload = (
            UPLOAD.search(scope["path"])
            if scope["type"] == "http" and scope["method"] in ("PUT", "POST")
            else None
        )
        if upload is None:
            await self.app(scope, receive, _with_headers(send))
            return
        size = given.get(b"content-length", "")
        if (refusal := self._refusal(upload[1], size)) is not None:
            await _refuse(scope, send, *refusal)
            return
        coming = self._coming[upload[1]]
        coming[0], coming[1] = coming[0] + 1, coming[1] + int(size)
        try:
            await self.app(scope, receive, _with_headers(send))
        finally:
            coming[0], coming[1] = coming[0] - 1, coming[1] - int(size)
            if not coming[0]:
                self._coming.pop(upload[1], None)

    def _refusal(self, session: str, size: str) -> tuple[int, str] | None:
        """Status and line for a file that is not taken; None for one that is."""
        if read_only():
            return 403, "this dashboard is read-only and takes no uploads"
        if not (size.isascii() and size.isdigit()):
            return 411, "a file without its size; expected the header Content-Length"
        there = held()
        for one, (files, taken) in list(self._coming.items()):
            known = there.setdefault(one, [0, 0])
            known[0], known[1] = known[0] + files, known[1] + taken
        mine, together = (
            there.get(session, [0, 0]),
            [sum(column) for column in zip(*there.values(), strict=True)] or [0, 0],
        )
        too_many = mine[0] >= MOST_FILES or together[0] >= MOST_FILES_TOGETHER
        if too_many or mine[1] + int(size) > MOST_BYTES or together[1] + int(size) > MOST_BYTES_TOGETHER:
            return 413, UPLOADS_BOUNDED
        return None


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


async def _refuse(scope: Message, send: Send, status: int, line: str) -> None:
    """One line instead of an answer."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": line})
        return
    body = f"{line}\n".encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await _with_headers(send)({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
