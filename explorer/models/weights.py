"""The input embeddings of a model: one tensor out of its weight files, without loading the model."""

import json
from pathlib import Path

import numpy as np

from explorer.errors import ModelError

EMBEDDING_KEYS = ("shared.weight", "encoder.embed_tokens.weight", "model.embed_tokens.weight", "transformer.wte.weight", "embed_tokens.weight")
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
"""what transformers calls them; the first that is there is read, and `<name>.index.json` where they are several"""


def read_embedding(folder: Path) -> np.ndarray:
    """The input embeddings of a model: [V, H] float32, from safetensors or, without them, from a `.bin` of plain tensors.

    Raises ModelError when there are none or the files cannot be read. No other tensor is read, and no pickle executed.
    """
    for key, file in _tables(folder):
        table = _from_bin(file, key) if file.suffix == ".bin" else _from_safetensors(file, key)
        if table is not None:
            return table
    raise ModelError(f"{folder}: no input embeddings found; expected one of {', '.join(EMBEDDING_KEYS)}")


def _from_safetensors(file: Path, key: str) -> np.ndarray | None:
    import ml_dtypes  # noqa: F401  registers bfloat16 with NumPy
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="np") as weights:
            if key in weights.keys():  # noqa: SIM118  safe_open is no mapping
                return np.ascontiguousarray(weights.get_tensor(key), np.float32)
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"{file}: weights cannot be read ({error}); expected a whole safetensors file") from error
    return None


def _from_bin(file: Path, key: str) -> np.ndarray | None:
    import pickle

    import torch

    try:
        state = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except (pickle.UnpicklingError, RuntimeError, OSError, ValueError, EOFError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise ModelError(f"{file}: cannot be read as plain tensors ({reason}); no pickle is executed: get the model as safetensors") from error
    table = state.get(key) if isinstance(state, dict) else None
    return None if table is None else np.ascontiguousarray(table.detach().float().numpy())


def _tables(folder: Path) -> list[tuple[str, Path]]:
    """Names under which the embedding table may be stored, each with the file to look in."""
    for name in WEIGHT_FILES:
        index, single = folder / f"{name}.index.json", folder / name
        if index.is_file():
            tables = [(key, folder / file) for key, file in _weight_map(index).items() if key in EMBEDDING_KEYS]
            for _, file in tables:
                if not file.is_file():
                    raise ModelError(f"{folder}: no {file.name}, which {index.name} names; get the model again")
            return sorted(tables, key=lambda table: EMBEDDING_KEYS.index(table[0]))
        if single.is_file():
            return [(key, single) for key in EMBEDDING_KEYS]
    raise ModelError(f"{folder}: no {WEIGHT_FILES[0]}; expected weights as safetensors (re-save the model with save_pretrained)")


def stored_names(folder: Path) -> set[str]:
    """Names of the weights in a model folder's files, none of them read; `.bin` files without an index count as holding every table."""
    from safetensors import safe_open

    for name in WEIGHT_FILES:
        if (folder / f"{name}.index.json").is_file():
            return set(_weight_map(folder / f"{name}.index.json"))
        if (folder / name).is_file() and name.endswith(".safetensors"):
            with safe_open(folder / name, framework="np") as weights:
                return set(weights.keys())
    return set(EMBEDDING_KEYS)


def _weight_map(index: Path) -> dict[str, str]:
    try:
        listed = json.loads(index.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{index}: cannot be read ({error}); expected a JSON object with weight_map") from error
    shards = listed.get("weight_map") if isinstance(listed, dict) else None
    if not isinstance(shards, dict) or not all(isinstance(file, str) for file in shards.values()):
        raise ModelError(f"{index}: lists no weights; expected an object weight_map of names and files")
    return shards
