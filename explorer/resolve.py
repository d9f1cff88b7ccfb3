"""What a session resolves once: which model reads a prompt, which labels, k, null distributions; and what to
doubt about it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from operator import index
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, SupportsIndex

from explorer.arguments import different_names
from explorer.choices import LONGEST_INPUT, METRICS, SHORTEST_INPUT, Device, Dtype, Metric
from explorer.errors import DataError, ExplorerError, ModelError, PromptError
from explorer.models.family import TASK_TYPES, is_encoder_decoder
from explorer.models.templates import CHAT, check_template, template_for
from explorer.prompt import SoftPrompt, prompt_list
from explorer.system.hub import repository
from explorer.vocabulary import Vocabulary
from explorer.words.wording import count

if TYPE_CHECKING:
    from explorer.kept import Kept
    from explorer.models.frozen import FrozenModel

Progress = Callable[[str], None]
"""told in words what is being done"""


def silent(message: str) -> None:
    """Progress that nobody hears."""


@dataclass(frozen=True)
class Settings:
    """What readings are made with. Raises ExplorerError for numbers out of range, DataError for labels that
    are not a list.
    """

    k: int = 10
    """neighbors of a token"""
    metric: Metric = "cosine"
    """of the neighbor table; coherence, labels and the map always use cosine"""
    nulls: int = 1000
    """random vectors of each null distribution; 0: neighbors are compared with none"""
    seed: int = 0
    labels: tuple[str, ...] | None = None
    """class labels; None: those the prompts record"""
    include_special: bool = False
    """search control pieces, sentinels and padding rows too"""
    merge_variants: bool = False
    """leave out a neighbor that is a nearer one but for case or leading space"""
    max_length: int = LONGEST_INPUT
    """pieces of a text that the model reads, its end among them; longer texts are cut"""
    template: str | None = None
    """what the model reads in place of a text, `{text}` in it, or `chat`; None: what the prompts record, else
    that of the model's family
    """

    def __post_init__(self) -> None:
        for name, least in (("k", 1), ("nulls", 0), ("seed", 0), ("max_length", SHORTEST_INPUT)):
            value = getattr(self, name)
            if not isinstance(value, SupportsIndex) or index(value) < least:
                raise ExplorerError(
                    f"found {name} = {value!r}; expected a whole number, {least} or more", name
                )
            object.__setattr__(self, name, index(value))
        if self.metric not in METRICS:
            raise ExplorerError(
                f"found the metric {self.metric!r}; expected one of {', '.join(METRICS)}", "metric"
            )
        if self.template not in (None, CHAT):
            check_template(str(self.template))
        if self.labels is not None:
            object.__setattr__(self, "labels", different_names(self.labels, "labels", "labels"))

    def changed(self, **settings: Any) -> Self:
        """The same with other values. Raises ExplorerError for a setting that does not exist."""
        known = [field.name for field in fields(self)]
        if unknown := [name for name in settings if name not in known]:
            raise ExplorerError(f"found the setting {unknown[0]!r}; expected one of {', '.join(known)}")
        return replace(self, **settings)


@dataclass(frozen=True)
class Note:
    """A doubt that readings should be read with."""

    prompt: str
    kind: Literal["checkpoint", "base model", "other embeddings", "labels"]
    text: str
    """in words, without the prompt's name"""
    setting: str | None = None
    """what mends it, as in ExplorerError"""

    def __str__(self) -> str:
        return f"{self.prompt}: {self.text}"


