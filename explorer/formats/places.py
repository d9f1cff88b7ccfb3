"""Where a prompt lies: a path, a name under `checkpoints/prompts`, or an adapter's id on the Hugging Face
hub, looked for in this order.
"""

from contextlib import suppress
from pathlib import Path

from explorer.errors import PromptError
from explorer.formats import adapterhub, peft
from explorer.formats.names import KEY_MARK, prompt_name
from explorer.formats.record import RECORD, TRAJECTORY
from explorer.system import hub
from explorer.system.files import OF_OTHER_MODELS, PROMPTS
from explorer.system.hub import HubError

REVISION_MARK = "@"
"""between the id of a repository and a branch, tag or commit of it: `user/name@v1`"""
ARRAYS = (".npy", ".npz", ".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".nemo", ".zip", ".json", ".pkl")
"""how a file is called, and no repository"""


def path_and_key(prompt: str | Path, key: str | None, revision: str | None = None) -> tuple[Path, str | None]:
    """Where a prompt lies, and the key that was given beside the path or after a `#` in it. Raises
    PromptError as `locate` does.
    """
    before, mark, after = str(prompt).rpartition(KEY_MARK)
    if key is None and mark and before and after:
        if (found := local(prompt)) is not None:
            return _settled(found, revision), None
        return locate(before, revision), after
    return locate(prompt, revision), key


def locate(prompt: str | Path, revision: str | None = None) -> Path:
    """The path of a prompt given as a path, a name under `checkpoints/prompts`, or the id of an adapter on
    the hub, which may end in `@revision`.

    Of a hub cache's folder `models--user--name` the snapshot that `refs/main`, or the revision, names. Raises
    PromptError when there is none.
    """
    if (found := local(prompt)) is not None:
        return _settled(found, revision)
    given = str(prompt)
    if not given.strip():
        raise PromptError("found an empty name; expected a prompt's file or folder, or its name", "prompt")
    name, _, marked = given.partition(REVISION_MARK)
    if not hub.is_id(name) or name.endswith(ARRAYS):
        raise PromptError(
            f"{given[:200]}: no such file, folder or bundled prompt{_nearest_name(given)}", "prompt"
        )
    try:
        return _adapter(name, marked or revision)
    except HubError as error:
        raise PromptError(
            f"{given[:200]}: no such file, folder or bundled prompt, nor to be had from the Hugging "
            f"Face hub ({error}){_nearest_name(given)}",
            "prompt",
        ) from error


def local(prompt: str | Path) -> Path | None:
    """The path of a prompt on this machine, in full; None where there is none, and for an empty name, which
    would be the folder one is in.
    """
    if not str(prompt).strip():
        return None
    of, _, rest = str(prompt).partition("/")
    for path in (Path(prompt), PROMPTS / str(prompt), PROMPTS.with_name(f"{OF_OTHER_MODELS}{of}") / rest):
        try:
            if path.is_dir():
                return path.resolve()
            # a link to a file keeps its own name and the files beside it: in a hub cache all of them are
            # links
            if path.exists():
                return path.parent.resolve() / path.name
        except (OSError, RuntimeError, ValueError):  # names too long, loops of links, zero bytes
            continue
    return None


def _settled(path: Path, revision: str | None) -> Path:
    """The snapshot of a hub cache's folder, other paths as they are."""
    if hub.is_cached(path):
        try:
            return hub.snapshot(path, revision)
        except HubError as error:
            raise PromptError(str(error), error.setting) from error
    if revision is not None:
        raise PromptError(
            f"{path}: the revision {revision[:80]} was asked for, but this is a file or folder; "
            "expected the id of a repository on the hub"
        )
    return path


def _adapter(name: str, revision: str | None) -> Path:
    """The files of an adapter on the hub, in the cache. Its kind is known before its weights are
    downloaded.
    """
    folder = hub.fetch(name, [peft.CONFIG], revision)
    if not (folder / peft.CONFIG).is_file():
        if any(child.is_dir() or child.suffix in ARRAYS for child in folder.iterdir()):
            return folder  # other files were cached before: whatever they are, they are here
        raise PromptError(
            f"{name}: a repository without {peft.CONFIG}; expected a prompt-tuning adapter as PEFT "
            "pushes it to the hub"
        )
    kind = adapterhub.FORMAT if adapterhub.recognizes(folder) else peft.FORMAT
    if kind is peft.FORMAT:
        peft.kind_of(folder)
    for weights in kind.weights:
        folder = hub.fetch(name, [peft.CONFIG, weights, RECORD, TRAJECTORY], folder.name)
        if (folder / weights).is_file():
            break
    return folder


def bundled_names() -> list[str]:
    """Names of the bundled prompts, in order."""
    own = sorted(file.parent.relative_to(PROMPTS).as_posix() for file in PROMPTS.rglob(peft.CONFIG))
    return own + [
        prompt_name(file.parent) for folder in of_other_models() for file in sorted(folder.rglob(peft.CONFIG))
    ]


def of_other_models() -> list[Path]:
    """Folders with bundled prompts of models that do not ship, in order."""
    return sorted(folder for folder in PROMPTS.parent.glob(f"{OF_OTHER_MODELS}*") if folder.is_dir())


def _nearest_name(given: str) -> str:
    """What may have been meant: a bundled prompt, or what lies beside the path, of nearly the same name;
    empty where there is none.
    """
    from difflib import get_close_matches

    if len(given) > 200:
        return ""
    known = [*bundled_names(), *(child.name for child in PROMPTS.glob("*"))]
    with suppress(
        OSError, ValueError
    ):  # no such folder, or one that may not be read: only bundled names then
        folder = Path(given).parent
        known += [str(folder / child.name) for child in folder.iterdir()]
    close = get_close_matches(given, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""
