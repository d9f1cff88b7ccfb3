"""A frozen model that is asked once: what several readings need of the same texts is computed once."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from explorer.cached import cached
from explorer.prompt import SoftPrompt
from explorer.vocabulary import Vocabulary

if TYPE_CHECKING:
    from explorer.models.frozen import FrozenModel
    from explorer.models.tokenizer import Tokenizer

T = TypeVar("T")
Asked = Sequence[SoftPrompt | None]
Done = Callable[[int], object] | None


class AskedOnce:
    """Label scores and generated texts of a model, remembered for each prompt with its texts and labels."""

    def __init__(self, model: "Callable[[], FrozenModel]", vocabulary: Vocabulary):
        """model: loads it, when something is asked that is not remembered."""
        self._model, self._vocabulary = model, vocabulary

    @property
    def tokenizer(self) -> "Tokenizer":
        """The model's."""
        return self._model().tokenizer

    def label_log_probabilities(
        self, prompts: Asked, texts: Sequence[str], labels: Sequence[str], done: Done = None
    ) -> np.ndarray:
        """As `FrozenModel.label_log_probabilities`: [N, B, C] float32."""
        key = "label scores", tuple(texts), tuple(labels)
        ask = self._model().label_log_probabilities
        return np.stack(
            self._each(key, prompts, len(texts), lambda new: list(ask(new, texts, labels, done)), done)
        )

    def label_probabilities(
        self, prompts: Asked, texts: Sequence[str], labels: Sequence[str], done: Done = None
    ) -> np.ndarray:
        """As `FrozenModel.label_probabilities`: [N, B, C] float32, rows sum to 1."""
        scores = self.label_log_probabilities(prompts, texts, labels, done)
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        return scores / scores.sum(axis=-1, keepdims=True)

    def generate(
        self, prompts: Asked, texts: Sequence[str], max_new_tokens: int = 16, done: Done = None
    ) -> list[list[str]]:
        """As `FrozenModel.generate`."""
        key = "written", tuple(texts), max_new_tokens
        ask = self._model().generate
        return self._each(key, prompts, len(texts), lambda new: ask(new, texts, max_new_tokens, done), done)

    def says(self, written: str, labels: Sequence[str]) -> bool:
        """As `FrozenModel.says`."""
        return self._model().says(written, labels)

    def label_ids(self, label: str) -> list[int]:
        """As `FrozenModel.label_ids`."""
        return self._model().label_ids(label)

    def _each(
        self,
        key: tuple,
        prompts: Asked,
        texts: int,
        ask: Callable[[list[SoftPrompt | None]], list[T]],
        done: Done,
    ) -> list[T]:
        """What is remembered of each prompt; of the others what is asked, in one batch."""
        model = self._model()
        whole = *key, model.name, model.max_length, model.template
        found = {one: self._known((*whole, one)) for one in prompts}
        new = [one for one, value in found.items() if value is None]
        if done is not None and len(prompts) > len(new):
            done(texts * (len(prompts) - len(new)))
        for one, value in zip(new, ask(new) if new else [], strict=True):
            found[one] = cached(self._vocabulary, (*whole, one), partial(_same, value))
        return [found[one] for one in prompts]

    def _known(self, key: tuple) -> Any:
        try:
            return cached(self._vocabulary, key, _unknown)
        except LookupError:
            return None


def _same(value: T) -> T:
    return value


def _unknown() -> None:
    raise LookupError
