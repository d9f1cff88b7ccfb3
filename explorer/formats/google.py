"""The paper's own code: NumPy files without a suffix in a folder for each step,
`checkpoint_<step>/encoder.prompt.prompt.prompt`.

A folder of such folders is a trajectory. LM-adapted T5s start counting at 1,100,000 steps, T5 1.1 at
1,000,000.
"""

import re
from pathlib import Path

import numpy as np

from explorer.errors import PromptError
from explorer.formats.declared import Format
from explorer.formats.names import number_of
from explorer.formats.numpy_arrays import is_npy, list_npy
from explorer.formats.stored import Stored, load, shape_text
from explorer.prompt import Origin, SoftPrompt, Trajectory

FILE_NAME = re.compile(r"(.*\.)?prompt\.prompt\.prompt")
STEP = re.compile(r"checkpoint_(\d{1,12})")
STARTS = (0, 1_000_000, 1_100_000)
"""steps at which nothing of the prompt is trained yet"""
MOST_STEPS = 1_000


def recognizes(path: Path) -> bool:
    """Whether `path` is a folder of one saved step, or of several."""
    return path.is_dir() and (_file(path) is not None or bool(_steps(path)))


def read(path: Path, name: str, key: str | None = None) -> SoftPrompt:
    """Read the last step of a folder, and the steps before it as the trajectory. `key` is the number of a
    step.

    Raises PromptError when a step is damaged or of another shape than the last, or when there is no such
    step.
    """
    steps, alone = _steps(path), _file(path)
    if not steps and alone is not None:
        steps = {_number(path): alone}
    if key is not None:
        asked = number_of(key)
        steps = {
            step: file
            for step, file in steps.items()
            if step is not None and (asked is None or step <= asked)
        }
        if asked is None or asked not in steps:
            raise PromptError(
                f"{path}: no step {key[:80]}; name one of those in the folder, such as "
                f"{next(iter(steps), 0)}",
                "key",
            )
    last = max(steps, key=lambda step: step or 0)
    file, stored = steps[last], list_npy(steps[last])[""]
    vectors = load(file, "", stored)
    origin = Origin(format="google", path=path, key=file.name, dtype=stored.dtype, step=last)
    return SoftPrompt(vectors, name, origin, _trajectory(steps, stored) if len(steps) > 1 else None)


def _trajectory(steps: dict[int | None, Path], last: Stored) -> Trajectory:
    if len(steps) > MOST_STEPS:
        raise PromptError(
            f"{next(iter(steps.values()))}: one of {len(steps):,} saved steps; expected at most "
            f"{MOST_STEPS:,}: move some away"
        )
    listed = {step: list_npy(file)[""] for step, file in sorted(steps.items())}
    for step, stored in listed.items():
        if stored.shape != last.shape:
            raise PromptError(
                f"{steps[step]}: shape {shape_text(stored.shape)}, but the last step has "
                f"{shape_text(last.shape)}; expected steps of one run"
            )
    together = Stored(
        (len(listed), *last.shape),
        last.dtype,
        lambda: np.stack([stored.load() for stored in listed.values()]).astype(np.float32),
    )
    vectors = load(next(iter(steps.values())).parent.parent, "the trajectory", together)
    return Trajectory(vectors, np.array(list(listed), np.int64), from_start=next(iter(listed)) in STARTS)


def _steps(path: Path) -> dict[int | None, Path]:
    """The saved steps below a folder with their files."""
    try:
        children = [child for child in path.iterdir() if STEP.fullmatch(child.name) and child.is_dir()]
    except OSError:
        return {}
    files = {_number(child): _file(child) for child in children}
    return {step: file for step, file in sorted(files.items()) if file is not None}


def _number(path: Path) -> int | None:
    found = STEP.fullmatch(path.name)
    return int(found.group(1)) if found else None


def _file(path: Path) -> Path | None:
    """The prompt in the folder of one step; None where there is none."""
    try:
        return next(
            (child for child in sorted(path.iterdir()) if FILE_NAME.fullmatch(child.name) and is_npy(child)),
            None,
        )
    except OSError:
        return None


FORMAT = Format(
    "google",
    "Google's code",
    recognizes,
    read,
    usage=(
        ("Google's prompt-tuning code: one released file", "sst2.npy"),
        ("… a folder of `checkpoint_<step>` folders, read as a trajectory", "run"),
        ("… one of its steps", '"run#1100500"'),
    ),
)
