"""T5X checkpoints: a folder with a msgpack file `checkpoint`, small arrays inside it and large ones as zarr
folders beside it.
"""

import math
from pathlib import Path

import numpy as np

from explorer.errors import PromptError
from explorer.formats.declared import Format
from explorer.formats.google import STEP
from explorer.formats.stored import MOST_BYTES, Stored, as_bfloat16, choose, first_line, load, starts_with
from explorer.formats.zarr_arrays import list_zarr, not_installed
from explorer.prompt import Origin, SoftPrompt

INDEX = "checkpoint"
_MAPS = tuple(bytes([first]) for first in (*range(0x80, 0x90), 0xDE, 0xDF))
"""how a msgpack map begins"""
WAY = ("optimizer", "target", "encoder", "decoder")
"""maps on the way to a prompt: optimizer → target → encoder → prompt …"""
ORBAX = ("_METADATA", "_CHECKPOINT_METADATA", "manifest.ocdbt")
DEEPEST, MOST_ARRAYS = 32, 1_000
_ARRAY = 1
"""msgpack's extension type of a NumPy array, in flax's serialization"""


def recognizes(path: Path) -> bool:
    """Whether `path` is a folder with T5X's index, or one of Orbax, its successor."""
    return path.is_dir() and (starts_with(path / INDEX, *_MAPS) or _orbax(path))


def read(path: Path, name: str, key: str | None = None) -> SoftPrompt:
    """Read the prompt of a checkpoint: `target/encoder/prompt/prompt/prompt`, or the one that `key` names.

    Raises PromptError when there is none or several could be meant, and for damaged and Orbax checkpoints.
    """
    if _orbax(path) and not (path / INDEX).is_file():
        raise PromptError(
            f"{path}: an Orbax checkpoint, which is not read; save its prompt where it was trained "
            "with numpy.save, and open that .npy file"
        )
    arrays: dict[str, Stored] = {}
    try:
        size = (path / INDEX).stat().st_size
        with (path / INDEX).open("rb") as file:
            _walk(_unpacker(file, size), (), path, arrays)
    except PromptError:
        raise
    except ModuleNotFoundError as error:
        raise not_installed(path, error) from error
    except (
        Exception
    ) as error:  # msgpack raises ValueError's children, OverflowError, RecursionError, and more
        raise PromptError(
            f"{path / INDEX}: cannot be read as msgpack ({first_line(error)}); the checkpoint is "
            "damaged or of another kind"
        ) from error
    prompts = {
        place: stored
        for place, stored in arrays.items()
        if place.startswith("target/") and place.endswith("/prompt") and stored.matrix
    }
    key = choose(path, arrays, key, prompts)
    step = STEP.fullmatch(path.name)
    origin = Origin("t5x", path, key, arrays[key].dtype, step=int(step.group(1)) if step else None)
    return SoftPrompt(load(path, key, arrays[key]), name, origin)


def _orbax(path: Path) -> bool:
    return any((path / name).is_file() for name in ORBAX)


def _unpacker(file, size: int):
    import msgpack

    limits = {"max_buffer_size": max(size, 1), "max_array_len": 1024, "max_map_len": 10_000}
    return msgpack.Unpacker(file, raw=False, strict_map_key=False, unicode_errors="replace", **limits)


def _walk(unpacker, place: tuple[str, ...], path: Path, arrays: dict[str, Stored]) -> None:
    """Collect the arrays below `prompt` modules of the map that comes next; all else is passed over without
    being built.
    """
    for _ in range(unpacker.read_map_header()):
        key = unpacker.unpack()
        inner = (*place, str(key)[:200])
        if "target" in place and "prompt" in inner[-1]:
            _collect(unpacker.unpack(), inner[inner.index("target") :], path, arrays)
        elif key in WAY and key not in place:
            _walk(unpacker, inner, path, arrays)
        else:
            unpacker.skip()


def _collect(value: object, place: tuple[str, ...], path: Path, arrays: dict[str, Stored]) -> None:
    """Arrays among the parameters: those inside, and those a TensorStore specification names."""
    import msgpack

    if len(place) > DEEPEST or len(arrays) >= MOST_ARRAYS:
        raise ValueError(f"maps in maps deeper than {DEEPEST}, or more than {MOST_ARRAYS:,} arrays")
    if isinstance(value, msgpack.ExtType) and value.code == _ARRAY:
        arrays["/".join(place)] = _inline(value.data)
    elif isinstance(value, dict) and isinstance(value.get("kvstore"), dict):
        arrays["/".join(place)] = list_zarr(_beside(path, value["kvstore"].get("path")))
    elif isinstance(value, dict):
        for key, inner in value.items():
            _collect(inner, (*place, str(key)[:200]), path, arrays)


def _inline(content: bytes) -> Stored:
    """flax's form of an array: msgpack of (shape, name of the type, bytes)."""
    import ml_dtypes
    import msgpack

    shape, dtype, values = msgpack.unpackb(content, raw=True, max_bin_len=MOST_BYTES)
    shape = tuple(int(extent) for extent in shape)
    name = dtype.decode() if isinstance(dtype, bytes) else str(dtype)
    kind = np.dtype(ml_dtypes.bfloat16) if name == "bfloat16" else as_bfloat16(np.dtype(name))
    if kind.hasobject:
        raise ValueError(f"values of type {name[:40]}")
    if min(shape, default=0) < 0 or math.prod(shape) * kind.itemsize != len(values):
        raise ValueError(f"an array of shape {shape} in {len(values):,} bytes")
    return Stored(shape, kind.name, lambda: np.frombuffer(bytearray(values), kind).reshape(shape))


def _beside(path: Path, name: object) -> Path:
    """The folder a specification names, which must lie in the checkpoint."""
    inside = (path / str(name)).resolve()
    if not isinstance(name, str) or not inside.is_relative_to(path.resolve()):
        raise PromptError(
            f"{path}: an array is said to lie in {str(name)[:80]!r}, outside the checkpoint; refused"
        )
    return inside


USAGE = ("T5X (needs the extra `t5x`, see below)", "checkpoint_1100100")
FORMAT = Format("t5x", "T5X", recognizes, read, (USAGE,))
