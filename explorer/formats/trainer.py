"""Runs of the Hugging Face Trainer: a folder of `checkpoint-<step>` adapters is one prompt with a trajectory.

The adapter that lies beside the checkpoints is the last point. Losses and accuracies are those of
`trainer_state.json`.
"""

import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from explorer.errors import PromptError
from explorer.formats import adapterhub, peft
from explorer.formats.declared import Format
from explorer.formats.names import KEY_MARK, number_of
from explorer.formats.stored import MOST_BYTES, first_line, read_json, shape_text
from explorer.prompt import Evaluation, Origin, SoftPrompt, Trajectory
from explorer.words.wording import count

STEP = re.compile(r"checkpoint-(\d{1,12})")
UNFINISHED = re.compile(r"tmp-checkpoint-\d{1,12}")
"""what is renamed once it is whole"""
STATE = "trainer_state.json"
MOST_STEPS = 1_000
"""checkpoints that are read; of more some are left out, evenly"""
NAMED = 3
"""checkpoints that a warning names"""


def recognizes(path: Path) -> bool:
    """Whether `path` is a folder with checkpoints that hold adapters, or one such checkpoint."""
    return path.is_dir() and ((_number(path) is not None and _is_adapter(path)) or bool(adapters(path)))


def read(path: Path, name: str, key: str | None = None) -> SoftPrompt:
    """Read the run's last point, and the steps up to it as the trajectory.

    key: the number of a step, the name of one of several adapters, or what one adapter's reader knows, such
    as a task. A checkpoint that cannot be read, or is of another shape than the last point, is passed over,
    and a warning names it. Raises PromptError when no point can be read.
    """
    found = adapters(path)
    if not found:
        return _with_state(_read_adapter(path, name, key), path)
    adapter, key = _chosen(path, found, key)
    steps, beside = found[adapter], path / adapter if _is_adapter(path / adapter) else None
    asked = _step(key, steps)
    if asked is not None:
        steps, beside, key = {step: folder for step, folder in steps.items() if step <= asked}, None, None
    read = _Points(path, lambda folder: _read_adapter(folder, name, key))
    own = None if beside is None else read.point(beside)
    ended = next(
        (step for step in sorted(steps, reverse=True) if read.point(steps[step], own) is not None), None
    )
    last = own if own is not None else None if ended is None else read.point(steps[ended])
    if last is None:
        raise read.failure()
    listed, warnings = _bounded(
        {step: folder for step, folder in steps.items() if ended is not None and step <= ended}, last
    )
    points = {
        step: point for step, folder in listed.items() if (point := read.point(folder, last)) is not None
    }
    points, reached, said = _ended(path, points, own)
    unfinished = (
        [child.name for child in _folders(path) if _unfinished(child, found[adapter])]
        if asked is None
        else []
    )
    told = (*last.origin.warnings, *warnings, *said, *read.warnings([*steps.values()], unfinished))
    trajectory = own.trajectory if own is not None and own.trajectory is not None else _trajectory(points)
    made = replace(
        last, origin=replace(last.origin, path=path, step=reached, warnings=told), trajectory=trajectory
    )
    return _with_state(
        made, *([path] if asked is None else []), *(steps[step] for step in sorted(steps, reverse=True))
    )


def adapters(path: Path) -> dict[str, dict[int, Path]]:
    """The adapters of a run by name, "" where a checkpoint holds one itself: the folder of each saved step,
    in the order of the steps.
    """
    found: dict[str, dict[int, Path]] = {}
    for step, folder in sorted(
        (step, child) for child in _folders(path) if (step := _number(child)) is not None
    ):
        for inside in [folder, *_folders(folder)]:
            if _is_adapter(inside):
                found.setdefault("" if inside == folder else inside.name, {})[step] = inside
    return found


def parts(path: Path) -> set[Path]:
    """The folders inside a run that belong to it: its checkpoints, and the last points of its named
    adapters.
    """
    found = adapters(path)
    saved = (
        {child for child in _folders(path) if _number(child) is not None or UNFINISHED.fullmatch(child.name)}
        if found
        else set()
    )
    return saved | {path / name for name in found if name}


def _folders(path: Path) -> list[Path]:
    try:
        return sorted(child for child in path.iterdir() if child.is_dir())
    except OSError:
        return []


def _number(path: Path) -> int | None:
    found = STEP.fullmatch(path.name)
    return int(found[1]) if found else None


def _is_adapter(path: Path) -> bool:
    return (path / peft.CONFIG).is_file()


def _read_adapter(path: Path, name: str, key: str | None) -> SoftPrompt:
    return (adapterhub if adapterhub.recognizes(path) else peft).read(path, name, key)


