"""The one choice of prompts that all pages share, and the model they are read with."""

import os

import streamlit as st

from explorer.dashboard import cached, focus
from explorer.dashboard.cached import Broken, Opened
from explorer.dashboard.markdown import count, safe
from explorer.errors import ModelError
from explorer.models.loading import DEFAULT_MODEL
from explorer.report.tables import what_was_read
from explorer.vocabulary import Vocabulary


def sidebar() -> None:
    """The choice itself, kept in the address. Pages ask for it with `selected` and `readable`."""
    found = {opened.name: opened for opened in private.collection() if isinstance(opened, Opened)}
    st.multiselect(
        "Prompts",
        list(found),
        default=_default(list(found.values())),
        key="prompts",
        bind="query-params",
        placeholder="Choose prompts",
        help="Every page shows these. The address holds the choice: send it as a link.",
        disabled=not found,
    )
    broken = sum(isinstance(one, Broken) for one in private.collection())
    note = f"{count(len(found), 'prompt')} here" + (f", {broken} cannot be read (see Prompts)" if broken else "")
    st.caption(note)
    focus.sidebar(selected())


def _default(found: list[Opened]) -> list[str]:
    """One prompt of each initialization, of the first seed: of sentiment if there is such a task, else of the first prompt's task."""
    found = [opened for opened in found if not opened.prompt.origin.read_as] or found
    if not found:
        return []
    first = next((opened for opened in found if opened.prompt.origin.task == "sentiment"), found[0])
    peers = {first.prompt.origin.initialization: first.name}
    for opened in found:
        same = opened.prompt.origin.task == first.prompt.origin.task and opened.prompt.length == first.prompt.length
        if same and opened.prompt.origin.initialization is not None:
            peers.setdefault(opened.prompt.origin.initialization, opened.name)
    return list(peers.values())


def selected() -> tuple[Opened, ...]:
    """The chosen prompts, whether or not the model fits; in the order they were chosen."""
    found = {opened.name: opened for opened in private.collection() if isinstance(opened, Opened)}
    return tuple(found[name] for name in st.session_state.get("prompts", ()) if name in found)


def readable() -> tuple[tuple[Opened, ...], Vocabulary]:
    """The chosen prompts that fit the model, and its vocabulary. Says first what does not fit; ends the page when nothing is left."""
    chosen = selected()
    if not chosen:
        note = "Choose a prompt in the sidebar." if private.collection() else "There are no prompts here yet; see the page Prompts."
        st.info(note, icon=":material/arrow_back:")
        st.stop()
    vocabulary = _vocabulary(chosen)
    fitting = tuple(opened for opened in chosen if _fits(opened, vocabulary))
    if not fitting:
        st.stop()
    _doubts(fitting, vocabulary)
    return fitting, vocabulary


def peers(chosen: tuple[Opened, ...], vocabulary: Vocabulary) -> tuple[Opened, ...]:
    """The chosen prompts and every other one of their tasks, of their lengths and of the same model: the other seeds.

    Prompts that were pulled towards a sentence stand apart from the initialization strategies and come only when chosen.
    """
    kinds = {(opened.prompt.origin.task, opened.prompt.length) for opened in chosen if opened.prompt.origin.task is not None}
    names = {opened.name for opened in chosen}
    found = [opened for opened in private.collection() if isinstance(opened, Opened) and not opened.prompt.origin.read_as]
    alike = [opened for opened in found if (opened.prompt.origin.task, opened.prompt.length) in kinds and opened.name not in names]
    return chosen + tuple(opened for opened in alike if opened.prompt.dimension == vocabulary.dimension and _same_model(opened, vocabulary))


def of_any_length(chosen: tuple[Opened, ...], vocabulary: Vocabulary) -> tuple[Opened, ...]:
    """Every prompt of the first chosen one's task and of the same model, whatever its length."""
    task = chosen[0].prompt.origin.task
    found = [opened for opened in private.collection() if isinstance(opened, Opened) and not opened.prompt.origin.read_as]
    return tuple(one for one in found if one.prompt.origin.task == task and one.prompt.dimension == vocabulary.dimension and _same_model(one, vocabulary))


def _vocabulary(chosen: tuple[Opened, ...]) -> Vocabulary:
    """Of EXPLORER_MODEL if it is set, else of the first prompt's base model, else of the bundled one, which is said."""
    if asked := os.environ.get("EXPLORER_MODEL"):
        return cached.vocabulary(asked)
    base = chosen[0].prompt.origin.base_model
    if base is None:
        st.warning(safe(f"{chosen[0].name} records no base model and is read with the bundled {DEFAULT_MODEL}; start with --model to give its own"))
        return cached.vocabulary(DEFAULT_MODEL)
    try:
        return cached.vocabulary(base)
    except ModelError as error:
        bundled = cached.vocabulary(DEFAULT_MODEL)
        if bundled.dimension != chosen[0].prompt.dimension:
            raise
        st.warning(safe(f"{error}. {chosen[0].name} is read with the bundled {DEFAULT_MODEL}, which has the same width; its readings may mean nothing"))
        return bundled


def _same_model(opened: Opened, vocabulary: Vocabulary) -> bool:
    base = opened.prompt.origin.base_model
    return "EXPLORER_MODEL" in os.environ or base in (None, vocabulary.name) or cached.folder(base) in (None, vocabulary.path)


def _fits(opened: Opened, vocabulary: Vocabulary) -> bool:
    """Whether a prompt can be read with this vocabulary; says why not."""
    prompt = opened.prompt
    if prompt.dimension != vocabulary.dimension:
        st.error(
            safe(
                f"{prompt.name}: vectors of width {prompt.dimension}, but {vocabulary.name} has embeddings of width {vocabulary.dimension}; "
                f"it belongs to {prompt.origin.base_model or what_was_read(prompt)['likely_base'] or 'another model'}: start with --model, or leave it out"
            )
        )
        return False
    if not _same_model(opened, vocabulary):
        st.error(safe(f"{prompt.name} belongs to {prompt.origin.base_model}, the others to {vocabulary.name}; choose prompts of one model at a time"))
        return False
    return True


def _doubts(fitting: tuple[Opened, ...], vocabulary: Vocabulary) -> None:
    """What to doubt of prompts that fit by width."""
    others = [opened.name for opened in fitting if opened.prompt.origin.base_fingerprint not in (None, vocabulary.fingerprint)]
    if others:
        st.warning(
            safe(f"{', '.join(others)}: trained on another model than this {vocabulary.name}, of the same width; what is read here may mean nothing"),
            icon=":material/warning:",
        )
    for opened in fitting:
        for warning in opened.prompt.origin.warnings:
            st.info(safe(f"{opened.name}: {warning}"), icon=":material/info:")
