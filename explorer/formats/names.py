"""What a prompt is called: by its place, so that prompts of different places have different names."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from explorer.prompt import SoftPrompt
from explorer.system.hub import repository
from explorer.words.wording import printable

KEY_MARK = "#"
"""between a path and the name of one of several arrays: `several.npz#prompt`"""
OF_MODEL = re.compile(r"prompts-[\w.-]+")
"""a folder with the prompts of one model"""
STEP = re.compile(r"checkpoint[-_]\d+")
"""a folder that every run has, so that its name alone tells nothing"""


def prompt_name(path: Path) -> str:
    """How a prompt is called: its path below a `prompts` folder, a repository of the hub by its id, else its
    last part without suffix.

    Below a folder `prompts-x` it is called x and its path.

    A saved step is called after its run too: `run/checkpoint-500`.
    """
    parts = path.with_suffix("").parts if path.is_file() else path.parts
    if (cached := repository(Path(*parts))) is not None:
        return printable("/".join(part for part in (cached[0], cached[2]) if part))
    for place in range(len(parts) - 2, -1, -1):
        if parts[place] == "prompts" or OF_MODEL.fullmatch(parts[place]):
            return printable(
                "/".join(
                    (
                        *filter(None, [parts[place].removeprefix("prompts").removeprefix("-")]),
                        *parts[place + 1 :],
                    )
                )
            )
    named = next((n for n in (1, 2) if len(parts) > n + 1 and STEP.fullmatch(parts[-n])), 0)
    return printable("/".join(parts[-1 - named :]))


def number_of(key: str) -> int | None:
    """The step or task that a key names by its number; None for other keys."""
    return int(key) if key.isdecimal() and len(key) <= 18 else None


def names_apart(names: Sequence[str], places: Sequence[Path | None]) -> list[str]:
    """The same names; of those that are equal and of different places, each with as many folders before it as
    tell them apart.
    """
    there: dict[str, set[Path]] = {}
    for name, place in zip(names, places, strict=True):
        there.setdefault(name, set()).update([] if place is None else [place])
    return [
        name if place is None else _apart(name, place, there[name] - {place})
        for name, place in zip(names, places, strict=True)
    ]


def _apart(name: str, own: Path, rivals: set[Path]) -> str:
    if not rivals:
        return name
    key = "".join(name.partition(KEY_MARK)[1:])
    cached = repository(own)
    if cached is not None and any(
        (other := repository(rival)) is not None and other[0] == cached[0] for rival in rivals
    ):
        return f"{name.removesuffix(key)}@{cached[1][:12]}{key}"
    parts = next(
        n for n in range(1, len(own.parts) + 1) if all(own.parts[-n:] != rival.parts[-n:] for rival in rivals)
    )
    return printable("/".join(own.parts[-parts:]).lstrip("/")) + key


def told_apart(prompts: Sequence[SoftPrompt]) -> list[SoftPrompt]:
    """The same prompts; those in different places that share a name get names that tell them apart."""
    names = names_apart([prompt.name for prompt in prompts], [prompt.origin.path for prompt in prompts])
    return [
        prompt if prompt.name == name else replace(prompt, name=name)
        for prompt, name in zip(prompts, names, strict=True)
    ]
