"""The weights in a model's folder: its input embeddings alone, without importing torch, or every tensor that
a network asks for.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from explorer.errors import ModelError
from explorer.models.architecture import read_json
from explorer.system.bounded import check_itself, check_safetensors

if TYPE_CHECKING:
    import torch

EMBEDDING_KEYS = (
    "shared.weight",
    "encoder.embed_tokens.weight",
    "model.embed_tokens.weight",
    "transformer.wte.weight",
    "embed_tokens.weight",
)
TABLES = (
    *(
        "shared.weight",
        "encoder.embed_tokens.weight",
        "embed_tokens.weight",
        "wte.weight",
        "word_embeddings.weight",
        "embed_in.weight",
    ),
    *("embeddings.word_embeddings.weight", "decoder.embed_tokens.weight"),
)
"""what the table is called in other families, without WRAPPERS"""
WRAPPERS = (
    "module.",
    "base_model.model.",
    "base_model.",
    "model.",
    "transformer.",
    "gpt_neox.",
    "language_model.",
)
SCALES = ("weight_scale", "weight.", "weight_packed", "weight_zero_point", "scale", "SCB", "absmax", "qzeros")
"""how what lies beside a quantized weight is called after the weight's own name"""
WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
"""what transformers calls them; the first that is there is read, and `<name>.index.json` where they are
several
"""


def read_embedding(folder: Path) -> np.ndarray:
    """The input embeddings of a model as it reads them: [V, H] float32, from safetensors or, without them,
    from a `.bin` of plain tensors.

    Raises ModelError when there are none or the files cannot be read. No other tensor is read, and no pickle
    executed.
    """
    files = weight_files(folder)
    for key in _tables(files):
        if key in files:
            _check_plain(files, key)
            table = (
                _from_bin(files[key], key)
                if files[key].suffix == ".bin"
                else _from_safetensors(files[key], key)
            )
            return np.multiply(table, np.float32(embedding_scale(folder)), out=table)
    raise ModelError(f"{folder}: no input embeddings found; expected one of {', '.join(EMBEDDING_KEYS)}")


def embedding_scale(folder: Path) -> float:
    """What a model multiplies rows of its table by on their way in: √H in the Gemma family, else 1. Prompts
    lie among the multiplied rows.
    """
    config = read_json(folder / "config.json") if (folder / "config.json").is_file() else {}
    inner = config.get("text_config")
    text = inner if isinstance(inner, dict) else config
    width, kind = text.get("hidden_size"), text.get("model_type", config.get("model_type"))
    return (
        width**0.5
        if isinstance(kind, str) and kind.startswith("gemma") and isinstance(width, int) and width > 0
        else 1.0
    )


def _tables(files: Mapping[str, Path]) -> list[str]:
    """Names under which the table may be stored, the likeliest first: each of TABLES, also behind the names
    of wrappers.
    """
    bare = {key: _bare(key) for key in files}
    return [
        *(key for key in EMBEDDING_KEYS if key in files),
        *(key for table in TABLES for key in bare if bare[key] == table),
    ]


def _bare(key: str) -> str:
    while (start := next((start for start in WRAPPERS if key.startswith(start)), None)) is not None:
        key = key.removeprefix(start)
    return key


def _check_plain(files: Mapping[str, Path], key: str) -> None:
    """Raise ModelError for a table that is quantized, or left empty by ZeRO-3."""
    stem = key.removesuffix("weight")
    beside = [
        name
        for name in files
        if name != key and name.startswith(stem) and name.removeprefix(stem).startswith(SCALES)
    ]
    dtype, shape = _described(files[key], key)
    if beside or dtype not in ("F64", "F32", "F16", "BF16"):
        said = f", with {beside[0]} beside it" if beside else ""
        raise ModelError(
            f"{files[key]}: {key} is quantized ({dtype}{said}), which are no vectors; give the model "
            "in float32, float16 or bfloat16"
        )
    if 0 in shape:
        raise ModelError(
            f"{files[key]}: {key} has shape {shape}, as DeepSpeed ZeRO-3 leaves it; run the "
            "zero_to_fp32.py beside the checkpoint, or save the gathered model"
        )


def _described(file: Path, key: str) -> tuple[str, tuple[int, ...]]:
    """Type, by safetensors' name, and shape of a weight."""
    if file.suffix == ".bin":
        tensor = _state(file)[key]
        plain = {"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16"}
        name = str(tensor.dtype).removeprefix("torch.")
        return plain.get(name, name), tuple(tensor.shape)
    from safetensors import safe_open

    with _readable(file), safe_open(file, framework="np") as weights:
        part = weights.get_slice(key)
        return part.get_dtype(), tuple(part.get_shape())


def _from_safetensors(file: Path, key: str) -> np.ndarray:
    import ml_dtypes  # noqa: F401  registers bfloat16 with NumPy
    from safetensors import safe_open

    with _readable(file), safe_open(file, framework="np") as weights:
        _check_table(file, key, tuple(weights.get_slice(key).get_shape()))
        return np.ascontiguousarray(weights.get_tensor(key), np.float32)


def _check_table(file: Path, key: str, shape: tuple[int, ...]) -> None:
    if len(shape) != 2 or 0 in shape:
        raise ModelError(f"{file}: {key} has the shape {shape}; expected rows × width, [V, H]")


