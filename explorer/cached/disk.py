"""The disk tier: one file an entry, below the user's cache folder.

An entry appears whole or not at all: it is written beside its place and moved there, so that processes need
no lock; two that make the same thing at once both write the same. A damaged entry is none, and replaced. What
cannot be written is not kept: it costs time, and no result.
"""

import os
import tempfile
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np

from explorer.cached.memory import bytes_of
from explorer.system.files import cache_folder

T = TypeVar("T")

VARIABLE = "EXPLORER_CACHE_MIB"
"""environment variable: MiB that entries may take together; 0: there is no disk tier"""
USUAL_MIB = 2048
ENTRY_BYTES = 256 * 2**20
"""larger values are not kept"""
SUFFIX, PARTIAL = ".msgpack", ".partial"
ABANDONED = 3600
"""seconds after which a file that nobody finished is removed"""


class Store:
    """Entries by name in a folder, bounded in bytes, the least recently used dropped first."""

    def __init__(self, folder: Path, capacity: int):
        self.folder, self.capacity = folder, capacity

    def get(self, name: str, of: Any, make: Callable[[], T]) -> T:
        """The entry of a name; where there is none, what `make` returns, which is kept then. of: its type."""
        found = self.read(name, of)
        if found is None:
            found = make()
            self.write(name, found)
        return found

    def has(self, name: str) -> bool:
        """Whether there is an entry, whole or not."""
        return (self.folder / f"{name}{SUFFIX}").is_file()

    def read(self, name: str, of: Any) -> Any:
        """The entry of a name, marked as used; None where there is none, or a damaged one."""
        path = self.folder / f"{name}{SUFFIX}"
        try:
            data = path.read_bytes()
        except OSError:
            return None
        try:
            if zlib.crc32(memoryview(data)[4:]) != int.from_bytes(data[:4], "big"):
                return None
            value = unpack(memoryview(data)[4:], of)
        except (msgspec.DecodeError, ValueError, TypeError, KeyError):
            return None
        with suppress(OSError):
            os.utime(path)
        return value

    def write(self, name: str, value: object) -> None:
        """Keep a value, unless it is too large or the folder cannot be written."""
        if bytes_of(value) > min(ENTRY_BYTES, self.capacity):
            return
        data = pack(value)
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor, partial = tempfile.mkstemp(PARTIAL, f".{name[:8]}-", self.folder)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(zlib.crc32(data).to_bytes(4, "big"))
                    file.write(data)
                os.replace(partial, self.folder / f"{name}{SUFFIX}")
            except OSError:
                os.unlink(partial)
                raise
            self._make_room()

    def _make_room(self) -> None:
        """Drop the least recently used entries beyond the capacity, and what killed processes left."""
        entries, total, now = [], 0, time.time()
        with os.scandir(self.folder) as files:
            for file in files:
                with suppress(OSError):  # gone meanwhile
                    state = file.stat(follow_symlinks=False)
                    if file.name.endswith(SUFFIX):
                        entries.append((state.st_mtime_ns, file.path, state.st_size))
                        total += state.st_size
                    elif file.name.endswith(PARTIAL) and now - state.st_mtime > ABANDONED:
                        os.unlink(file.path)
        for _, path, size in sorted(entries):
            if total <= self.capacity:
                return
            with suppress(OSError):
                os.unlink(path)
            total -= size


def store() -> Store | None:
    """The user's store; None for a user without a home and where EXPLORER_CACHE_MIB is 0."""
    asked = os.environ.get(VARIABLE, "")
    limit = int(asked) if asked.isdecimal() else USUAL_MIB
    cache = cache_folder() if limit else None
    return None if cache is None else Store(cache / "cached", limit * 2**20)


def pack(value: object) -> bytes:
    """A value as msgpack: plain ones, arrays, dataclasses and tuples of these."""
    return msgspec.msgpack.encode(value, enc_hook=_packed)


def unpack(data: Any, of: Any) -> Any:
    """The value again. Raises msgspec.DecodeError, ValueError, TypeError or KeyError for what is none."""
    return msgspec.msgpack.decode(data, type=of, dec_hook=_unpacked)


def _packed(value: object) -> object:
    """An array as msgpack can hold it."""
    if isinstance(value, np.ndarray):
        return {"dtype": value.dtype.str, "shape": value.shape, "data": np.ascontiguousarray(value).data}
    if isinstance(value, np.generic):
        return value.item()
    raise NotImplementedError(f"{type(value).__name__} cannot be kept")


def _unpacked(wanted: type, value: Any) -> object:
    """The array again."""
    if wanted is not np.ndarray:
        raise NotImplementedError(f"{wanted} cannot be read back")
    return np.frombuffer(value["data"], np.dtype(value["dtype"])).reshape(value["shape"])
