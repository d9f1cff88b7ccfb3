"""Prompts that one session opened: uploaded files and zips, and folders of this machine. They are nobody
else's and go with the session.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import streamlit as st

from explorer.dashboard import cache
from explorer.dashboard.access import folders, read_only
from explorer.dashboard.cache import Broken
from explorer.dashboard.guard import of_this_machine
from explorer.dashboard.markdown import safe, slug
from explorer.dashboard.storage import STORAGE
from explorer.dashboard.streamlit_internals import is_gone, session_id
from explorer.errors import ExplorerError, PromptError
from explorer.formats import find_prompts, labels, local, read_prompt
from explorer.formats.archives import ZIP, Archive
from explorer.formats.places import REVISION_MARK
from explorer.formats.stored import starts_with
from explorer.prompt import SoftPrompt
from explorer.system.hub import is_id
from explorer.words.wording import printable

_KEPT, _SEEN, _AGAIN = "opened privately", "uploads seen", "uploads looked at again"


def collection() -> tuple[SoftPrompt | Broken, ...]:
    """Everything here: what lies in the folder of prompts, then what this session opened; what it could not
    open is told where it was given.
    """
    return cache.collection() + tuple(
        one for one in st.session_state.get(_KEPT, {}).values() if isinstance(one, SoftPrompt)
    )


def prompts() -> tuple[SoftPrompt, ...]:
    """Of those, what can be read."""
    return tuple(one for one in collection() if isinstance(one, SoftPrompt))


def names() -> set[str]:
    """Of what this session opened."""
    return set(st.session_state.get(_KEPT, {}))


def opener() -> None:
    """Where files are dropped and folders named. What is found joins the choice in the sidebar and becomes
    what is shown.
    """
    if read_only():
        return
    with st.expander(
        "Open your own prompt",
        icon=":material/upload_file:",
        expanded=bool(st.session_state.get(_KEPT)),
    ):
        st.file_uploader(
            "A checkpoint file, a zip of a checkpoint folder, or the files of one folder together",
            accept_multiple_files=True,
            key="upload",
            on_change=take,
            help=f"{labels()}. No pickle is executed.",
        )
        if _at_this_machine():
            st.text_input(
                "or a folder on this machine, or an adapter on the Hugging Face hub",
                key="folder",
                on_change=_named,
                placeholder="/home/me/runs",
            )
        if kept := st.session_state.get(_KEPT):
            for one in kept.values():
                if isinstance(one, Broken):
                    st.error(safe(one.error), icon=":material/broken_image:")
            opened = sum(isinstance(one, SoftPrompt) for one in kept.values())
            st.caption(f"{opened} opened in this session, seen by nobody else and gone when it ends.")
            st.button("Forget them", on_click=_forget, icon=":material/delete:")
    files, lost = _unseen()
    if files and (again := {file.file_id for file in files}) != st.session_state.get(_AGAIN):
        st.session_state[_AGAIN] = again
        st.rerun()
    if lost:
        st.warning(
            "An earlier file is gone: the server was started anew, or this page was closed for more than "
            "two minutes. Choose the file again to read it.",
            icon=":material/history:",
        )


def _at_this_machine() -> bool:
    """Whether folders may be opened by name: where the app serves its own machine, to a browser there, under
    that machine's name.
    """
    return folders() and st.context.ip_address is None and of_this_machine(st.context.headers.get("Host", ""))


def _unseen() -> tuple[list, bool]:
    """The files of the upload widget that were not read yet; and whether others were lost before."""
    seen = st.session_state.setdefault(_SEEN, set())
    unseen = [file for file in st.session_state.get("upload") or () if file.file_id not in seen]
    return [file for file in unseen if not is_gone(file)], any(map(is_gone, unseen))


def take() -> None:
    """Put what was uploaded together into one private folder and read it. To be called before the choice of
    prompts is drawn too: after a restart of the server the widget calls nobody.
    """
    files, _ = _unseen()
    if read_only() or not files:
        return
    seen = st.session_state[_SEEN]
    session, kept = session_id(), st.session_state.setdefault(_KEPT, {})
    place = STORAGE.folder(session, kept.clear)
    for file in files:
        seen.add(file.file_id)
        name = slug(Path(file.name).name) or "file"
        target = _free(
            place / (f"file{name}" if name.startswith(".") else name)
        )  # hidden files are passed over
        try:
            content = file.getvalue()
            STORAGE.check(session, len(content))
            target.write_bytes(content)
            _unpack(target, lambda: STORAGE.check(session))
        except Exception as error:  # of this file; the others that came with it are read
            target.unlink(missing_ok=True)
            _keep(f"uploaded/{target.name}", _broken(f"uploaded/{target.name}", error, f"{place}/"))
    _open(place, "uploaded", hide=f"{place}/")


def _free(target: Path) -> Path:
    """A place of this name that nothing lies at yet."""
    number = 2
    free = target
    while free.exists():
        free = target.with_name(f"{target.stem}-{number}{target.suffix}")
        number += 1
    return free


def _broken(name: str, error: Exception, hide: str) -> Broken:
    """An upload that cannot be read, without the place where it lies on the server."""
    said = (
        str(error)
        if isinstance(error, ExplorerError)
        else f"{name}: cannot be read ({type(error).__name__}); the file is damaged, or no prompt"
    )
    return Broken(Path(name), PromptError(said.replace(hide, "") if hide else said))


def _unpack(target: Path, check: Callable[[], None]) -> None:
    """Replace a zip that is no prompt itself by its content. check: raises what is said when that is too
    much.
    """
    if not starts_with(target, *ZIP):
        return
    try:
        read_prompt(target)
    except ExplorerError:
        with Archive(target) as archive:
            if any(name.endswith("data.pkl") for name in archive.names) or (
                archive.names and all(name.endswith(".npy") for name in archive.names)
            ):
                return
            inside = target.with_name(f"{target.stem}-unpacked")
            archive.unpack(inside)
        try:
            check()
        except ExplorerError:
            shutil.rmtree(inside, ignore_errors=True)
            raise
        target.unlink()
        inside.rename(_free(target.with_name(target.stem or "files")))


def _named() -> None:
    """Read a folder of this machine, or an adapter of the hub; without a connection, one in the hub's
    cache.
    """
    name = st.session_state.folder.strip()
    path = Path(os.path.expanduser(name))
    if not name or not _at_this_machine():
        return
    if local(path) is None and is_id(name.partition(REVISION_MARK)[0]):
        try:
            found = read_prompt(name)
        except ExplorerError as error:
            _keep(printable(name), Broken(path, error))
        else:
            _keep(found.name, found)
            st.session_state["prompts"] = [found.name]
        return
    _open(path, os.path.basename(os.path.realpath(path)) or "files")


def _open(path: Path, title: str, hide: str = "") -> None:
    """Read everything below a path and choose it; what cannot be read is listed with the reason."""
    try:
        found = list(find_prompts(path)) if path.is_dir() else []
        if not found:
            found = [(path, read_prompt(next((file for file in path.iterdir()), path) if hide else path))]
    except ExplorerError as error:
        found = [(path, error)]
    except (OSError, ValueError) as error:
        found = [
            (path, PromptError(f"{path}: cannot be read ({error}); expected a file or folder with prompts"))
        ]
    fresh = []
    for place, prompt in found:
        inside = place.relative_to(path).with_suffix("").as_posix() if place != path else ""
        name = printable("/".join(part for part in (title, inside) if part and part != "."))
        if isinstance(prompt, ExplorerError):
            _keep(name, _broken(name, prompt, hide) if hide else Broken(place, prompt))
        else:
            origin = replace(prompt.origin, path=Path(name), uploaded=True) if hide else prompt.origin
            _keep(name, replace(prompt, name=name, origin=origin))
            fresh.append(name)
    if fresh:
        st.session_state["prompts"] = fresh


def _keep(name: str, one: SoftPrompt | Broken) -> None:
    st.session_state.setdefault(_KEPT, {})[name] = one


def _forget() -> None:
    names = set(st.session_state.pop(_KEPT, {}))
    st.session_state["prompts"] = [name for name in st.session_state.get("prompts", []) if name not in names]
    STORAGE.remove(session_id())
