"""Ctrl-C while threads work: they are asked to stop, and nothing is cut off in the middle."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def ctrl_c_sets(stop: threading.Event) -> Iterator[None]:
    """Within, the first Ctrl-C sets `stop`, and KeyboardInterrupt is raised at the end; a second one raises it at once.

    An exception that a signal raises anywhere can leave a lock taken, tqdm's for one, and the threads that need it then wait forever. Where Ctrl-C
    does not raise KeyboardInterrupt, or outside the main thread, nothing changes.
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
