"""What was read from bundled prompts before, so that a page opens at once: kept by a fingerprint of
everything that it depends on.

A model, a prompt or a text that changed has another fingerprint: nothing stale is ever found, it is computed
anew.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import numpy as np

from explorer.prompt import SoftPrompt
from explorer.system.files import ANSWERS, write_file
from explorer.texts.tasks import Task

if TYPE_CHECKING:
    from explorer.models.frozen import FrozenModel

T = TypeVar("T")

VERSION = 1
"""of what the answers mean: another one makes all of them be computed anew"""
PROBABILITIES = "probabilities"
"""the kind of answer that `KeptModel` gives"""
APART = ("map.npz", "pretraining.json", "README.md")
"""files in a model's folder that answers do not depend on"""


class Kept:
    """The answers that are kept of one model."""

    def __init__(self, model: Path, folder: Path = ANSWERS):
        """model: its folder; folder: where answers are kept, in one file a model."""
        self.model, self.file = model, folder / f"{model.name}.msgpack"

    @cached_property
    def _known(self) -> dict[str, msgspec.Raw]:
        """Answers by fingerprint, not yet decoded; none where there is no file, or a damaged one."""
        try:
            return msgspec.msgpack.decode(self.file.read_bytes(), type=dict[str, msgspec.Raw])
        except (OSError, msgspec.DecodeError):
            return {}

    def has(self, kind: str, prompt: SoftPrompt | None, options: tuple) -> bool:
        """Whether `answer` would find something."""
        return bool(self._known) and self._fingerprint(kind, prompt, options) in self._known

    def answer(
        self, kind: str, prompt: SoftPrompt | None, options: tuple, of: type[T], make: Callable[[], T]
    ) -> T:
        """What is kept, else what `make` returns.

        kind: of reading. options: all that it depends on besides the model and the prompt: numbers, texts,
        labels, tasks. of: the type of result, a dataclass or an array.
        """
        if self.has(kind, prompt, options):
            return msgspec.msgpack.decode(
                self._known[self._fingerprint(kind, prompt, options)], type=of, dec_hook=_unpacked
            )
        return make()

    def _fingerprint(self, kind: str, prompt: SoftPrompt | None, options: tuple) -> str:
        digest = hashlib.blake2b(digest_size=16)
        digest.update(json.dumps([VERSION, kind, _model_fingerprint(self.model), _plain(options)]).encode())
        for vectors in () if prompt is None else (prompt.vectors, prompt.initial):
            digest.update(
                b"none"
                if vectors is None
                else repr(vectors.shape).encode() + np.ascontiguousarray(vectors, np.float32).tobytes()
            )
        return digest.hexdigest()


class Keeping(Kept):
    """Keeps what it is asked and does not find; `save` writes it. What was kept before and is not asked again
    is dropped.
    """

    def __init__(self, model: Path, folder: Path = ANSWERS):
        super().__init__(model, folder)
        self.found, self.made = 0, 0
        """how many answers were known, and how many were computed"""
        self._asked: dict[str, msgspec.Raw] = {}

    def has(self, kind: str, prompt: SoftPrompt | None, options: tuple) -> bool:
        """Whether `answer` would find something."""
        return self._fingerprint(kind, prompt, options) in self._asked or super().has(kind, prompt, options)

    def answer(
        self, kind: str, prompt: SoftPrompt | None, options: tuple, of: type[T], make: Callable[[], T]
    ) -> T:
        """As `Kept.answer`; what is made is kept."""
        key = self._fingerprint(kind, prompt, options)
        if key in self._asked or key in self._known:
            self.found += key not in self._asked
            self._asked[key] = raw = self._asked.get(key) or self._known[key]
            return msgspec.msgpack.decode(raw, type=of, dec_hook=_unpacked)
        made = make()
        self._asked[key] = msgspec.Raw(msgspec.msgpack.encode(made, enc_hook=_packed))
        self.made += 1
        return made

    def save(self) -> None:
        """Write what was asked. Raises WriteError when the disk does not take it."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        write_file(self.file, msgspec.msgpack.encode(dict(sorted(self._asked.items()))), overwrite=True)


class KeptModel:
    """A frozen model that answers from what is kept and runs, if it must be loaded at all, for the rest
    alone.
    """

    def __init__(self, kept: Kept, model: "Callable[[], FrozenModel]"):
        """model: loads it."""
        self._kept, self._model = kept, model

    def label_probabilities(
        self,
        prompts: Sequence[SoftPrompt | None],
        texts: Sequence[str],
        labels: Sequence[str],
        done: Callable[[int], None] | None = None,
    ) -> np.ndarray:
        """As `FrozenModel.label_probabilities`: [N, B, C] float32, rows sum to 1."""
        options = tuple(texts), tuple(labels)
        missing = [
            number
            for number, prompt in enumerate(prompts)
            if not self._kept.has(PROBABILITIES, prompt, options)
        ]
        answered = (
            self._model().label_probabilities([prompts[number] for number in missing], texts, labels, done)
            if missing
            else ()
        )
        fresh: dict[int, np.ndarray] = dict(zip(missing, answered, strict=True))
        if done is not None:
            done(len(texts) * (len(prompts) - len(missing)))
        made = [partial(fresh.__getitem__, number) for number in range(len(prompts))]
        return np.stack(
            [
                self._kept.answer(PROBABILITIES, prompt, options, np.ndarray, one)
                for prompt, one in zip(prompts, made, strict=True)
            ]
        )

    def generate(self, *given: Any) -> list[list[str]]:
        """As `FrozenModel.generate`; never kept."""
        return self._model().generate(*given)

    def says(self, written: str, labels: Sequence[str]) -> bool:
        """As `FrozenModel.says`."""
        return self._model().says(written, labels)

    def label_ids(self, label: str) -> list[int]:
        """As `FrozenModel.label_ids`."""
        return self._model().label_ids(label)


def _model_fingerprint(folder: Path) -> str:
    files = sorted(file for file in folder.iterdir() if file.is_file() and file.name not in APART)
    return _content(tuple((file, file.stat().st_size, file.stat().st_ctime_ns) for file in files))


@lru_cache(maxsize=16)
def _content(files: tuple[tuple[Path, int, int], ...]) -> str:
    """Of the files' names and bytes; read again when a size or a time changed."""
    digest = hashlib.blake2b(digest_size=16)
    for file, size, _ in files:
        digest.update(f"{file.name} {size}\n".encode())
        with file.open("rb") as opened:
            while block := opened.read(2**20):
                digest.update(block)
    return digest.hexdigest()


def _plain(option: object) -> object:
    """An option as JSON can hold it."""
    if isinstance(option, Task):
        return [list(option.texts), list(option.answers), list(option.labels), option.name]
    return [_plain(one) for one in option] if isinstance(option, tuple) else option


def _packed(value: object) -> object:
    """An array as msgpack can hold it."""
    if isinstance(value, np.ndarray):
        return {"dtype": value.dtype.str, "shape": value.shape, "data": np.ascontiguousarray(value).tobytes()}
    if isinstance(value, np.generic):
        return value.item()
    raise NotImplementedError(f"{type(value).__name__} cannot be kept")


def _unpacked(wanted: type, value: Any) -> object:
    """The array again."""
    if wanted is not np.ndarray:
        raise NotImplementedError(f"{wanted} cannot be read back")
    return np.frombuffer(value["data"], value["dtype"]).reshape(value["shape"])
