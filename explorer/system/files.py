"""Files: where bundled data and caches lie, writing whole or not at all, and CSV that is safe to open. The
one place for each.
"""

import errno
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from explorer.errors import WriteError

if TYPE_CHECKING:
    import pandas as pd

PACKAGE = Path(__file__).resolve().parent.parent
BUNDLE = PACKAGE / "bundled" if (PACKAGE / "bundled").is_dir() else PACKAGE.parent
"""what travels with the code: in an installed package a folder of its own, in a clone the clone itself"""
APP = BUNDLE / "app.py"
MODELS = BUNDLE / "checkpoints" / "models"
PROMPTS = BUNDLE / "checkpoints" / "prompts"
OF_OTHER_MODELS = "prompts-"
"""how folders beside PROMPTS begin that hold prompts of models which do not ship: `prompts-smollm2`"""
STUDY = BUNDLE / "checkpoints" / "study"
STREAMS = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}
ANSWERS = BUNDLE / "checkpoints" / "answers"
EXAMPLES = BUNDLE / "examples"


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""what a file system answers that has no room, or none for this user or file"""
LONGEST_NAME = 200
"""bytes of a file's name that others are made from"""


def cache_folder() -> Path | None:
    """The user's cache for this project, which need not exist yet; None for a user without a home."""
    from platformdirs import user_cache_path

    with suppress(RuntimeError):
        return user_cache_path("soft-prompt-explorer", appauthor=False)
    return None


def check_target(path: Path, overwrite: bool = False) -> None:
    """Raise WriteError when a file cannot be written here, or exists and `overwrite` is False. Pipes, devices
    and what this process has open as /dev/stdout or /dev/fd/N are written to, never replaced.
    """
    if (descriptor := _descriptor(path)) is not None:
        with suppress(OSError):
            os.fstat(descriptor)
            return
        raise WriteError(f"{path}: is not open; expected a pipe or a file that this process has open")
    if path.is_dir():
        raise WriteError(f"{path}: is a folder; expected the name of a file to write")
    if path.is_file() and not overwrite:
        raise WriteError(f"{path} exists already; choose another name or overwrite it", "overwrite")
    if not path.parent.is_dir():
        raise WriteError(f"{path}: there is no folder {path.parent}; make it first or choose another place")
    if not os.access(path.parent if path.is_file() or not path.exists() else path, os.W_OK):
        raise WriteError(f"{path}: cannot be written (permission denied); choose another place")


def _descriptor(path: Path) -> int | None:
    """The number of an open file that a path stands for: 1 for /dev/stdout, N for /dev/fd/N; else None.

    Such a file is written where it stands: opened anew, one that a shell appends to would lose what it has.
    """
    if str(path) in STREAMS:
        return STREAMS[str(path)]
    number = re.fullmatch(rf"/(?:dev|proc/(?:self|{os.getpid()}))/fd/([0-9]+)", str(path))
    return None if number is None else int(number[1])


