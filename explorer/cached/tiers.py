"""Memory first, then the disk."""

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from explorer.cached.memory import memo
from explorer.vocabulary import Vocabulary

T = TypeVar("T")


def cached(vocabulary: Vocabulary, key: Hashable, make: Callable[[], T], of: Any = None) -> T:
    """What `make` returns, computed once for this vocabulary and key; see the package.

    of: the type of the value where it goes to the disk too; None: memory alone. `make` must return nothing
    that refers to the vocabulary object itself (its arrays are no harm), or it would never be forgotten.
    """

    def found() -> T:
        from explorer.cached.content import digest, of_vocabulary
        from explorer.cached.disk import store
        from explorer.cached.source import source_of

        if (kept := store()) is None:
            return make()
        module = getattr(make, "func", make).__module__
        return kept.get(digest(of_vocabulary(vocabulary), key, source_of((module,))), of, make)

    return memo(vocabulary).get(key, make if of is None else found)