def _unfinished(child: Path, steps: dict[int, Path]) -> bool:
    """Whether this is a checkpoint of the run without the adapter that is read."""
    return UNFINISHED.fullmatch(child.name) is not None or (
        _number(child) is not None and _number(child) not in steps
    )


def _chosen(path: Path, found: dict[str, dict[int, Path]], key: str | None) -> tuple[str, str | None]:
    """Which adapter of a run is meant, and what is left of the key. Raises PromptError where several could
    be.
    """
    if key is not None and key in found:
        return key, None
    if "" in found or len(found) == 1:
        return "" if "" in found else next(iter(found)), key
    raise PromptError(
        f"{path}: a run with the adapters {', '.join(found)}; name one, such as "
        f"{path.name}{KEY_MARK}{next(iter(found))}",
        "key",
    )


def _step(key: str | None, steps: dict[int, Path]) -> int | None:
    """The step that a key names. Raises PromptError for one that is not there; a multitask adapter's numbers
    are those of its tasks.
    """
    number = key if key is None or key.isdecimal() else (found[1] if (found := STEP.fullmatch(key)) else None)
    if number is None or (key == number and peft.is_multitask(steps[max(steps)])):
        return None
    if (asked := number_of(number)) not in steps:
        raise PromptError(
            f"no step {str(key)[:80]} in this run; name one of those in the folder, such as "
            f"{next(iter(steps))}",
            "key",
        )
    return asked


class _Points:
    """The adapters of a run, each read once; of those that cannot be, why."""

    def __init__(self, path: Path, read: Callable[[Path], SoftPrompt]):
        self.path, self._read = path, read
        self._known: dict[Path, SoftPrompt] = {}
        self._errors: dict[Path, PromptError] = {}

    def point(self, folder: Path, like: SoftPrompt | None = None) -> SoftPrompt | None:
        """The adapter in a folder; None where it cannot be read, or has another shape than `like`."""
        if folder not in self._known and folder not in self._errors:
            try:
                self._known[folder] = self._read(folder)
            except PromptError as error:
                self._errors[folder] = error
        found = self._known.get(folder)
        if found is not None and like is not None and found.vectors.shape != like.vectors.shape:
            shapes = shape_text(found.vectors.shape), shape_text(like.vectors.shape)
            self._errors[folder] = PromptError(
                f"{folder}: shape {shapes[0]}, where the last point has {shapes[1]}"
            )
            return None
        return found

    def failure(self) -> PromptError:
        """Of a run without a point that can be read: the error of the first that was tried, which is the last
        saved.
        """
        first = next(iter(self._errors.values()))
        if len(self._errors) == 1:
            return first
        return PromptError(
            f"{self.path}: none of its {count(len(self._errors), 'adapter')} can be read; the last: {first}",
            first.setting,
        )

    def warnings(self, steps: list[Path], unfinished: list[str]) -> list[str]:
        """What was passed over, in one sentence; unfinished: names of checkpoints without an adapter."""
        passed = [
            f"{self._told(folder)} ({self._reason(folder)})"
            for folder in sorted(self._errors, key=lambda one: _number(one) or math.inf)
        ]
        passed += [f"{name} ({self._missing(name)})" for name in unfinished]
        if not passed:
            return []
        more = f" and {len(passed) - NAMED} more" if len(passed) > NAMED else ""
        return [
            (
                f"{len(passed)} of {count(len({*steps, *self._errors}) + len(unfinished), 'checkpoint')} "
                f"passed over: {', '.join(passed[:NAMED])}{more}"
            )
        ]

    def _missing(self, name: str) -> str:
        """What is to be said of a checkpoint without the adapter that is read."""
        folder = self.path / name
        if not UNFINISHED.fullmatch(name) or not _is_adapter(folder):
            return f"no {peft.CONFIG}; half-written?"
        try:
            self._read(folder)
        except PromptError as error:
            return (
                f"{first_line(error).removeprefix(f'{folder}/').removeprefix(f'{folder}: ')}; half-written?"
            )
        return "its adapter is whole, but it was never renamed; rename it to add it"

    def _told(self, folder: Path) -> str:
        return (
            folder.relative_to(self.path).as_posix()
            if folder != self.path
            else "the adapter beside the checkpoints"
        )

    def _reason(self, folder: Path) -> str:
        """Without the paths that every message begins with."""
        return (
            first_line(self._errors[folder])
            .replace(f"{folder}/", "")
            .removeprefix(f"{folder}: ")
            .replace(f"{self.path}/", "")
        )


