"""The disk tier: found by content and by the source that computes, whole or not at all, bounded, never in the
way; and what a second start computes.
"""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import msgspec
import numpy as np
import planted
import pytest

from explorer.analysis import clusters, decomposition, hubness, nulls, vectors
from explorer.analysis.clusters import clusters as read_clusters
from explorer.analysis.decomposition import decompose
from explorer.analysis.neighbors import nearest_neighbors
from explorer.analysis.norms import read_norms
from explorer.cached import cached, content, disk
from explorer.cached.kept import Kept, Question, Shipped, place_of
from explorer.cached.source import source_of
from explorer.context import LocalLoader
from explorer.prompt import Origin
from explorer.session import Session
from explorer.system.files import PACKAGE

ARRAY = np.arange(1000, dtype=np.float32)


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """The folder of an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("EXPLORER_CACHE_MIB", "64")
    source_of.cache_clear()
    store = disk.store()
    assert store is not None
    return store.folder


@dataclass(frozen=True)
class Result:
    """A result of the kinds of parts that there are."""

    name: str
    array: np.ndarray
    pairs: tuple[tuple[str, ...], ...]
    others: dict[str, np.ndarray]
    share: float
    nothing: np.ndarray | None = None


def test_what_is_read_is_what_was_written(folder):
    store = disk.Store(folder, 2**20)
    result = Result("a", ARRAY.reshape(10, 100)[:, ::2], (("b",), ()), {"c": np.array([np.nan, 1])}, 0.5)
    store.write("name", result)
    found = store.read("name", Result)
    for part in ("array", "others"):
        np.testing.assert_equal(getattr(found, part), getattr(result, part))
    assert replace(found, array=ARRAY, others={}) == replace(result, array=ARRAY, others={})
    store.write("pair", (ARRAY, np.arange(3)))
    np.testing.assert_equal(store.read("pair", tuple[np.ndarray, np.ndarray]), (ARRAY, np.arange(3)))


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:3],
        lambda data: data[:-1],
        lambda data: data + b"x",
        lambda data: data[:100] + bytes([data[100] ^ 1]) + data[101:],
    ],
)
def test_a_damaged_entry_is_made_anew_and_replaced(folder, damage):
    store = disk.Store(folder, 2**20)
    store.write("name", ARRAY)
    (file,) = folder.iterdir()
    file.write_bytes(damage(file.read_bytes()))
    np.testing.assert_array_equal(store.get("name", np.ndarray, lambda: ARRAY + 1), ARRAY + 1)
    np.testing.assert_array_equal(store.read("name", np.ndarray), ARRAY + 1)


def test_an_entry_of_another_type_is_made_anew(folder):
    store = disk.Store(folder, 2**20)
    store.write("name", "text")
    np.testing.assert_array_equal(store.get("name", np.ndarray, lambda: ARRAY), ARRAY)


def test_the_least_recently_used_entries_make_room(folder):
    store = disk.Store(folder, 3 * (ARRAY.nbytes + 200))
    for number, name in enumerate("abc"):
        store.write(name, ARRAY)
        os.utime(folder / f"{name}{disk.SUFFIX}", (number, number))
    assert store.read("a", np.ndarray) is not None
    store.write("d", ARRAY)
    assert [store.has(name) for name in "abcd"] == [True, False, True, True]
    assert sum(file.stat().st_size for file in folder.iterdir()) <= store.capacity


def test_what_is_too_large_is_not_kept_and_a_killed_writer_leaves_nothing(folder):
    store = disk.Store(folder, ARRAY.nbytes - 1)
    store.write("large", ARRAY)
    assert not store.has("large")
    folder.mkdir(parents=True, exist_ok=True)
    for name, age in (("old", 2 * disk.ABANDONED), ("new", 0)):
        left = folder / f".{name}{disk.PARTIAL}"
        left.write_bytes(b"half")
        os.utime(left, (left.stat().st_mtime - age,) * 2)
    store.write("small", 1)
    assert sorted(file.name for file in folder.iterdir()) == [f".new{disk.PARTIAL}", f"small{disk.SUFFIX}"]


def test_a_cache_that_cannot_be_written_costs_no_result(folder):
    folder.parent.mkdir(parents=True)
    folder.write_text("a file where the folder should be")
    vocabulary = planted.vocabulary()
    made = hubness.row_crowding(vocabulary)
    assert made.shape == (len(vocabulary),)
    assert folder.is_file()


def test_several_writers_and_readers_at_once_see_whole_entries(folder):
    store = disk.Store(folder, 2**20)

    def both(number: int) -> bool:
        store.write("name", np.full(1000, number))
        found = store.read("name", np.ndarray)
        return found is not None and len(set(found.tolist())) == 1

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(both, range(200)))
    assert len(list(folder.iterdir())) == 1


def test_off_and_bounded_by_the_environment(monkeypatch, folder):
    assert disk.store().capacity == 64 * 2**20
    monkeypatch.setenv("EXPLORER_CACHE_MIB", "0")
    assert disk.store() is None
    monkeypatch.delenv("EXPLORER_CACHE_MIB")
    assert disk.store().capacity == disk.USUAL_MIB * 2**20


def test_another_table_piece_or_mask_is_another_entry(folder):
    vocabulary = planted.vocabulary()
    mask = vocabulary.searchable.copy()
    mask[vocabulary.searchable_ids[0]] = False
    others = (
        replace(vocabulary, embedding=vocabulary.embedding + np.float32(1e-6)),
        replace(vocabulary, pieces=(*vocabulary.pieces[:-1], "other")),
        replace(vocabulary, searchable=mask),
    )
    assert cached(vocabulary, ("key", 1), lambda: 1, int) == 1
    assert cached(planted.vocabulary(), ("key", 1), lambda: 2, int) == 1
    assert cached(planted.vocabulary(), ("key", 2), lambda: 3, int) == 3
    for number, other in enumerate(others, start=10):
        assert cached(other, ("key", 1), lambda number=number: number, int) == number


def test_parts_of_a_key_do_not_run_into_each_other():
    keys = [
        ("a", "b"),
        ("ab",),
        (("a",), "b"),
        ("a", ("b",)),
        (1, 2),
        (12,),
        ("1", 2),
        (True,),
        (1,),
        (None,),
    ]
    assert len({content.digest(*key) for key in keys}) == len(keys)
    with pytest.raises(TypeError, match="found a object in a key"):
        content.digest(object())


def of_vocabulary(vocabulary):
    """What several readings make of a vocabulary alone."""
    prompt = planted.prompt(vocabulary.embedding[:3] + np.float32(0.01))
    for metric in ("cosine", "whitened", "csls"):
        nearest_neighbors(prompt, vocabulary, metric=metric, nulls=50)
    nearest_neighbors(prompt, vocabulary, merge_variants=True, nulls=50)
    decompose(prompt, vocabulary, nulls=50)
    read_norms(prompt, vocabulary)
    return read_clusters(prompt, vocabulary, nulls=50)


MADE = (
    (hubness, "_row_crowding"),
    (hubness, "_hubness"),
    (hubness, "_null_neighbors"),
    (nulls, "_mean_and_root"),
    (vectors, "_whitening"),
    (decomposition, "gaussian_vectors"),
)


def test_the_second_start_computes_nothing_of_the_vocabulary_again(folder, monkeypatch):
    """Nulls, whitening, crowding and hubs of a fresh vocabulary object come from the disk, bit by bit."""
    calls = []
    for module, name in MADE:
        real = getattr(module, name)
        watched = lambda *given, real=real, name=name: (calls.append(name), real(*given))[1]  # noqa: E731
        monkeypatch.setattr(module, name, watched)
    first = of_vocabulary(planted.vocabulary())
    assert {name for _, name in MADE} <= set(calls)
    calls.clear()
    monkeypatch.setattr(clusters, "null_neighbors", lambda *given: pytest.fail("a null is drawn again"))
    second = of_vocabulary(planted.vocabulary())
    assert calls == []
    assert second.to_frame().equals(first.to_frame())


def test_the_source_counts_but_not_its_comments(tmp_path):
    """A copy of the package in which one module changes, asked in processes of their own."""
    copy = tmp_path / "explorer"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "bundled"))
    program = (
        "from explorer.cached.source import source_of\n"
        "for module in ('readings.clusters', 'analysis.neighbors', 'evaluation.faithfulness'):\n"
        "    print(source_of((f'explorer.{module}',)))"
    )

    def sources() -> list[str]:
        environment = os.environ | {"PYTHONPATH": str(tmp_path), "EXPLORER_CACHE_MIB": "8"}
        command = [sys.executable, "-c", program]
        return subprocess.check_output(command, env=environment, text=True, cwd=tmp_path).split()

    def changed(module: str, old: str, new: str) -> list[bool]:
        file = copy / module
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new, 1))
        found = sources()
        file.write_text(text)
        return [now != before for now, before in zip(found, first, strict=True)]

    first = sources()
    assert len(set(first)) == 3
    assert changed("analysis/clusters.py", "GROUP = 5", "GROUP = 6")[0]
    assert changed("analysis/clusters.py", "GROUP = 5", "GROUP = 6")[1] is False
    assert changed("analysis/nulls.py", "MIXED_ROWS = 3", "MIXED_ROWS = 4") == [True, True, True]
    assert changed("analysis/clusters.py", "GROUP = 5\n", "GROUP = 5  # five\n\n") == [False] * 3
    assert changed("analysis/clusters.py", '"""Is a prompt token', '"""Is one prompt token') == [False] * 3
    assert changed("readings/clusters.py", "question=", "question='' + ") == [False] * 3
    assert changed("readings/clusters.py", "return clusters(", "return 2 * clusters(")[0]


QUESTION = Question("clusters", planted.prompt(planted.vocabulary().embedding[:2]), (10, 0), "tests.nothing")


def kept(vocabulary=None, shared=False, shipped=None, place=("cpu", "float32")):
    """What is kept of the planted vocabulary."""
    return Kept(vocabulary or planted.vocabulary(), shipped, place, shared)


def test_a_reading_is_kept_for_the_next_process(folder):
    assert kept().answer(QUESTION, int, lambda: 1) == 1
    assert kept().has(QUESTION)
    assert kept().answer(QUESTION, int, lambda: 2) == 1
    other = replace(QUESTION.prompt, vectors=QUESTION.prompt.vectors + np.float32(1e-6))
    for question in (
        replace(QUESTION, prompt=other),
        replace(QUESTION, options=(11, 0)),
        replace(QUESTION, kind="redundancy"),
        replace(QUESTION, source="explorer.analysis.nulls"),
    ):
        assert not kept().has(question)


def test_what_visitors_upload_or_ask_of_texts_is_not_written(folder):
    uploaded = replace(QUESTION.prompt, origin=Origin(uploaded=True))
    assert kept(shared=True).answer(replace(QUESTION, prompt=uploaded), int, lambda: 1) == 1
    assert kept(shared=True).answer(replace(QUESTION, runs=(512, "{text}")), int, lambda: 1) == 1
    assert not folder.exists() or not kept().has(replace(QUESTION, prompt=uploaded))
    assert not kept(shared=True).has(replace(QUESTION, runs=(512, "{text}")))
    assert kept(shared=True).answer(QUESTION, int, lambda: 1) == 1
    assert kept(shared=True).has(QUESTION)


def test_another_device_precision_or_machine_is_asked_anew(folder, tiny_t5_folder, monkeypatch):
    vocabulary = LocalLoader().vocabulary(str(tiny_t5_folder))
    question = replace(QUESTION, runs=(512, "{text}"))
    here = place_of("auto", "auto")
    assert kept(vocabulary, place=here).answer(question, int, lambda: 1) == 1
    assert kept(vocabulary, place=here).has(question)
    assert not kept(vocabulary, place=place_of("cpu", "auto")).has(question)
    assert not kept(vocabulary, place=here).has(replace(question, runs=(100, "{text}")))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert not kept(vocabulary, place=place_of("auto", "auto")).has(question)


def test_shipped_answers_of_another_source_are_unused(tiny_t5_folder, tmp_path):
    from explorer.cached.kept import write_shipped

    shipped = Shipped(tiny_t5_folder, tmp_path)
    name = shipped.name(QUESTION)
    write_shipped(shipped.file, {"clusters": QUESTION.computed_by}, {name: msgspec.Raw(disk.pack(7))})
    assert Shipped(tiny_t5_folder, tmp_path).answer(QUESTION, int, lambda: 0) == 7
    write_shipped(shipped.file, {"clusters": "of another source"}, {name: msgspec.Raw(disk.pack(7))})
    assert Shipped(tiny_t5_folder, tmp_path).answer(QUESTION, int, lambda: 0) == 0


def test_readings_of_prompts_that_are_gone_leave_the_memo(tiny_t5_folder):
    """Their values too, at once."""
    import gc

    from explorer.cached import memo

    loader = LocalLoader(device="cpu")
    vocabulary = loader.vocabulary(str(tiny_t5_folder))
    draw = np.random.default_rng(0)

    def read(name: str) -> None:
        labels = Origin(labels=("yes", "no"), base_model=str(tiny_t5_folder))
        prompt = replace(
            planted.prompt(draw.standard_normal((3, 16)).astype(np.float32)), name=name, origin=labels
        )
        session = Session([prompt], loader=loader)
        for reading in (session.neighbors, session.clusters, session.decompose, session.redundancy):
            reading()
        session.labels()
        session.predict("a good film")

    read("first")
    gc.collect()
    alone = len(memo(vocabulary))
    read("second")
    gc.collect()
    assert len(memo(vocabulary)) == alone
