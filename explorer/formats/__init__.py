"""Checkpoint formats, one file each. `read_prompt` finds the right one by looking at the content."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from explorer import prompt as prompts
from explorer.errors import ExplorerError, PromptError
from explorer.formats import adapterhub, arrays, google, kobold, nemo, openprompt, peft, t5x, trainer
from explorer.formats.declared import Format
from explorer.formats.names import KEY_MARK, names_apart, prompt_name, told_apart
from explorer.formats.places import bundled_names, local, locate, path_and_key
from explorer.formats.refused import describe, is_pickle
from explorer.formats.stored import first_line
from explorer.formats.walk import PassedOver, children, in_words, is_model, walk
from explorer.prompt import SoftPrompt
from explorer.system.bounded import check_itself
from explorer.system.files import PROMPTS

__all__ = [
    "FORMATS",
    "READERS",
    "Format",
    "PassedOver",
    "bundled_names",
    "find_prompts",
    "in_words",
    "labels",
    "local",
    "locate",
    "prompt_name",
    "read_prompt",
    "told_apart",
]

FORMATS: tuple[Format, ...] = (
    trainer.FORMAT,
    adapterhub.FORMAT,
    peft.FORMAT,
    google.FORMAT,
    t5x.FORMAT,
    nemo.FORMAT,
    kobold.FORMAT,
    openprompt.FORMAT,
    *arrays.FORMATS,
)
"""every checkpoint format, tried in order. A new one: its module, a line here, `example` in its test, and
`python -m research.documents`
"""
READERS = FORMATS
NAMED, LOOKED_AT = 3, 1000
"""prompts that a message names, and files it looks at to find them"""


def read_prompt(prompt: str | Path, key: str | None = None, revision: str | None = None) -> SoftPrompt:
    """Read a soft prompt [P, H] from a file or folder, by its name under `checkpoints/prompts`, or by the id
    of an adapter on the Hugging Face hub.

    The content tells the format, never only the name. key: which array, task or step, where several could be
    meant; it may also follow the path after a `#`. revision: a branch, tag or commit of a repository; it may
    also follow the id after an `@`. Raises PromptError when there is nothing, when it is no prompt, or when
    it is damaged.
    """
    path, key = path_and_key(prompt, key, revision)
    if path.name in peft.FORMAT.weights and (path.parent / peft.CONFIG).is_file():
        path = path.parent  # the configuration says which rows are the prompt
    name = prompt_name(path) + (f"{KEY_MARK}{key}" if key is not None else "")
    check_itself(path, PromptError)
    try:
        for form in FORMATS:
            if form.recognizes(path):
                return form.read(path, name, key)
        if path.is_dir():
            raise PromptError(_no_prompt(str(prompt), path))
    except OSError as error:
        raise PromptError(f"{path}: cannot be read ({error.strerror or error})") from error
    except MemoryError as error:
        raise PromptError(
            f"{path}: asks for more memory than there is; the file is damaged, or no prompt"
        ) from error
    except RecursionError as error:
        raise PromptError(
            f"{path}: holds things in things, too many levels of them; the file is damaged, or no prompt"
        ) from error
    except PromptError:
        raise
    # of files that no reader foresaw: one of them never ends a command, a folder's list or a page
    except Exception as error:
        raise PromptError(
            f"{path}: cannot be read ({type(error).__name__}: {first_line(error)}); the file is "
            "damaged, or no prompt"
        ) from error
    if not path.is_file():
        raise PromptError(f"{path}: neither a file nor a folder; expected a prompt checkpoint")
    raise PromptError(
        f"{path}: not a prompt checkpoint: found {describe(path)}. Expected a PEFT adapter folder, "
        ".npy, .npz, .safetensors, or as README lists"
    )


def _no_prompt(given: str, folder: Path) -> str:
    """Why a folder is no prompt: it holds some, or something else."""
    below = [f"{given.rstrip('/')}/{path.relative_to(folder).as_posix()}" for path in _prompts_below(folder)]
    if below:
        return (
            f"{given}: a folder with prompts below it; expected one of them, such as "
            f"{', '.join(below[:NAMED])}{', …' if len(below) > NAMED else ''}"
        )
    files = sorted(folder.iterdir())
    for file in [*files, *(inner for child in files[:NAMED] if child.is_dir() for inner in children(child))]:
        if file.is_file() and file.suffix not in (".html", ".htm", ".xml"):
            check_itself(file, PromptError)
    inside = [file.name for file in files[:5]]
    found = ", ".join(inside) or "an empty folder"
    return (
        f"{folder}: found {found}; expected a prompt: adapter_config.json with its adapter weights, or "
        "an array file"
    )


def _prompts_below(folder: Path) -> list[Path]:
    """A few prompts in a folder or in its folders; not all of a large tree is looked at."""
    found: list[Path] = []
    level, looked = [folder], 0
    for _ in range(2):
        there = [child for parent in level if not is_model(parent) for child in children(parent)]
        level = []
        for child in there:
            looked += 1
            if looked > LOOKED_AT or len(found) > NAMED:
                return found
            if any(form.recognizes(child) for form in FORMATS):
                found.append(child)
            elif child.is_dir():
                level.append(child)
    return found


def find_prompts(
    folder: str | Path | None = None, passed: list[PassedOver] | None = None
) -> Iterator[tuple[Path, SoftPrompt | ExplorerError]]:
    """Every prompt below a folder (default: the bundled ones) in the order of their paths, a broken one with
    its error.

    Of equal names each is told apart by the folders before it. passed: a list that what is passed over is
    added to. Raises PromptError when the folder does not exist.
    """
    root = PROMPTS if folder is None else Path(folder)
    if not root.is_dir():
        raise PromptError(f"{root}: no such folder; expected a folder with trained prompts")
    places = list(walk(root, FORMATS, _recognized, [] if passed is None else passed))
    whole = [local(place.path) or place.path for place in places]
    named = [
        prompt_name(path) + (f"{KEY_MARK}{place.key}" if place.key else "")
        for path, place in zip(whole, places, strict=True)
    ]
    for place, name in zip(places, names_apart(named, whole), strict=True):
        try:
            if place.error is not None:
                raise place.error
            read = read_prompt(place.path, place.key)
            yield place.path, read if read.name == name else replace(read, name=name)
        except ExplorerError as error:
            yield place.path, error


def _recognized(path: Path) -> bool:
    """Whether a path looks like a prompt, or like a pickle, which is said to be none."""
    return any(form.recognizes(path) for form in FORMATS) or is_pickle(path)


def labels() -> str:
    """What can be opened, as people call it."""
    return ", ".join(dict.fromkeys(form.label for form in FORMATS))


def save(prompt: SoftPrompt, folder: str | Path, overwrite: bool = False) -> Path:
    """Write a prompt as an adapter folder that PEFT loads, with its record and trajectory; returns the
    folder.

    Raises WriteError when the folder exists and `overwrite` is False, or when it cannot be written.
    """
    peft.write(prompt, Path(folder), overwrite=overwrite)
    return Path(folder)


prompts.saving = save
