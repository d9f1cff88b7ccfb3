"""The one choice of prompts that all pages share, and the session they are read in."""

import os
from collections.abc import Iterable, Sequence

import streamlit as st

from explorer.dashboard import address, cache, errors, focus, limits, uploads
from explorer.dashboard.limits import MOST_PROMPTS
from explorer.dashboard.markdown import safe
from explorer.errors import ExplorerError
from explorer.prompt import SoftPrompt
from explorer.report.tables import what_was_read
from explorer.session import Session
from explorer.words.wording import count


def sidebar() -> None:
    """The choice itself, kept in the address. Pages ask for it with `selected` and `session`."""
    uploads.take()
    found = {prompt.name: prompt for prompt in uploads.prompts()}
    address.read(found)
    st.multiselect(
        "Prompts",
        list(found),
        default=_default(list(found.values())),
        key="prompts",
        bind="query-params",
        on_change=address.forget,
        placeholder="Choose prompts",
        help="Every page shows these. The address holds the choice: send it as a link.",
        disabled=not found,
    )
    broken = len(uploads.collection()) - len(uploads.prompts())
    note = f"{count(len(found), 'prompt')} here" + (
        f", {broken} cannot be read (see Prompts)" if broken else ""
    )
    if len(st.session_state.get("prompts", ())) > MOST_PROMPTS:
        note += (
            f"; the first {MOST_PROMPTS} chosen are shown, in the shell `python -m explorer report` reads all"
        )
    st.caption(note)
    focus.sidebar(selected())


def _default(found: Sequence[SoftPrompt]) -> list[str]:
    """One prompt of each initialization, of the first seed: of the task that prompts gained most on, of the
    model with most initializations.

    Where no gain is recorded: of the first prompt's kind.
    """
    kinds: dict[tuple[object, ...], list[SoftPrompt]] = {}
    for prompt in [prompt for prompt in found if not prompt.origin.read_as] or found:
        kinds.setdefault((prompt.origin.base_model, prompt.origin.task, prompt.length), []).append(prompt)
    if not kinds:
        return []
    members = max(kinds.values(), key=_worth_opening)  # of equals the first
    peers = {members[0].origin.initialization: members[0].name}
    for prompt in members:
        if prompt.origin.initialization is not None:
            peers.setdefault(prompt.origin.initialization, prompt.name)
    return list(peers.values())


def _worth_opening(members: list[SoftPrompt]) -> tuple[int, float]:
    """How many initializations there are to compare, and what prompts gain on average."""
    gains = [prompt.origin.gain for prompt in members if prompt.origin.gain is not None]
    return len({prompt.origin.initialization for prompt in members}), sum(gains) / len(
        gains
    ) if gains else 0.0


def selected() -> tuple[SoftPrompt, ...]:
    """The chosen prompts, whether or not they fit a model; in the order they were chosen, and no more than a
    page takes.
    """
    found = {prompt.name: prompt for prompt in uploads.prompts()}
    return tuple(found[name] for name in st.session_state.get("prompts", ()) if name in found)[:MOST_PROMPTS]


def session() -> Session:
    """As `fitting`; ends the page when nothing is left. What was odd about a file is told on the first page
    alone.
    """
    made = fitting(files_too=False)
    if made is None:
        st.stop()
    return made


def fitting(files_too: bool = True) -> Session | None:
    """The chosen prompts that fit one model: EXPLORER_MODEL if it is set, else the first prompt's own; None
    where none does.

    Says first what does not fit and what to doubt.
    """
    address.say()
    chosen = selected()
    if not chosen:
        note = (
            "Choose a prompt in the sidebar."
            if uploads.collection()
            else "There are no prompts here yet; see the page Prompts."
        )
        st.info(note, icon=":material/arrow_back:")
        return None
    taken = limits.fitting(chosen)
    for prompt in chosen:
        if prompt not in taken:
            more = (
                f"{prompt.name} is left out: the chosen prompts have more than "
                f"{limits.MOST_TOKENS_TOGETHER:,} tokens together. {limits.REPORT}"
            )
            st.warning(safe(limits.too_large(prompt) or more), icon=":material/terminal:")
    if not taken:
        return None
    whole = Session(
        taken, os.environ.get("EXPLORER_MODEL") or None, loader=cache.loader(), progress=cache.tell
    )
    of_one_model = _of_one_model(whole)
    if not of_one_model:
        return None
    made = whole.only(*(prompt.name for prompt in of_one_model))
    _doubts(made, files_too)
    _no_gain(made)
    return made


