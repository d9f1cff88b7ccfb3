"""Zarr arrays of version 2, chunk by chunk, as TensorStore writes them for T5X: bounded, padded edges cut
off.
"""

import math
import zlib
from itertools import product
from pathlib import Path

import numpy as np

from explorer.errors import PromptError
from explorer.formats.stored import MOST_BYTES, Stored, as_bfloat16, first_line, read_json
from explorer.system.bounded import check_itself

MOST_CHUNKS = 10_000


def list_zarr(path: Path) -> Stored:
    """The array in a zarr folder. Raises PromptError when its description is damaged or asks for what is not
    read.
    """
    described = read_json(path / ".zarray")
    try:
        shape, chunks = (tuple(int(extent) for extent in described[key]) for key in ("shape", "chunks"))
        dtype = _dtype(described["dtype"])
        if (
            described.get("zarr_format") != 2
            or described.get("filters")
            or described.get("order", "C") not in ("C", "F")
        ):
            raise ValueError("not zarr version 2 without filters")
        if len(shape) != len(chunks) or not 0 < len(shape) <= 8 or min(chunks) < 1 or min(shape) < 0:
            raise ValueError(f"shape {shape} in chunks {chunks}")
        if (
            math.prod(chunks) * dtype.itemsize > MOST_BYTES
            or math.prod(-(-n // c) for n, c in zip(shape, chunks, strict=True)) > MOST_CHUNKS
        ):
            raise ValueError(f"shape {shape} in chunks {chunks}, which is too much for a prompt")
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise PromptError(
            f"{path}: cannot be read as a zarr array ({first_line(error)}); expected floating-point "
            "numbers in zarr version 2"
        ) from error
    return Stored(shape, dtype.name, lambda: _read(path, described, shape, chunks, dtype))


def _dtype(name: object) -> np.dtype:
    import ml_dtypes

    dtype = np.dtype(ml_dtypes.bfloat16) if name == "bfloat16" else as_bfloat16(np.dtype(str(name)))
    if dtype.kind != "f" and dtype.name != "bfloat16":
        raise ValueError(f"values of type {str(name)[:40]}")
    return dtype


def _read(
    path: Path, described: dict, shape: tuple[int, ...], chunks: tuple[int, ...], dtype: np.dtype
) -> np.ndarray:
    separator = "/" if described.get("dimension_separator") == "/" else "."
    whole = np.zeros(shape, dtype)
    for place in product(*(range(-(-extent // size)) for extent, size in zip(shape, chunks, strict=True))):
        file = path / separator.join(map(str, place))
        region = tuple(
            slice(index * size, min((index + 1) * size, extent))
            for index, size, extent in zip(place, chunks, shape, strict=True)
        )
        inside = tuple(slice(0, part.stop - part.start) for part in region)
        try:
            content = _decoded(
                file.read_bytes(), described.get("compressor"), math.prod(chunks) * dtype.itemsize
            )
            whole[region] = np.frombuffer(content, dtype).reshape(chunks, order=described.get("order", "C"))[
                inside
            ]
        except ModuleNotFoundError as error:
            raise not_installed(path, error) from error
        except Exception as error:  # each codec fails in ways of its own
            check_itself(file, PromptError)
            raise PromptError(
                f"{file}: this part of the array cannot be read ({first_line(error)}); the checkpoint "
                "is damaged or incomplete"
            ) from error
    return whole


def _decoded(content: bytes, compressor: dict | None, size: int) -> bytes:
    """A chunk of `size` bytes, unpacked. Never takes more memory than that."""
    if compressor is None:
        return content
    if compressor.get("id") in ("gzip", "zlib"):  # numcodecs' own would unpack all there is
        stream = zlib.decompressobj(wbits=47)
        unpacked = stream.decompress(content, size)
        if len(unpacked) < size or (not stream.eof and stream.decompress(stream.unconsumed_tail, 1)):
            raise ValueError(f"it does not unpack to {size:,} bytes")
        return unpacked
    if compressor.get("id") not in ("blosc", "zstd"):
        raise ValueError(
            f"compressed with {str(compressor.get('id'))[:40]}; expected gzip, zlib, blosc or zstd"
        )
    from numcodecs.registry import get_codec

    out = bytearray(size)
    get_codec({"id": compressor["id"]}).decode(content, out=out)
    return bytes(out)


def not_installed(path: Path, error: ModuleNotFoundError) -> PromptError:
    """What to tell who opens a T5X checkpoint without the packages that read it."""
    return PromptError(
        f"{path}: a T5X checkpoint, which needs the package {error.name}; install the extra "
        "soft-prompt-explorer[t5x], or msgpack and numcodecs"
    )
