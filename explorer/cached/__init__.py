"""One memo with two tiers. Whatever is computed once goes through `cached`:

    from explorer.cached import cached

    def whitening(vocabulary):
        return cached(vocabulary, "whitening", lambda: _whitening(vocabulary), of=Whitening)

- *Memory*: values by key, per vocabulary object, forgotten with it and with any prompt in the key; one lock a
  key, bounded by bytes (`memory`).
- *Disk* (only with `of`, the type of the value: an array, a number, a string, tuples and dataclasses of
  these): below the user's cache folder, found again by content: that of the vocabulary, the key, and the
  source that computes it: the module of `make` and all that it imports (`disk`, `content`, `source`).

A key names everything but the vocabulary that the value depends on: text, numbers, None, tuples, labelled
texts; prompts, of which name, vectors and beginning count. Arrays that come from the disk are read-only.
Whole readings go through `kept`, which knows also what ships with the bundle.
"""

from explorer.cached.memory import Memo, memo
from explorer.cached.tiers import cached

__all__ = ["Memo", "cached", "memo"]
