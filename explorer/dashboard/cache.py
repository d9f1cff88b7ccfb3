"""What visitors share: the prompts on disk, vocabularies, the one frozen model in memory, example texts. And
how a page says what it waits for.

Readings are not cached here: a `Session` makes each once for a vocabulary (`explorer.cached`), so pages call
its methods through `reading`.
"""

import gc
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import pandas as pd
import streamlit as st

from explorer.cached import Memo, cached
from explorer.cached.kept import Kept, Shipped, place_of
from explorer.choices import Device, Dtype
from explorer.context import Progress
from explorer.dashboard.access import read_only, without_paths
from explorer.dashboard.markdown import safe
from explorer.errors import DataError, ExplorerError, ModelError
from explorer.formats import find_prompts
from explorer.formats.places import of_other_models
from explorer.prompt import SoftPrompt
from explorer.session import Session
from explorer.system import hub
from explorer.system.files import ANSWERS, EXAMPLES, MODELS, PROMPTS, STUDY
from explorer.system.interruption import asking
from explorer.texts.tasks import Task, read_task
from explorer.vocabulary import Vocabulary
from explorer.words.wording import count, printable

if TYPE_CHECKING:
    from explorer.evaluation.ensemble import PassTimes
    from explorer.evaluation.scoring import Predictions
    from explorer.models.frozen import FrozenModel

T = TypeVar("T")

WRITTEN = 16
"""pieces that the model writes for prompts without labels, at most"""
LONGEST_UPLOAD = 500
"""labelled texts that a page runs the model on"""
VOCABULARY_BYTES = 2**30
"""vocabularies kept in memory; the last one read stays, however large"""
ASKED_EVERY = 0.5
"""seconds between two looks at whether the visitor that work is done for is still there"""
FAILURE_KEPT, MOST_FAILURES = 300, 100
"""seconds for which a model that was not found is not sought again, and how many such are remembered: asking
a hub that does not answer takes long
"""


@dataclass(frozen=True)
class Broken:
    """What looks like a prompt and cannot be read."""

    path: Path
    error: ExplorerError


# Prompts


def collection() -> tuple[SoftPrompt | Broken, ...]:
    """Everything below the folder of EXPLORER_PROMPTS (default: the bundled prompts whose models are here),
    read again when a file changed.

    The prompts stay the same objects until then: readings are remembered by them. Each has a name of its own.
    """
    given = os.environ.get("EXPLORER_PROMPTS")
    own = _read(given or str(PROMPTS), state(given or str(PROMPTS)), id(SoftPrompt))
    return (
        own
        if given
        else own + tuple(prompt for folder in of_other_models() for prompt in _of_other_model(folder))
    )


def _of_other_model(folder: Path) -> tuple[SoftPrompt | Broken, ...]:
    """The bundled prompts of a model that does not ship; none where it was not downloaded."""
    found = _read(str(folder), state(str(folder)), id(SoftPrompt))
    base = next((prompt.origin.base_model for prompt in found if isinstance(prompt, SoftPrompt)), None)
    return found if base is not None and hub.in_cache(base) else ()


def _stamp(known: os.stat_result) -> tuple[int, ...]:
    return known.st_size, known.st_mtime_ns, known.st_ctime_ns, known.st_ino


@st.cache_data(ttl=5, max_entries=4, show_spinner=False)
def state(path: str) -> str:
    """Names, sizes and times of all files below a path; looked at again after some seconds. Nobody sets
    the time of the last change (ctime): another content is another state, whatever its size and date.
    """
    lines = []
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            with suppress(OSError):  # gone meanwhile, or not to be read: whoever opens it will say so
                known = os.stat(os.path.join(folder, name))
                lines.append(f"{printable(os.path.join(folder, name))} {_stamp(known)}")
    return "\n".join(sorted(lines))


@st.cache_resource(max_entries=4, show_spinner="Reading the prompts")
def _read(folder: str, state: str, code: int) -> tuple[SoftPrompt | Broken, ...]:
    """`code` changes when modules are edited and loaded anew: what was cached before is of another class
    then.
    """
    found = list(find_prompts(folder))
    names = [prompt.name for _, prompt in found if isinstance(prompt, SoftPrompt)]
    read: list[SoftPrompt | Broken] = []
    for path, prompt in found:
        if isinstance(prompt, ExplorerError):
            read.append(Broken(path, prompt))
        elif names.count(prompt.name) > 1 and path != Path(folder):
            read.append(replace(prompt, name=printable(path.relative_to(folder).as_posix())))
        else:
            read.append(prompt)
    return tuple(read)


# Models