def check_folder(path: Path, overwrite: bool = False) -> None:
    """Raise WriteError when a folder cannot be made here, or holds something and `overwrite` is False."""
    if path.exists() and not path.is_dir():
        raise WriteError(f"{path}: is a file; expected the name of a folder to make")
    if path.is_dir() and any(path.iterdir()) and not overwrite:
        raise WriteError(
            f"{path} exists already and is not empty; choose another name or overwrite it", "overwrite"
        )
    beside = path if path.is_dir() else path.absolute().parent
    if not beside.is_dir():
        raise WriteError(f"{path}: there is no folder {beside}; make it first or choose another place")
    if not os.access(beside, os.W_OK):
        raise WriteError(f"{path}: cannot be written (permission denied); choose another place")


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A place beside `path` to write a file or a folder to; at the end it becomes `path`, replacing what is
    there.

    The place does not exist yet. When writing fails it is removed and `path` stays as it was; what a process
    that was killed left behind is removed too, and a folder that it had moved aside is moved back. Raises
    WriteError when the disk does not take it.
    """
    target = path.absolute()
    name = _short(target.name)
    partial = target.with_name(f".{name}.{os.getpid()}.partial")
    left = [path for path in _left_behind(target.parent, name) if path == partial or not _runs(path)]
    for path_left in left:
        if path_left.suffix == ".old" and not target.exists():
            os.replace(path_left, target)
        else:
            _remove(path_left)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        if target.is_dir() and partial.is_dir():
            _swap_folders(partial, target)
        else:
            os.replace(partial, target)
    except OSError as error:
        raise _not_written(path, error) from error
    finally:
        _remove(partial)


def _not_written(path: Path, error: OSError) -> WriteError:
    room = "make room or " if error.errno in FULL else ""
    return WriteError(f"{path}: cannot be written ({error.strerror or error}); {room}choose another place")


def _left_behind(folder: Path, name: str) -> list[Path]:
    """What writers of this very name left in a folder: `.NAME.<process>.partial` and `….old`."""
    pattern = re.compile(re.escape(f".{name}.") + r"[0-9]+\.(partial|old)")
    if not folder.is_dir():
        return []
    return [folder / entry for entry in sorted(os.listdir(folder)) if pattern.fullmatch(entry)]


def _short(name: str) -> str:
    """A name that leaves room for more: file systems take 255 bytes. A longer one is cut, with a mark of its
    own.
    """
    if len(os.fsencode(name)) <= LONGEST_NAME:
        return name
    return f"{name[:40]}-{blake2b(os.fsencode(name), digest_size=8).hexdigest()}"


def _runs(left: Path) -> bool:
    """Whether the process that left a file is still there, as far as one can tell."""
    try:
        os.kill(int(left.suffixes[-2][1:]), 0)
    except ProcessLookupError:
        return False
    except (ValueError, OverflowError, OSError):  # no number, or somebody else's
        return True
    return True


def _swap_folders(fresh: Path, target: Path) -> None:
    """A folder cannot be replaced in one step: the old one is moved aside, and back again when the new one
    does not take its place.
    """
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
    """Write a file whole or not at all, keeping the mode of one that it replaces. Pipes, devices and open
    descriptors (/dev/stdout, /dev/fd/N) are written to directly.

    Raises WriteError when it exists and `overwrite` is False, or when it cannot be written.
    """
    check_target(path, overwrite)
    descriptor = _descriptor(path)
    if descriptor is not None or (path.exists() and not path.is_file()):
        try:
            with open(path if descriptor is None else os.dup(descriptor), "wb") as file:
                file.write(data)
        except BrokenPipeError:  # its reader has seen enough
            raise
        except OSError as error:
            raise _not_written(path, error) from error
        return
    path = path.resolve()
    with written_whole(path) as partial:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            shutil.copymode(path, partial)


def write_folder(
    path: Path, files: dict[str, bytes], overwrite: bool = False, obsolete: Sequence[str] = ()
) -> None:
    """Write files into a folder: a new one appears whole or not at all; in one that is there nothing changes
    before the disk has taken all of them.

    obsolete: names of files that are removed from a folder that is there; others in it stay. Raises
    WriteError when it holds something and `overwrite` is False, or when it cannot be written.
    """
    check_folder(path, overwrite)
    if path.is_dir():
        with ExitStack() as stack:
            for name, data in files.items():
                check_target(path / name, overwrite)
                stack.enter_context(written_whole((path / name).resolve())).write_bytes(data)
            for name in obsolete:
                (path / name).unlink(missing_ok=True)
        return
    with written_whole(path) as partial:
        partial.mkdir()
        for name, data in files.items():
            (partial / name).write_bytes(data)


NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
"""what a file system without locks answers"""


@contextmanager
def locked(file: Path, waiting: Callable[[str], None] | None = None) -> Iterator[None]:
    """Hold a lock file, which no other process holds meanwhile; its folder is made where it is not there, and
    removed if it stays empty.

    The system gives up the lock of a process that ends, however it ends: what a killed one left behind locks
    nobody out. `waiting` is told who holds the lock, and it is waited for; without `waiting` that raises
    WriteError, as does a folder that cannot be written. Where the file system has no locks, nothing is
    locked.
    """
    folder = file.parent
    made = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = _taken(file, waiting)
    except OSError as error:
        raise WriteError(
            f"{folder}: cannot be written ({error.strerror or error}); choose another place"
        ) from error
    try:
        yield
    finally:
        with suppress(OSError):
            file.unlink()  # while it is held: whoever waits for it sees that it is gone, and makes a new one
        os.close(descriptor)
        with suppress(OSError):  # not empty
            for one in made:
                one.rmdir()


def _taken(file: Path, waiting: Callable[[str], None] | None) -> int:
    """The descriptor of a lock file that this process holds."""
    try:
        import fcntl
    except ImportError:  # not a POSIX system
        return os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = f"process {os.read(descriptor, 20).decode(errors='replace').strip() or 'unknown'}"
                if waiting is None:
                    raise WriteError(
                        f"{file.parent}: {holder} is at work in this folder; wait until it has ended, "
                        "or choose another"
                    ) from None
                waiting(holder)
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            except OSError as error:
                if error.errno not in NO_LOCKS:
                    raise
            if file.exists() and os.path.samestat(os.fstat(descriptor), file.stat()):
                os.truncate(descriptor, 0)
                os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # of a file that its holder removed meanwhile


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
    """CSV rows that end in a line feed. The csv module is told they end in "\\r\\n": then it quotes cells
    with a return in them too.
    """

    def write(self, row: str) -> None:
        self.append(row.removesuffix("\r\n") + "\n")


def _without_formulas(column: "pd.Series") -> "pd.Series":
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column.dtype):
        return column
    return column.map(
        lambda cell: f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA_STARTS) else cell
    )
