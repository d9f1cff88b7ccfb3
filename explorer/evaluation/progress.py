"""The bar of long work that counts: how many answers of how many."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

from explorer.system.interruption import checkpoint

SHORT = 0.5
"""seconds; work that is done by then shows no bar"""


@contextmanager
def counted(
    total: int, what: str, share: Callable[[float], None] | None = None
) -> Iterator[Callable[[int], None]]:
    """A function that is told how many of `total` answers are done more; it moves a bar on stderr, and tells
    `share` how much is done, 0…1.
    """
    with tqdm(total=total, desc=what, unit="answer", delay=SHORT, mininterval=SHORT) as bar:

        def done(more: int) -> None:
            bar.update(more)
            checkpoint()
            if share is not None:
                share(min(1.0, bar.n / max(1, total)))

        yield done
