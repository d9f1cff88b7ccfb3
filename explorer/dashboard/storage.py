"""Where uploads lie on the server's disk: folders of each session's own, bounded, and removed when its page
has been closed for two minutes.

A thread of its own sees to that, since Streamlit forgets a session only when another one comes.
"""

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from explorer.dashboard.limits import (
    CLOSED_KEPT,
    MOST_BYTES,
    MOST_BYTES_TOGETHER,
    MOST_FILES,
    MOST_FILES_TOGETHER,
    UPLOADS_BOUNDED,
)
from explorer.errors import PromptError

LOOKED_AT = 5.0
"""seconds between two looks at which pages are closed"""


@dataclass
class _Belongings:
    """What one session has here."""

    seen: float
    """when its page was last open, in seconds of the clock"""
    folders: list[TemporaryDirectory] = field(default_factory=list)
    forget: list[Callable[[], object]] = field(default_factory=list)
    """called when it ends"""


class Storage:
    """The folders of all sessions. Safe in threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, thread: bool = True):
        """thread: whether closed sessions are looked for; else whoever calls `sweep` does."""
        self._clock, self._thread, self._running = clock, thread, False
        self._lock = threading.Lock()
        self._sessions: dict[str, _Belongings] = {}

    def folder(self, session: str, forget: Callable[[], object] | None = None) -> Path:
        """A fresh folder of a session. forget: called when the session ends."""
        made = TemporaryDirectory(prefix="explorer-")
        with self._lock:
            known = self._sessions.setdefault(session, _Belongings(self._clock()))
            known.folders.append(made)
            known.forget += [] if forget is None else [forget]
            if self._thread and not self._running:
                self._running = True
                threading.Thread(target=self._watch, name="uploads", daemon=True).start()
        return Path(made.name).resolve()  # as messages name it

    def check(self, session: str, more: int = 0) -> None:
        """Raise PromptError when a session, or all of them together, has too much here with so many more
        bytes.
        """
        with self._lock:
            sizes = {
                one: _size([folder.name for folder in known.folders]) for one, known in self._sessions.items()
            }
        files, taken = sizes.get(session, (0, 0))
        files_together, taken_together = (sum(column) for column in zip((0, 0), *sizes.values(), strict=True))
        if (
            files > MOST_FILES
            or files_together > MOST_FILES_TOGETHER
            or taken + more > MOST_BYTES
            or taken_together + more > MOST_BYTES_TOGETHER
        ):
            raise PromptError(UPLOADS_BOUNDED)

    def remove(self, session: str) -> None:
        """Remove what a session has here."""
        with self._lock:
            known = self._sessions.pop(session, None)
        for folder in known.folders if known is not None else ():
            folder.cleanup()
        for forget in known.forget if known is not None else ():
            forget()

    def sweep(self, is_open: Callable[[str], bool]) -> None:
        """Remove what belongs to sessions whose page has been closed for `CLOSED_KEPT` seconds; a reload
        within them finds everything again.
        """
        now = self._clock()
        with self._lock:
            for session, known in self._sessions.items():
                known.seen = now if is_open(session) else known.seen
            closed = [session for session, known in self._sessions.items() if now - known.seen >= CLOSED_KEPT]
        for session in closed:
            self.remove(session)

    def _watch(self) -> None:
        while True:
            time.sleep(LOOKED_AT)
            self.sweep(is_open)
            with self._lock:
                if not self._sessions:
                    self._running = False
                    return


def _size(folders: list[str]) -> tuple[int, int]:
    """Files and bytes below some folders."""
    found = [
        os.path.join(place, name)
        for folder in folders
        for place, _, names in os.walk(folder)
        for name in names
    ]
    return len(found), sum(os.lstat(file).st_size for file in found if os.path.lexists(file))


def session_id() -> str:
    """Of the session whose page runs in this thread; empty outside of pages."""
    from streamlit.runtime.scriptrunner import get_script_run_ctx

    run = get_script_run_ctx(suppress_warning=True)
    return "" if run is None else run.session_id


def is_open(session: str) -> bool:
    """Whether a browser is connected to a session."""
    from streamlit.runtime import Runtime

    return not Runtime.exists() or Runtime.instance().is_active_session(session)


def forget_files(session: str) -> None:
    """Remove the copies that Streamlit holds in memory of what a session uploaded."""
    from streamlit.runtime import Runtime

    if Runtime.exists():
        Runtime.instance().uploaded_file_mgr.remove_session_files(session)


STORAGE = Storage()
"""of this server"""
