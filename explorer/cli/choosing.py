"""From what was typed to prompts, the vocabularies they are read with, class labels, and lists of values."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from explorer.cli.output import note
from explorer.errors import DataError, ModelError, PromptError

if TYPE_CHECKING:
    from explorer.models.encoder_decoder import FrozenT5
    from explorer.prompt import SoftPrompt
    from explorer.vocabulary import Vocabulary


def read_prompts(prompts: Sequence[str]) -> "list[SoftPrompt]":
    """The prompts given by path or name, in that order. Raises PromptError for one that is missing or damaged."""
    from explorer.formats import read_prompt

    read = [read_prompt(prompt) for prompt in prompts]
    for prompt in read:
        for warning in prompt.origin.warnings:
            note(f"{prompt.name}: {warning}")
    return read


def values(text: str | None, option: str) -> list[str]:
    """The values of an option that takes a list with commas. Raises typer.BadParameter for empty or repeated ones."""
    found = [value.strip() for value in text.split(",")] if text is not None else []
    for value in found:
        value.encode()  # what is not UTF-8 is refused here; a tokenizer would fail on it
    if "" in found or len(set(found)) < len(found):
        raise typer.BadParameter(f"found {text!r}; expected different values with commas between them", param_hint=option)
    return found


class Vocabularies:
    """The vocabulary each prompt is read with: of the model asked for, else of the prompt's own base model.

    A prompt that records no base model, or one that is not to be had, is read with the bundled model when the widths agree,
    and said so. Every model is loaded once.
    """

    def __init__(self, model: str | None):
        self.model = model
        self.loaded: dict[str, Vocabulary] = {}

    def of(self, prompt: "SoftPrompt") -> "Vocabulary":
        """The vocabulary of one prompt. Raises ModelError when there is none and PromptError when the widths differ."""
        if self.model is not None:
            vocabulary = self._load(self.model)
            vocabulary.check_width(prompt.vectors, prompt.name)
        else:
            vocabulary = self._own(prompt)
        if prompt.origin.base_fingerprint not in (None, vocabulary.fingerprint):
            note(f"{prompt.name}: trained on {prompt.origin.base_model} with other embeddings than {vocabulary.name} has now; its readings may mean nothing")
        return vocabulary

    def shared_by(self, prompts: "Sequence[SoftPrompt]") -> "Vocabulary":
        """The one vocabulary of several prompts. Raises PromptError when they belong to different models."""
        found = [self.of(prompt) for prompt in prompts]
        for prompt, vocabulary in zip(prompts, found, strict=True):
            if vocabulary.path != found[0].path:
                raise PromptError(
                    f"{prompts[0].name} belongs to {found[0].name}, {prompt.name} to {vocabulary.name}; "
                    "expected prompts of one model: choose others or give --model"
                )
        return found[0]

    def _load(self, model: str) -> "Vocabulary":
        from explorer.vocabulary import Vocabulary

        if model not in self.loaded:
            self.loaded[model] = Vocabulary.load(model)
        return self.loaded[model]

    def _own(self, prompt: "SoftPrompt") -> "Vocabulary":
        from explorer.models.loading import DEFAULT_MODEL, model_folder

        base, reason = prompt.origin.base_model, "records no base model"
        if base is not None:
            try:
                model_folder(base, weights=True)
            except ModelError as error:
                reason = f"its base model is not to be had ({error})"
            else:
                vocabulary = self._load(base)
                vocabulary.check_width(prompt.vectors, prompt.name)
                return vocabulary
        vocabulary = self._load(DEFAULT_MODEL)
        if vocabulary.dimension != prompt.dimension:
            raise ModelError(
                f"{prompt.name}: vectors of width {prompt.dimension}, {reason}, and the bundled {DEFAULT_MODEL} has "
                f"embeddings of width {vocabulary.dimension}; give the prompt's own model with --model"
            )
        note(f"{prompt.name}: {reason}; reading it with the bundled {DEFAULT_MODEL}, which has the same width, {prompt.dimension}")
        return vocabulary


def class_labels(prompts: "Sequence[SoftPrompt]", labels: str | None) -> tuple[str, ...]:
    """The class labels to score: those given with commas, else those that the prompts record.

    Raises DataError when prompts record none or different ones, typer.BadParameter when fewer than two are given.
    """
    if labels is not None:
        chosen = tuple(values(labels, "--labels"))
        if len(chosen) < 2:
            raise typer.BadParameter(f"found {labels!r}; expected at least two labels with commas between them", param_hint="--labels")
        return chosen
    recorded = {prompt.name: prompt.origin.labels for prompt in prompts}
    for name, own in recorded.items():
        if not own:
            raise DataError(f"{name} records no class labels; give them with --labels, such as --labels negative,positive")
    (first, expected), *others = recorded.items()
    for name, own in others:
        if own != expected:
            raise DataError(f"{first} has the labels {', '.join(expected)}, {name} has {', '.join(own)}; expected one task: choose others or give --labels")
    return expected


def load_model(prompts: "Sequence[SoftPrompt]", model: str | None, device: str = "auto") -> "FrozenT5":
    """The frozen model all prompts belong to; widths are checked before the weights are read."""
    vocabulary = Vocabularies(model).shared_by(prompts)
    from explorer.models.encoder_decoder import FrozenT5

    frozen = FrozenT5.load(vocabulary.name, device=device)
    for doubt in frozen.doubts:
        note(f"{frozen.name}: {doubt}")
    return frozen