def _bounded(steps: dict[int, Path], last: SoftPrompt) -> tuple[dict[int, Path], list[str]]:
    """The steps that are read, the first and the last among them: not more than memory should hold."""
    most = max(2, min(MOST_STEPS, MOST_BYTES // max(1, last.vectors.nbytes)))
    if len(steps) <= most:
        return steps, []
    kept = sorted({round(place) for place in np.linspace(0, len(steps) - 1, most)})
    listed = list(steps)
    said = (
        f"the trajectory has {most:,} of {len(steps):,} checkpoints, evenly chosen: all together are "
        "more than is kept in memory"
    )
    return {listed[place]: steps[listed[place]] for place in kept}, [said]


def _ended(
    path: Path, points: dict[int, SoftPrompt], own: SoftPrompt | None
) -> tuple[dict[int, SoftPrompt], int | None, list[str]]:
    """The points with the run's own adapter as the last where it is none of them; the step of the prompt;
    what to say of it.
    """
    if own is None or not points:
        return points, max(points, default=own.origin.step if own is not None else None), []
    last = max(points)
    if same := [step for step, point in points.items() if np.array_equal(point.vectors, own.vectors)]:
        said = [f"the run's adapter is that of checkpoint-{same[-1]}, not of the last, checkpoint-{last}"]
        return points, same[-1], [] if same[-1] == last else said
    ended = max(_ended_at(folder) for folder in (path, points[last].origin.path or path))
    if ended > last:
        return {**points, ended: own}, ended, []
    said = [
        (
            f"the run's adapter was saved after checkpoint-{last}, at a step that is not recorded; it is "
            f"counted as {last + 1}"
        )
    ]
    return {**points, last + 1: own}, last + 1, said


def _ended_at(folder: Path) -> int:
    """The step at which training ended, as far as the state beside an adapter tells; else 0."""
    try:
        state = read_json(folder / STATE)
    except PromptError:
        return 0
    known = [state.get(name) for name in ("global_step", "max_steps")]
    return max((step for step in known if isinstance(step, int) and 0 < step < 10**12), default=0)


def _trajectory(points: dict[int, SoftPrompt]) -> Trajectory | None:
    if len(points) < 2:
        return None
    steps = sorted(points)
    return Trajectory(
        np.stack([points[step].vectors for step in steps]),
        np.array(steps, np.int64),
        from_start=steps[0] == 0,
    )


def _with_state(prompt: SoftPrompt, *folders: Path) -> SoftPrompt:
    """The prompt with the step and the measurements of the first of some folders that holds them; what it
    records itself stays.
    """
    origin: Origin = prompt.origin
    step = origin.step if origin.step is not None or origin.path is None else _number(origin.path)
    history, warnings = origin.history, list(origin.warnings)
    for folder in folders if not history else ():
        if not (folder / STATE).is_file():
            continue
        try:
            history = _history(read_json(folder / STATE))
        except PromptError as error:
            place = f"{folder.name}/{STATE}"
            warnings.append(f"{place} passed over: {first_line(error).removeprefix(f'{folder / STATE}: ')}")
            continue
        break
    return replace(prompt, origin=replace(origin, step=step, history=history, warnings=tuple(warnings)))


def _history(state: dict) -> tuple[Evaluation, ...]:
    """Losses and accuracies of the Trainer's log, one entry a step. Accuracies in percent become shares."""
    log = state.get("log_history")
    losses: dict[int, float] = {}
    accuracies: dict[int, float] = {}
    for entry in log if isinstance(log, list) else ():
        step = entry.get("step") if isinstance(entry, dict) else None
        if not isinstance(step, int) or isinstance(step, bool) or not 0 <= step < 2**63:
            continue
        if (loss := _finite(entry.get("loss"))) is not None:
            losses[step] = loss
        measured = next((name for name in entry if name in ("eval_accuracy", "eval_acc")), None) or next(
            (
                name
                for name in entry
                if isinstance(name, str)
                and name.startswith("eval_")
                and name.endswith(("_accuracy", "_acc", "_exact_match"))
            ),
            None,
        )
        if (
            measured is not None
            and (accuracy := _finite(entry[measured])) is not None
            and 0 <= accuracy <= 100
        ):
            accuracies[step] = accuracy
    scale = 100 if max(accuracies.values(), default=0) > 1 else 1
    steps = sorted({*losses, *accuracies})
    return tuple(
        Evaluation(step, losses.get(step), accuracies[step] / scale if step in accuracies else None)
        for step in steps
    )


def _finite(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


FORMAT = Format(
    "trainer",
    "PEFT",
    recognizes,
    read,
    weights=(*peft.FORMAT.weights, *adapterhub.FORMAT.weights),
)
