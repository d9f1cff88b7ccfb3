"""Our own record beside an adapter: where a prompt came from (`explorer.json`) and how it moved
(`trajectory.safetensors`).
"""

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np

from explorer.errors import PromptError
from explorer.formats.safetensors_arrays import read_safetensors
from explorer.formats.stored import read_json
from explorer.prompt import Evaluation, RowSource, SoftPrompt, Trajectory

RECORD, TRAJECTORY = "explorer.json", "trajectory.safetensors"

Integer = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
"""as tables can hold it"""
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
"""an accuracy"""


@dataclass(frozen=True)
class Measured:
    """An entry of the record's history."""

    step: Integer
    loss: float | None = None
    dev_accuracy: Share | None = None


@dataclass(frozen=True)
class Record:
    """What `explorer.json` says, as far as it is read; what is missing or null there is None or empty
    here.
    """

    task: str | None = None
    labels: tuple[str, ...] | None = None
    initialization: str | None = None
    seed: Integer | None = None
    step: Integer | None = None
    base_model: str | None = None
    base_fingerprint: str | None = None
    rows: tuple[RowSource | None, ...] | None = None
    template: str | None = None
    history: tuple[Measured, ...] | None = None
    without_prompt: Share | None = None
    hyperparameters: dict[str, Any] | None = field(default_factory=dict)
    data: dict[str, Any] | None = field(default_factory=dict)
    from_start: bool | None = None

    @property
    def sources(self) -> tuple[RowSource, ...] | None:
        """[P] what each prompt token was initialized from; None where that is not recorded."""
        return tuple(row or RowSource() for row in self.rows) if self.rows else None

    @property
    def evaluations(self) -> tuple[Evaluation, ...]:
        """The measurements during training."""
        return tuple(Evaluation(one.step, one.loss, one.dev_accuracy) for one in self.history or ())


def read_record(path: Path) -> Record:
    """The record in a file; a number that is none, such as NaN, is not recorded there.

    Raises PromptError when it is damaged or an entry is of another type than this project writes.
    """
    try:
        record = msgspec.convert(_finite(read_json(path)), Record)
        if record.labels is not None and (
            len({*record.labels}) < len(record.labels) or not all(label.strip() for label in record.labels)
        ):
            raise msgspec.ValidationError("blank or equal labels")
    except msgspec.ValidationError as error:
        raise PromptError(
            f"{path}: not as this project writes it ({error}); delete the file to read the adapter alone"
        ) from error
    return record


def _finite(value: Any) -> Any:
    """What JSON holds, with None for NaN and infinity."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_trajectory(path: Path, shape: tuple[int, ...], from_start: bool = True) -> Trajectory:
    """The saved steps of vectors of this shape; from_start: whether the first are the initialization.

    Raises PromptError when they are damaged or of another shape."""
    tensors = read_safetensors(path)
    if not {"vectors", "steps"} <= set(tensors):
        raise PromptError(
            f"{path}: found {', '.join(sorted(tensors)) or 'nothing'}; expected vectors [S, P, H] and "
            "steps [S]"
        )
    vectors = tensors["vectors"]
    if vectors.ndim != 3 or vectors.shape[1:] != shape:
        raise PromptError(f"{path}: vectors of shape {vectors.shape}; expected [S, {shape[0]}, {shape[1]}]")
    if tensors["steps"].dtype.kind not in "iu":
        raise PromptError(f"{path}: steps of type {tensors['steps'].dtype}; expected whole numbers")
    try:
        return Trajectory(vectors, np.asarray(tensors["steps"], np.int64), from_start)
    except PromptError as error:
        raise PromptError(f"{path}: {error}") from error


def record_of(prompt: SoftPrompt, versions: dict[str, str]) -> dict:
    """What `explorer.json` says of a prompt."""
    origin = prompt.origin
    rows = (
        [{k: v for k, v in asdict(row).items() if v is not None} or None for row in origin.rows]
        if origin.rows
        else None
    )
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
        "template": origin.template,
        "history": [asdict(e) for e in origin.history],
        "without_prompt": origin.without_prompt,
        "hyperparameters": origin.hyperparameters,
        "data": origin.data,
        "from_start": prompt.trajectory is None or prompt.trajectory.from_start,
        "versions": versions,
    }
