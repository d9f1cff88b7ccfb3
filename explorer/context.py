"""What is found out once for some prompts: which model reads each, which labels and template hold, and what
to doubt about it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

from explorer.choices import Device, Dtype
from explorer.errors import DataError, ModelError, PromptError
from explorer.models.family import TASK_TYPES, is_encoder_decoder
from explorer.models.templates import GIVEN, GUESSED, RECORDED, TEXT, filled, in_words, template_for
from explorer.prompt import SoftPrompt, check_runs
from explorer.settings import Settings
from explorer.system.hub import repository
from explorer.vocabulary import Vocabulary
from explorer.words.arguments import as_list

if TYPE_CHECKING:
    from explorer.cached.kept import Kept, Shipped
    from explorer.models.frozen import FrozenModel
    from explorer.readings.reading import Reading
    from explorer.texts.tasks import Task

Progress = Callable[[str], None]
"""told in words what is being done"""


def silent(message: str) -> None:
    """Progress that nobody hears."""


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


class Loader(Protocol):
    """Where vocabularies and frozen models come from, by name. The dashboard has one that its visitors
    share.
    """

    @property
    def device(self) -> Device | str:
        """Where models run."""

    @property
    def dtype(self) -> Dtype:
        """The precision of their weights."""

    def vocabulary(self, model: str) -> Vocabulary:
        """The vocabulary of a model. Raises ModelError when it cannot be read."""

    def frozen(self, model: str) -> "FrozenModel":
        """The frozen model. Raises ModelError when it cannot be loaded."""

    def kept(self, vocabulary: Vocabulary) -> "Kept | Shipped | None":
        """What was computed before for a vocabulary and its model; None where all is to be computed."""


class LocalLoader:
    """Vocabularies and frozen models, each loaded once, the embedding table of both one array."""

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

    def kept(self, vocabulary: Vocabulary) -> "Kept | Shipped | None":
        """What was computed before: what ships, where no model runs for it, and the user's cache."""
        from explorer.cached.kept import Kept, place_of, shipped_with

        place = place_of(str(self.device), self.dtype)
        return Kept(vocabulary, shipped_with(vocabulary), place, shared=False)

    def frozen(self, model: str) -> "FrozenModel":
        """The frozen model. Raises ModelError when it cannot be loaded."""
        from explorer.models.load import load_frozen

        if model not in self._models:
            table = self._vocabularies[model].embedding if model in self._vocabularies else None
            self._models[model] = load_frozen(model, self.device, self.dtype, table)
        return self._models[model]


def _same_model(name: str, other: str) -> bool:
    """Whether two names may be of one model: a hub id, a folder called as the repository, a folder of a hub
    cache.
    """
    hub_names = [repository(Path(given)) for given in (name, other)]
    ids = [
        (hub_name[0] if hub_name else given).rstrip("/").rpartition("/")[2]
        for hub_name, given in zip(hub_names, (name, other), strict=True)
    ]
    return name == other or ids[0] == ids[1]


@dataclass(frozen=True, eq=False)
class _Shared:
    """What contexts of the same prompts share: vocabularies by prompt, and what was told already."""

    resolved: dict[str, tuple[Vocabulary, tuple[Note, ...]]] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)


