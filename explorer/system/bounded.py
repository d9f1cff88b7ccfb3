"""What files of strangers say of themselves, bounded before it is unpacked: headers, compressed streams,
pickles that are only looked at.
"""

import bz2
import io
import lzma
import pickletools
import zlib
from pathlib import Path
from typing import Protocol

from explorer.errors import ExplorerError

MOST_HEADER = 32 * 2**20
"""bytes of a safetensors header: a model of 100,000 tensors has one of about 12 MB"""
MOST_LZMA = 128 * 2**20
"""bytes that unpacking xz may take for itself; `xz -9` needs 65 MB"""
READ_AT_ONCE = 2**16
MOST_OPERATIONS = 500_000
"""steps of a pickle: looking at one takes some microseconds, and torch needs about 35 for a tensor"""
DEEPEST_TUPLE = 8
"""tuples in tuples in a pickle; torch writes two"""
_GZIP, _XZ, _BZIP2 = b"\x1f\x8b", b"\xfd7zXZ\x00", b"BZh"
COMPRESSED = (_GZIP, _XZ, _BZIP2)
"""how the compressed files begin that `Unpacked` reads"""


_INSTEAD: tuple[tuple[tuple[bytes, ...], str], ...] = (
    (
        (b"version https://git-lfs",),
        "a Git LFS pointer, not the file itself; run `git lfs pull` where it came from",
    ),
    (
        (b"<!doctype html", b"<html", b"<head", b"<?xml"),
        "a web page, probably saved instead of a download; get the file itself",
    ),
    (
        (b"entry not found", b"repository not found", b"invalid username or password", b"404: not found"),
        "a server's error message, saved instead of a download; get the file itself",
    ),
)


def instead(opening: bytes) -> str | None:
    """What stands in place of a file that was to be fetched, by its first bytes, in words that fit after
    "found"; None for anything else.
    """
    start = opening.removeprefix(b"\xef\xbb\xbf").lstrip()[:64].lower()
    return next((words for openings, words in _INSTEAD if start.startswith(openings)), None)


def check_itself(path: Path, error: type[ExplorerError]) -> None:
    """Raise `error` for a Git LFS pointer, a saved web page or a server's message in place of a file.
    Other files, what is no regular file and what cannot be read are left to their readers.
    """
    try:
        if not path.is_file():  # to open a pipe would wait for its writer
            return
        with path.open("rb") as file:
            words = instead(file.read(512))
    except (OSError, ValueError):
        return
    if words is not None:
        raise error(f"{path}: found {words}")


class _Decompressor(Protocol):
    """What bz2, lzma and zlib have in common once zlib's is wrapped."""

    @property
    def eof(self) -> bool:
        """Whether the end of a stream was reached."""

    @property
    def needs_input(self) -> bool:
        """Whether nothing more comes without more data."""

    @property
    def unused_data(self) -> bytes:
        """What follows the end of the stream."""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """At most `max_length` bytes more."""


