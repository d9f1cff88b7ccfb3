"""NumPy's files: `.npy`, with or without the suffix, and `.npz`. Nothing pickled is read, and bare two-byte
values are bfloat16.
"""

import io
import math
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np

from explorer.errors import PromptError
from explorer.formats.archives import ZIP, Archive
from explorer.formats.stored import Stored, as_bfloat16, first_line, shape_text, starts_with

NPY = b"\x93NUMPY"
MOST_HEADER = 2**14
"""bytes of a header; NumPy itself takes no more than 10,000"""
MOST_DIMENSIONS, LONGEST_EXTENT = 32, 2**40
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def is_npy(path: Path) -> bool:
    """Whether a file is a NumPy array, by its first bytes."""
    return starts_with(path, NPY)


def is_npz(path: Path) -> bool:
    """Whether a file is a zip of NumPy arrays and nothing else."""
    if not starts_with(path, *ZIP):
        return False
    try:
        with Archive(path) as archive:
            return all(name.endswith(".npy") for name in archive.names)
    except PromptError:
        return path.suffix == ".npz"


def list_npy(path: Path) -> dict[str, Stored]:
    """The array of a `.npy` file under the name "". Raises PromptError when it is damaged or holds
    objects.
    """
    try:
        with path.open("rb") as file:
            stored, offset = _header(file, path.stat().st_size, path)
    except OSError as error:
        raise PromptError(f"{path}: cannot be read ({error.strerror or error})") from error
    return {"": Stored(stored.shape, stored.dtype.name, lambda: _values(path.read_bytes()[offset:], stored))}


def list_npz(path: Path) -> dict[str, Stored]:
    """The arrays of a `.npz` file by their names. Raises PromptError when it is damaged, hostile, or holds
    objects.
    """
    found = {}
    with Archive(path) as archive:
        for name in archive.names:
            with archive.open(name) as file:
                stored, offset = _header(file, archive.size(name), path)
            found[name.removesuffix(".npy")] = Stored(
                stored.shape, stored.dtype.name, partial(_member, path, name, offset, stored)
            )
    return found


def parse_npy(content: bytes, path: Path) -> np.ndarray:
    """The array in the bytes of a `.npy` file; `path` is for messages. Raises PromptError when they are
    damaged or hold objects.
    """
    stored, offset = _header(io.BytesIO(content), len(content), path)
    return _values(content[offset:], stored)


class _Described:
    """What a header says."""

    def __init__(self, shape: tuple[int, ...], fortran: bool, dtype: np.dtype):
        self.shape, self.fortran, self.dtype = shape, fortran, as_bfloat16(dtype)


def _header(file: IO[bytes], size: int, path: Path) -> tuple[_Described, int]:
    """What the header describes and where the values begin, once they are known to fill the rest of the
    file.
    """
    opening = io.BytesIO(
        file.read(MOST_HEADER)
    )  # a header may claim gigabytes, which a zip unpacks from nothing
    try:
        version = np.lib.format.read_magic(opening)
        if version not in _HEADERS:
            raise ValueError(f"version {version[0]}.{version[1]}, of arrays with named fields")
        shape, fortran, dtype = _HEADERS[version](opening)
        if dtype.hasobject:
            raise ValueError("it holds Python objects")
        if (
            any(type(extent) is not int or not 0 <= extent < LONGEST_EXTENT for extent in shape)
            or len(shape) > MOST_DIMENSIONS
        ):
            raise ValueError(f"its header gives the shape {shape_text(shape)}")
        if dtype.itemsize == 0 or dtype.subdtype is not None:
            raise ValueError(f"its header gives values of type {dtype}")
        wanted, there = math.prod(shape) * dtype.itemsize, size - opening.tell()
        if wanted != there:
            raise ValueError(f"its header promises {wanted:,} bytes, {there:,} follow")
    except Exception as error:  # a header is parsed as a Python literal, which fails in a dozen ways
        raise PromptError(
            f"{path}: cannot be read as a NumPy array ({first_line(error)}); expected plain numbers, "
            "no pickled objects"
        ) from error
    return _Described(shape, fortran, dtype), opening.tell()


def _values(content: bytes, described: _Described) -> np.ndarray:
    flat = np.frombuffer(bytearray(content), described.dtype)
    return flat.reshape(described.shape, order="F" if described.fortran else "C")


def _member(path: Path, name: str, offset: int, described: _Described) -> np.ndarray:
    with Archive(path) as archive:
        return _values(archive.read(name)[offset:], described)
