"""The Hugging Face hub: what its ids look like, files of a repository downloaded or cached, and how its cache
lies on the disk.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from explorer.errors import ExplorerError

ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]*[A-Za-z0-9_]")
"""`user/name`"""
CACHED = re.compile(r"models--(.+)")
"""the folder of a repository in the cache: `models--user--name`"""
MAIN = "main"


class HubError(ExplorerError):
    """A repository, or a revision of it, that is neither on the hub nor in the cache."""


def is_id(text: str) -> bool:
    """Whether a text could be the id of a repository, `user/name`."""
    return len(text) <= 200 and ID.fullmatch(text) is not None and ".." not in text and "--" not in text


def is_cached(path: Path) -> bool:
    """Whether a folder is that of one repository in a hub cache."""
    return CACHED.fullmatch(path.name) is not None and (path / "snapshots").is_dir()


def repository(path: Path) -> tuple[str, str, str] | None:
    """The id of the repository that a path in a hub cache belongs to, its revision, and the rest of the path;
    None for other paths.
    """
    parts = path.parts
    for place, part in enumerate(parts):
        found = CACHED.fullmatch(part)
        if found and parts[place + 1 : place + 2] in ((), ("snapshots",)):
            below = parts[place + 2 :]
            return found[1].replace("--", "/"), below[0] if below else "", "/".join(below[1:])
    return None


def snapshot(path: Path, revision: str | None = None) -> Path:
    """The folder of one revision in the cache of a repository: where `refs/main` points, or another branch,
    tag or commit; else the only one there is.

    path: `models--user--name`. Raises HubError when there is none, or several and none is named.
    """
    there = sorted(child for child in _children(path / "snapshots") if child.is_dir())
    wanted = revision or MAIN
    try:
        commit = (path / "refs" / wanted).read_text(encoding="utf-8").strip()[:100] if _inside(wanted) else ""
    except (OSError, UnicodeDecodeError):
        commit = ""
    named = [
        folder
        for folder in there
        if folder.name == commit
        or (revision is not None and len(revision) >= 7 and folder.name.startswith(revision))
    ]
    if len(named) == 1:
        return named[0]
    if revision is None and len(there) == 1:
        return there[0]
    found = ", ".join(folder.name[:12] for folder in there[:5]) or "none"
    way_out = "name one of them" if there else "download it again"
    raise HubError(
        f"{path}: a hub cache without the revision {wanted}; found the snapshots {found}: {way_out}",
        "revision" if there else None,
    )


def _inside(revision: str) -> bool:
    """Whether a revision names a file below `refs`."""
    return ".." not in Path(revision).parts and not Path(revision).is_absolute()


def _children(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def cache_root() -> Path | None:
    """Where downloads are kept, as the environment says now; None for the default place."""
    given = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    home = os.environ.get("HF_HOME")
    return Path(given).expanduser() if given else Path(home).expanduser() / "hub" if home else None


def in_cache(name: str) -> bool:
    """Whether the repository of this id, `user/name`, was downloaded before."""
    if not is_id(name):
        return False
    root = cache_root()
    if root is None:
        from huggingface_hub.constants import HF_HUB_CACHE

        root = Path(HF_HUB_CACHE)
    return is_cached(root / f"models--{name.replace('/', '--')}")


def offline() -> bool:
    """Whether the environment forbids to ask the hub."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def fetch(name: str, patterns: Sequence[str], revision: str | None = None) -> Path:
    """The local folder of a repository with those of its files that match, downloaded or from the cache.

    name: `user/name`. The token is found as huggingface_hub finds it. Raises HubError, with the reason alone,
    when it cannot be had.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    cache = cache_root()
    try:
        return Path(
            snapshot_download(
                name,
                revision=revision,
                allow_patterns=list(patterns),
                cache_dir=cache,
                local_files_only=offline(),
            )
        )
    except (
        LocalEntryNotFoundError
    ) as error:  # no connection: what is cached counts, also where no branch is recorded
        from huggingface_hub.constants import HF_HUB_CACHE

        folder = (cache or Path(HF_HUB_CACHE)) / f"models--{name.replace('/', '--')}"
        if is_cached(folder):
            return snapshot(folder, revision)
        raise HubError(_reason(error)) from error
    except Exception as error:  # the hub raises a dozen kinds: not found, gated, broken proxy, a full disk
        raise HubError(_reason(error)) from error


def _reason(error: Exception) -> str:
    """What an error of the hub says, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    if "outgoing traffic has been disabled" in str(error):
        return "not in the cache, and the environment forbids to ask the hub"
    return lines[0][:160]