class Loader:
    """Vocabularies and frozen models by name, each loaded once. The dashboard has one of its own, shared by
    its visitors.
    """

    def __init__(self, device: Device | str = "auto", dtype: Dtype = "auto"):
        self.device, self.dtype = device, dtype
        self._vocabularies: dict[str, Vocabulary] = {}
        self._models: dict[str, FrozenModel] = {}

    def vocabulary(self, model: str) -> Vocabulary:
        """The vocabulary of a model. Raises ModelError when it cannot be read."""
        if model not in self._vocabularies:
            table = self._models[model].embedding if model in self._models else None
            self._vocabularies[model] = Vocabulary.load(model, table)
        return self._vocabularies[model]

    def kept(self, vocabulary: Vocabulary) -> "Kept | None":
        """What the model of a vocabulary answered before; None where every answer is to be computed, as
        here.
        """
        return None

    def frozen(self, model: str) -> "FrozenModel":
        """The frozen model. Raises ModelError when it cannot be loaded."""
        from explorer.models.family import load_frozen

        if model not in self._models:
            table = self._vocabularies[model].embedding if model in self._vocabularies else None
            self._models[model] = load_frozen(model, self.device, self.dtype, table)
        return self._models[model]


def _same_model(one: str, other: str) -> bool:
    """Whether two names may be of one model: a hub id, a folder called as the repository, a folder of a hub
    cache.
    """
    names = [repository(Path(name)) for name in (one, other)]
    ids = [
        (found[0] if found else name).rstrip("/").rpartition("/")[2]
        for found, name in zip(names, (one, other), strict=True)
    ]
    return one == other or ids[0] == ids[1]