def _of_one_model(whole: Session) -> list[SoftPrompt]:
    """The prompts of one model, that of the first which can be read; says why the others are left out."""
    fitting: list[SoftPrompt] = []
    reasons: dict[str, None] = {}
    for prompt in whole.prompts:
        try:
            found = cache.reading("Reading the vocabulary", whole.vocabulary_of, prompt)
        except ExplorerError as error:
            likely = what_was_read(prompt)["likely_base"]
            known = f"; it probably belongs to {likely}" if likely and prompt.name in str(error) else ""
            reasons[errors.hinted(f"{error}{known}", error.setting)] = None
            continue
        first = whole.vocabulary_of(fitting[0]) if fitting else found
        if found.path == first.path:
            fitting.append(prompt)
        else:
            told = (
                f"{prompt.name} belongs to {found.name}, the others to {first.name}; choose prompts of "
                "one model at a time"
            )
            reasons[errors.hinted(told, None)] = None
    for reason in reasons:
        st.error(reason, icon=":material/error:")
    return fitting


def _doubts(session: Session, files_too: bool) -> None:
    """The session's notes: one box for each doubt, with the prompts that it is about; files_too: those about
    how a file was read.
    """
    about: dict[tuple[str, str, str | None], list[str]] = {}
    for note in session.notes:
        about.setdefault((note.kind, note.text, note.setting), []).append(note.prompt)
    for (kind, text, setting), names in about.items():
        if kind == "checkpoint" and not files_too:
            continue
        told = errors.hinted(f"{', '.join(names)}: {text}", setting)
        if kind == "checkpoint":
            st.info(told, icon=":material/info:")
        else:
            st.warning(told, icon=":material/warning:")


def _no_gain(session: Session) -> None:
    """Says on every page which of the prompts do no better than no prompt: what they read as then says
    little.
    """
    gains = {prompt.name: prompt.origin.gain for prompt in session.prompts if prompt.origin.gain is not None}
    if idle := [name for name, gain in gains.items() if gain <= 0]:
        st.warning(
            safe(
                f"{', '.join(idle)}: the model does as well on the dev set without a prompt, so that "
                "there is nothing learned to read here."
            ),
            icon=":material/do_not_disturb_on:",
        )


def also(session: Session, more: Iterable[SoftPrompt]) -> Session:
    """The session with more prompts, in their order."""
    names = {prompt.name for prompt in session.prompts}
    added = [prompt for prompt in more if prompt.name not in names]
    return Session(
        limits.fitting((*session.prompts, *added)),
        session.model_name,
        session.settings,
        session.loader,
        session.progress,
    )


def with_peers(session: Session) -> Session:
    """The session with every other prompt of its prompts' tasks and lengths and of the same model: the other
    seeds.

    Prompts that were pulled towards a sentence are apart from the initialization strategies and come only
    when chosen.
    """
    kinds = {
        (prompt.origin.task, prompt.length) for prompt in session.prompts if prompt.origin.task is not None
    }
    alike = [
        prompt
        for prompt in uploads.prompts()
        if not prompt.origin.read_as and (prompt.origin.task, prompt.length) in kinds
    ]
    return also(session, of_its_model(session, alike))


def of_any_length(session: Session) -> list[SoftPrompt]:
    """Every prompt of the first one's task and of the same model, whatever its length."""
    task = session.prompts[0].origin.task
    return of_its_model(
        session,
        (prompt for prompt in uploads.prompts() if not prompt.origin.read_as and prompt.origin.task == task),
    )


def of_its_model(session: Session, prompts: Iterable[SoftPrompt]) -> list[SoftPrompt]:
    """Those of the prompts that the session reads with its own vocabulary. Vocabularies of other base models
    are not read to find out.
    """
    bases = {None, *(prompt.origin.base_model for prompt in session.prompts)}
    found = []
    for prompt in prompts:
        known = (
            prompt.origin.base_fingerprint == session.vocabulary.fingerprint
            or prompt.origin.base_model in bases
        )
        if prompt.dimension != session.vocabulary.dimension or not (known or session.model_name):
            continue
        try:
            if session.vocabulary_of(prompt).path == session.vocabulary.path:
                found.append(prompt)
        except ExplorerError:
            continue
    return found
