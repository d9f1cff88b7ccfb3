"""How long work is told to stop: by Ctrl-C while threads work, so that nothing is cut off in the middle, or
by whoever asked for it and has left.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_ASKED: ContextVar[Callable[[], object] | None] = ContextVar("asked", default=None)
"""called at every checkpoint of this thread's work"""


def checkpoint() -> None:
    """A place at which long work may end: between two blocks or passes, holding no lock. What is called there
    may raise.
    """
    if (asked := _ASKED.get()) is not None:
        asked()


@contextmanager
def asking(asked: Callable[[], object]) -> Iterator[None]:
    """Within, `asked` is called at every checkpoint; work ends there when it raises."""
    token = _ASKED.set(asked)
    try:
        yield
    finally:
        _ASKED.reset(token)


@contextmanager
def ctrl_c_sets(stop: threading.Event) -> Iterator[None]:
    """Within, the first Ctrl-C sets `stop`, and KeyboardInterrupt is raised at the end; a second one raises
    it at once.

    An exception that a signal raises anywhere can leave a lock taken, tqdm's for one, and the threads that
    need it then wait forever. Where Ctrl-C does not raise KeyboardInterrupt, or outside the main thread,
    nothing changes.
    """
    raises = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or raises is not signal.default_int_handler:
        yield
        return
    interrupted = threading.Event()

    def ask(number: int, frame: object) -> None:
        signal.signal(signal.SIGINT, raises)
        interrupted.set()
        stop.set()

    signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, raises)
    if interrupted.is_set():
        raise KeyboardInterrupt
