"""A session: some prompts, the model they belong to, one set of settings. It resolves each once, and every reading is a method.

The command line, the pages, the report and Python all read through it, so that they cannot disagree. Nobody else decides which model reads a
prompt, which labels, which k, which null distributions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from explorer.choices import Device, Dtype, Grouping, Metric
from explorer.errors import DataError, ExplorerError, ModelError, PromptError
from explorer.prompt import SoftPrompt
from explorer.vocabulary import Vocabulary
from explorer.wording import count

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from explorer.analysis.clusters import Clusters
    from explorer.analysis.compare.groups import Comparison
    from explorer.analysis.labels import LabelReading
    from explorer.analysis.map.fit import VocabularyMap
    from explorer.analysis.map.place import Placement
    from explorer.analysis.neighbors import NearestNeighbors
    from explorer.analysis.norms import Norms
    from explorer.analysis.redundancy import Redundancy
    from explorer.evaluation.attribution import Attribution
    from explorer.evaluation.domain_shift import Answered
    from explorer.evaluation.ensemble import Ensemble
    from explorer.evaluation.faithfulness import Faithfulness
    from explorer.evaluation.scoring import Predictions, Scores
    from explorer.models.encoder_decoder import FrozenT5
    from explorer.results import Readings
    from explorer.tasks import Task

T = TypeVar("T")
Progress = Callable[[str], None]
Share = Callable[[float], None]


def silent(message: str) -> None:
    """Progress that nobody hears."""


def names(given: Sequence[str] | None, what: str) -> tuple[str, ...] | None:
    """A list of names as a tuple. Raises DataError for a string, which would count as its letters, and for a name given twice."""
    if given is None:
        return None
    if isinstance(given, str):
        raise DataError(f"{what}: found the text {given!r}; expected a list, such as {[part.strip() for part in given.split(',')]!r}")
    found = tuple(given)
    if not all(isinstance(name, str) and name.strip() for name in found) or len(set(found)) < len(found):
        raise DataError(f"{what}: found {', '.join(map(str, found)) or 'nothing'}; expected different names")
    return found


@dataclass(frozen=True)
class Settings:
    """What readings are made with. Raises ExplorerError for numbers out of range, DataError for labels that are not a list."""

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

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ExplorerError(f"found k = {self.k}; expected 1 or more neighbors", "k")
        if self.nulls < 0 or self.seed < 0:
            raise ExplorerError(f"found {self.nulls} nulls and the seed {self.seed}; expected 0 or more of each")
        object.__setattr__(self, "labels", names(self.labels, "labels"))


@dataclass(frozen=True)
class Note:
    """A doubt that readings should be read with."""

    prompt: str
    kind: Literal["checkpoint", "base model", "other embeddings"]
    text: str
    """in words, without the prompt's name"""
    setting: str | None = None
    """what mends it, as in ExplorerError"""

    def __str__(self) -> str:
        return f"{self.prompt}: {self.text}"


class Loader:
    """Vocabularies and frozen models by name, each loaded once. The dashboard has one of its own, shared by its visitors."""

    def __init__(self, device: Device | str = "auto", dtype: Dtype = "auto"):
        self.device, self.dtype = device, dtype
        self._vocabularies: dict[str, Vocabulary] = {}
        self._models: dict[str, FrozenT5] = {}

    def vocabulary(self, model: str) -> Vocabulary:
        """The vocabulary of a model. Raises ModelError when it cannot be read."""
        if model not in self._vocabularies:
            table = self._models[model].embedding if model in self._models else None
            self._vocabularies[model] = Vocabulary.load(model, table)
        return self._vocabularies[model]

    def frozen(self, model: str) -> "FrozenT5":
        """The frozen model. Raises ModelError when it cannot be loaded."""
        from explorer.models.encoder_decoder import FrozenT5

        if model not in self._models:
            self._models[model] = FrozenT5.load(model, self.device, self.dtype)
        return self._models[model]