class _Gzip:
    """zlib's decompressor with the names that those of bz2 and lzma have."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(wbits=31)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._stream.eof

    @property
    def unused_data(self) -> bytes:
        return self._stream.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        found = self._stream.decompress(self._stream.unconsumed_tail + data, max_length)
        self.needs_input = not self._stream.unconsumed_tail and len(found) < max_length
        return found


class Unpacked(io.RawIOBase):
    """The content of a gzip, xz or bzip2 file as it is read, never more than `most` bytes of it.

    Reading raises ValueError beyond `most` and OSError (or what the codec raises: lzma.LZMAError, zlib.error,
    EOFError) for damaged files.
    """

    def __init__(self, path: Path, most: int):
        self._file, self._left, self._waiting = path.open("rb"), most, b""
        self._most, self._stream = most, self._next(self._file.read(len(_XZ)), first=True)

    def _next(self, opening: bytes, first: bool = False) -> _Decompressor | None:
        """A decompressor for what begins with these bytes, which wait for it; None at the end. Zero bytes
        between parts are padding.
        """
        while (
            not first
            and len(opening := opening.lstrip(b"\0")) < len(_XZ)
            and (more := self._file.read(READ_AT_ONCE))
        ):
            opening += more
        self._waiting = opening
        if opening.startswith(_GZIP):
            return _Gzip()
        if opening.startswith(_XZ):
            return lzma.LZMADecompressor(memlimit=MOST_LZMA)
        if opening.startswith(_BZIP2):
            return bz2.BZ2Decompressor()
        if first:
            raise OSError("it is not compressed with gzip, xz or bzip2")
        if opening:
            raise OSError("something that is not compressed follows its end")
        return None

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: "memoryview | bytearray") -> int:  # type: ignore[override]
        """Fill a buffer with what comes next; 0 at the end."""
        while self._stream is not None:
            data, self._waiting = self._waiting, b""
            if not data and self._stream.needs_input and not (data := self._file.read(READ_AT_ONCE)):
                raise EOFError("it ends before its end is marked")
            found = self._stream.decompress(data, min(len(buffer), self._left + 1))
            if len(found) > self._left:
                raise ValueError(f"it unpacks to more than {self._most:,} bytes")
            if self._stream.eof:
                self._stream = self._next(self._stream.unused_data)
            if found:
                self._left -= len(found)
                buffer[: len(found)] = found
                return len(found)
        return 0

    def close(self) -> None:
        """Close the file too."""
        self._file.close()
        super().close()


def check_safetensors(path: Path, most: int = MOST_HEADER) -> None:
    """Raise ValueError when a safetensors file claims a header that is longer than `most` bytes or than the
    file, OSError when it cannot be read.
    """
    with path.open("rb") as file:
        opening = file.read(8)
    claimed, there = int.from_bytes(opening, "little"), path.stat().st_size - 8
    if len(opening) < 8 or claimed > there:
        raise ValueError(f"it claims a header of {claimed:,} bytes, {max(there, 0):,} follow")
    if claimed > most:
        raise ValueError(f"a header of {claimed:,} bytes; expected at most {most:,}")


def check_pickle(pickled: bytes, most: int, parts: int = 1) -> None:
    """Look at a pickle, without running it, before torch's safe mode reads it. Raise ValueError for one that
    would keep it busy.

    Refused are pickles longer than `most` bytes or of more than MOST_OPERATIONS steps, and tuples in tuples:
    40 levels that each hold the one below twice fit into a kilobyte, and hashing them takes years. parts:
    pickles that follow each other.
    """
    if len(pickled) > most:
        raise ValueError(f"{len(pickled):,} bytes beside its tensors; expected at most {most:,}")
    stream, left = io.BytesIO(pickled), MOST_OPERATIONS
    for _ in range(parts):
        left = _check_one(stream, left)


def _check_one(stream: io.BytesIO, left: int) -> int:
    """Look at one pickle of at most `left` steps; how many are left."""
    stack: list[int | None] = []  # how deep the tuples of each object are; None is a mark
    memo: dict[object, int] = {}
    for opcode, argument, _ in pickletools.genops(stream):
        left -= 1
        if left < 0:
            raise ValueError(f"a pickle of more than {MOST_OPERATIONS:,} steps")
        if opcode.name == "MARK":
            stack.append(None)
            continue
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            memo[len(memo) if argument is None else argument] = (stack[-1] if stack else 0) or 0
            continue
        if opcode.name == "DUP":
            stack.append(stack[-1] if stack else 0)
            continue
        inside = _popped(stack, opcode)
        depth = memo.get(argument, 0) if opcode.name in ("GET", "BINGET", "LONG_BINGET") else 0
        if "TUPLE" in opcode.name:
            depth = 1 + max(inside, default=0)
        if depth > DEEPEST_TUPLE:
            raise ValueError(f"tuples in tuples, more than {DEEPEST_TUPLE} levels")
        stack += [depth] * len([one for one in opcode.stack_after if one is not pickletools.markobject])
    return left


def _popped(stack: list[int | None], opcode: pickletools.OpcodeInfo) -> list[int]:
    """Take from the stack what an operation takes: how deep the tuples of each are."""
    taken: list[int] = []
    fixed = len(opcode.stack_before)
    if pickletools.markobject in opcode.stack_before:
        while stack and (top := stack.pop()) is not None:
            taken.append(top)
        fixed = opcode.stack_before.index(pickletools.markobject)
    for _ in range(min(fixed, len(stack))):
        taken.append(stack.pop() or 0)
    return taken
