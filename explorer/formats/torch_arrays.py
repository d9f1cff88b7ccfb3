"""torch's files (`.pt`, `.pth`, `.bin`, `.ckpt`): plain tensors and nested state dicts through
`weights_only`. No pickle is executed.
"""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from explorer.errors import PromptError
from explorer.formats.archives import ZIP, Archive
from explorer.formats.stored import LONGEST_KEY, MOST_BYTES, Stored, first_line, quantized, starts_with
from explorer.system.bounded import check_pickle

if TYPE_CHECKING:
    import torch

OLD = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
"""how files of torch before 1.6 begin: a pickled number, then plain parts that `weights_only` reads as it
reads newer files
"""
OLD_PICKLES = 5
"""before the numbers: that number, a version, byte order and sizes, the content, the names of its parts"""
MOST_OLD = 4 * MOST_BYTES
"""of an old file, which is read as a whole"""
DEEPEST = 6
"""levels of dictionaries in a checkpoint that are looked into"""
MOST_PICKLE = 4 * 2**20
"""bytes of what is beside the tensors"""
MOST_FOUND, MOST_LOOKED_AT = 10_000, 200_000
"""tensors of a checkpoint, and entries of its dictionaries"""
MOST_PLACES = 3
"""at which one dictionary is looked into"""


def is_torch(path: Path) -> bool:
    """Whether a file is a zip as `torch.save` writes it, or what it wrote before release 1.6."""
    if starts_with(path, OLD):
        return True
    if not starts_with(path, *ZIP):
        return False
    try:
        with Archive(path) as archive:
            return any(name == "data.pkl" or name.endswith("/data.pkl") for name in archive.names)
    except PromptError:
        return path.suffix in (".pt", ".pth", ".bin", ".ckpt")


def list_torch(path: Path) -> dict[str, Stored]:
    """The tensors of a file by their names, those of dictionaries in dictionaries with dots; a bare tensor is
    called "".

    Raises PromptError when the file is damaged or holds anything but tensors and plain values.
    """
    old = starts_with(path, OLD)
    if old:
        _check_old(path)
    else:
        _check_zip(path)
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about tensor types that newer releases name otherwise
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=not old)
    except Exception as error:  # unpickling fails in every way there is
        raise PromptError(
            f"{path}: holds more than plain tensors, or is damaged ({_reason(error)}); no pickle is "
            "executed: "
            "where you trust the file, save its prompt with `torch.save({'prompt': tensor.detach()}, "
            "…)` or as safetensors"
        ) from error
    return _tensors(content, path)


def _check_pickle(pickled: bytes, path: Path, parts: int = 1) -> None:
    try:
        check_pickle(pickled, MOST_PICKLE, parts)
    except Exception as error:  # what cannot be looked at cannot be unpickled either
        raise PromptError(
            f"{path}: holds more than plain tensors, or is damaged ({first_line(error)}); no pickle "
            "is executed"
        ) from error


def _check_zip(path: Path) -> None:
    with Archive(path) as archive:
        if not archive.stored:
            raise PromptError(f"{path}: a zip with compressed parts; expected a file as torch.save writes it")
        for name in archive.names:
            if name.endswith(".pkl"):
                _check_pickle(archive.read(name), path)


def _check_old(path: Path) -> None:
    if (size := path.stat().st_size) > MOST_OLD:
        raise PromptError(
            f"{path}: an old torch file of {size:,} bytes; expected at most {MOST_OLD:,}: save its "
            "prompt alone"
        )
    with path.open("rb") as file:
        _check_pickle(file.read(MOST_PICKLE), path, OLD_PICKLES)


def _reason(error: Exception) -> str:
    """What torch refused: the name of the global where it gives one."""
    text = str(error)
    if "Unsupported global: GLOBAL " in text:
        return f"it wants to run {text.split('Unsupported global: GLOBAL ', 1)[1].split()[0][:80]}"
    return (
        "it cannot be unpickled"
        if "Weights only load failed" in text
        else (text.strip().splitlines() or [type(error).__name__])[0][:120]
    )


def _tensors(content: object, path: Path) -> dict[str, Stored]:
    """The tensors of nested dictionaries. One that stands in many places is looked into at few of them: some
    that hold each other twice have no end.
    """
    found: dict[str, Stored] = {}
    seen: dict[int, int] = {}
    looked = 0
    waiting: list[tuple[str, object, int]] = [("", content, DEEPEST)]
    while waiting:
        name, value, depth = waiting.pop()
        if (stored := _stored(value, f"{path}: {name or 'the array'}")) is not None:
            found[name] = stored
        elif isinstance(value, dict) and depth and seen.get(id(value), 0) < MOST_PLACES:
            seen[id(value)] = seen.get(id(value), 0) + 1
            inner = [
                (f"{name}.{key[:LONGEST_KEY]}" if name else key[:LONGEST_KEY], one, depth - 1)
                for key, one in value.items()
                if isinstance(key, str)
            ]
            waiting += reversed(inner)
            looked += len(inner)
        if len(found) > MOST_FOUND or looked > MOST_LOOKED_AT:
            raise PromptError(
                f"{path}: holds more than {MOST_FOUND:,} tensors or {MOST_LOOKED_AT:,} entries; "
                "expected a prompt: is this a whole model?"
            )
    return found


def _stored(value: object, where: str) -> Stored | None:
    """A plain tensor as it is listed; None for other things."""
    import torch

    if (
        not isinstance(value, torch.Tensor)
        or value.is_nested
        or value.layout != torch.strided
        or value.device.type != "cpu"
    ):
        return None
    return Stored(tuple(value.shape), str(value.dtype).removeprefix("torch."), lambda: _numbers(value, where))


def _numbers(tensor: "torch.Tensor", where: str) -> np.ndarray:
    """Raises PromptError for quantized values."""
    import ml_dtypes
    import torch

    if tensor.is_quantized or (tensor.is_floating_point() and tensor.dtype.itemsize < 2):
        raise quantized(where, str(tensor.dtype).removeprefix("torch."))
    tensor = tensor.detach().resolve_conj().resolve_neg().contiguous()
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16).copy()
    return tensor.numpy().copy()
