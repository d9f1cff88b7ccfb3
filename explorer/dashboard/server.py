"""The server that Streamlit runs: what stands before it, what its log shows, and that it ends with the
process that started it.
"""

import logging
import os
import signal
import sys
import threading
import time
import traceback

from starlette.middleware import Middleware

from explorer.dashboard import storage
from explorer.dashboard.guard import Guard
from explorer.dashboard.streamlit_internals import is_page

STARTED_BY = "EXPLORER_STARTED_BY"
"""the process whose end is the server's too"""
SWITCHED = 0.001
"""seconds that one page computes before the others, and the server's answers, have their turn"""


_began = threading.Event()


def serves() -> bool:
    """Whether this process is a server, rather than one that runs a page by itself, as tests do."""
    return _began.is_set()


def middleware() -> list[Middleware]:
    """What every request passes before Streamlit has it. Once a server, it also begins what goes on beside:
    see `_begin`.
    """
    if not is_page():
        _begin()
    return [Middleware(Guard)]


def _begin() -> None:
    """Escape control characters in the log, remove what servers that were killed left, and end with the
    process that started this one.
    """
    _began.set()
    sys.setswitchinterval(SWITCHED)
    logging.setLogRecordFactory(plain_record)
    threading.Thread(target=storage.remove_left, name="left uploads", daemon=True).start()
    starter = os.environ.pop(STARTED_BY, "")
    if starter.isdigit() and os.name == "posix":
        threading.Thread(target=_end_with, args=(int(starter),), name="starter", daemon=True).start()


def _end_with(starter: int) -> None:
    """End this process when the one that started it has: however it ended, nobody waits for the server any
    more.
    """
    while os.getppid() == starter:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)


def plain_record(*given: object, **more: object) -> logging.LogRecord:
    """A record of the log whose texts steer no terminal and begin no line of their own: a file or a prompt
    may be named to do so.
    """
    record = logging.LogRecord(*given, **more)  # type: ignore[arg-type]
    if isinstance(record.args, tuple):
        record.args = tuple(escaped(one) if isinstance(one, str) else one for one in record.args)
    record.msg = escaped(str(record.msg), lines=True)
    if record.exc_info and record.exc_info[0] is not None:
        record.exc_text = escaped("".join(traceback.format_exception(*record.exc_info)).rstrip(), lines=True)
    return record


def escaped(text: str, lines: bool = False) -> str:
    """A text without control characters; lines: those that end a line stay."""
    return "".join(
        c
        if c.isprintable() or (lines and c in "\n\t")
        else c.encode("unicode_escape", "backslashreplace").decode()
        for c in text
    )