class SharedLoader:
    """Vocabularies and one frozen model, shared by all visitors: read again when a model's files change,
    bounded, safe in threads.

    Whoever asks for what is being read waits for it, nobody else does.
    """

    def __init__(self, device: Device = "auto", dtype: Dtype = "auto") -> None:
        self.device, self.dtype = device, dtype
        self._read_vocabularies = Memo(VOCABULARY_BYTES)
        self._failures: dict[tuple[str, str], tuple[float, ModelError]] = {}
        self._loading = threading.Lock()
        self._loaded: tuple[tuple[str, str], FrozenModel] | None = None

    def vocabulary(self, model: str) -> Vocabulary:
        """The vocabulary of a model. Raises ModelError when it cannot be read; a failure is remembered for
        some minutes.
        """
        key = model, model_state(model)
        return self._read_vocabularies.get(key, lambda: self._vocabulary(key))

    def _vocabulary(self, key: tuple[str, str]) -> Vocabulary:
        when, known = self._failures.get(key, (0.0, None))
        if known is not None and time.monotonic() - when < FAILURE_KEPT:
            raise ModelError(str(known), known.setting)
        try:
            frozen = self._loaded[1] if self._loaded is not None and self._loaded[0] == key else None
            return Vocabulary.load(key[0], None if frozen is None else frozen.embedding)
        except ModelError as error:
            while len(self._failures) >= MOST_FAILURES:
                self._failures.pop(next(iter(self._failures)), None)
            self._failures[key] = time.monotonic(), error
            raise

    def kept(self, vocabulary: Vocabulary) -> Kept:
        """What was computed before for a vocabulary and its model."""
        shipped = None
        if vocabulary.path is not None and bundled(vocabulary):
            shipped = _shipped(vocabulary.path, state(str(ANSWERS)))
        return Kept(vocabulary, shipped, place_of(self.device, self.dtype), shared=True)

    def frozen(self, model: str) -> "FrozenModel":
        """The frozen model; another one in memory makes room first. Raises ModelError when it cannot be
        loaded, ExplorerError when nothing may run.
        """
        if read_only():
            raise ExplorerError("this dashboard is read-only and runs no model")
        from explorer.models.load import load_frozen

        key = model, model_state(model)
        with self._loading:
            if self._loaded is None or self._loaded[0] != key:
                self._loaded = None
                known = self._read_vocabularies.known(key)
                table = self.vocabulary(model).embedding if known else None
                self._loaded = key, load_frozen(model, self.device, self.dtype, table)
            return self._loaded[1]

    def in_memory(self, model: str) -> "FrozenModel | None":
        """The frozen model if it is loaded."""
        loaded = self._loaded
        return loaded[1] if loaded is not None and loaded[0][0] == model else None

    def unload(self) -> None:
        """Forget the frozen model; the next question loads it again. Answers already given stay."""
        import torch

        self._loaded = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def bundled(vocabulary: Vocabulary) -> bool:
    """Whether it is of a model that ships with the explorer, which is small and answers at once."""
    return vocabulary.path is not None and vocabulary.path.parent == MODELS


@st.cache_resource(max_entries=4, show_spinner=False)
def _shipped(model: Path, state: str) -> Shipped:
    """Read again when the file changed."""
    return Shipped(model)


@st.cache_resource(show_spinner=False)
def loader() -> SharedLoader:
    """The one loader of this server. EXPLORER_DEVICE and EXPLORER_DTYPE say where its model runs and in which
    precision.
    """
    return SharedLoader(
        _asked("EXPLORER_DEVICE", get_args(Device)), _asked("EXPLORER_DTYPE", get_args(Dtype))
    )


def _asked(variable: str, choices: tuple[str, ...]) -> Any:
    """One of the choices, as the environment says. Raises ExplorerError for another."""
    asked = os.environ.get(variable) or choices[0]
    if asked not in choices:
        raise ExplorerError(f"{variable}: found {asked[:80]!r}; expected one of {', '.join(choices)}")
    return asked


def model_state(model: str) -> str:
    """The state of a local model's files; empty for one that is not here."""
    return next((state(str(folder)) for folder in (Path(model), MODELS / model) if folder.is_dir()), "")


# Waiting

_HEARD: ContextVar[Progress | None] = ContextVar("heard", default=None)
"""where the progress of this run of a page goes"""


def tell(message: str) -> None:
    """The progress of every session of the dashboard: goes to whatever the page shows while it waits."""
    if (heard := _HEARD.get()) is not None:
        heard(without_paths(message))


@contextmanager
def telling(heard: Progress) -> Iterator[None]:
    """Within this, progress goes to `heard`."""
    token = _HEARD.set(heard)
    try:
        yield
    finally:
        _HEARD.reset(token)


