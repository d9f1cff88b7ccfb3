"""Files: whole or not at all, nothing replaced unasked, CSV that is safe to open, and where bundled data and
caches lie.
"""

import csv
import io
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.errors import WriteError
from explorer.system import files
from explorer.system.files import (
    FORMULA_STARTS,
    cache_folder,
    check_folder,
    check_target,
    csv_bytes,
    locked,
    safe_csv,
    write_file,
    write_folder,
    written_whole,
)

AS_ROOT = pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# One file


def test_a_file_is_written_with_its_bytes_and_nothing_beside_it(tmp_path):
    write_file(tmp_path / "a.csv", b"1\n")
    assert (tmp_path / "a.csv").read_bytes() == b"1\n"
    assert names(tmp_path) == ["a.csv"]


def test_a_file_is_replaced_only_when_asked_and_keeps_its_mode(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"old")
    path.chmod(0o640)
    with pytest.raises(
        WriteError, match=r"a\.csv exists already; choose another name or overwrite it"
    ) as caught:
        write_file(path, b"new")
    assert (caught.value.setting, path.read_bytes()) == ("overwrite", b"old")
    write_file(path, b"new", overwrite=True)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"new", 0o640)


def test_a_link_is_followed(tmp_path):
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    write_file(tmp_path / "link", b"new", overwrite=True)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        WriteError,
        match=r"a: cannot be written \(No space left on device\); make room or choose another place",
    ):
        write_file(tmp_path / "a", b"new", overwrite=True)
    assert (names(tmp_path), (tmp_path / "a").read_bytes()) == (["a"], b"old")


