"""Per-vocabulary memo with weak references: what is derived from a vocabulary is computed once and forgotten
with it.

One lock per key: whoever asks for what is being computed waits for it, everybody else does not. Bounded by
bytes, least recently used first.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
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
    beyond `capacity` bytes.
    """

    def __init__(self, capacity: int):
        self.capacity = capacity
        self._lock = threading.Lock()
        """held for a look-up, never while anything is computed"""
        self._known: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._making: dict[Hashable, _Making] = {}
        self._bytes = 0

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value of a key, made by `make` where it is not known. An error of `make` is raised and nothing
        is kept: who waited tries anew.
        """
        with self._lock:
            if key in self._known:
                return self._used(key)
            making = self._making.setdefault(key, _Making())
            making.asking += 1
        try:
            with making.lock:
                with self._lock:
                    if key in self._known:
                        return self._used(key)
                value = make()
                self._keep(key, value)
                return value
        finally:
            with self._lock:
                making.asking -= 1
                if not making.asking:
                    del self._making[key]

    def _used(self, key: Hashable) -> Any:
        self._known.move_to_end(key)
        return self._known[key][0]

    def known(self, key: Hashable) -> bool:
        """Whether `get` would answer at once."""
        with self._lock:
            return key in self._known

    def _keep(self, key: Hashable, value: object) -> None:
        size = _size(value)
        with self._lock:
            self._known[key] = value, size
            self._bytes += size
            while self._bytes > self.capacity and len(self._known) > 1:
                self._bytes -= self._known.popitem(last=False)[1][1]


_memos: "WeakKeyDictionary[Vocabulary, Memo]" = WeakKeyDictionary()
_memos_lock = threading.Lock()


def memo(vocabulary: Vocabulary) -> Memo:
    """The memo of a vocabulary object."""
    with _memos_lock:
        if vocabulary not in _memos:
            _memos[vocabulary] = Memo(SPARE_BYTES + TABLES * vocabulary.embedding.nbytes)
        return _memos[vocabulary]


def remembered(vocabulary: Vocabulary, key: Hashable, make: Callable[[], T]) -> T:
    """What `make` returns, computed once for this vocabulary object and key.

    The key names everything but the vocabulary that the result depends on. `make` must return nothing that
    refers to the vocabulary object itself (its arrays are no harm), or it would never be forgotten. Prompts
    in a key are held weakly: what a visitor uploaded goes with the visitor.
    """
    return memo(vocabulary).get(_weak(key), make)


def _weak(key: Hashable) -> Hashable:
    """A key with references to its prompts; they are equal while they refer to one living prompt."""
    if isinstance(key, SoftPrompt):
        return ref(key)
    return tuple(map(_weak, key)) if isinstance(key, tuple) else key


def _size(value: object) -> int:
    """About how many bytes a value takes: its arrays and FAISS indexes, which are all that is large here."""
    if isinstance(value, np.ndarray):
        return value.nbytes
    if hasattr(value, "ntotal") and hasattr(value, "d"):
        return 4 * value.ntotal * value.d
    if is_dataclass(value):
        return sum(_size(getattr(value, field.name)) for field in fields(value))
    if isinstance(value, Mapping):
        return sum(map(_size, value.values()))
    if isinstance(value, tuple | list):
        return sum(map(_size, value))
    return 64
