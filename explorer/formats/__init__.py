"""Checkpoint formats, one file each. `read_prompt` finds the right one by looking at the content."""

from collections.abc import Iterator
from pathlib import Path

from explorer.errors import ExplorerError, PromptError
from explorer.formats import arrays, peft
from explorer.prompt import SoftPrompt

PROMPTS = Path(__file__).resolve().parent.parent.parent / "checkpoints" / "prompts"
"""the prompts bundled with the project"""

READERS = (peft, arrays)
"""modules with `recognizes(path) -> bool` and `read(path, name) -> SoftPrompt`, tried in order"""


def read_prompt(prompt: str | Path) -> SoftPrompt:
    """Read a soft prompt from a file or folder, or by its name under `checkpoints/prompts`.

    Raises PromptError when there is nothing, when it is no prompt, or when it is damaged.
    """
    path = locate(prompt)
    name = prompt_name(path)
    for reader in READERS:
        if reader.recognizes(path):
            return reader.read(path, name)
    if path.is_dir():
        inside = sorted(child.name for child in path.iterdir())[:5]
        found = ", ".join(inside) or "an empty folder"
        raise PromptError(f"{path}: found {found}; expected a prompt: adapter_config.json with its adapter weights, or an array file")
    raise PromptError(f"{path}: not a prompt checkpoint; expected a PEFT adapter folder, .npy, .npz or .safetensors")


def locate(prompt: str | Path) -> Path:
    """The path of a prompt given as a path or as a name under `checkpoints/prompts`. Raises PromptError when there is none."""
    for path in (Path(prompt), PROMPTS / str(prompt)):
        if path.exists():
            return path.resolve()
    raise PromptError(f"{prompt}: no such file, folder or bundled prompt; `python -m explorer prompts` lists what is here")


def prompt_name(path: Path) -> str:
    """How a prompt is called: its path below a `prompts` folder, else the last two parts without suffix."""
    parts = path.with_suffix("").parts if path.is_file() else path.parts
    if "prompts" in parts[:-1]:
        return "/".join(parts[len(parts) - parts[::-1].index("prompts") :])
    return parts[-1]


def find_prompts(folder: str | Path | None = None) -> Iterator[tuple[Path, SoftPrompt | ExplorerError]]:
    """Every prompt below a folder (default: the bundled ones) in the order of their paths, a broken one with its error.

    Raises PromptError when the folder does not exist.
    """
    root = PROMPTS if folder is None else Path(folder)
    if not root.is_dir():
        raise PromptError(f"{root}: no such folder; expected a folder with trained prompts")
    candidates = [root, *sorted(path for path in root.rglob("*") if not any(part.startswith(".") for part in path.relative_to(root).parts))]
    inside_prompt: set[Path] = set()
    for path in candidates:
        if path.parent in inside_prompt:
            if path.is_dir():
                inside_prompt.add(path)
            continue
        if not any(reader.recognizes(path) for reader in READERS):
            continue
        if path.is_dir():
            inside_prompt.add(path)
        try:
            yield path, read_prompt(path)
        except ExplorerError as error:
            yield path, error