class Resolved:
    """Some prompts with one model and one set of settings, and what follows from them: vocabulary, notes,
    frozen model, class labels.
    """

    def __init__(
        self,
        prompts: Sequence[SoftPrompt],
        model: str | Path | None = None,
        settings: Settings | None = None,
        loader: Loader | None = None,
        progress: Progress = silent,
    ):
        """model: a folder, a bundled name or a Hugging Face id that reads all prompts; None: each prompt's
        own base model.

        Raises PromptError for no prompts or two of one name.
        """
        self.prompts = prompt_list(prompts)
        given = [prompt.name for prompt in self.prompts]
        if not given:
            raise PromptError("found no prompts; expected at least one")
        if twice := sorted({name for name in given if given.count(name) > 1}):
            raise PromptError(f"{twice[0]} is given twice; expected different prompts")
        self.model_name = None if model is None else str(model)
        self.settings, self.loader, self.progress = settings or Settings(), loader or Loader(), progress
        self._resolved: dict[str, tuple[Vocabulary, tuple[Note, ...]]] = {}
        self._said: set[str] = set()

    def __repr__(self) -> str:
        shown = ", ".join(prompt.name for prompt in self.prompts[:3]) + (
            ", …" if len(self.prompts) > 3 else ""
        )
        return (
            f"<{type(self).__name__} of {count(len(self.prompts), 'prompt')}: {shown}; model "
            f"{self.model_name or 'their own'}>"
        )

    def _repr_html_(self) -> str:
        import pandas as pd

        from explorer.results import shown_in_notebook

        rows = [
            (
                p.name,
                p.length,
                p.dimension,
                p.origin.task,
                p.origin.initialization,
                self.model_name or p.origin.base_model,
            )
            for p in self.prompts
        ]
        return shown_in_notebook(
            pd.DataFrame(rows, columns=["prompt", "length", "dimension", "task", "initialization", "model"])
        )

    def only(self, *chosen: str) -> Self:
        """The same session with some of its prompts, by name. Raises PromptError for a name that is not among
        them.
        """
        known = {prompt.name: prompt for prompt in self.prompts}
        if missing := [name for name in chosen if name not in known]:
            raise PromptError(f"{missing[0]} is not in this session; found {', '.join(known)}")
        return self._with(tuple(known[name] for name in chosen), self.settings)

    def change(self, **settings: Any) -> Self:
        """The same session with other settings (fields of `Settings`)."""
        return self._with(self.prompts, self.settings.changed(**settings))

    def _with(self, prompts: tuple[SoftPrompt, ...], settings: Settings) -> Self:
        made = type(self)(prompts, self.model_name, settings, self.loader, self.progress)
        made._resolved, made._said = self._resolved, self._said
        return made

    def vocabulary_of(self, prompt: SoftPrompt) -> Vocabulary:
        """The vocabulary a prompt is read with: of the model asked for, else of its own base model, else of
        the bundled one.

        Raises ModelError when there is none and PromptError when the widths differ.
        """
        return self._resolve(prompt)[0]

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The one vocabulary of all prompts. Raises PromptError when they belong to different models."""
        found = [self.vocabulary_of(prompt) for prompt in self.prompts]
        for prompt, vocabulary in zip(self.prompts, found, strict=True):
            if vocabulary.path != found[0].path:
                raise PromptError(
                    f"{self.prompts[0].name} belongs to {found[0].name}, {prompt.name} to "
                    f"{vocabulary.name}; expected prompts of one model: "
                    "choose others or give the model to read them with",
                    "model",
                )
        return found[0]

    @cached_property
    def notes(self) -> tuple[Note, ...]:
        """What to doubt: warnings of the checkpoints, base models that were not found, embeddings or labels
        other than those trained on.
        """
        return tuple(
            note for prompt in self.prompts for note in (*self._resolve(prompt)[1], *self._other_case(prompt))
        )

    def _other_case(self, prompt: SoftPrompt) -> list[Note]:
        """A note where labels were asked for that differ from those a prompt records by case alone: the model
        scores the very word.
        """
        recorded = {label.casefold(): label for label in prompt.origin.labels or ()}
        asked = [
            label
            for label in self.settings.labels or ()
            if label not in recorded.values() and label.casefold() in recorded
        ]
        if not asked:
            return []
        said = ", ".join(f"{label} for {recorded[label.casefold()]}" for label in asked)
        text = (
            f"its labels were asked for in another case ({said}); case matters, it was trained on "
            f"{', '.join(prompt.origin.labels or ())}"
        )
        return [Note(prompt.name, "labels", text, "labels")]

    def _resolve(self, prompt: SoftPrompt) -> tuple[Vocabulary, tuple[Note, ...]]:
        if prompt.name not in self._resolved:
            self._resolved[prompt.name] = self._resolved_anew(prompt)
        return self._resolved[prompt.name]

    def _resolved_anew(self, prompt: SoftPrompt) -> tuple[Vocabulary, tuple[Note, ...]]:
        notes = [Note(prompt.name, "checkpoint", warning) for warning in prompt.origin.warnings]
        if self.model_name is not None:
            vocabulary = self.loader.vocabulary(self.model_name)
        else:
            vocabulary, note = self._own_vocabulary(prompt)
            notes += [] if note is None else [note]
        vocabulary.check_width(prompt.vectors, prompt.name)
        base = prompt.origin.base_model
        if (
            base is not None
            and self.model_name is not None
            and prompt.origin.base_fingerprint is None
            and not _same_model(base, self.model_name)
        ):
            text = (
                f"its base model is {base}, but it is read with {vocabulary.name}, which has the same "
                f"width, {prompt.dimension}; readings may mean nothing"
            )
            notes.append(Note(prompt.name, "base model", text, "model"))
        if prompt.origin.base_fingerprint not in (None, vocabulary.fingerprint):
            text = (
                f"trained on {prompt.origin.base_model} with other embeddings than {vocabulary.name} "
                "has now; its readings may mean nothing"
            )
            notes.append(Note(prompt.name, "other embeddings", text, "model"))
        notes += self._other_kind(prompt, vocabulary)
        return vocabulary, tuple(notes)

    @staticmethod
    def _other_kind(prompt: SoftPrompt, vocabulary: Vocabulary) -> list[Note]:
        """A note where a prompt was trained for another kind of model than it is read with."""
        known, folder = {kind: family for family, kind in TASK_TYPES.items()}, vocabulary.path
        trained = known.get(prompt.origin.task_type or "")
        if trained is None or folder is None or is_encoder_decoder(folder) == (trained == "encoder-decoder"):
            return []
        text = (
            f"trained for {trained} models ({prompt.origin.task_type}), which {vocabulary.name} is "
            "not; its readings and answers may mean nothing"
        )
        return [Note(prompt.name, "base model", text, "model")]

    def _own_vocabulary(self, prompt: SoftPrompt) -> tuple[Vocabulary, Note | None]:
        """Of the base model a prompt records, else of the bundled model where the widths agree, which is
        noted.
        """
        from explorer.models.loading import DEFAULT_MODEL, bundled_models

        base, reason = prompt.origin.base_model, "records no base model"
        if (
            base is not None and prompt.origin.uploaded and base not in bundled_models()
        ):  # a path would tell what is on the server
            reason = f"its base model {base[:80]} is not looked for, since the prompt was uploaded"
        elif base is not None:
            try:
                return self.loader.vocabulary(base), None
            except ModelError as error:
                reason = f"its base model was not found ({error})"
        vocabulary = self.loader.vocabulary(DEFAULT_MODEL)
        if vocabulary.dimension != prompt.dimension:
            raise ModelError(
                f"{prompt.name}: vectors of width {prompt.dimension}, {reason}, and the bundled "
                f"{DEFAULT_MODEL} has embeddings of width "
                f"{vocabulary.dimension}; give the prompt's own model",
                "model",
            )
        text = (
            f"{reason}; reading it with the bundled {DEFAULT_MODEL}, which has the same width, "
            f"{prompt.dimension}"
        )
        return vocabulary, Note(prompt.name, "base model", text, "model")

    @cached_property
    def model(self) -> "FrozenModel":
        """The frozen model all prompts belong to; widths are checked before the weights are read."""
        name = self.vocabulary.name
        self.progress(f"loading {name}")
        return self.loader.frozen(name).limited(self.settings.max_length).templated(self.template)

    @cached_property
    def template(self) -> str:
        """What the model reads in place of a text: as asked for, else as the prompts record it, else as suits
        the model's family.

        Raises DataError where prompts were trained within different ones.
        """
        folder = self.vocabulary.path
        if self.settings.template is not None:
            return template_for(self.settings.template, folder)
        found = [template_for(prompt.origin.template, folder) for prompt in self.prompts]
        for prompt, one in zip(self.prompts, found, strict=True):
            if one != found[0]:
                raise DataError(
                    f"{self.prompts[0].name} reads texts as {found[0]!r}, {prompt.name} as {one!r}; "
                    "expected one template: choose others or give a template",
                    "template",
                )
        return found[0]

    @property
    def names_labels(self) -> bool:
        """Whether labels were asked for or some prompt records its own; else those of labelled texts are
        ranked.
        """
        return self.settings.labels is not None or any(prompt.origin.labels for prompt in self.prompts)

    @cached_property
    def class_labels(self) -> tuple[str, ...]:
        """The labels to rank: those asked for, else those that the prompts record. Raises DataError for none,
        one, or different ones.
        """
        if self.settings.labels is not None:
            if len(self.settings.labels) < 2:
                raise DataError(
                    f"found the label {', '.join(self.settings.labels) or 'none'}; expected at least two",
                    "labels",
                )
            return self.settings.labels
        first, labels = self.prompts[0], self._recorded_labels(self.prompts[0])
        for other in self.prompts[1:]:
            if (others := self._recorded_labels(other)) != labels:
                found = (
                    f"{first.name} has the labels {', '.join(labels)}, {other.name} has {', '.join(others)}"
                )
                raise DataError(f"{found}; expected one task: choose others or name the labels", "labels")
        return labels

    @staticmethod
    def _recorded_labels(prompt: SoftPrompt) -> tuple[str, ...]:
        if not prompt.origin.labels:
            raise DataError(
                f"{prompt.name} records no class labels; name them, such as negative and positive", "labels"
            )
        return prompt.origin.labels

    @property
    def all_labels(self) -> tuple[str, ...]:
        """The labels asked for, else every label that some prompt records; empty where none does."""
        if self.settings.labels is not None:
            return self.settings.labels
        return tuple(dict.fromkeys(label for prompt in self.prompts for label in prompt.origin.labels or ()))
