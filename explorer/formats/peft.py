"""PEFT prompt-tuning adapters, and our own checkpoints: the same folder with `explorer.json` and a trajectory beside it."""

import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np

from explorer.errors import PromptError
from explorer.formats.arrays import read_safetensors
from explorer.prompt import Evaluation, Origin, RowSource, SoftPrompt, Trajectory

CONFIG, WEIGHTS, RECORD, TRAJECTORY = "adapter_config.json", "adapter_model.safetensors", "explorer.json", "trajectory.safetensors"

_RECORD_TYPES = {
    **dict.fromkeys(("task", "initialization", "base_model", "base_fingerprint"), str),
    **dict.fromkeys(("seed", "step"), int),
    **dict.fromkeys(("labels", "rows", "history"), list),
    **dict.fromkeys(("hyperparameters", "data"), dict),
}
"""what the record's entries are, where they are not null"""


def recognizes(path: Path) -> bool:
    """Whether `path` is a folder with an adapter configuration."""
    return path.is_dir() and (path / CONFIG).is_file()


def read(path: Path, name: str) -> SoftPrompt:
    """Read a PEFT prompt-tuning adapter.

    PEFT stores n rows for each of `num_transformer_submodules`, but only the first n are ever used: the rest are dropped
    and said so. Raises PromptError for another kind of adapter, missing or damaged files, and shapes that do not fit.
    """
    config = _read_json(path / CONFIG)
    kind = config.get("peft_type")
    if kind != "PROMPT_TUNING":
        raise PromptError(f"{path}: found a {kind or 'nameless'} adapter; expected peft_type PROMPT_TUNING, whose vectors live among the input embeddings")
    if not (path / WEIGHTS).is_file():
        raise PromptError(f"{path}: no {WEIGHTS}; expected the adapter's weights beside {CONFIG}")
    tensors = read_safetensors(path / WEIGHTS)
    if "prompt_embeddings" not in tensors:
        raise PromptError(f"{path / WEIGHTS}: found {', '.join(sorted(tensors)[:5]) or 'nothing'}; expected prompt_embeddings")
    table = tensors["prompt_embeddings"]
    if table.ndim != 2:
        raise PromptError(f"{path / WEIGHTS}: prompt_embeddings has shape {table.shape}; expected two dimensions, [P, H]")
    length = config.get("num_virtual_tokens") or len(table)
    if not isinstance(length, int) or not 0 < length <= len(table):
        raise PromptError(f"{path}: the configuration names {length!r} virtual tokens, the weights hold {len(table)}; expected at least as many rows")
    dropped = len(table) - length
    warnings = (f"{dropped} of {len(table)} rows dropped: PEFT never uses nor trains the decoder's half",) if dropped else ()
    record = _read_json(path / RECORD) if (path / RECORD).is_file() else {}
    trajectory = _read_trajectory(path / TRAJECTORY, table[:length].shape) if (path / TRAJECTORY).is_file() else None
    origin = _origin(path, config, record, table.dtype.name, dropped, warnings)
    return SoftPrompt(table[:length], name, origin, trajectory)


def _origin(path: Path, config: dict, record: dict, dtype: str, dropped: int, warnings: tuple[str, ...]) -> Origin:
    known = _checked(record, path)
    initialization = known["initialization"]
    if initialization is None and config.get("prompt_tuning_init") == "TEXT":
        initialization = f"text: {config.get('prompt_tuning_init_text')}"
    return Origin(
        format="explorer" if record else "peft",
        path=path,
        key="prompt_embeddings",
        dtype=dtype,
        dropped_rows=dropped,
        base_model=known["base_model"] or _base_model(config),
        base_fingerprint=known["base_fingerprint"],
        task=known["task"],
        labels=tuple(known["labels"]) if known["labels"] else None,
        initialization=initialization,
        seed=known["seed"],
        step=known["step"],
        rows=known["rows"],
        history=known["history"],
        hyperparameters=known["hyperparameters"] or {},
        data=known["data"] or {},
        warnings=warnings,
    )


def _checked(record: dict, path: Path) -> dict:
    """The entries of a record with the types they should have. Raises PromptError for others."""
    known = {key: record.get(key) for key in _RECORD_TYPES}
    try:
        for key, value in known.items():
            if value is not None and (not isinstance(value, _RECORD_TYPES[key]) or isinstance(value, bool)):
                raise TypeError(f"{key} is a {type(value).__name__}, not a {_RECORD_TYPES[key].__name__}")
        if not all(isinstance(label, str) for label in known["labels"] or ()):
            raise TypeError("labels are not all text")
        known["rows"] = tuple(_row(row) for row in known["rows"]) if known["rows"] else None
        known["history"] = tuple(_evaluation(entry) for entry in known["history"] or ())
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise PromptError(f"{path / RECORD}: not as this project writes it ({error}); delete the file to read the adapter alone") from error
    return known


