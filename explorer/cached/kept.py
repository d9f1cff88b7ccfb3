"""Whole readings on the disk: those that ship with a bundled model, which are only read, and those in the
user's cache.

Both are found by content: prompt, options, model, and the source code that computes. What ships is found by
prompt, options and model, and stands beside the source that computed each kind; `research.kept_answers`
proves by a sample that the present source computes the same.
"""

import hashlib
import json
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import numpy as np

from explorer.cached import content, disk
from explorer.cached.source import MODEL, source_of
from explorer.prompt import SoftPrompt
from explorer.system.files import ANSWERS, MODELS, write_file
from explorer.texts.tasks import Task
from explorer.vocabulary import Vocabulary

if TYPE_CHECKING:
    from explorer.models.frozen import FrozenModel

T = TypeVar("T")

VERSION = 1
"""of what the answers mean: another one makes all of them be computed anew"""
PROBABILITIES = "probabilities"
"""the kind of answer that `KeptModel` gives"""


@dataclass(frozen=True)
class Question:
    """What is asked of a prompt: all that the answer depends on but the model."""

    kind: str
    prompt: SoftPrompt | None
    options: tuple
    """numbers, texts, labels, tasks; the prompt's name where the answer holds it"""
    source: str = MODEL
    """the module that computes it"""
    runs: tuple = ()
    """where a frozen model computes it from texts: where these are cut and what stands around them"""
    usual: bool = True
    """whether that is as in what ships"""

    @property
    def computed_by(self) -> str:
        """The source code that computes the answer."""
        return source_of((self.source, MODEL) if self.runs else (self.source,))


def probabilities(prompt: SoftPrompt | None, texts: Sequence[str], labels: Sequence[str]) -> Question:
    """What a model answers to texts: an array [B, C] of label probabilities."""
    return Question(PROBABILITIES, prompt, (tuple(texts), tuple(labels)), runs=("usual",))


class Shipped:
    """The answers that ship with a model."""

    answers_for_model = True
    """whether label probabilities may be asked for"""

    def __init__(self, model: Path, folder: Path = ANSWERS):
        """model: its folder; folder: where answers are kept, in one file a model."""
        self.model, self.file = model, folder / f"{model.name}.msgpack"

    @cached_property
    def _stored(self) -> "_Stored":
        """None where there is no file, or a damaged one."""
        try:
            return msgspec.msgpack.decode(self.file.read_bytes(), type=_Stored)
        except (OSError, msgspec.DecodeError):
            return _Stored({}, {})

    def has(self, question: Question) -> bool:
        """Whether the answer is here, and the present source would compute it."""
        known = self._stored.sources.get(question.kind)
        return (
            known is not None
            and (question.usual or not question.runs)
            and known == question.computed_by
            and self.name(question) in self._stored.answers
        )

    def answer(self, question: Question, of: type[T], make: Callable[[], T]) -> T:
        """What is kept, else what `make` returns. of: the type of the answer, a dataclass or an array."""
        return self.read(question, of) if self.has(question) else make()

    def read(self, question: Question, of: type[T]) -> T:
        """What is kept."""
        return disk.unpack(self._stored.answers[self.name(question)], of)

    def name(self, question: Question) -> str:
        """What the answer is found by."""
        digest = hashlib.blake2b(digest_size=16)
        plain = [VERSION, question.kind, content.of_model(self.model), _plain(question.options)]
        digest.update(json.dumps(plain).encode())
        prompt = question.prompt
        for vectors in () if prompt is None else (prompt.vectors, prompt.initial):
            digest.update(
                b"none"
                if vectors is None
                else repr(vectors.shape).encode() + np.ascontiguousarray(vectors, np.float32).tobytes()
            )
        if prompt is not None and prompt.origin.read_as is not None:
            digest.update(prompt.origin.read_as.encode())
        return digest.hexdigest()


class _Stored(msgspec.Struct):
    """What a file of answers holds."""

    sources: dict[str, str]
    """by kind: the source that computed the answers"""
    answers: dict[str, msgspec.Raw]
    """by name, not yet decoded"""