@dataclass(frozen=True)
class MapReading:
    """Prompts and class labels on the map of the vocabulary."""

    map: "VocabularyMap"
    placements: "tuple[Placement, ...]"
    """every prompt, then the class labels"""
    paths: "dict[str, tuple[np.ndarray, np.ndarray]]" = field(default_factory=dict)
    """by prompt: saved steps [S] and places [S, P, 2]; empty where no training paths were asked for"""

    def to_frame(self) -> "pd.DataFrame":
        """One row per point: prompt, kind, position, name, x, y, trust."""
        import pandas as pd

        return pd.concat([placement.to_frame() for placement in self.placements], ignore_index=True)


class Session:
    """Some prompts with one model and one set of settings; readings are methods, each made once."""

    def __init__(
        self,
        prompts: Sequence[SoftPrompt],
        model: str | Path | None = None,
        settings: Settings | None = None,
        loader: Loader | None = None,
        progress: Progress = silent,
    ):
        """model: a folder, a bundled name or a Hugging Face id that reads all prompts; None: each prompt's own base model.

        Raises PromptError for no prompts or two of one name.
        """
        self.prompts = tuple(prompts)
        called = [prompt.name for prompt in self.prompts]
        if not called:
            raise PromptError("found no prompts; expected at least one")
        if twice := sorted({name for name in called if called.count(name) > 1}):
            raise PromptError(f"{twice[0]} is given twice; expected different prompts")
        self.model_name = None if model is None else str(model)
        self.settings, self.loader, self.progress = settings or Settings(), loader or Loader(), progress
        self._resolved: dict[str, tuple[Vocabulary, tuple[Note, ...]]] = {}

    def __repr__(self) -> str:
        shown = ", ".join(prompt.name for prompt in self.prompts[:3]) + (", …" if len(self.prompts) > 3 else "")
        return f"<Session of {count(len(self.prompts), 'prompt')}: {shown}; model {self.model_name or 'their own'}>"

    def _repr_html_(self) -> str:
        from explorer.report.tables import list_prompts

        return list_prompts((prompt.origin.path, prompt) for prompt in self.prompts).to_html(index=False, na_rep="–", border=0)

    # What is resolved once: the vocabulary of each prompt, the doubts about it, the model, the labels.

    def only(self, *chosen: str) -> "Session":
        """The same session with some of its prompts, by name. Raises PromptError for a name that is not among them."""
        known = {prompt.name: prompt for prompt in self.prompts}
        if missing := [name for name in chosen if name not in known]:
            raise PromptError(f"{missing[0]} is not in this session; found {', '.join(known)}")
        return self._with(tuple(known[name] for name in chosen), self.settings)

    def change(self, **settings: object) -> "Session":
        """The same session with other settings (fields of `Settings`)."""
        return self._with(self.prompts, replace(self.settings, **settings))

    def _with(self, prompts: tuple[SoftPrompt, ...], settings: Settings) -> "Session":
        made = Session(prompts, self.model_name, settings, self.loader, self.progress)
        made._resolved = self._resolved
        return made

    def vocabulary_of(self, prompt: SoftPrompt) -> Vocabulary:
        """The vocabulary a prompt is read with: of the model asked for, else of its own base model, else of the bundled one.

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
                    f"{self.prompts[0].name} belongs to {found[0].name}, {prompt.name} to {vocabulary.name}; expected prompts of one model: "
                    "choose others or give the model to read them with",
                    "model",
                )
        return found[0]

    @cached_property
    def notes(self) -> tuple[Note, ...]:
        """What to doubt: warnings of the checkpoints, base models that were not found, embeddings other than those trained on."""
        return tuple(note for prompt in self.prompts for note in self._resolve(prompt)[1])

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
        if prompt.origin.base_fingerprint not in (None, vocabulary.fingerprint):
            text = f"trained on {prompt.origin.base_model} with other embeddings than {vocabulary.name} has now; its readings may mean nothing"
            notes.append(Note(prompt.name, "other embeddings", text, "model"))
        return vocabulary, tuple(notes)

    def _own_vocabulary(self, prompt: SoftPrompt) -> tuple[Vocabulary, Note | None]:
        """Of the base model a prompt records, else of the bundled model where the widths agree, which is noted."""
        from explorer.models.loading import DEFAULT_MODEL

        base, reason = prompt.origin.base_model, "records no base model"
        if base is not None:
            try:
                return self.loader.vocabulary(base), None
            except ModelError as error:
                reason = f"its base model was not found ({error})"
        vocabulary = self.loader.vocabulary(DEFAULT_MODEL)
        if vocabulary.dimension != prompt.dimension:
            raise ModelError(
                f"{prompt.name}: vectors of width {prompt.dimension}, {reason}, and the bundled {DEFAULT_MODEL} has embeddings of width "
                f"{vocabulary.dimension}; give the prompt's own model",
                "model",
            )
        text = f"{reason}; reading it with the bundled {DEFAULT_MODEL}, which has the same width, {prompt.dimension}"
        return vocabulary, Note(prompt.name, "base model", text, "model")

    @cached_property
    def model(self) -> "FrozenT5":
        """The frozen model all prompts belong to; widths are checked before the weights are read."""
        name = self.vocabulary.name
        self.progress(f"loading {name}")
        return self.loader.frozen(name)

    @cached_property
    def class_labels(self) -> tuple[str, ...]:
        """The labels to rank: those asked for, else those that the prompts record. Raises DataError for none, one, or different ones."""
        if self.settings.labels is not None:
            if len(self.settings.labels) < 2:
                raise DataError(f"found the label {', '.join(self.settings.labels) or 'none'}; expected at least two", "labels")
            return self.settings.labels
        for prompt in self.prompts:
            if not prompt.origin.labels:
                raise DataError(f"{prompt.name} records no class labels; name them, such as negative and positive", "labels")
        first, *others = self.prompts
        for other in others:
            if other.origin.labels != first.origin.labels:
                found = f"{first.name} has the labels {', '.join(first.origin.labels)}, {other.name} has {', '.join(other.origin.labels)}"
                raise DataError(f"{found}; expected one task: choose others or name the labels", "labels")
        return first.origin.labels

    @property
    def all_labels(self) -> tuple[str, ...]:
        """The labels asked for, else every label that some prompt records; empty where none does."""
        if self.settings.labels is not None:
            return self.settings.labels
        return tuple(dict.fromkeys(label for prompt in self.prompts for label in prompt.origin.labels or ()))

    # Readings of the vectors alone.

    def neighbors(self) -> "Readings[NearestNeighbors]":
        """The nearest vocabulary rows of every prompt token; see analysis.neighbors."""
        from explorer.analysis.neighbors import nearest_neighbors

        now = self.settings
        options = (now.k, now.metric, now.include_special, now.merge_variants, now.nulls, now.seed)
        return self._each("neighbors", options, nearest_neighbors)

    def centered_neighbors(self) -> "Readings[NearestNeighbors]":
        """The same after the vocabulary's mean is taken away, without nulls."""
        from explorer.analysis.neighbors import centered_neighbors

        return self._each("centered neighbors", (self.settings.k,), centered_neighbors)

    def clusters(self) -> "Readings[Clusters]":
        """Do a token's neighbors belong together? See analysis.clusters."""
        from explorer.analysis.clusters import clusters

        return self._each("clusters", (self.settings.k, self.settings.nulls, self.settings.seed), clusters)

    def redundancy(self) -> "Readings[Redundancy]":
        """Do the tokens of a prompt repeat each other? See analysis.clusters."""
        from explorer.analysis.redundancy import redundancy

        k, seed = self.settings.k, self.settings.seed
        return self._each("redundancy", (k, seed), lambda prompt, vocabulary, *_: redundancy(prompt, vocabulary, k, seed=seed))

    def labels(self, labels: Sequence[str] | None = None, others: Sequence[str] = ()) -> "Readings[LabelReading]":
        """How near the tokens are to class labels: `labels`, else those of the settings, else each prompt's own; see analysis.labels.

        others: labels of other tasks, a baseline of persistence.
        """
        from explorer.analysis.labels import read_labels

        chosen, others = names(labels, "labels") or self.settings.labels, names(others, "other labels") or ()
        nulls, seed = self.settings.nulls, self.settings.seed
        return self._each("labels", (chosen, others, nulls, seed), lambda prompt, vocabulary, *_: read_labels(prompt, vocabulary, chosen, nulls, seed, others))

    def norms(self) -> "Readings[Norms]":
        """Length and place of every token beside the vocabulary's rows; see analysis.norms."""
        from explorer.analysis.norms import read_norms

        return self._each("norms", (), read_norms)

    def changes(self) -> "pd.DataFrame":
        """Every change of a token's nearest piece while it was trained; see analysis.trajectory. Raises PromptError without saved steps."""
        import pandas as pd

        from explorer.analysis.trajectory import neighbor_changes

        tables = [self._once(prompt, "changes", (), lambda prompt=prompt: neighbor_changes(prompt, self.vocabulary_of(prompt))) for prompt in self.prompts]
        return pd.concat(tables, ignore_index=True)

    def vocabulary_map(self) -> "VocabularyMap":
        """The map of the vocabulary: shipped, kept, or fitted now."""
        from explorer.analysis.map.store import load_map
        from explorer.analysis.memo import remembered

        return remembered(self.vocabulary, "map", lambda: load_map(self.vocabulary, self.progress))

    def map(self, paths: bool = False, before_training: bool = False) -> MapReading:
        """Prompts and labels on the map; paths: also where the tokens were while they were trained; before_training: also where they began."""
        from explorer.analysis.map.place import place_initial, place_labels, place_prompt, place_trajectory

        drawn, vocabulary = self.vocabulary_map(), self.vocabulary
        trained = [prompt for prompt in self.prompts if prompt.trajectory is not None]
        placed = [self._once(prompt, "place", (), lambda prompt=prompt: place_prompt(prompt, vocabulary, drawn)) for prompt in self.prompts]
        if before_training:
            placed += [self._once(prompt, "place before", (), lambda prompt=prompt: place_initial(prompt, vocabulary, drawn)) for prompt in trained]
        placed += [place_labels(self.all_labels, vocabulary, drawn)] if self.all_labels else []
        along = {prompt.name: self._once(prompt, "path", (), lambda prompt=prompt: place_trajectory(prompt, vocabulary, drawn)) for prompt in trained * paths}
        return MapReading(drawn, tuple(placed), along)

    def compare(self, by: Grouping = "initialization") -> "Comparison":
        """Readings of all prompts side by side, in groups; see analysis.compare."""
        from explorer.analysis.compare.groups import compare
        from explorer.analysis.memo import remembered

        now, vocabulary = self.settings, self.vocabulary
        key = ("compare", self.prompts, by, now.k, now.nulls, now.seed)
        return remembered(vocabulary, key, lambda: compare(self.prompts, vocabulary, by, now.k, now.nulls, now.seed, self.progress))

    def pairs(self) -> "pd.DataFrame":
        """Prompt against prompt, positions matched one to one; see analysis.compare.matching."""
        from explorer.analysis.compare.matching import pairs
        from explorer.analysis.memo import remembered

        vocabulary, seed = self.vocabulary, self.settings.seed
        return remembered(vocabulary, ("pairs", self.prompts, seed), lambda: pairs(self.prompts, vocabulary, seed=seed))

    # Readings that run the frozen model. `no_prompt` adds the model without any prompt.

    def predict(self, texts: Sequence[str] | str, no_prompt: bool = False, generate: bool = True, max_new_tokens: int = 8) -> "Predictions":
        """Label probabilities and generated text of every prompt on every text, in one batch. A single text may be given as it is."""
        from explorer.evaluation.scoring import predict

        given = (texts,) if isinstance(texts, str) else tuple(texts)
        asked = self._asked(no_prompt)
        key = ("predict", given, self.class_labels, no_prompt, generate, max_new_tokens)
        return self._answered(key, lambda: predict(self.model, asked, given, self.class_labels, generate, max_new_tokens))

    def evaluate(self, task: "Task", no_prompt: bool = False, generate: bool = True) -> "Scores":
        """Accuracy, macro F1 and invalid-output rate on labelled texts."""
        from explorer.evaluation.scoring import evaluate

        asked, fitted = self._asked(no_prompt), self._labelled(task)
        return self._answered(("evaluate", fitted, no_prompt, generate), lambda: evaluate(self.model, asked, fitted, progress=self.progress, generate=generate))

    def ensemble(self, task: "Task", share: Share | None = None) -> "Ensemble":
        """What the prompts answer together, in one batch; share: told how much is done, 0…1."""
        from explorer.evaluation.ensemble import ensemble

        fitted, seed = self._labelled(task), self.settings.seed
        return self._answered(("ensemble", fitted, seed), lambda: ensemble(self.model, self.prompts, fitted, share, seed))

    def shift(self, tasks: "Sequence[Task]", no_prompt: bool = False, generate: bool = True) -> "list[Answered]":
        """What each prompt answers on a source (the first task) and on targets."""
        from explorer.evaluation.domain_shift import answer

        asked, fitted = self._asked(no_prompt), tuple(self._labelled(task) for task in tasks)
        return self._answered(("shift", fitted, no_prompt, generate), lambda: answer(self.model, asked, fitted, generate, self.progress))

    def faithfulness(self, task: "Task", draws: int = 5, points: int = 11, share: Share | None = None) -> "Readings[Faithfulness]":
        """How much accuracy survives when a prompt is replaced by its nearest words?"""
        from explorer.evaluation.faithfulness import faithfulness

        fitted, seed = self._labelled(task), self.settings.seed
        return self._each(
            "faithfulness",
            (fitted, draws, points, seed),
            lambda prompt, vocabulary, *_: faithfulness(self.model, vocabulary, prompt, fitted, draws, points, seed, share),
        )

    def attribution(self, texts: Sequence[str] | str, label: str | None = None, orders: int = 100) -> "Readings[Attribution]":
        """Which prompt tokens the answer rests on; of several texts the means."""
        from explorer.evaluation.attribution import attribute

        given, seed = (texts,) if isinstance(texts, str) else tuple(texts), self.settings.seed
        key = (given, self.class_labels, label, orders, seed)
        return self._each(
            "attribution",
            key,
            lambda prompt, vocabulary, *_: attribute(self.model, vocabulary, prompt, given, self.class_labels, label, orders, seed, self.progress),
        )

    # How readings are made once.

    def _each(self, name: str, options: tuple, read: Callable[..., T]) -> "Readings[T]":
        """One reading of every prompt: read(prompt, its vocabulary, *options)."""
        from explorer.results import Readings

        found = []
        for prompt in self.prompts:
            vocabulary = self.vocabulary_of(prompt)
            found.append(self._once(prompt, name, options, lambda prompt=prompt, vocabulary=vocabulary: read(prompt, vocabulary, *options)))
        return Readings(found)

    def _once(self, prompt: SoftPrompt, name: str, options: tuple, make: Callable[[], T]) -> T:
        from explorer.analysis.memo import remembered

        return remembered(self.vocabulary_of(prompt), (name, prompt, *options), make)

    def _answered(self, key: tuple, make: Callable[[], T]) -> T:
        from explorer.analysis.memo import remembered

        return remembered(self.vocabulary, (self.prompts, *key), make)

    def _asked(self, no_prompt: bool) -> list[SoftPrompt | None]:
        return [*self.prompts, None] if no_prompt else list(self.prompts)

    def _labelled(self, task: "Task") -> "Task":
        """The task with the session's labels in their order. Raises DataError for an answer that is none of them."""
        return replace(task, labels=self.class_labels)


def open_session(*prompts: SoftPrompt | str | Path, model: str | Path | None = None, loader: Loader | None = None, **settings: object) -> Session:
    """Open prompts for reading: paths, bundled names or prompts in memory.

    settings: fields of `Settings`. Raises PromptError for a prompt that is missing or damaged.
    """
    from explorer.formats import read_prompt

    read = [prompt if isinstance(prompt, SoftPrompt) else read_prompt(prompt) for prompt in prompts]
    return Session(read, model, Settings(**settings), loader)
