"""What below a folder is a prompt, and what is passed over: models, files that belong to an adapter, other
repositories of a hub cache.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from explorer.errors import PromptError
from explorer.formats import peft, trainer
from explorer.formats.declared import Format
from explorer.formats.places import ARRAYS
from explorer.formats.record import TRAJECTORY
from explorer.formats.stored import first_line, read_json
from explorer.system import hub
from explorer.system.hub import HubError
from explorer.words.wording import count

STATE = ("optimizer", "scheduler", "scaler", "rng_state", "training_args")
"""how files begin that a Trainer resumes from"""
NAMED = 3


@dataclass(frozen=True)
class Found:
    """A place that looks like a prompt."""

    path: Path
    key: str | None = None
    """which of several adapters of a run"""
    error: PromptError | None = None
    """why it cannot even be looked at"""


@dataclass(frozen=True)
class PassedOver:
    """A place that was not looked at as a prompt."""

    path: Path
    kind: str
    """what it is, one of it"""
    kinds: str
    """more of it"""


MODEL, REPOSITORY, BESIDE = (
    ("model", "models"),
    ("data set or space", "data sets or spaces"),
    ("file inside an adapter", "files inside adapters"),
)


@dataclass(frozen=True)
class _Walk:
    """What a walk looks for, and what it passed over so far."""

    recognizes: Callable[[Path], bool]
    adapters: tuple[Format, ...]
    passed: list[PassedOver]

    def look(self, path: Path, inside: tuple[str, str] | None = None) -> Iterator[Found]:
        """What `_look_at` finds; a place that cannot be looked at never ends the walk."""
        try:
            yield from self._look_at(path, inside)
        except PromptError as error:
            yield Found(path, error=error)
        except Exception as error:  # files and folders that no reader foresaw
            reason = f"{type(error).__name__}: {first_line(error)}"
            yield Found(
                path,
                error=PromptError(f"{path}: cannot be read ({reason}); the file is damaged, or no prompt"),
            )

    def _look_at(self, path: Path, inside: tuple[str, str] | None) -> Iterator[Found]:
        """inside: MODEL or BESIDE where the folder belongs to a model or an adapter, in which only further
        adapters are prompts.
        """
        if not path.is_dir():
            if inside is None and self.recognizes(path):
                yield Found(path)
            elif inside == BESIDE and not self._part_of_adapter(path) and self.recognizes(path):
                self.passed.append(PassedOver(path, *BESIDE))
            return
        below = path
        if hub.is_cached(path):
            try:
                below = hub.snapshot(path)
            except HubError as error:
                yield Found(path, error=PromptError(str(error)))
                return
        elif path.name.startswith(("datasets--", "spaces--")) and (path / "snapshots").is_dir():
            self.passed.append(PassedOver(path, *REPOSITORY))
            return
        belonging: set[Path] = set()
        if any(adapter.recognizes(below) for adapter in self.adapters):
            adapters = trainer.adapters(below)
            names: list[str | None] = [name or None for name in adapters] or [None]
            if (below / peft.CONFIG).is_file() and None not in names:
                names.insert(0, None)
            yield from (Found(below, key) for key in sorted(names, key=lambda name: name or ""))
            belonging, inside = trainer.parts(below), BESIDE
        elif inside is None and is_model(below):
            self.passed.append(PassedOver(below, *MODEL))
            inside = MODEL
        elif inside is None and self.recognizes(below):
            yield Found(below)
            return
        if path.is_symlink():
            return
        for child in children(below):
            if child not in belonging:
                yield from self.look(child, inside)

    def _part_of_adapter(self, path: Path) -> bool:
        """Whether a file beside an adapter is one of its own, or none that could hold a prompt."""
        own = {TRAJECTORY, *(name for adapter in self.adapters for name in adapter.weights)}
        return not path.name.endswith(ARRAYS) or path.name.startswith(STATE) or path.name in own


def walk(
    root: Path, formats: tuple[Format, ...], recognizes: Callable[[Path], bool], passed: list[PassedOver]
) -> Iterator[Found]:
    """Every place in or below a folder that looks like a prompt, in the order of the paths; what is passed
    over is added to `passed`.

    Links to folders are not followed, and what begins with a dot is not looked at.
    """
    adapters = tuple(form for form in formats if form.weights)
    yield from _Walk(recognizes, adapters, passed).look(root)


def children(folder: Path) -> list[Path]:
    """What is in a folder, by name, without what begins with a dot; nothing where it cannot be read."""
    try:
        return sorted(child for child in folder.iterdir() if not child.name.startswith("."))
    except OSError:
        return []


def is_model(folder: Path) -> bool:
    """Whether a folder holds a model, whose weights are no prompt: its `config.json` has a `model_type`. A
    `config.json` of anything else tells nothing.
    """
    try:
        return (folder / "config.json").is_file() and isinstance(
            read_json(folder / "config.json").get("model_type"), str
        )
    except PromptError:
        return False


def in_words(passed: list[PassedOver]) -> str:
    """What was passed over, counted, with a few of the places: `passed over 2 models (a, b)`; empty for
    nothing.
    """
    said = []
    for kind, kinds in dict.fromkeys((one.kind, one.kinds) for one in passed):
        places = [one.path.name for one in passed if one.kind == kind]
        said.append(
            f"{count(len(places), kind, kinds)} "
            f"({', '.join(places[:NAMED])}{', …' if len(places) > NAMED else ''})"
        )
    return f"passed over {', '.join(said)}" if said else ""
