"""The memo: one lock for each key, each value computed once, errors forgotten, bounded by bytes, gone with
its vocabulary and its prompts.
"""

import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import planted
import pytest

from explorer.analysis.neighbors import nearest_neighbors
from explorer.analysis.nulls import gaussian_vectors
from explorer.cached import Memo, cached, memo

LONG = 30
"""seconds after which a test gives up waiting"""
PAGE = np.zeros(1000, np.uint8)


class Slow:
    """A computation that says when it begins and ends when it is told to."""

    def __init__(self, value: object = "made"):
        self.begun, self.go_on, self.calls, self.value = threading.Event(), threading.Event(), 0, value

    def __call__(self) -> object:
        self.calls += 1
        self.begun.set()
        assert self.go_on.wait(LONG)
        return self.value


def test_other_keys_do_not_wait_for_one_that_is_being_made():
    kept, slow = Memo(10**6), Slow()
    kept.get("known", lambda: 1)
    with ThreadPoolExecutor(2) as pool:
        waiting = pool.submit(kept.get, "slow", slow)
        assert slow.begun.wait(LONG)
        answers = pool.submit(
            lambda: (
                kept.get("known", lambda: 2),
                kept.get("another", lambda: 3),
                kept.known("slow"),
                kept.known("another"),
            )
        )
        assert answers.result(LONG) == (1, 3, False, True)
        assert not waiting.done()
        slow.go_on.set()
        assert waiting.result(LONG) == "made"
    assert kept.known("slow")


def test_a_value_is_made_once_however_many_threads_ask():
    kept, slow = Memo(10**6), Slow(object())
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(kept.get, "key", slow) for _ in range(8)]
        assert slow.begun.wait(LONG)
        slow.go_on.set()
        assert {one.result(LONG) for one in asked} == {slow.value}
    assert slow.calls == 1


def test_an_error_is_raised_and_not_kept():
    kept, calls = Memo(10**6), []

    def fails() -> int:
        calls.append(1)
        if len(calls) == 1:
            raise ValueError("not this time")
        return 7

    with pytest.raises(ValueError, match="not this time"):
        kept.get("key", fails)
    assert not kept.known("key")
    assert [kept.get("key", fails), kept.get("key", fails)] == [7, 7]
    assert len(calls) == 2


def test_who_waited_for_what_failed_makes_it_and_only_one_of_them():
    kept, begun, go_on, second = Memo(10**6), threading.Event(), threading.Event(), Slow()

    def fails() -> object:
        begun.set()
        assert go_on.wait(LONG)
        raise ValueError("not this time")

    with ThreadPoolExecutor(6) as pool:
        failing = pool.submit(kept.get, "key", fails)
        assert begun.wait(LONG)
        others = [pool.submit(kept.get, "key", second) for _ in range(5)]
        go_on.set()
        with pytest.raises(ValueError, match="not this time"):
            failing.result(LONG)
        assert second.begun.wait(LONG)
        second.go_on.set()
        assert [one.result(LONG) for one in others] == ["made"] * 5
    assert second.calls == 1


def test_what_was_used_last_is_kept_within_its_bytes():
    kept = Memo(3 * len(PAGE))
    for key in "abc":
        kept.get(key, PAGE.copy)
    kept.get("a", PAGE.copy)
    kept.get("d", PAGE.copy)
    assert [kept.known(key) for key in "abcd"] == [True, False, True, True]


def test_a_value_larger_than_all_is_kept_alone():
    kept = Memo(len(PAGE))
    kept.get("small", PAGE.copy)
    kept.get("large", lambda: np.zeros(10 * len(PAGE), np.uint8))
    assert (kept.known("small"), kept.known("large")) == (False, True)
    kept.get("small", PAGE.copy)
    assert (kept.known("small"), kept.known("large")) == (True, False)


@dataclass
class Held:
    """A result that holds arrays."""

    arrays: tuple[np.ndarray, ...]
    more: dict[str, np.ndarray]


def test_arrays_inside_results_and_indexes_count():
    import faiss

    index = faiss.IndexFlatIP(10)
    index.add(np.zeros((25, 10), np.float32))
    for value in (index, Held((PAGE,), {}), Held((), {"more": PAGE}), [PAGE], (PAGE,)):
        kept = Memo(len(PAGE) + 500)
        kept.get("first", lambda value=value: value)
        kept.get("second", lambda value=value: value)
        assert not kept.known("first"), f"{value} takes a page"


def test_one_value_may_be_made_of_others():
    """Also of one that this thread is not the only one to ask for."""
    vocabulary = planted.vocabulary()
    with ThreadPoolExecutor(8) as pool:
        found = list(
            pool.map(
                lambda seed: nearest_neighbors(
                    planted.prompt(vocabulary.embedding[:3]), vocabulary, metric="csls", seed=seed % 2
                ),
                range(16),
            )
        )
    assert len({one.null.tobytes() for one in found}) == 2


def test_it_is_forgotten_with_its_vocabulary():
    vocabulary = planted.vocabulary()
    made = gaussian_vectors(vocabulary, 5, 0)
    cached(vocabulary, "key", lambda: made)
    gone, kept = weakref.ref(vocabulary), weakref.ref(memo(vocabulary))
    del vocabulary
    gc.collect()
    assert (gone(), kept()) == (None, None)


def test_vocabularies_share_nothing():
    one, two = planted.vocabulary(), planted.vocabulary()
    assert [
        cached(one, "key", lambda: 1),
        cached(two, "key", lambda: 2),
        cached(one, "key", lambda: 3),
    ] == [1, 2, 1]


def test_a_prompt_in_a_key_is_not_kept_alive():
    """What a visitor uploaded goes with the visitor; another prompt of the same vectors is another key."""
    vocabulary = planted.vocabulary()
    prompt, twin = planted.prompt(vocabulary.embedding[:2]), planted.prompt(vocabulary.embedding[:2])
    asked = lambda one, value: cached(vocabulary, ("reading", (one, "x"), 3), lambda: value)  # noqa: E731
    assert [asked(prompt, 1), asked(twin, 2), asked(prompt, 3)] == [1, 2, 1]
    gone = weakref.ref(prompt)
    del prompt
    gc.collect()
    assert gone() is None
    assert asked(twin, 4) == 2