def _from_bin(file: Path, key: str) -> np.ndarray:
    table = _state(file)[key].detach()
    _check_table(file, key, tuple(table.shape))
    try:
        return np.ascontiguousarray(table.float().numpy(force=True))
    except (RuntimeError, TypeError, ValueError) as error:
        raise ModelError(
            f"{file}: {key} cannot be read ({(str(error).splitlines() or [''])[0][:160]}); expected a "
            "plain table of numbers"
        ) from error


def weight_files(folder: Path) -> dict[str, Path]:
    """The name of every weight in a model's folder, with the file it is in; no weight is read.

    Raises ModelError when there are no weights, or files that cannot be read.
    """
    for name in WEIGHT_FILES:
        index, single = folder / f"{name}.index.json", folder / name
        if index.is_file():
            return {key: folder / file for key, file in _weight_map(index).items()}
        if single.is_file():
            return dict.fromkeys(_names(single), single)
    raise ModelError(
        f"{folder}: no {WEIGHT_FILES[0]}; expected weights as safetensors (re-save the model with "
        "save_pretrained)"
    )


def stored_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """The shape of every weight in a model's folder; no weight is read. Raises ModelError for files that are
    missing or damaged.
    """
    from safetensors import safe_open

    found: dict[str, tuple[int, ...]] = {}
    for file in dict.fromkeys(weight_files(folder).values()):
        if file.suffix == ".bin":
            found |= {name: tuple(tensor.shape) for name, tensor in _state(file).items()}
            continue
        with _readable(file), safe_open(file, framework="np") as weights:
            found |= {name: tuple(weights.get_slice(name).get_shape()) for name in weights.keys()}  # noqa: SIM118  safe_open is no mapping
    return found


def read_tensors(
    folder: Path,
    names: Collection[str],
    device: str,
    dtype: "torch.dtype",
    given: "Mapping[str, torch.Tensor] | None" = None,
) -> "dict[str, torch.Tensor]":
    """Those of `names` that are stored, in one precision on one device; each goes there straight from its
    file.

    On a processor weights that have that precision in their file are not copied but mapped. given: what need
    not be read. Raises ModelError for files that are missing or damaged.
    """
    import torch

    found = dict(given or {})
    straight = "cpu" if torch.device(device).type == "cpu" else device
    files = {key: file for key, file in weight_files(folder).items() if key in names and key not in found}
    for file in dict.fromkeys(files.values()):
        wanted = [key for key in files if files[key] == file]
        found |= {
            key: tensor.to(device=device, dtype=dtype) for key, tensor in _tensors(file, wanted, straight)
        }
    return found


def _tensors(file: Path, names: list[str], device: str) -> "Iterator[tuple[str, torch.Tensor]]":
    from safetensors import safe_open

    if file.suffix == ".bin":
        state = _state(file)
        yield from ((name, state[name].detach()) for name in names)
        return
    with _readable(file), safe_open(file, framework="pt", device=device) as weights:
        for name in names:
            yield name, weights.get_tensor(name)


def _names(file: Path) -> list[str]:
    from safetensors import safe_open

    if file.suffix == ".bin":
        return list(_state(file))
    with _readable(file), safe_open(file, framework="np") as weights:
        return list(weights.keys())


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    from safetensors import SafetensorError

    if not file.is_file():
        raise ModelError(f"{file.parent}: no {file.name}, which its index names; get the model again")
    check_itself(file, ModelError)
    try:
        check_safetensors(file)
        yield
    except (
        SafetensorError,
        OSError,
        ValueError,
        TypeError,
        AttributeError,
    ) as error:  # the last two: types that NumPy has no name for
        reason = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise ModelError(
            f"{file}: weights cannot be read ({reason}); expected a whole safetensors file"
        ) from error


def _state(file: Path) -> "dict[str, torch.Tensor]":
    """The plain tensors of a `.bin` file, mapped."""
    import torch

    if not file.is_file():
        raise ModelError(f"{file.parent}: no {file.name}, which its index names; get the model again")
    check_itself(file, ModelError)
    try:
        with file.open("rb") as opened:
            mapped = opened.read(2) == b"PK"  # files of torch before 1.6 are no zip and cannot be mapped
        state = torch.load(file, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # unpickling fails in every way there is
        reason = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise ModelError(
            f"{file}: cannot be read as plain tensors ({reason}); no pickle is executed: get the "
            "model as safetensors"
        ) from error
    items = state.items() if isinstance(state, dict) else ()
    return {
        key: tensor
        for key, tensor in items
        if isinstance(key, str) and isinstance(tensor, torch.Tensor) and not tensor.is_nested
    }


def _weight_map(index: Path) -> dict[str, str]:
    shards = read_json(index).get("weight_map")
    if not isinstance(shards, dict) or not all(isinstance(file, str) for file in shards.values()):
        raise ModelError(f"{index}: lists no weights; expected an object weight_map of names and files")
    if outside := [file for file in shards.values() if Path(file).name != file]:
        raise ModelError(f"{index}: lists {outside[0][:80]!r}; expected names of files beside it")
    return shards