def write_shipped(file: Path, sources: dict[str, str], answers: dict[str, msgspec.Raw]) -> None:
    """Write a file of answers. Raises WriteError when the disk does not take it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    ordered = _Stored(dict(sorted(sources.items())), dict(sorted(answers.items())))
    write_file(file, msgspec.msgpack.encode(ordered), overwrite=True)


class Kept:
    """The answers that are on the disk for one vocabulary and its model."""

    def __init__(self, vocabulary: Vocabulary, shipped: Shipped | None, place: tuple[str, ...], shared: bool):
        """shipped: what ships with the model. place: see `place_of`. shared: whether several visitors ask:
        then shipped answers stand for the model wherever it runs, and what is about texts is not written.
        """
        self._vocabulary, self._shipped, self._place, self._shared = vocabulary, shipped, place, shared
        self.answers_for_model = shared and shipped is not None

    def has(self, question: Question) -> bool:
        """Whether nothing need be computed."""
        if self._ships(question) is not None:
            return True
        store = self._store(question)
        return store is not None and store.has(self._name(question))

    def answer(self, question: Question, of: type[T], make: Callable[[], T]) -> T:
        """What is on the disk, else what `make` returns. of: the type of the answer."""
        if (shipped := self._ships(question)) is not None:
            return shipped.read(question, of)
        if (store := self._store(question)) is None:
            return make()
        name = self._name(question)
        if not (question.runs and self._shared):
            return store.get(name, of, make)
        known = store.read(name, of)
        return make() if known is None else known

    def _ships(self, question: Question) -> Shipped | None:
        shipped = self._shipped if self._shared or not question.runs else None
        return shipped if shipped is not None and shipped.has(question) else None

    @staticmethod
    def _store(question: Question) -> disk.Store | None:
        prompt = question.prompt
        uploaded = prompt is None or prompt.origin.uploaded
        return None if uploaded or question.kind == PROBABILITIES else disk.store()

    def _name(self, question: Question) -> str:
        runs: tuple = ()
        if question.runs and self._vocabulary.path is not None:
            runs = (content.of_model(self._vocabulary.path), *self._place, *question.runs)
        about = (question.kind, question.prompt, question.options, *runs, question.computed_by)
        return content.digest(content.of_vocabulary(self._vocabulary), *about)


def shipped_with(vocabulary: Vocabulary) -> Shipped | None:
    """What ships with the model of a vocabulary; None for a model that does not ship."""
    path = vocabulary.path
    return None if path is None or path.parent != MODELS else Shipped(path)


def place_of(device: str, dtype: str) -> tuple[str, ...]:
    """Where a model runs and in which precision, as far as its answers depend on it: `auto` is another on
    another machine.
    """
    machine = (platform.node(), os.environ.get("CUDA_VISIBLE_DEVICES", "all")) if device == "auto" else ()
    return device, dtype, *machine


class KeptModel:
    """A frozen model that answers from what is kept and runs, if it must be loaded at all, for the rest
    alone.
    """

    def __init__(self, kept: "Kept | Shipped", model: "Callable[[], FrozenModel]"):
        """model: loads it."""
        self._kept, self._model = kept, model

    def label_probabilities(
        self,
        prompts: Sequence[SoftPrompt | None],
        texts: Sequence[str],
        labels: Sequence[str],
        done: Callable[[int], None] | None = None,
    ) -> np.ndarray:
        """Like `FrozenModel.label_probabilities`: [N, B, C] float32, rows sum to 1."""
        asked = [probabilities(prompt, texts, labels) for prompt in prompts]
        missing = [number for number, question in enumerate(asked) if not self._kept.has(question)]
        fresh: dict[int, np.ndarray] = {}
        if missing:
            run = self._model().label_probabilities
            answered = run([prompts[number] for number in missing], texts, labels, done)
            fresh = dict(zip(missing, answered, strict=True))
        if done is not None:
            done(len(texts) * (len(prompts) - len(missing)))
        return np.stack(
            [
                self._kept.answer(question, np.ndarray, lambda number=number: fresh[number])  # type: ignore[misc]
                for number, question in enumerate(asked)
            ]
        )

    def generate(self, *given: Any) -> list[list[str]]:
        """Like `FrozenModel.generate`; never kept."""
        return self._model().generate(*given)

    def says(self, written: str, labels: Sequence[str]) -> bool:
        """Like `FrozenModel.says`."""
        return self._model().says(written, labels)

    def label_ids(self, label: str) -> list[int]:
        """Like `FrozenModel.label_ids`."""
        return self._model().label_ids(label)


def _plain(option: object) -> object:
    """An option as JSON can hold it."""
    if isinstance(option, Task):
        return [list(option.texts), list(option.answers), list(option.labels), option.name]
    return [_plain(one) for one in option] if isinstance(option, tuple) else option
