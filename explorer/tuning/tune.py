"""From runs to tuned prompts: in memory, and in folders that finished prompts stay in and stopped calls go on
from.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from explorer.errors import PromptError
from explorer.formats import peft
from explorer.models.frozen import FrozenModel
from explorer.models.templates import TEXT
from explorer.prompt import Origin, SoftPrompt, Trajectory
from explorer.texts.tasks import Task
from explorer.tuning.batches import drawn
from explorer.tuning.initialization import SENTENCE
from explorer.tuning.loop import Tuning
from explorer.tuning.runs import PromptRun
from explorer.tuning.settings import Run, TuningConfig
from explorer.vocabulary import Vocabulary
from explorer.words.wording import count

RECORDED_APART = ("template", "base_name")
"""settings that a prompt's record has in places of their own"""


def tune(
    model: FrozenModel,
    vocabulary: Vocabulary,
    train: Task,
    dev: Task,
    runs: Sequence[Run],
    config: TuningConfig,
    task_name: str,
    progress: Callable[[str], None] | None = None,
) -> list[SoftPrompt]:
    """Tune one prompt per run on `train`; the step with the best dev accuracy is kept (ties to the earlier).

    The model's weights do not change. Raises PromptError for no runs or another width of model and
    vocabulary, DataError for unusable texts or labels.
    """
    if isinstance(runs, str | Run) or not all(isinstance(run, Run) for run in runs):
        raise PromptError(f"runs: found {runs!r:.100}; expected a list of runs, such as [Run('random', 0)]")
    finished = {
        state.run: prompt
        for state, prompt in _tuned(model, vocabulary, train, dev, list(runs), config, task_name, progress)
    }
    return [finished[run] for run in runs]


def _tuned(
    model, vocabulary, train, dev, runs, config, task_name, progress, files=None
) -> Iterator[tuple[PromptRun, SoftPrompt]]:
    """Each run with its prompt, as it ends."""
    if not runs:
        raise PromptError("no runs asked for; expected at least one initialization and one seed")
    if vocabulary.dimension != model.dimension:
        raise PromptError(
            f"{vocabulary.name} has embeddings of width {vocabulary.dimension}, {model.name} of "
            f"{model.dimension}; give one model"
        )
    data = described_data(train, dev, config)
    tuning = Tuning(
        model, vocabulary, train, dev, runs, config, files, begun_with(task_name, vocabulary, data)
    )
    for state in tuning.run(progress):
        assert isinstance(state, PromptRun)
        yield state, _finished(state, tuning, vocabulary.fingerprint, task_name, data)


def _finished(state: PromptRun, tuning: Tuning, fingerprint: str, task_name: str, data: dict) -> SoftPrompt:
    steps = np.array(sorted(state.saved))
    origin = Origin(
        format="explorer",
        base_model=tuning.config.base_name or tuning.model.name,
        base_fingerprint=fingerprint,
        task_type=tuning.model.task_type,
        task=task_name,
        labels=tuning.train.labels,
        initialization=state.run.initialization,
        seed=state.run.seed,
        step=state.best.step,
        rows=state.rows,
        template=tuning.model.template if tuning.model.template != TEXT else None,
        history=tuple(state.history),
        without_prompt=tuning.without_prompt,
        hyperparameters=hyperparameters(tuning),
        data=data,
    )
    trajectory = Trajectory(np.stack([state.saved[step] for step in steps.tolist()]), steps)
    return SoftPrompt(
        state.saved[state.best.step],
        f"{task_name}/{prompt_folder(state.run, state.config)}",
        origin,
        trajectory,
    )


def hyperparameters(tuning: Tuning) -> dict[str, object]:
    """The settings of runs for their records, but for those that have a place of their own there."""
    chosen = {name: value for name, value in asdict(tuning.config).items() if name not in RECORDED_APART}
    return {**chosen, "optimizer": "Adafactor", "bfloat16": tuning.bfloat16}


def described_data(train: Task, dev: Task, config: TuningConfig) -> dict[str, dict]:
    """What a run was tuned and chosen on, for its record."""
    return {"train": _described(train), "dev": _described(drawn(dev, config.dev_examples))}


def begun_with(task_name: str, vocabulary: Vocabulary, data: dict[str, dict]) -> dict[str, object]:
    """What a run that goes on must have been begun with, besides its settings."""
    return {
        "task": task_name,
        "base_fingerprint": vocabulary.fingerprint,
        **{f"{part} data": what for part, what in data.items()},
    }


def _described(task: Task) -> dict[str, object]:
    digest = hashlib.sha256(json.dumps([task.texts, task.answers]).encode()).hexdigest()
    return {"name": task.name, "examples": len(task), "sha256": digest}


def prompt_folder(run: Run, config: TuningConfig) -> str:
    """The folder name of a tuned prompt, such as `class-label-0`, `class-label-0-length-100` for another
    length than 20, or `wayward-0` for one that is to read as a sentence."""
    name = "wayward" if run.initialization == SENTENCE else run.initialization
    suffix = (
        ""
        if config.length == TuningConfig.length or run.initialization == SENTENCE
        else f"-length-{config.length}"
    )
    return f"{name}-{run.seed}{suffix}"


def tune_to_folder(
    model: FrozenModel,
    vocabulary: Vocabulary,
    train: Task,
    dev: Task,
    runs: Sequence[Run],
    config: TuningConfig,
    task_name: str,
    out: Path,
    progress: Callable[[str], None] | None = None,
) -> list[Path]:
    """Tune the runs whose prompts are not yet in `out`/<task>, and write them there; returns the folders of
    all runs.

    A stopped call keeps a file `out`/<task>/.<prompt>.tuning.pt of each unfinished run, from which a call
    with the same settings goes on, whatever other runs it asks for. Raises what `tune` raises, and
    PromptError when a folder cannot be written or such a file is of other settings.
    """
    folders = {run: out / task_name / prompt_folder(run, config) for run in runs}
    pending = pending_runs(folders, progress)
    if not pending:
        return list(folders.values())
    files = [unfinished(folders[run]) for run in pending]
    for state, prompt in _tuned(model, vocabulary, train, dev, pending, config, task_name, progress, files):
        peft.write(prompt, folders[state.run], versions())
        unfinished(folders[state.run]).unlink(missing_ok=True)
        if progress:
            progress(
                f"{prompt.name}: dev accuracy {prompt.origin.dev_accuracy:.3f} at step {prompt.origin.step}"
            )
    return list(folders.values())


def pending_runs(
    folders: dict[Run, Path], progress: Callable[[str], None] | None, what: str = "prompt"
) -> list[Run]:
    """Runs whose folders are not there yet; makes the folder they lie in. what: a run makes. Raises
    PromptError when it cannot be made.
    """
    pending = [run for run, folder in folders.items() if not folder.exists()]
    if not folders:
        return []
    parent = next(iter(folders.values())).parent
    if progress and len(pending) < len(folders):
        progress(
            f"{len(folders) - len(pending)} of {count(len(folders), what)} "
            f"{'are' if len(folders) != 1 else 'is'} in {parent} already and stay as they are"
        )
    try:
        if pending:
            parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PromptError(
            f"{parent}: cannot be made ({error.strerror}); choose another place", "out"
        ) from error
    return pending


def unfinished(folder: Path) -> Path:
    """The file that an unfinished run of this folder goes on from."""
    return folder.with_name(f".{folder.name}.tuning.pt")


def versions() -> dict[str, str]:
    """Versions of what a prompt's figures depend on."""
    import torch
    import transformers

    import explorer

    return {
        "explorer": explorer.__version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "numpy": np.__version__,
    }
