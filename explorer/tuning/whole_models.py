"""Whole models tuned on a task, in folders that transformers itself loads, with a record of how they came
about.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from explorer.errors import ModelError
from explorer.models.architecture import read_json
from explorer.models.encoder_decoder import FrozenT5
from explorer.models.frozen import FrozenModel
from explorer.models.weights import WEIGHT_FILES
from explorer.system.files import written_whole
from explorer.texts.tasks import Task
from explorer.tuning.loop import ModelTuning
from explorer.tuning.runs import ModelRun
from explorer.tuning.settings import Run, TuningConfig
from explorer.tuning.tune import (
    begun_with,
    described_data,
    hyperparameters,
    pending_runs,
    unfinished,
    versions,
)
from explorer.vocabulary import Vocabulary

RECORD, KIND = "explorer.json", "tuned model"
MODEL_TUNING = "model"
"""how runs of whole models are called where prompts have their initialization"""
COPIED = (
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "spiece.model",
)
"""what a tuned model takes over from its base model as it is"""


@dataclass(frozen=True)
class TunedModel:
    """What the record of a tuned model says."""

    path: Path
    name: str
    task: str
    labels: tuple[str, ...]
    seed: int
    base_model: str
    dev_accuracy: float | None
    """of the step whose weights these are, 0…1"""


def tune_models_to_folder(
    model: FrozenModel,
    vocabulary: Vocabulary,
    train: Task,
    dev: Task,
    seeds: Sequence[int],
    config: TuningConfig,
    task_name: str,
    out: Path,
    progress: Callable[[str], None] | None = None,
) -> list[Path]:
    """Tune every weight of a copy of the model for each seed; writes `out`/<task>/model-<seed> with the
    weights of the step with the best dev accuracy, and returns the folders.

    A seed is the data order's. Folders that exist are left, stopped runs go on, errors are as in
    `tune.tune_to_folder`. Raises ModelError, besides, for a model that is no T5 or was not loaded from a
    folder.
    """
    if not isinstance(model, FrozenT5):
        raise ModelError(
            f"{model.name} is no T5; whole models are tuned to compare prompts of a T5 with: tune "
            "prompts, or take a T5",
            "model",
        )
    if model.folder is None:
        raise ModelError(
            f"{model.name} was not loaded from a folder; expected one, whose configuration and "
            "tokenizer a tuned model takes over",
            "model",
        )
    folders = {Run(MODEL_TUNING, seed): out / task_name / f"{MODEL_TUNING}-{seed}" for seed in seeds}
    data = described_data(train, dev, config)
    for run in pending_runs(folders, progress, "model"):
        folder = folders[run]
        tuning = ModelTuning(
            model,
            vocabulary,
            train,
            dev,
            run,
            config,
            unfinished(folder),
            begun_with(task_name, vocabulary, data),
        )
        for state in tuning.run(progress):
            assert isinstance(state, ModelRun)
            record = {
                "kind": KIND,
                "task": task_name,
                "labels": list(train.labels),
                "seed": run.seed,
                "base_model": model.name,
                "base_fingerprint": vocabulary.fingerprint,
                "step": state.best.step,
                "steps": state.history[-1].step,
                "history": [asdict(evaluation) for evaluation in state.history],
                "hyperparameters": hyperparameters(tuning),
                "data": data,
                "versions": versions(),
            }
            _write(state, model.folder, record, folder)
            unfinished(folder).unlink(missing_ok=True)
            if progress:
                progress(
                    f"{task_name}/{folder.name}: dev accuracy {state.best.dev_accuracy:.3f} at step "
                    f"{state.best.step}"
                )
    return list(folders.values())


def _write(state: ModelRun, base: Path, record: dict, folder: Path) -> None:
    """Weights of the best step, the base model's configuration and tokenizer, and the record: whole or not at
    all.

    Raises WriteError when the disk does not take them.
    """
    from safetensors.torch import save_file

    config = {**read_json(base / "config.json"), "dtype": "float32"}
    with written_whole(folder) as partial:
        partial.mkdir()
        for file in base.iterdir():
            if file.name in COPIED:
                shutil.copy(file, partial)
        (partial / "config.json").write_text(
            json.dumps({key: value for key, value in config.items() if key != "torch_dtype"}, indent=1) + "\n"
        )
        save_file(
            {name: weight.cpu().contiguous() for name, weight in state.best_weights.items()},
            partial / WEIGHT_FILES[0],
            metadata={"format": "pt"},
        )
        (partial / RECORD).write_text(json.dumps(record, indent=1) + "\n")


def read_tuned_model(path: str | Path) -> TunedModel:
    """The record of a tuned model. Raises ModelError for a folder without one."""
    file = Path(path) / RECORD
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        if record["kind"] != KIND:
            raise KeyError("kind")
        name, labels = f"{record['task']}/{Path(path).resolve().name}", tuple(map(str, record["labels"]))
        dev = [one["dev_accuracy"] for one in record["history"] if one["step"] == record["step"]]
        return TunedModel(
            Path(path),
            name,
            str(record["task"]),
            labels,
            int(record["seed"]),
            str(record["base_model"]),
            dev[-1] if dev else None,
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{path}: not a tuned model (no {RECORD} that says so); expected the folder of a model "
            "that was tuned whole"
        ) from error
