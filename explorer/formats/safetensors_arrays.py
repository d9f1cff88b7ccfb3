"""safetensors files, bfloat16 included: the library checks the header against the file, and only the arrays
asked for are read.
"""

from functools import partial
from pathlib import Path

import numpy as np

from explorer.errors import PromptError
from explorer.formats.stored import LONGEST_KEY, MOST_JSON, Stored, first_line, quantized
from explorer.system.bounded import check_safetensors

_DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_QUANTIZED = ("F8_", "F6_", "F4")
"""how the names of types begin that are no numbers without their scales"""


def is_safetensors(path: Path) -> bool:
    """Whether a file is safetensors: by its suffix, or by a header length that fits and a brace after it."""
    try:
        if not path.is_file():
            return False
        if path.suffix == ".safetensors":
            return True
        with path.open("rb") as file:
            opening = file.read(9)
        return (
            len(opening) == 9
            and opening[8:] == b"{"
            and int.from_bytes(opening[:8], "little") <= path.stat().st_size - 8
        )
    except OSError:
        return False


def list_safetensors(path: Path) -> dict[str, Stored]:
    """The arrays of a safetensors file by their names. Raises PromptError when it is missing or damaged."""
    with _opened(path) as file:
        return {
            key: Stored(
                tuple(part.get_shape()),
                _DTYPES.get(part.get_dtype(), part.get_dtype()),
                partial(_one, path, key, part.get_dtype()),
            )
            for key in file.keys()  # noqa: SIM118  safe_open is no mapping
            for part in [file.get_slice(key)]
        }


def is_ours(path: Path) -> bool:
    """Whether this project wrote a file, in which every row of `prompt_embeddings` is the prompt's. Raises
    PromptError when it is damaged.
    """
    if not is_safetensors(path):
        return False
    with _opened(path) as file:
        return (file.metadata() or {}).get("written_by") == "soft-prompt-explorer"


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """All arrays of a safetensors file. Raises PromptError when it is missing, damaged or too large."""
    from explorer.formats.stored import load

    return {key: load(path, key, stored) for key, stored in list_safetensors(path).items()}


def _one(path: Path, key: str, dtype: str) -> np.ndarray:
    if dtype.startswith(_QUANTIZED):
        raise quantized(f"{path}: {key[:LONGEST_KEY]}", dtype)
    with _opened(path) as file:
        try:
            return file.get_tensor(key)
        except Exception as error:  # types that NumPy has no name for raise AttributeError or TypeError
            raise PromptError(
                f"{path}: {key[:LONGEST_KEY]} cannot be read ({first_line(error)}); expected float32, "
                "float16 or bfloat16"
            ) from error


def _opened(path: Path):
    import ml_dtypes  # noqa: F401  registers bfloat16 with NumPy
    from safetensors import safe_open

    try:
        check_safetensors(path, MOST_JSON)
        return safe_open(path, framework="np")
    except Exception as error:  # SafetensorError, OSError, and others of the Rust side
        raise PromptError(
            f"{path}: cannot be read as safetensors ({first_line(error)}); the file is damaged or of "
            "another kind"
        ) from error