@dataclass(frozen=True, eq=False, repr=False)
class Context:
    """Some prompts with one model and one set of settings, and what follows from them, found out when it is
    asked for and once. Raises PromptError for no prompts or two of one name.
    """

    prompts: tuple[SoftPrompt, ...]
    model_name: str | None
    """a folder, a bundled name or a Hugging Face id that reads all prompts; None: each prompt's own base
    model
    """
    settings: Settings
    loader: Loader
    progress: Progress = silent
    _shared: _Shared = field(default_factory=_Shared)

    def __post_init__(self) -> None:
        names = [prompt.name for prompt in self.prompts]
        if not names:
            raise PromptError("found no prompts; expected at least one")
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise PromptError(f"{twice[0]} is given twice; expected different prompts")

    def only(self, *names: str) -> Self:
        """The same with some of the prompts, by name. Raises PromptError for a name that is not among
        them.
        """
        known = {prompt.name: prompt for prompt in self.prompts}
        if missing := [name for name in names if name not in known]:
            raise PromptError(f"{missing[0]} is not in this session; found {', '.join(known)}")
        return self.of(*(known[name] for name in names))

    def of(self, *prompts: SoftPrompt) -> Self:
        """The same with some of the prompts."""
        return self if prompts == self.prompts else replace(self, prompts=prompts)

    def changed(self, **settings: Any) -> Self:
        """The same with other settings."""
        return replace(self, settings=self.settings.changed(**settings)) if settings else self

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
            return self._replaced(prompt)
        said = ", ".join(f"{label} for {recorded[label.casefold()]}" for label in asked)
        text = (
            f"its labels were asked for in another case ({said}); case matters, it was trained on "
            f"{', '.join(prompt.origin.labels or ())}"
        )
        return [Note(prompt.name, "labels", text, "labels")]

    def _replaced(self, prompt: SoftPrompt) -> list[Note]:
        """A note where other labels were asked for than a prompt records."""
        recorded, asked = prompt.origin.labels or (), self.settings.labels or ()
        if not recorded or not asked or set(asked) <= set(recorded):
            return []
        text = (
            f"it was trained on the labels {', '.join(recorded)}; {', '.join(asked)} are scored in their "
            "place, as asked"
        )
        return [Note(prompt.name, "labels", text, "labels")]

    def _resolve(self, prompt: SoftPrompt) -> tuple[Vocabulary, tuple[Note, ...]]:
        resolved = self._shared.resolved
        if prompt.name not in resolved:
            resolved[prompt.name] = self._resolved_anew(prompt)
        return resolved[prompt.name]

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
        for prompt in self.prompts:
            check_runs(prompt)
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
    def template_in_words(self) -> str | None:
        """Which template texts are read in, and whether it is given, recorded or guessed; None for a T5 that
        reads the text alone.
        """
        template, recorded = self.template, [prompt.origin.template is not None for prompt in self.prompts]
        if template == TEXT and not self.verbalizes:
            return None
        if self.settings.template is not None:
            return in_words(template, GIVEN)
        return in_words(template, RECORDED if all(recorded) else GUESSED)

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

    def readable(self, reading: "Reading") -> tuple[str, ...]:
        """The prompts that have what a reading needs, by name; none where they are too few for it, or where
        their model is of another kind.
        """
        if "language model" in reading.needs and not self.verbalizes:
            return ()
        names = tuple(prompt.name for prompt in self.prompts if reading.fits(prompt, self.settings.labels))
        if not reading.each and names:
            names = tuple(prompt.name for prompt in self.prompts)
        return names if reading.fewest <= len(names) <= (reading.most or len(names)) else ()

    def labelled(self, task: "Task") -> "Task":
        """The task with the context's labels in their order; with its own where no prompt records labels and
        none are asked for.

        Raises DataError for an answer that is none of them.
        """
        from explorer.texts.tasks import Task, with_labels

        if not isinstance(task, Task):
            raise DataError(
                f"found a {type(task).__name__} where labelled texts are meant; expected a Task, as "
                "read_task returns it"
            )
        return with_labels(task, self.class_labels) if self.names_labels else task

    @property
    def verbalizes(self) -> bool:
        """Whether the prompts belong to a model that can be asked what they mean: a decoder-only one."""
        folder = self.vocabulary.path
        return folder is not None and not is_encoder_decoder(folder)

    def pieces_read(self, text: str) -> tuple[str, ...]:
        """What the model reads behind a prompt of one text, its template around it, piece by piece as the
        tokenizer writes them.
        """
        pieces = self.vocabulary.pieces
        return tuple(pieces[token_id] for token_id in self.model.text_ids([text])[0])

    def cut(self, texts: Sequence[str]) -> str | None:
        """What to say of texts that the model does not read whole: `3 of 84 texts were cut at 512 pieces`;
        None where it reads all of them so.

        Raises DataError for an empty text, an absurdly long one and a string instead of a list.
        """
        from explorer.cached import cached
        from explorer.texts.tasks import check_text
        from explorer.words.wording import cut

        texts, longest, template = as_list(texts, "texts"), self.settings.max_length, self.template

        def in_words() -> str | None:
            for number, text in enumerate(texts, start=1):
                check_text(text, f"text {number}")
            inputs = [filled(template, text) for text in texts]
            if self.vocabulary.path is not None:
                return cut(self.vocabulary.lengths(inputs), longest)
            return cut(list(map(len, self.model.tokenizer.inputs(inputs))), longest)

        return cached(self.vocabulary, ("cut", texts, longest, template), in_words)

    def say_cut(self, texts: Sequence[str]) -> None:
        """Tell once how many texts are cut, and which template they are read in."""
        for said in (self.template_in_words, self.cut(texts)):
            if said is not None and said not in self._shared.told:
                self._shared.told.add(said)
                self.progress(said)