def _row(row: dict | None) -> RowSource:
    source = RowSource(**(row or {}))
    if not all(value is None or isinstance(value, str) for value in (source.label, source.piece)):
        raise TypeError("rows name labels and pieces that are no text")
    return source


def _evaluation(entry: dict) -> Evaluation:
    loss, accuracy = (None if entry.get(key) is None else float(entry[key]) for key in ("loss", "dev_accuracy"))
    return Evaluation(int(entry["step"]), loss, accuracy)


def _base_model(config: dict) -> str | None:
    name = config.get("base_model_name_or_path")
    return name if isinstance(name, str) and name else None


def _read_trajectory(path: Path, shape: tuple[int, ...]) -> Trajectory:
    tensors = read_safetensors(path)
    if not {"vectors", "steps"} <= set(tensors):
        raise PromptError(f"{path}: found {', '.join(sorted(tensors)) or 'nothing'}; expected vectors [S, P, H] and steps [S]")
    vectors = tensors["vectors"]
    if vectors.ndim != 3 or vectors.shape[1:] != shape:
        raise PromptError(f"{path}: vectors of shape {vectors.shape}; expected [S, {shape[0]}, {shape[1]}] as in {WEIGHTS}")
    try:
        return Trajectory(vectors, np.asarray(tensors["steps"], np.int64))
    except PromptError as error:
        raise PromptError(f"{path}: {error}") from error


def _read_json(path: Path) -> dict:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise PromptError(f"{path}: cannot be read as JSON ({error})") from error
    if not isinstance(content, dict):
        raise PromptError(f"{path}: found a JSON {type(content).__name__}; expected an object")
    return content


def write(prompt: SoftPrompt, folder: Path, versions: dict[str, str], overwrite: bool = False) -> None:
    """Write a prompt as a PEFT adapter with our record and trajectory: the folder appears whole or not at all.

    Raises PromptError when the folder exists and `overwrite` is False, or when it cannot be written.
    """
    from safetensors.numpy import save_file

    if folder.exists() and not overwrite:
        raise PromptError(f"{folder} exists already; choose another folder or pass --overwrite")
    partial, old = folder.with_name(f".{folder.name}.partial"), folder.with_name(f".{folder.name}.old")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        (partial / CONFIG).write_text(json.dumps(_adapter_config(prompt), indent=1) + "\n")
        save_file({"prompt_embeddings": prompt.vectors}, partial / WEIGHTS)
        (partial / RECORD).write_text(json.dumps(_record(prompt, versions), indent=1) + "\n")
        if prompt.trajectory is not None:
            arrays = {"vectors": np.ascontiguousarray(prompt.trajectory.vectors, np.float32), "steps": prompt.trajectory.steps.astype(np.int64)}
            save_file(arrays, partial / TRAJECTORY)
        if folder.exists():
            os.replace(folder, old)
        os.replace(partial, folder)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise PromptError(f"{folder}: cannot be written ({error})") from error


def _adapter_config(prompt: SoftPrompt) -> dict:
    return {
        "peft_type": "PROMPT_TUNING",
        "task_type": "SEQ_2_SEQ_LM",
        "base_model_name_or_path": prompt.origin.base_model,
        "num_virtual_tokens": prompt.length,
        "token_dim": prompt.dimension,
        "num_transformer_submodules": 1,
        "prompt_tuning_init": "RANDOM",
        "inference_mode": True,
    }


def _record(prompt: SoftPrompt, versions: dict[str, str]) -> dict:
    origin = prompt.origin
    rows = [{k: v for k, v in asdict(row).items() if v is not None} or None for row in origin.rows] if origin.rows else None
    return {
        "task": origin.task,
        "labels": list(origin.labels) if origin.labels else None,
        "initialization": origin.initialization,
        "seed": origin.seed,
        "length": prompt.length,
        "dimension": prompt.dimension,
        "base_model": origin.base_model,
        "base_fingerprint": origin.base_fingerprint,
        "step": origin.step,
        "steps": origin.history[-1].step if origin.history else None,
        "rows": rows,
        "history": [asdict(e) for e in origin.history],
        "hyperparameters": origin.hyperparameters,
        "data": origin.data,
        "versions": versions,
    }
