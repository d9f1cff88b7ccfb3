"""torch's files (`.pt`, `.pth`, `.bin`, `.ckpt`): plain tensors and nested state dicts through `weights_only`. No pickle is executed."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from explorer.errors import PromptError
from explorer.formats.archives import ZIP, Archive
from explorer.formats.stored import MOST_BYTES, Stored, starts_with

if TYPE_CHECKING:
    import torch

OLD = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
"""how files of torch before 1.6 begin: a pickled number, then plain parts that `weights_only` reads as it reads newer files"""
MOST_OLD = 4 * MOST_BYTES
"""of an old file, which is read as a whole"""
DEEPEST = 6
"""levels of dictionaries in a checkpoint that are looked into"""


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
    """The tensors of a file by their names, those of dictionaries in dictionaries with dots; a bare tensor is called "".

    Raises PromptError when the file is damaged or holds anything but tensors and plain values.
    """
    old = starts_with(path, OLD)
    if old and path.stat().st_size > MOST_OLD:
        raise PromptError(f"{path}: an old torch file of {path.stat().st_size:,} bytes; expected at most {MOST_OLD:,}: save its prompt alone")
    if not old:
        _check_zip(path)
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about tensor types that newer releases name otherwise
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=not old)
    except Exception as error:  # unpickling fails in every way there is
        raise PromptError(
            f"{path}: holds more than plain tensors, or is damaged ({_reason(error)}); no pickle is executed: "
            "where you trust the file, save its prompt with `torch.save({'prompt': tensor.detach()}, …)` or as safetensors"
        ) from error
    found: dict[str, Stored] = {}
    _collect(content, "", found, DEEPEST)
    return found


def _check_zip(path: Path) -> None:
    with Archive(path) as archive:
        if not archive.stored:
            raise PromptError(f"{path}: a zip with compressed parts; expected a file as torch.save writes it")


def _reason(error: Exception) -> str:
    """What torch refused: the name of the global where it gives one."""
    text = str(error)
    if "Unsupported global: GLOBAL " in text:
        return f"it wants to run {text.split('Unsupported global: GLOBAL ', 1)[1].split()[0][:80]}"
    return "it cannot be unpickled" if "Weights only load failed" in text else (text.strip().splitlines() or [type(error).__name__])[0][:120]


def _collect(value: object, name: str, found: dict[str, Stored], depth: int) -> None:
    import torch

    if isinstance(value, torch.Tensor):
        plain = value.layout == torch.strided and not value.is_quantized and value.device.type == "cpu"
        if plain and value.dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32):
            found[name] = Stored(tuple(value.shape), str(value.dtype).removeprefix("torch."), lambda: _numbers(value))
    elif isinstance(value, dict) and depth:
        for key, inner in value.items():
            if isinstance(key, str):
                _collect(inner, f"{name}.{key}" if name else key, found, depth - 1)


def _numbers(tensor: "torch.Tensor") -> np.ndarray:
    import ml_dtypes
    import torch

    tensor = tensor.detach().contiguous()
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16).copy()
    return tensor.numpy().copy()
