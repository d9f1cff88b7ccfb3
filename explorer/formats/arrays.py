"""Plain arrays: `.npy`, `.npz` and `.safetensors` files that hold one [P, H] array."""

from pathlib import Path

import numpy as np

from explorer.errors import PromptError
from explorer.prompt import Origin, SoftPrompt

SUFFIXES = (".npy", ".npz", ".safetensors")


def recognizes(path: Path) -> bool:
    """Whether `path` is an array file by its suffix."""
    return path.is_file() and path.suffix in SUFFIXES


def read(path: Path, name: str) -> SoftPrompt:
    """Read the one two-dimensional floating-point array of a file.

    Raises PromptError when the file is damaged or holds pickled objects, or when none or several arrays could be meant.
    """
    arrays = read_safetensors(path) if path.suffix == ".safetensors" else _read_numpy(path)
    matrices = {key: array for key, array in arrays.items() if array.ndim == 2}
    if len(matrices) != 1:
        found = ", ".join(f"{key or 'array'} {array.shape}" for key, array in list(arrays.items())[:6]) or "no array"
        raise PromptError(f"{path}: found {found}; expected exactly one array of prompt tokens × embedding size, [P, H]")
    (key, array), = matrices.items()
    origin = Origin(format=path.suffix[1:], path=path, key=key or None, dtype=array.dtype.name)
    return SoftPrompt(array, name, origin)


def _read_numpy(path: Path) -> dict[str, np.ndarray]:
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"": loaded}
        with loaded:
            return {key: loaded[key] for key in loaded.files}
    except Exception as error:  # NumPy and zipfile raise many kinds on damaged files
        raise PromptError(f"{path}: cannot be read as a NumPy array ({_first_line(error)}); expected plain numbers, no pickled objects") from error


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """All tensors of a safetensors file; bfloat16 included. Raises PromptError when the file is missing or damaged."""
    import ml_dtypes  # noqa: F401  registers bfloat16 with NumPy
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  safe_open is no mapping
    except (SafetensorError, OSError, TypeError, ValueError) as error:
        raise PromptError(f"{path}: cannot be read as safetensors ({_first_line(error)}); the file is damaged or of another kind") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
