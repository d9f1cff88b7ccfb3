"""From runs to tuned prompts: in memory, and in folders that finished prompts stay in and stopped calls go on from."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from explorer.errors import PromptError
from explorer.formats import peft
from explorer.prompt import Origin, SoftPrompt, Trajectory
from explorer.t5 import FrozenT5
from explorer.tasks import Task
from explorer.tuning.initialization import SENTENCE
from explorer.tuning.training import Run, Tuning, TuningConfig
from explorer.vocabulary import Vocabulary


def tune(
    model: FrozenT5,
    vocabulary: Vocabulary,
    train: Task,
    dev: Task,
    runs: Sequence[Run],
    config: TuningConfig,
    task_name: str,
    progress: Callable[[str], None] | None = None,
    checkpoint: Path | None = None,
) -> list[SoftPrompt]:
    """Tune one prompt per run on `train`; the step with the best dev accuracy is kept (ties to the earlier).

    The model's weights do not change. checkpoint: a file that lets a stopped call go on; the caller removes it.
    Raises PromptError for no runs or another width of model and vocabulary, DataError for unusable texts or labels.
    """
    if not runs:
        raise PromptError("no runs asked for; expected at least one initialization and one seed")
    if vocabulary.dimension != model.dimension:
        raise PromptError(f"{vocabulary.name} has embeddings of width {vocabulary.dimension}, {model.name} of {model.dimension}; give one model")
    tuning = Tuning(model, vocabulary, train, dev, runs, config)
    tuning.run(checkpoint, progress)
    return [_finished(tuning, number, vocabulary, task_name) for number in range(len(runs))]


def _finished(tuning: Tuning, number: int, vocabulary: Vocabulary, task_name: str) -> SoftPrompt:
    run, history, config = tuning.runs[number], tuning.history[number], tuning.config
    best = max(range(len(history)), key=lambda i: (history[i].dev_accuracy, -i))
    kept = sorted({0, best, len(history) - 1, *np.linspace(0, len(history) - 1, config.saved_points).round().astype(int).tolist()})
    trajectory = Trajectory(np.stack([tuning.saved[i][number] for i in kept]), np.array([history[i].step for i in kept]))
    origin = Origin(
        format="explorer",
        base_model=tuning.model.name,
        base_fingerprint=vocabulary.fingerprint,
        task=task_name,
        labels=tuning.train.labels,
        initialization=run.initialization,
        seed=run.seed,
        step=history[best].step,
        rows=tuning.rows[number],
        history=tuple(history),
        hyperparameters={**asdict(config), "optimizer": "Adafactor", "bfloat16": tuning.bfloat16},
        data={"train": _described(tuning.train), "dev": _described(tuning.dev)},
    )
    return SoftPrompt(tuning.saved[best][number], f"{task_name}/{prompt_folder(run, config)}", origin, trajectory)


def _described(task: Task) -> dict[str, object]:
    digest = hashlib.sha256(json.dumps([task.texts, task.answers]).encode()).hexdigest()
    return {"name": task.name, "examples": len(task), "sha256": digest}


def prompt_folder(run: Run, config: TuningConfig) -> str:
    """The folder name of a tuned prompt, such as `class-label-0`, `class-label-0-length-100` for another
    length than 20, or `wayward-0` for one that is to read as a sentence."""
    name = "wayward" if run.initialization == SENTENCE else run.initialization
    suffix = "" if config.length == TuningConfig.length or run.initialization == SENTENCE else f"-length-{config.length}"
    return f"{name}-{run.seed}{suffix}"


def tune_to_folder(
    model: FrozenT5,
    vocabulary: Vocabulary,
    train: Task,
    dev: Task,
    runs: Sequence[Run],
    config: TuningConfig,
    task_name: str,
    out: Path,
    progress: Callable[[str], None] | None = None,
) -> list[Path]:
    """Tune the runs whose prompts are not yet in `out`/<task>, and write them there; returns the folders of all runs.

    A stopped call keeps `out`/.<digest>.tuning.pt, from which the same call goes on. Raises what `tune` raises, and
    PromptError when the folder cannot be written.
    """
    folders = {run: out / task_name / prompt_folder(run, config) for run in runs}
    pending = [run for run in dict.fromkeys(runs) if not folders[run].exists()]
    if progress and len(pending) < len(folders):
        progress(f"{len(folders) - len(pending)} of {len(folders)} prompts are in {out / task_name} already and are left as they are")
    if not pending:
        return list(folders.values())
    try:
        (out / task_name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PromptError(f"{out / task_name}: cannot be made ({error.strerror}); choose another --out") from error
    settings = [task_name, vocabulary.fingerprint, asdict(config), [asdict(run) for run in pending], _described(train), _described(dev)]
    checkpoint = out / f".{hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:16]}.tuning.pt"
    for run, prompt in zip(pending, tune(model, vocabulary, train, dev, pending, config, task_name, progress, checkpoint), strict=True):
        peft.write(prompt, folders[run], versions())
        if progress:
            progress(f"{prompt.name}: dev accuracy {prompt.origin.dev_accuracy:.3f} at step {prompt.origin.step}")
    checkpoint.unlink(missing_ok=True)
    return list(folders.values())


def versions() -> dict[str, str]:
    """Versions of what a prompt's figures depend on."""
    import torch
    import transformers

    import explorer

    return {"explorer": explorer.__version__, "torch": torch.__version__, "transformers": transformers.__version__, "numpy": np.__version__}
