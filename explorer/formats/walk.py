"""What below a folder is a prompt, and what is passed over: models, files that belong to an adapter, other
repositories of a hub cache.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from explorer.errors import PromptError
from explorer.formats import adapterhub, peft, trainer
from explorer.formats.places import ARRAYS
from explorer.formats.record import TRAJECTORY
from explorer.formats.stored import first_line, read_json
from explorer.system import hub
from explorer.system.hub import HubError
from explorer.words.wording import count

OWN = {peft.WEIGHTS, peft.OLD_WEIGHTS, *adapterhub.WEIGHTS, TRAJECTORY}
"""weights of an adapter folder"""
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
ADAPTERS = (adapterhub, peft, trainer)
Recognizes = Callable[[Path], bool]


def walk(root: Path, recognizes: Recognizes, passed: list[PassedOver]) -> Iterator[Found]:
    """Every place in or below a folder that looks like a prompt, in the order of the paths; what is passed
    over is added to `passed`.

    Links to folders are not followed, and what begins with a dot is not looked at.
    """
    yield from _look(root, recognizes, passed, None)


def _look(
    path: Path, recognizes: Recognizes, passed: list[PassedOver], inside: tuple[str, str] | None
) -> Iterator[Found]:
    """What `_look_at` finds; a place that cannot be looked at never ends the walk."""
    try:
        yield from _look_at(path, recognizes, passed, inside)
    except PromptError as error:
        yield Found(path, error=error)
    except Exception as error:  # files and folders that no reader foresaw
        yield Found(
            path,
            error=PromptError(
                f"{path}: cannot be read ({type(error).__name__}: {first_line(error)}); the file is "
                "damaged, or no prompt"
            ),
        )


def _look_at(
    path: Path, recognizes: Recognizes, passed: list[PassedOver], inside: tuple[str, str] | None
) -> Iterator[Found]:
    """inside: MODEL or BESIDE where the folder belongs to a model or an adapter, in which only further
    adapters are prompts.
    """
    if not path.is_dir():
        if inside is None and recognizes(path):
            yield Found(path)
        elif (
            inside == BESIDE
            and path.name.endswith(ARRAYS)
            and not path.name.startswith(STATE)
            and path.name not in OWN
            and recognizes(path)
        ):
            passed.append(PassedOver(path, *BESIDE))
        return
    below = path
    if hub.is_cached(path):
        try:
            below = hub.snapshot(path)
        except HubError as error:
            yield Found(path, error=PromptError(str(error)))
            return
    elif path.name.startswith(("datasets--", "spaces--")) and (path / "snapshots").is_dir():
        passed.append(PassedOver(path, *REPOSITORY))
        return
    belonging: set[Path] = set()
    if any(reader.recognizes(below) for reader in ADAPTERS):
        adapters = trainer.adapters(below)
        names: list[str | None] = [name or None for name in adapters] or [None]
        if (below / peft.CONFIG).is_file() and None not in names:
            names.insert(0, None)
        yield from (Found(below, key) for key in sorted(names, key=lambda name: name or ""))
        belonging, inside = trainer.parts(below), BESIDE
    elif inside is None and is_model(below):
        passed.append(PassedOver(below, *MODEL))
        inside = MODEL
    elif inside is None and recognizes(below):
        yield Found(below)
        return
    if path.is_symlink():
        return
    for child in children(below):
        if child not in belonging:
            yield from _look(child, recognizes, passed, inside)


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
