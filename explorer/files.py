"""Files: where bundled data and caches lie, writing whole or not at all, and CSV that is safe to open. The one place for each."""

import glob
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from explorer.errors import WriteError

if TYPE_CHECKING:
    import pandas as pd

PACKAGE = Path(__file__).resolve().parent
BUNDLE = PACKAGE / "bundled" if (PACKAGE / "bundled").is_dir() else PACKAGE.parent
"""what travels with the code: in an installed package a folder of its own, in a clone the clone itself"""
APP = BUNDLE / "app.py"
MODELS = BUNDLE / "checkpoints" / "models"
PROMPTS = BUNDLE / "checkpoints" / "prompts"
STUDY = BUNDLE / "checkpoints" / "study"
ANSWERS = BUNDLE / "checkpoints" / "answers"
EXAMPLES = BUNDLE / "examples"


LONGEST_NAME = 200
"""bytes of a file's name that others are made from"""


def cache_folder() -> Path | None:
    """The user's cache for this project, which need not exist yet; None for a user without a home."""
    from platformdirs import user_cache_path

    with suppress(RuntimeError):
        return user_cache_path("soft-prompt-explorer", appauthor=False)
    return None


def check_target(path: Path, overwrite: bool = False) -> None:
    """Raise WriteError when a file cannot be written here, or exists and `overwrite` is False."""
    if path.is_dir():
        raise WriteError(f"{path}: is a folder; expected the name of a file to write")
    if path.is_file() and not overwrite:
        raise WriteError(f"{path} exists already; choose another name or overwrite it", "overwrite")
    if not path.parent.is_dir():
        raise WriteError(f"{path}: there is no folder {path.parent}; make it first or choose another place")
    if not os.access(path.parent if path.is_file() or not path.exists() else path, os.W_OK):
        raise WriteError(f"{path}: cannot be written (permission denied); choose another place")


def check_folder(path: Path, overwrite: bool = False) -> None:
    """Raise WriteError when a folder cannot be made here, or holds something and `overwrite` is False."""
    if path.exists() and not path.is_dir():
        raise WriteError(f"{path}: is a file; expected the name of a folder to make")
    if path.is_dir() and any(path.iterdir()) and not overwrite:
        raise WriteError(f"{path} exists already and is not empty; choose another name or overwrite it", "overwrite")
    beside = path if path.is_dir() else path.absolute().parent
    if not beside.is_dir():
        raise WriteError(f"{path}: there is no folder {beside}; make it first or choose another place")
    if not os.access(beside, os.W_OK):
        raise WriteError(f"{path}: cannot be written (permission denied); choose another place")


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A place beside `path` to write a file or a folder to; at the end it becomes `path`, replacing what is there.

    The place does not exist yet. When writing fails it is removed and `path` stays as it was; what a process that was killed left behind is removed
    too. Raises WriteError when the disk does not take it.
    """
    target = path.absolute()
    name = _short(target.name)
    partial = target.with_name(f".{name}.{os.getpid()}.partial")
    for left in target.parent.glob(f".{glob.escape(name)}.*.partial"):
        if left == partial or not _runs(left.suffixes[-2][1:]):
            _remove(left)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        if target.is_dir() and partial.is_dir():
            _swap_folders(partial, target)
        else:
            os.replace(partial, target)
    except OSError as error:
        raise WriteError(f"{path}: cannot be written ({error.strerror or error}); make room or choose another place") from error
    finally:
        _remove(partial)


def _short(name: str) -> str:
    """A name that leaves room for more: file systems take 255 bytes. A longer one is cut, with a mark of its own."""
    if len(os.fsencode(name)) <= LONGEST_NAME:
        return name
    return f"{name[:40]}-{blake2b(os.fsencode(name), digest_size=8).hexdigest()}"


def _runs(process: str) -> bool:
    """Whether a process of this number is there, as far as one can tell."""
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except (ValueError, OverflowError, OSError):  # no number, or somebody else's
        return True
    return True


def _swap_folders(fresh: Path, target: Path) -> None:
    """A folder cannot be replaced in one step: the old one is moved aside, and back again when the new one does not take its place."""
    old = target.with_name(f".{_short(target.name)}.{os.getpid()}.old")
    _remove(old)
    os.replace(target, old)
    try:
        os.replace(fresh, target)
    except OSError:
        os.replace(old, target)
        raise
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def write_file(path: Path, data: bytes, overwrite: bool = False) -> None:
    """Write a file whole or not at all, keeping the mode of one that it replaces. Pipes and devices are written to directly.

    Raises WriteError when it exists and `overwrite` is False, or when it cannot be written.
    """
    check_target(path, overwrite)
    path = path.resolve()
    if path.exists() and not path.is_file():
        try:
            path.write_bytes(data)
        except OSError as error:
            raise WriteError(f"{path}: cannot be written ({error.strerror or error}); choose another place") from error
        return
    with written_whole(path) as partial:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            shutil.copymode(path, partial)


def write_folder(path: Path, files: dict[str, bytes], overwrite: bool = False) -> None:
    """Write files into a folder: a new one appears whole or not at all, in one that is there each file does; others in it stay.

    Raises WriteError when it holds something and `overwrite` is False, or when it cannot be written.
    """
    check_folder(path, overwrite)
    if path.is_dir():
        for name, data in files.items():
            write_file(path / name, data, overwrite)
        return
    with written_whole(path) as partial:
        partial.mkdir()
        for name, data in files.items():
            (partial / name).write_bytes(data)


FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def safe_csv(frame: "pd.DataFrame") -> str:
    """A frame as CSV text without its index, lines ending in a line feed.

    Text cells that a spreadsheet would run as a formula get a leading apostrophe; numbers stay as they are.
    """
    rows = _Rows()
    frame.apply(_without_formulas).to_csv(rows, index=False, lineterminator="\r\n")
    return "".join(rows)


def csv_bytes(frame: "pd.DataFrame") -> bytes:
    """The same as the bytes of a file, UTF-8."""
    return safe_csv(frame).encode()


class _Rows(list):
    """CSV rows that end in a line feed. The csv module is told they end in "\\r\\n": then it quotes cells with a return in them too."""

    def write(self, row: str) -> None:
        self.append(row.removesuffix("\r\n") + "\n")


def _without_formulas(column: "pd.Series") -> "pd.Series":
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column.dtype):
        return column
    return column.map(lambda cell: f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA_STARTS) else cell)
