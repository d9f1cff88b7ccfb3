"""What is derived from a vocabulary is computed once per vocabulary object and forgotten with it."""

import threading
from collections.abc import Callable, Hashable
from typing import TypeVar
from weakref import WeakKeyDictionary

from explorer.vocabulary import Vocabulary

T = TypeVar("T")

_derived: "WeakKeyDictionary[Vocabulary, dict[Hashable, object]]" = WeakKeyDictionary()
_lock = threading.RLock()  # one for all: what is remembered is made of other remembered things


def remembered(vocabulary: Vocabulary, key: Hashable, make: Callable[[], T]) -> T:
    """What `make` returns, computed once for this vocabulary object and key.

    The key names everything but the vocabulary that the result depends on. `make` must return nothing that refers to the
    vocabulary object itself (its arrays are no harm), or it would never be forgotten.
    """
    with _lock:
        known = _derived.setdefault(vocabulary, {})
        if key not in known:
            known[key] = make()
        return known[key]
