"""What visitors uploaded: how much of it Streamlit holds in memory, and folders of each session's own on the
server's disk. Both are bounded, and removed when the session's page has been closed for two minutes.

A thread of its own sees to that, since Streamlit forgets a session only when another one comes. A server that
was killed cleans up nothing: the next one of the same user does.
"""

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from explorer.dashboard.limits import (
    CLOSED_KEPT,
    MOST_BYTES,
    MOST_BYTES_TOGETHER,
    MOST_FILES,
    MOST_FILES_TOGETHER,
    UPLOADS_BOUNDED,
)
from explorer.dashboard.streamlit_internals import forget_files, is_open
from explorer.errors import PromptError

LOOKED_AT = 5.0
"""seconds between two looks at which pages are closed"""
OF_A_SERVER = "explorer-uploads-"
"""how the folders of servers are named among the system's temporary ones"""
MOST_TRIES = 3


@dataclass
class _Belongings:
    """What one session has here."""

    seen: float
    """when its page was last open, in seconds of the clock"""
    folders: list[Path] = field(default_factory=list)
    forget: list[Callable[[], object]] = field(default_factory=list)
    """called when it ends"""
    files: dict[str, int] = field(default_factory=dict)
    """bytes of each file that Streamlit holds, or that is on its way there"""
    arriving: set[str] = field(default_factory=set)
    """those on their way"""


class Storage:
    """The uploads of all sessions. Safe in threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, thread: bool = True):
        """thread: whether closed sessions are looked for; else whoever calls `sweep` does."""
        self._clock, self._thread, self._running = clock, thread, False
        self._lock = threading.Lock()
        self._sessions: dict[str, _Belongings] = {}
        self._own: ServerFolder | None = None

    def _belongings(self, session: str) -> _Belongings:
        """What a session has; the lock is held."""
        if self._thread and not self._running:
            self._running = True
            threading.Thread(target=self._watch, name="uploads", daemon=True).start()
        return self._sessions.setdefault(session, _Belongings(self._clock()))

    # In memory

    def arrives(self, session: str, file: str, size: int) -> bool:
        """Count bytes of a file that is on its way; False, and not counted, where they are too many."""
        with self._lock:
            known = self._belongings(session)
            if not self._fits(session, 0 if file in known.files else 1, size):
                return False
            known.files[file] = known.files.get(file, 0) + size
            known.arriving.add(file)
            return True

    def fits(self, session: str, size: int) -> bool:
        """Whether one more file of this size may come."""
        with self._lock:
            return self._fits(session, 1, size)

    def _fits(self, session: str, files: int, size: int) -> bool:
        known = self._sessions.get(session)
        own = list(known.files.values()) if known is not None else []
        together = [each for other in self._sessions.values() for each in other.files.values()]
        return (
            len(own) + files <= MOST_FILES
            and len(together) + files <= MOST_FILES_TOGETHER
            and sum(own) + size <= MOST_BYTES
            and sum(together) + size <= MOST_BYTES_TOGETHER
        )

    def arrived(self, session: str, file: str, name: str | None) -> None:
        """A file has come and is known by this name; None: it was not taken."""
        with self._lock:
            if (known := self._sessions.get(session)) is None:
                return
            size = known.files.pop(file, None)
            known.arriving.discard(file)
            if name is not None and size is not None:
                known.files[name] = size
            if not (known.files or known.folders or known.forget):
                self._sessions.pop(session)

    # On the disk

    def folder(self, session: str, forget: Callable[[], object] | None = None) -> Path:
        """A fresh folder of a session. forget: called when the session ends."""
        with self._lock:
            if self._own is None:
                self._own = ServerFolder()
            made = Path(
                tempfile.mkdtemp(prefix="session-", dir=self._own.path)
            ).resolve()  # as messages name it
            known = self._belongings(session)
            known.folders.append(made)
            known.forget += [] if forget is None else [forget]
        return made

    def check(self, session: str, more: int = 0) -> None:
        """Raise PromptError when a session, or all of them together, has too much on the disk with so many
        more bytes.
        """
        with self._lock:
            sizes = {name: _size(known.folders) for name, known in self._sessions.items()}
        files, taken = sizes.get(session, (0, 0))
        files_together, taken_together = (sum(column) for column in zip((0, 0), *sizes.values(), strict=True))
        if (
            files > MOST_FILES
            or files_together > MOST_FILES_TOGETHER
            or taken + more > MOST_BYTES
            or taken_together + more > MOST_BYTES_TOGETHER
        ):
            raise PromptError(UPLOADS_BOUNDED)

    # Until

    def remove(self, session: str) -> None:
        """Remove what a session has here, and what Streamlit holds of it."""
        with self._lock:
            known = self._sessions.pop(session, None)
        if known is None:
            return
        for folder in known.folders:
            shutil.rmtree(folder, ignore_errors=True)
        for forget in (lambda: forget_files(session), *known.forget):
            forget()

    def sweep(self, is_open: Callable[[str], bool]) -> None:
        """Remove what belongs to sessions whose page has been closed for `CLOSED_KEPT` seconds; a reload
        within them finds everything again.
        """
        now = self._clock()
        with self._lock:
            for session, known in self._sessions.items():
                known.seen = now if known.arriving or is_open(session) else known.seen
            closed = [session for session, known in self._sessions.items() if now - known.seen >= CLOSED_KEPT]
        for session in closed:
            self.remove(session)

    def close(self) -> None:
        """Remove everything: the server ends."""
        with self._lock:
            own, self._own = self._own, None
        if own is not None:
            own.remove()

    def _watch(self) -> None:
        while True:
            time.sleep(LOOKED_AT)
            self.sweep(is_open)
            with self._lock:
                if not self._sessions:
                    self._running = False
                    return


def _size(folders: list[Path]) -> tuple[int, int]:
    """Files and bytes below some folders."""
    files = [
        os.path.join(place, name)
        for folder in folders
        for place, _, names in os.walk(folder)
        for name in names
    ]
    return len(files), sum(os.lstat(file).st_size for file in files if os.path.lexists(file))


class ServerFolder:
    """A temporary folder of this process, locked for as long as it lives: the lock ends with the process,
    however that ends.
    """

    def __init__(self) -> None:
        for _ in range(MOST_TRIES):  # another server may take it for a left one before it is locked
            self.path = Path(tempfile.mkdtemp(prefix=OF_A_SERVER))
            self._lock = _lock(self.path)
            if self._lock is not None and self.path.is_dir():
                return
        self.path.mkdir(0o700, exist_ok=True)  # no locks here: `remove_left` removes nothing either

    def remove(self) -> None:
        """Remove it with all it holds."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)


def _lock(folder: Path) -> int | None:
    """The descriptor that holds a folder's lock; None where it is held, or where there are no such locks."""
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    descriptor = None
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return descriptor
    except OSError:
        if descriptor is not None:
            os.close(descriptor)
        return None


def remove_left() -> None:
    """Remove the folders of this user's servers that live no more; never those of one that does, or of
    somebody else.
    """
    if os.name != "posix":
        return
    for folder in Path(tempfile.gettempdir()).glob(f"{OF_A_SERVER}*"):
        with suppress(OSError):
            if os.lstat(folder).st_uid == os.getuid() and (lock := _lock(folder)) is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)


STORAGE = Storage()
"""of this server"""
