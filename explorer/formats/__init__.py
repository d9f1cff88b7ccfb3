"""Checkpoint formats, one file each. `read_prompt` finds the right one by looking at the content."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from explorer.errors import ExplorerError, PromptError
from explorer.files import PROMPTS
from explorer.formats import adapterhub, arrays, google, kobold, nemo, openprompt, peft, t5x
from explorer.formats.refused import describe, is_pickle
from explorer.formats.stored import first_line
from explorer.prompt import SoftPrompt
from explorer.wording import printable

READERS = (adapterhub, peft, google, t5x, nemo, kobold, openprompt, arrays)
"""modules with `recognizes(path) -> bool` and `read(path, name, key) -> SoftPrompt`, tried in order"""
KEY_MARK = "#"
"""between a path and the name of one of several arrays: `several.npz#prompt`"""
NAMED, LOOKED_AT = 3, 1000
"""prompts that a message names, and files it looks at to find them"""


def read_prompt(prompt: str | Path, key: str | None = None) -> SoftPrompt:
    """Read a soft prompt from a file or folder, or by its name under `checkpoints/prompts`.

    The content tells the format, never only the name. key: which array, task or step, where several could be meant; it may
    also follow the path after a `#`. Raises PromptError when there is nothing, when it is no prompt, or when it is damaged.
    """
    path, key = _path_and_key(prompt, key)
    if path.name in (peft.WEIGHTS, peft.OLD_WEIGHTS) and (path.parent / peft.CONFIG).is_file():
        path = path.parent  # the configuration says which rows are the prompt
    name = prompt_name(path) + (f"{KEY_MARK}{key}" if key is not None else "")
    try:
        for reader in READERS:
            if reader.recognizes(path):
                return reader.read(path, name, key)
        if path.is_dir():
            raise PromptError(_no_prompt(str(prompt), path))
    except OSError as error:
        raise PromptError(f"{path}: cannot be read ({error.strerror or error})") from error
    except MemoryError as error:
        raise PromptError(f"{path}: asks for more memory than there is; the file is damaged, or no prompt") from error
    except RecursionError as error:
        raise PromptError(f"{path}: holds things in things, too many levels of them; the file is damaged, or no prompt") from error
    except PromptError:
        raise
    except Exception as error:  # of files that no reader foresaw: one of them never ends a command, a folder's list or a page
        raise PromptError(f"{path}: cannot be read ({type(error).__name__}: {first_line(error)}); the file is damaged, or no prompt") from error
    if not path.is_file():
        raise PromptError(f"{path}: neither a file nor a folder; expected a prompt checkpoint")
    raise PromptError(f"{path}: not a prompt checkpoint: found {describe(path)}. Expected a PEFT adapter folder, .npy, .npz, .safetensors, or as README lists")


def _path_and_key(prompt: str | Path, key: str | None) -> tuple[Path, str | None]:
    """Where a prompt lies, and the key that was given beside the path or after a `#` in it."""
    before, mark, after = str(prompt).rpartition(KEY_MARK)
    if key is None and mark and before and after:
        try:
            return locate(prompt), None
        except PromptError:
            return locate(before), after
    return locate(prompt), key


def locate(prompt: str | Path) -> Path:
    """The path of a prompt given as a path or as a name under `checkpoints/prompts`. Raises PromptError when there is none."""
    for path in (Path(prompt), PROMPTS / str(prompt)):
        try:
            if path.exists():
                return path.resolve()
        except (OSError, RuntimeError, ValueError):  # names too long, loops of links, zero bytes
            continue
    raise PromptError(f"{str(prompt)[:200]}: no such file, folder or bundled prompt{_nearest_name(str(prompt))}", "prompt")


def bundled_names() -> list[str]:
    """Names of the bundled prompts, in order."""
    return sorted(file.parent.relative_to(PROMPTS).as_posix() for file in PROMPTS.rglob(peft.CONFIG))


def _nearest_name(given: str) -> str:
    """What may have been meant: a bundled prompt, or what lies beside the path, of nearly the same name; empty where there is none."""
    from difflib import get_close_matches

    if len(given) > 200:
        return ""
    known = [*bundled_names(), *(child.name for child in PROMPTS.glob("*"))]
    with suppress(OSError, ValueError):  # no such folder, or one that may not be read: only bundled names then
        folder = Path(given).parent
        known += [str(folder / child.name) for child in folder.iterdir()]
    close = get_close_matches(given, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _no_prompt(given: str, folder: Path) -> str:
    """Why a folder is no prompt: it holds some, or something else."""
    below = [f"{given.rstrip('/')}/{path.relative_to(folder).as_posix()}" for path in _prompts_below(folder)]
    if below:
        return f"{given}: a folder with prompts below it; expected one of them, such as {', '.join(below[:NAMED])}{', …' if len(below) > NAMED else ''}"
    inside = sorted(child.name for child in folder.iterdir())[:5]
    found = ", ".join(inside) or "an empty folder"
    return f"{folder}: found {found}; expected a prompt: adapter_config.json with its adapter weights, or an array file"


def _prompts_below(folder: Path) -> list[Path]:
    """A few prompts in a folder or in its folders; not all of a large tree is looked at."""
    found: list[Path] = []
    level, looked = [folder], 0
    for _ in range(2):
        children = [child for parent in level if not (parent / "config.json").is_file() for child in _children(parent)]
        level = []
        for child in children:
            looked += 1
            if looked > LOOKED_AT or len(found) > NAMED:
                return found
            if any(reader.recognizes(child) for reader in READERS):
                found.append(child)
            elif child.is_dir():
                level.append(child)
    return found


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(child for child in folder.iterdir() if not child.name.startswith("."))
    except OSError:
        return []


def prompt_name(path: Path) -> str:
    """How a prompt is called: its path below a `prompts` folder, else its last part, without suffix."""
    parts = path.with_suffix("").parts if path.is_file() else path.parts
    if "prompts" in parts[:-1]:
        return printable("/".join(parts[len(parts) - parts[::-1].index("prompts") :]))
    return printable(parts[-1])


def find_prompts(folder: str | Path | None = None) -> Iterator[tuple[Path, SoftPrompt | ExplorerError]]:
    """Every prompt below a folder (default: the bundled ones) in the order of their paths, a broken one with its error.

    Raises PromptError when the folder does not exist.
    """
    root = PROMPTS if folder is None else Path(folder)
    if not root.is_dir():
        raise PromptError(f"{root}: no such folder; expected a folder with trained prompts")
    candidates = [root, *sorted(_below(root))]
    inside_prompt: set[Path] = set()
    for path in candidates:
        if path.parent in inside_prompt:
            inside_prompt.add(path)  # a file has nothing below it
            continue
        try:
            if (path / "config.json").is_file():  # a model, whose weights are no prompt
                inside_prompt.add(path)
                continue
            if not any(reader.recognizes(path) for reader in READERS) and not is_pickle(path):
                continue
            if path.is_dir():
                inside_prompt.add(path)
            yield path, read_prompt(path)
        except ExplorerError as error:
            yield path, error
        except Exception as error:  # while it was looked at
            yield path, PromptError(f"{path}: cannot be read ({type(error).__name__}: {first_line(error)}); the file is damaged, or no prompt")


def _below(root: Path) -> Iterator[Path]:
    """Every file and folder below a folder but hidden ones; folders that may not be looked into are passed over."""
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(folder) / name for name in (*folders, *files) if not name.startswith("."))