@contextmanager
def _waiting(said: str) -> Iterator[None]:
    """As long as this takes the page shows `said`, the seconds, and below it what is being done."""
    with st.spinner(said, show_time=True):
        place, when, shown = st.empty(), time.monotonic(), ""

        def heard(message: str) -> None:
            nonlocal when, shown
            when, shown = time.monotonic(), message
            place.caption(safe(message))

        def still_here() -> None:
            """Streamlit ends the run of a page whose visitor has left, or has clicked elsewhere, when the
            page shows something.
            """
            if time.monotonic() - when > ASKED_EVERY:
                heard(shown)

        try:
            with telling(heard), asking(still_here):
                yield
        finally:
            place.empty()


def reading(said: str, make: Callable[..., T], *given: object, **settings: object) -> T:
    """make(*given, **settings), with `said` and what is being done on the page as long as it takes."""
    with _waiting(said):
        return make(*given, **settings)


def counted(said: str, task: Task, make: Callable[..., T], *given: object, **settings: object) -> T:
    """As `reading`, for what tells the share of a task's texts that are done: with a bar and their number."""
    with _waiting(said):
        bar = st.empty()
        try:
            return make(
                *given,
                share=lambda done: bar.progress(
                    done, f"{round(done * len(task)):,} of {count(len(task), 'text')}"
                ),
                **settings,
            )
        finally:
            bar.empty()


# What only pages ask


def answers(session: Session, text: str) -> "tuple[Predictions, float]":
    """What every prompt, and no prompt, answers on a text, and the seconds it took, without loading the
    model.
    """

    def make() -> "tuple[Predictions, float]":
        frozen = session.model
        tell(f"{frozen.name} answers")
        start = time.perf_counter()
        return session.predict(text, no_prompt=True), time.perf_counter() - start

    return cached(
        session.vocabulary, ("answers", session.prompts, text, session.class_labels, session.template), make
    )


def written(session: Session, text: str) -> dict[str, str]:
    """What the model writes on a text with every prompt, and without one, by name."""
    from explorer.evaluation.scoring import NO_PROMPT

    def make() -> dict[str, str]:
        found = session.model.generate([*session.prompts, None], [text], max_new_tokens=WRITTEN)
        return {
            name: said
            for name, (said,) in zip(
                [*(prompt.name for prompt in session.prompts), NO_PROMPT], found, strict=True
            )
        }

    return cached(session.vocabulary, ("written", session.prompts, text, session.template), make)


def pass_times(session: Session, texts: tuple[str, ...]) -> "PassTimes":
    """See evaluation.ensemble."""
    from explorer.evaluation.ensemble import pass_times as measure

    key = ("pass times", session.prompts, texts, session.class_labels, session.template)
    return cached(
        session.vocabulary, key, lambda: measure(session.model, session.prompts, texts, session.class_labels)
    )


# Texts and tables


@st.cache_data(max_entries=8, show_spinner=False)
def examples(domain: str) -> Task:
    """The example texts of a domain."""
    return read_task(EXAMPLES / f"{domain}.tsv")


def domains() -> tuple[str, ...]:
    """Domains there are example texts of."""
    return tuple(path.stem for path in sorted(EXAMPLES.glob("*.tsv")))


@st.cache_data(max_entries=8, show_spinner=False)
def uploaded(name: str, content: bytes, labels: tuple[str, ...]) -> Task:
    """Labelled texts of an uploaded file, read from a private temporary file. Raises DataError for what is no
    task of these labels.
    """
    with TemporaryDirectory() as private:
        path = Path(private) / f"texts{Path(name).suffix.lower()}"
        path.write_bytes(content)
        try:
            task = read_task(path, labels)
        except ExplorerError as error:
            raise DataError(str(error).replace(str(path), name)) from error
    if len(task) > LONGEST_UPLOAD:
        raise DataError(
            f"{name}: {len(task):,} texts; expected at most {LONGEST_UPLOAD:,} here: use `python -m "
            "explorer faithfulness`"
        )
    return replace(task, name=name, notes=tuple(note.replace(str(path), name) for note in task.notes))


@st.cache_data(max_entries=8, show_spinner=False)
def _study(table: str, state: tuple[int, ...]) -> pd.DataFrame:
    return pd.read_csv(STUDY / table)


def study_table(table: str) -> pd.DataFrame | None:
    """A table of the bundled study (checkpoints/study), or None where it is not here."""
    file = STUDY / table
    return _study(table, _stamp(file.stat())) if file.is_file() else None
