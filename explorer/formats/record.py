"""Our own record beside an adapter: where a prompt came from (`explorer.json`) and how it moved (`trajectory.safetensors`)."""

from dataclasses import asdict
from pathlib import Path

import numpy as np

from explorer.errors import PromptError
from explorer.formats.safetensors_arrays import read_safetensors
from explorer.prompt import Evaluation, RowSource, SoftPrompt, Trajectory

RECORD, TRAJECTORY = "explorer.json", "trajectory.safetensors"

TYPES = {
    **dict.fromkeys(("task", "initialization", "base_model", "base_fingerprint"), str),
    **dict.fromkeys(("seed", "step"), int),
    **dict.fromkeys(("labels", "rows", "history"), list),
    **dict.fromkeys(("hyperparameters", "data"), dict),
}
"""what the record's entries are, where they are not null"""


def checked(record: dict, path: Path) -> dict:
    """The entries of a record with the types they should have. Raises PromptError for others."""
    known = {key: record.get(key) for key in TYPES}
    try:
        for key, value in known.items():
            if value is not None and (not isinstance(value, TYPES[key]) or isinstance(value, bool)):
                raise TypeError(f"{key} is a {type(value).__name__}, not a {TYPES[key].__name__}")
        if not all(isinstance(label, str) for label in known["labels"] or ()):
            raise TypeError("labels are not all text")
        known["rows"] = tuple(_row(row) for row in known["rows"]) if known["rows"] else None
        known["history"] = tuple(_evaluation(entry) for entry in known["history"] or ())
    except (TypeError, KeyError, AttributeError, ValueError, OverflowError) as error:
        raise PromptError(f"{path}: not as this project writes it ({error}); delete the file to read the adapter alone") from error
    return known


def _row(row: dict | None) -> RowSource:
    source = RowSource(**(row or {}))
    if not all(value is None or isinstance(value, str) for value in (source.label, source.piece)):
        raise TypeError("rows name labels and pieces that are no text")
    return source


def _evaluation(entry: dict) -> Evaluation:
    loss, accuracy = (None if entry.get(key) is None else float(entry[key]) for key in ("loss", "dev_accuracy"))
    return Evaluation(int(entry["step"]), loss, accuracy)


def read_trajectory(path: Path, shape: tuple[int, ...], from_start: bool = True) -> Trajectory:
    """The saved steps of vectors of this shape; from_start: whether the first are the initialization.

    Raises PromptError when they are damaged or of another shape."""
    tensors = read_safetensors(path)
    if not {"vectors", "steps"} <= set(tensors):
        raise PromptError(f"{path}: found {', '.join(sorted(tensors)) or 'nothing'}; expected vectors [S, P, H] and steps [S]")
    vectors = tensors["vectors"]
    if vectors.ndim != 3 or vectors.shape[1:] != shape:
        raise PromptError(f"{path}: vectors of shape {vectors.shape}; expected [S, {shape[0]}, {shape[1]}]")
    try:
        return Trajectory(vectors, np.asarray(tensors["steps"], np.int64), from_start)
    except PromptError as error:
        raise PromptError(f"{path}: {error}") from error


def record_of(prompt: SoftPrompt, versions: dict[str, str]) -> dict:
    """What `explorer.json` says of a prompt."""
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
        "from_start": prompt.trajectory is None or prompt.trajectory.from_start,
        "versions": versions,
    }
