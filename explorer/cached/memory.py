"""The memory tier: per vocabulary object, with weak references to prompts.

One lock per key: whoever asks for what is being computed waits for it, everybody else does not. Bounded by
bytes, least recently used first.
"""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar
from weakref import WeakKeyDictionary, ref

import numpy as np

from explorer.prompt import SoftPrompt
from explorer.vocabulary import Vocabulary

T = TypeVar("T")

SPARE_BYTES, TABLES = 256 * 2**20, 4
"""a vocabulary's memo holds at most so many bytes and so many times its embedding table: indexes are as large
as the table
"""


class _Making:
    """A key that somebody computes now, and how many ask for it."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.asking = 0


class Memo:
    """Values by key, each computed once however many threads ask for it; the least recently used are dropped
    beyond `capacity` bytes, and those of a prompt with the prompt.
    """

    def __init__(self, capacity: int):
        self.capacity = capacity
        self._mutex = threading.Lock()
        """held for a look-up, never while anything is computed"""
        self._known: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._making: dict[Hashable, _Making] = {}
        self._bytes = 0
        self._gone: deque[object] = deque()
        """one for each prompt that is gone and whose values may be here still"""

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value of a key, made by `make` where it is not known. An error of `make` is raised and nothing
        is kept: who waited tries anew.
        """
        key = self._weak(key)
        with self._locked():
            if key in self._known:
                return self._used(key)
            making = self._making.setdefault(key, _Making())
            making.asking += 1
        try:
            with making.lock:
                with self._locked():
                    if key in self._known:
                        return self._used(key)
                value = make()
                self._keep(key, value)
                return value
        finally:
            with self._locked():
                making.asking -= 1
                if not making.asking:
                    del self._making[key]

    def known(self, key: Hashable) -> bool:
        """Whether `get` would answer at once."""
        key = self._weak(key)
        with self._locked():
            return key in self._known

    def __len__(self) -> int:
        """How many values are here."""
        with self._locked():
            return len(self._known)

    def _used(self, key: Hashable) -> Any:
        self._known.move_to_end(key)
        return self._known[key][0]

    def _keep(self, key: Hashable, value: object) -> None:
        size = bytes_of(value)
        with self._locked():
            if _is_dead(key):
                return
            self._known[key] = value, size
            self._bytes += size
            while self._bytes > self.capacity and len(self._known) > 1:
                self._bytes -= self._known.popitem(last=False)[1][1]

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._mutex:
            yield
        self._sweep()

    def _weak(self, key: Hashable) -> Hashable:
        """A key with references to its prompts; they are equal while they refer to one living prompt."""
        if isinstance(key, SoftPrompt):
            here = ref(self)

            def gone(prompt: object) -> None:
                if (memo := here()) is not None:
                    memo._gone.append(prompt)
                    memo._sweep()

            return ref(key, gone)
        return tuple(map(self._weak, key)) if isinstance(key, tuple) else key

    def _sweep(self) -> None:
        """Drop the values of prompts that are gone. A prompt may go while this very thread holds the lock:
        then, as for any other holder, it is swept when the lock is free again.
        """
        while self._gone and self._mutex.acquire(blocking=False):
            dropped = []
            try:
                while self._gone:
                    self._gone.popleft()
                    for key in [key for key in self._known if _is_dead(key)]:
                        dropped.append(self._known.pop(key))
                        self._bytes -= dropped[-1][1]
            finally:
                self._mutex.release()
            dropped.clear()  # here, where no lock is held: values may hold prompts themselves


def _is_dead(key: Hashable) -> bool:
    """Whether a prompt of the key is gone."""
    if isinstance(key, ref):
        return key() is None
    return isinstance(key, tuple) and any(map(_is_dead, key))


_memos: "WeakKeyDictionary[Vocabulary, Memo]" = WeakKeyDictionary()
_memos_lock = threading.Lock()


def memo(vocabulary: Vocabulary) -> Memo:
    """The memo of a vocabulary object."""
    with _memos_lock:
        if vocabulary not in _memos:
            _memos[vocabulary] = Memo(SPARE_BYTES + TABLES * vocabulary.embedding.nbytes)
        return _memos[vocabulary]


def bytes_of(value: object) -> int:
    """About how many bytes a value takes: its arrays and FAISS indexes, which are all that is large here."""
    if isinstance(value, np.ndarray):
        return value.nbytes
    if hasattr(value, "ntotal") and hasattr(value, "d"):
        return 4 * value.ntotal * value.d
    if is_dataclass(value):
        return sum(bytes_of(getattr(value, field.name)) for field in fields(value))
    if isinstance(value, Mapping):
        return sum(map(bytes_of, value.values()))
    if isinstance(value, tuple | list):
        return sum(map(bytes_of, value))
    return 64