def test_an_interruption_leaves_what_was_there(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    write = written_whole(tmp_path / "a")
    write.__enter__().write_bytes(b"half")
    assert len(names(tmp_path)) == 2
    write.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert (names(tmp_path), (tmp_path / "a").read_bytes()) == (["a"], b"old")


def test_a_pipe_is_written_to(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    got = []
    reader = threading.Thread(target=lambda: got.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    write_file(tmp_path / "pipe", b"through")
    reader.join(30)
    assert got == [b"through"]
    assert names(tmp_path) == ["pipe"]


def test_an_open_pipe_is_written_to_by_its_number():
    reading, writing = os.pipe()
    write_file(Path(f"/dev/fd/{writing}"), b"through")
    write_file(Path(f"/proc/self/fd/{writing}"), b", twice")
    os.close(writing)
    with os.fdopen(reading, "rb") as got:
        assert got.read() == b"through, twice"
    with pytest.raises(WriteError, match=rf"/dev/fd/{writing}: is not open; expected a pipe or a file"):
        write_file(Path(f"/dev/fd/{writing}"), b"nowhere")


def test_an_open_file_keeps_what_stood_before(tmp_path):
    """As behind `3>> log`: opened anew it would be cut to nothing."""
    (tmp_path / "log").write_bytes(b"first\n")
    with (tmp_path / "log").open("ab") as log:
        write_file(Path(f"/dev/fd/{log.fileno()}"), b"second\n")
    assert (tmp_path / "log").read_bytes() == b"first\nsecond\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_room_is_asked_for_only_where_there_is_none(tmp_path):
    with pytest.raises(
        WriteError, match=r"/dev/full: cannot be written \(No space left on device\); make room"
    ):
        write_file(Path("/dev/full"), b"much")
    (tmp_path / "folder").mkdir()
    refused = pytest.raises(WriteError, match=r"cannot be written \(.*\); choose another place")
    with refused, written_whole(tmp_path / "folder") as partial:
        partial.write_bytes(b"a file cannot replace a folder")


def test_places_that_cannot_be_written_are_named_before_anything_is_made(tmp_path):
    with pytest.raises(WriteError, match="is a folder; expected the name of a file to write"):
        check_target(tmp_path)
    with pytest.raises(WriteError, match=r"there is no folder .*gone; make it first or choose another place"):
        check_target(tmp_path / "gone" / "a.csv")
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match="is a file; expected the name of a folder to make"):
        check_folder(tmp_path / "file")
    with pytest.raises(WriteError, match=r"there is no folder .*gone; make it first or choose another place"):
        check_folder(tmp_path / "gone" / "out")
    assert names(tmp_path) == ["file"]


@AS_ROOT
def test_a_folder_that_may_not_be_written_is_named(tmp_path):
    tmp_path.chmod(0o500)
    try:
        for check in (check_target, check_folder):
            with pytest.raises(WriteError, match="permission denied"):
                check(tmp_path / "a")
    finally:
        tmp_path.chmod(0o700)


# A folder


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    write_folder(tmp_path / "out", {"a": b"1", "b": b"2"})
    assert (names(tmp_path), names(tmp_path / "out")) == (["out"], ["a", "b"])
    with pytest.raises(WriteError, match="cannot be written"):
        write_folder(tmp_path / "other", {"a": b"1", "no/such/folder": b"2"})
    assert names(tmp_path) == ["out"]


def test_a_folder_that_is_there_is_filled_only_when_asked_and_others_files_stay(tmp_path):
    (tmp_path / "mine").write_bytes(b"mine")
    with pytest.raises(
        WriteError, match="exists already and is not empty; choose another name or overwrite it"
    ):
        write_folder(tmp_path, {"a": b"1"})
    write_folder(tmp_path, {"a": b"1"}, overwrite=True)
    assert names(tmp_path) == ["a", "mine"]
    (tmp_path / "empty").mkdir()
    write_folder(tmp_path / "empty", {"a": b"1"})
    assert names(tmp_path / "empty") == ["a"]


def test_a_folder_takes_another_ones_place_in_one_step_or_leaves_it(tmp_path, monkeypatch):
    old = tmp_path / "out"
    old.mkdir()
    (old / "old").write_text("")
    with written_whole(old) as partial:
        partial.mkdir()
        (partial / "new").write_text("")
    assert (names(tmp_path), names(old)) == (["out"], ["new"])
    replaced = os.replace

    def only_aside(source, target):
        if str(source).endswith(".partial"):
            raise OSError(5, "Input/output error")
        replaced(source, target)

    monkeypatch.setattr(files.os, "replace", only_aside)
    with pytest.raises(WriteError, match="Input/output error"), written_whole(old) as partial:
        partial.mkdir()
    assert (names(tmp_path), names(old)) == (["out"], ["new"])


def test_a_folder_that_is_overwritten_changes_only_when_the_disk_took_all_of_it(tmp_path, monkeypatch):
    write_folder(tmp_path / "out", {"a": b"old", "b": b"old"})
    (tmp_path / "out" / "c").write_bytes(b"of the old")
    wrote = Path.write_bytes

    def full(path, data):
        if path.name.startswith(".b."):
            raise OSError(28, "No space left on device")
        return wrote(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(WriteError, match="No space left on device"):
        write_folder(tmp_path / "out", {"a": b"new", "b": b"new"}, overwrite=True, obsolete=["c"])
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == {
        "a": b"old",
        "b": b"old",
        "c": b"of the old",
    }
    monkeypatch.undo()
    write_folder(tmp_path / "out", {"a": b"new", "b": b"new"}, overwrite=True, obsolete=["c"])
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == {
        "a": b"new",
        "b": b"new",
    }


def test_what_writers_of_another_name_left_stays(tmp_path):
    """`out` and `out.v2` lie beside each other; the second one's backup is all that is left of it."""
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    others = [
        f".out.v2.{dead.pid}.old",
        f".out.v2.{dead.pid}.partial",
        ".out.old",
        f".out.x{dead.pid}.partial",
    ]
    for name in others:
        (tmp_path / name).write_bytes(b"of another")
    write_file(tmp_path / "out", b"new")
    assert names(tmp_path) == sorted([*others, "out"])
    assert (tmp_path / "out").read_bytes() == b"new"


def test_a_folder_that_a_killed_process_moved_aside_is_moved_back(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    aside = tmp_path / f".out.{dead.pid}.old"
    write_folder(aside, {"a": b"old"})
    write_folder(tmp_path / f".other.{os.getppid()}.old", {"a": b"in use"})
    with written_whole(tmp_path / "out") as partial:
        assert (tmp_path / "out" / "a").read_bytes() == b"old"
        partial.mkdir()
    assert names(tmp_path) == [f".other.{os.getppid()}.old", "out"]


# Locks

HOLD = (
    "import sys; from pathlib import Path; from explorer.system.files import locked\nwith "
    "locked(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
)


def holder(file) -> subprocess.Popen:
    """Another process that holds a lock until it is killed or its stdin is closed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=files.PACKAGE.parent,
    )
    assert process.stdout.readline() == "held\n"
    return process


def test_what_another_process_holds_is_refused_and_a_killed_one_locks_nobody_out(tmp_path):
    lock = tmp_path / "out" / ".lock"
    with holder(lock) as other:
        with (
            pytest.raises(
                WriteError,
                match=(
                    rf"out: process {other.pid} is at work in this folder; wait until it has ended, or "
                    r"choose another"
                ),
            ),
            locked(lock),
        ):
            pass
        other.kill()
    assert lock.exists(), "left behind"
    with locked(lock):
        assert lock.read_text() == f"{os.getpid()}\n"
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == []


def test_what_is_waited_for_is_told_and_then_held(tmp_path):
    with holder(tmp_path / "lock") as other:
        said = []

        def waiting(told):
            said.append(told)
            other.stdin.close()

        with locked(tmp_path / "lock", waiting):
            assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n", (
                "a file of its own: the other removed the first"
            )
    assert said == [f"process {other.pid}"]


def test_a_lock_leaves_no_folder_behind_and_says_where_none_can_be_made(tmp_path):
    with locked(tmp_path / "a" / "b" / "lock"):
        pass
    assert names(tmp_path) == []
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(WriteError, match=r"file: cannot be written \(File exists\); choose another place"),
        locked(tmp_path / "file" / "lock"),
    ):
        pass


# CSV


def test_a_cell_that_would_run_as_a_formula_gets_an_apostrophe_and_numbers_stay():
    frame = pd.DataFrame(
        {
            "piece": [f"{start}1+1" for start in FORMULA_STARTS] + ["plain"],
            "similarity": np.arange(-1.0, len(FORMULA_STARTS)),
        }
    )
    rows = list(csv.reader(io.StringIO(safe_csv(frame), newline="")))
    assert [row[0] for row in rows[1:]] == [f"'{start}1+1" for start in FORMULA_STARTS] + ["plain"]
    assert rows[1][1] == "-1.0"


@given(
    st.lists(
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1, max_size=5
    )
)
def test_any_text_survives_but_for_the_apostrophe(texts):
    content = csv_bytes(pd.DataFrame({"piece": texts, "rank": range(len(texts))})).decode()
    assert content.count("\r\n") == sum(text.count("\r\n") for text in texts), "rows end in a line feed"
    rows = list(csv.reader(io.StringIO(content, newline="")))
    assert [row[0] for row in rows[1:]] == [
        f"'{text}" if text.startswith(FORMULA_STARTS) else text for text in texts
    ]


# Places


def test_bundled_data_lie_where_they_are_said_to():
    assert files.APP.is_file()
    assert (files.MODELS / "mini-t5" / "config.json").is_file()
    assert all(folder.is_dir() for folder in (files.PROMPTS, files.STUDY, files.EXAMPLES))


def test_the_cache_is_the_users_own_and_nobody_makes_it_before_it_is_used(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "soft-prompt-explorer"
    assert names(tmp_path) == []


def test_what_a_killed_process_left_behind_is_removed_and_nothing_else(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left, mine = tmp_path / f".a.pt.{dead.pid}.partial", tmp_path / ".a.pt.backup.partial"
    running, other = tmp_path / f".a.pt.{os.getppid()}.partial", tmp_path / f".b.pt.{dead.pid}.partial"
    for path in (left, mine, running, other):
        path.write_text("begun")
    write_file(tmp_path / "a.pt", b"whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["a.pt", mine.name, running.name, other.name]
    )
