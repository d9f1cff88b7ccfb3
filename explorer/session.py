"""A session: some prompts, the model they belong to, one set of settings. It resolves each once, and every reading is a method.

The command line, the pages, the report and Python all read through it, so that they cannot disagree. Nobody else decides which model reads a
prompt, which labels, which k, which null distributions.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from explorer.arguments import as_list, different_names
from explorer.choices import Grouping
from explorer.errors import DataError, PromptError
from explorer.prompt import SoftPrompt
from explorer.resolve import Loader, Resolved, Settings

if TYPE_CHECKING:
    import pandas as pd

    from explorer.analysis.clusters import Clusters
    from explorer.analysis.compare.groups import Comparison
    from explorer.analysis.decomposition import Decomposition
    from explorer.analysis.labels import LabelReading
    from explorer.analysis.map.fit import VocabularyMap
    from explorer.analysis.map.place import MapReading
    from explorer.analysis.neighbors import NearestNeighbors
    from explorer.analysis.norms import Norms
    from explorer.analysis.redundancy import Redundancy
    from explorer.analysis.trajectory import NeighborChanges
    from explorer.evaluation.attribution import Attribution
    from explorer.evaluation.decoder_reading import DecoderReading
    from explorer.evaluation.domain_shift import DomainShift
    from explorer.evaluation.ensemble import Ensemble
    from explorer.evaluation.faithfulness import Faithfulness
    from explorer.evaluation.label_mass import LabelMass
    from explorer.evaluation.scoring import Predictions, Scores
    from explorer.evaluation.verbalization import Verbalization
    from explorer.kept import Kept, KeptModel
    from explorer.models.frozen import FrozenModel
    from explorer.results import Readings, Result
    from explorer.tasks import Task
    from explorer.vocabulary import Vocabulary

T = TypeVar("T")
R = TypeVar("R", bound="Result")
Share = Callable[[float], None]
"""told how much is done, 0…1"""
Reading = Literal["ensemble", "shift", "faithfulness", "attribution"]
"""what may be kept, see explorer.kept"""
DRAWS, POINTS, ORDERS = 5, 11, 100
"""of random words and of the curve in faithfulness; of random orders in attribution"""


class Session(Resolved):
    """Some prompts with one model and one set of settings; readings are methods, each made once."""

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
        """Does a token lie among words that belong together? See analysis.clusters."""
        from explorer.analysis.clusters import Clusters, clusters

        options = self.settings.k, self.settings.nulls, self.settings.seed
        return self._each_kept("clusters", options, Clusters, lambda prompt, vocabulary: clusters(prompt, vocabulary, *options))

    def significant_groups(self) -> list[tuple[tuple[str, ...], ...]]:
        """Of each prompt the words of every token's group where it is significant, else none: the verdict of `clusters` alone, for less."""
        from explorer.analysis.clusters import significant_groups

        options = self.settings.nulls, self.settings.seed

        def groups(prompt: SoftPrompt) -> tuple[tuple[str, ...], ...]:
            vocabulary = self.vocabulary_of(prompt)
            make = partial(significant_groups, prompt, vocabulary, *options)
            return self._kept_or_made("groups", prompt, options, tuple[tuple[str, ...], ...], make)

        return [self._once(prompt, "groups", options, partial(groups, prompt)) for prompt in self.prompts]

    def decompose(self, words: int = 5) -> "Readings[Decomposition]":
        """Every token as a sum of few words; see analysis.decomposition."""
        from explorer.analysis.decomposition import decompose

        return self._each("decompose", (words, self.settings.nulls, self.settings.seed), decompose)

    def redundancy(self) -> "Readings[Redundancy]":
        """Do the tokens of a prompt repeat each other? See analysis.redundancy."""
        from explorer.analysis.redundancy import redundancy

        k, seed = self.settings.k, self.settings.seed
        return self._each("redundancy", (k, seed), lambda prompt, vocabulary, *_: redundancy(prompt, vocabulary, k, seed=seed))

    def labels(self, labels: Sequence[str] | None = None, others: Sequence[str] = ()) -> "Readings[LabelReading]":
        """How near the tokens are to class labels: `labels`, else those of the settings, else each prompt's own; see analysis.labels.

        others: labels of other tasks, a baseline of persistence.
        """
        from explorer.analysis.labels import read_labels

        chosen = self.settings.labels if labels is None else different_names(labels, "labels")
        others = as_list(others, "other labels")
        nulls, seed = self.settings.nulls, self.settings.seed
        return self._each("labels", (chosen, others, nulls, seed), lambda prompt, vocabulary, *_: read_labels(prompt, vocabulary, chosen, nulls, seed, others))

    def norms(self) -> "Readings[Norms]":
        """Length and place of every token beside the vocabulary's rows; see analysis.norms."""
        from explorer.analysis.norms import read_norms

        return self._each("norms", (), read_norms)

    def changes(self) -> "Readings[NeighborChanges]":
        """Every change of a token's nearest piece while it was trained; see analysis.trajectory. Raises PromptError without saved steps."""
        from explorer.analysis.trajectory import neighbor_changes

        return self._each("changes", (), neighbor_changes)

    def vocabulary_map(self) -> "VocabularyMap":
        """The map of the vocabulary: shipped, kept, or fitted now."""
        from explorer.analysis.map.store import load_map
        from explorer.analysis.memo import remembered

        return remembered(self.vocabulary, "map", lambda: load_map(self.vocabulary, self.progress))

    def map(self, paths: bool = False, before_training: bool = False) -> "MapReading":
        """Prompts and labels on the map; paths: also where the tokens were while they were trained; before_training: also where they began."""
        from explorer.analysis.map.place import MapReading, place_initial, place_labels, place_prompt, place_trajectory

        drawn, vocabulary = self.vocabulary_map(), self.vocabulary
        trained = [prompt for prompt in self.prompts if prompt.trajectory is not None]
        placed = [
            replace(self._once(prompt, "place", (), partial(place_prompt, prompt, vocabulary, drawn)), groups=groups)
            for prompt, groups in zip(self.prompts, self.significant_groups(), strict=True)
        ]
        if before_training:
            placed += [self._once(prompt, "place before", (), partial(place_initial, prompt, vocabulary, drawn)) for prompt in trained]
        placed += [place_labels(self.all_labels, vocabulary, drawn)] if self.all_labels else []
        along = {prompt.name: self._once(prompt, "path", (), partial(place_trajectory, prompt, vocabulary, drawn)) for prompt in trained * paths}
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
        self._say_cut(given)
        key = ("predict", given, self.class_labels, no_prompt, generate, max_new_tokens)
        return self._answered(key, lambda: predict(self.model, asked, given, self.class_labels, generate, max_new_tokens))

    def evaluate(self, task: "Task", no_prompt: bool = False, generate: bool = True) -> "Scores":
        """Accuracy, macro F1 and invalid-output rate on labelled texts."""
        from explorer.evaluation.scoring import evaluate

        asked, fitted = self._asked(no_prompt), self._labelled(task)
        self._say_cut(fitted.texts)
        return self._answered(
            ("evaluate", fitted, no_prompt, generate), lambda: evaluate(self._answering, asked, fitted, progress=self.progress, generate=generate)
        )

    def ensemble(self, task: "Task", share: Share | None = None) -> "Ensemble":
        """What the prompts answer together, in one batch; share: told how much is done, 0…1."""
        from explorer.evaluation.ensemble import ensemble

        fitted, seed = self._labelled(task), self.settings.seed
        self._say_cut(fitted.texts)
        return self._answered(("ensemble", fitted, seed), lambda: ensemble(self._answering, self.prompts, fitted, share, seed, self.progress))

    def shift(self, tasks: "Sequence[Task]", no_prompt: bool = False, generate: bool = True) -> "DomainShift":
        """What each prompt answers on a source (the first task) and on targets, and how much is lost."""
        from explorer.evaluation.domain_shift import DomainShift, answer

        if not tasks:
            raise DataError("found no tasks; expected the source and at least one target")
        asked, fitted = self._asked(no_prompt), tuple(self._labelled(task) for task in tasks)
        self._say_cut([text for task in fitted for text in task.texts])
        found = self._answered(("shift", fitted, no_prompt, generate), lambda: answer(self._answering, asked, fitted, generate, self.progress))
        return DomainShift(tuple(task.name for task in fitted), tuple(found))

    def faithfulness(self, task: "Task", draws: int = DRAWS, points: int = POINTS, share: Share | None = None) -> "Readings[Faithfulness]":
        """How much accuracy survives when a prompt is replaced by its nearest words?"""
        from explorer.evaluation.faithfulness import Faithfulness, faithfulness

        fitted, seed = self._labelled(task), self.settings.seed
        self._say_cut(fitted.texts)

        def read(prompt: SoftPrompt, vocabulary: "Vocabulary", *_: Any) -> Faithfulness:
            return faithfulness(self.model, vocabulary, prompt, fitted, draws, points, seed, share, self.progress)

        return self._each_kept("faithfulness", (fitted, draws, points, seed), Faithfulness, read)

    def attribution(self, texts: Sequence[str] | str, label: str | None = None, orders: int = ORDERS) -> "Readings[Attribution]":
        """Which prompt tokens the answer rests on; of several texts the means."""
        from explorer.evaluation.attribution import Attribution, attribute

        given, seed, labels = (texts,) if isinstance(texts, str) else tuple(texts), self.settings.seed, self.class_labels
        self._say_cut(given)

        def read(prompt: SoftPrompt, vocabulary: "Vocabulary", *_: Any) -> Attribution:
            return attribute(self.model, vocabulary, prompt, given, labels, label, orders, seed, self.progress)

        return self._each_kept("attribution", (given, labels, label, orders, seed), Attribution, read)

    def decode(self, texts: Sequence[str] | str | None = None) -> "Readings[DecoderReading]":
        """The first pieces that the decoder writes more often with each prompt than without: alone, in a gap, before texts (None: a few neutral ones).

        k pieces each; see evaluation.decoder_reading.
        """
        return self._decoded(texts)[0]

    def label_mass(self, texts: Sequence[str] | str | None = None) -> "LabelMass":
        """How likely the decoder begins with class labels, of each prompt's own task and of others; see evaluation.label_mass.

        Raises DataError where no prompt records labels and none are given.
        """
        found = self._decoded(texts)[1]
        if found is None:
            raise DataError(f"{self.prompts[0].name} records no class labels; name them, such as negative and positive", "labels")
        return found

    def verbalize(self, k: int = 5) -> "Readings[Verbalization]":
        """What a language model writes for each prompt token in a sentence that asks for its meaning; see evaluation.verbalization.

        Raises ModelError for a T5.
        """
        from explorer.evaluation.verbalization import verbalize

        return self._each("verbalize", (k, self.settings.seed), lambda prompt, vocabulary, *options: verbalize(self.model, vocabulary, prompt, *options))

    @property
    def verbalizes(self) -> bool:
        """Whether the prompts belong to a model that can be asked so: a decoder-only one."""
        from explorer.models.family import is_encoder_decoder

        folder = self.vocabulary.path
        return folder is not None and not is_encoder_decoder(folder)

    def pieces_read(self, text: str) -> tuple[str, ...]:
        """What the model reads behind a prompt of one text, its template around it, piece by piece as the tokenizer writes them."""
        pieces = self.vocabulary.pieces
        return tuple(pieces[token_id] for token_id in self.model.text_ids([text])[0])

    def cut(self, texts: Sequence[str]) -> str | None:
        """What to say of texts that the model does not read whole: `3 of 84 texts were cut at 512 pieces`; None where it reads all of them so.

        Raises DataError for an empty text, an absurdly long one and a string instead of a list.
        """
        from explorer.analysis.memo import remembered
        from explorer.models.templates import filled
        from explorer.tasks import check_text
        from explorer.wording import cut

        given, longest, vocabulary, template = as_list(texts, "texts"), self.settings.max_length, self.vocabulary, self.template

        def said() -> str | None:
            for number, text in enumerate(given, start=1):
                check_text(text, f"text {number}")
            read = [filled(template, text) for text in given]
            lengths = vocabulary.lengths(read) if vocabulary.path is not None else list(map(len, self.model.tokenizer.inputs(read)))
            return cut(lengths, longest)

        return remembered(vocabulary, ("cut", given, longest, template), said)

    def _say_cut(self, texts: Sequence[str]) -> None:
        """Tell once how many texts are cut."""
        said = self.cut(texts)
        if said is not None and said not in self._said:
            self._said.add(said)
            self.progress(said)

    # How readings are made once.

    def _each(self, name: str, options: tuple, read: "Callable[..., R]") -> "Readings[R]":
        """One reading of every prompt: read(prompt, its vocabulary, *options)."""
        from explorer.results import Readings

        found = []
        for prompt in self.prompts:
            vocabulary = self.vocabulary_of(prompt)
            found.append(self._once(prompt, name, options, partial(read, prompt, vocabulary, *options)))
        return Readings(found)

    def _each_kept(self, name: str, options: tuple, of: "type[R]", read: "Callable[..., R]") -> "Readings[R]":
        """As `_each`, from what the model answered before where that is kept."""

        def known(prompt: SoftPrompt, vocabulary: "Vocabulary", *_: Any) -> "R":
            return self._kept_or_made(name, prompt, (prompt.name, *options), of, partial(read, prompt, vocabulary))

        return self._each(name, (*options, self.settings.max_length, self.settings.template), known)

    def _kept_or_made(self, name: str, prompt: SoftPrompt, options: tuple, of: type[T], make: Callable[[], T]) -> T:
        """What is kept of a prompt, where its model keeps answers; else what `make` returns."""
        kept = self._kept(self.vocabulary_of(prompt))
        return make() if kept is None else kept.answer(name, prompt, options, of, make)

    @property
    def _answering(self) -> "FrozenModel | KeptModel":
        """The frozen model; where answers are kept, one that is loaded only for those that are not."""
        from explorer.kept import KeptModel

        kept = self._kept(self.vocabulary)
        return self.model if kept is None else KeptModel(kept, lambda: self.model)

    def kept(self, reading: Reading, *given: "Task | str") -> bool:
        """Whether a reading of these tasks (of attribution: texts) was computed before for every prompt, so that nothing need run."""
        kept = self._kept(self.vocabulary)
        return kept is not None and all(kept.has(*self._key(reading, prompt, one)) for one in given for prompt in self.prompts)

    def _kept(self, vocabulary: "Vocabulary") -> "Kept | None":
        """What the model answered before, to texts cut where they are by default, within the usual template."""
        usual = self.settings.max_length == Settings.max_length and self.settings.template is None
        return self.loader.kept(vocabulary) if usual else None

    def _key(self, reading: str, prompt: SoftPrompt, given: "Task | str") -> tuple[str, SoftPrompt, tuple]:
        """What a reading with the usual options is kept by."""
        from explorer.kept import PROBABILITIES

        if isinstance(given, str):
            return reading, prompt, (prompt.name, (given,), self.class_labels, None, ORDERS, self.settings.seed)
        fitted = self._labelled(given)
        if reading == "faithfulness":
            return reading, prompt, (prompt.name, fitted, DRAWS, POINTS, self.settings.seed)
        return PROBABILITIES, prompt, (fitted.texts, fitted.labels)

    def _once(self, prompt: SoftPrompt, name: str, options: tuple, make: Callable[[], T]) -> T:
        from explorer.analysis.memo import remembered

        return remembered(self.vocabulary_of(prompt), (name, prompt, *options), make)

    def _decoded(self, texts: Sequence[str] | str | None) -> "tuple[Readings[DecoderReading], LabelMass | None]":
        from explorer.evaluation.decoder_reading import read_decoder
        from explorer.evaluation.neutral_texts import NEUTRAL

        given = NEUTRAL if texts is None else (texts,) if isinstance(texts, str) else as_list(texts, "texts")
        now, vocabulary = self.settings, self.vocabulary
        self._say_cut(given)
        options = (given, now.labels, now.k, now.include_special, now.seed)
        return self._answered(("decode", *options), lambda: read_decoder(self.model, vocabulary, self.prompts, *options, self.progress))

    def _answered(self, key: tuple, make: Callable[[], T]) -> T:
        from explorer.analysis.memo import remembered

        return remembered(self.vocabulary, (self.prompts, self.settings.max_length, self.settings.template, *key), make)

    def _asked(self, no_prompt: bool) -> list[SoftPrompt | None]:
        return [*self.prompts, None] if no_prompt else list(self.prompts)

    def _labelled(self, task: "Task") -> "Task":
        """The task with the session's labels in their order; with its own where no prompt records labels and none are asked for.

        Raises DataError for an answer that is none of them.
        """
        from explorer.tasks import Task, with_labels

        if not isinstance(task, Task):
            raise DataError(f"found a {type(task).__name__} where labelled texts are meant; expected a Task, as read_task returns it")
        return with_labels(task, self.class_labels) if self.names_labels else task


def open_session(*prompts: SoftPrompt | str | Path, model: str | Path | None = None, loader: Loader | None = None, **settings: Any) -> Session:
    """Open prompts for reading: paths, bundled names, ids of adapters on the Hugging Face hub (`user/name`, `user/name@revision`), or prompts in memory.

    settings: fields of `Settings`. Prompts of one name that lie in different places get names that tell them apart. Raises PromptError for a prompt that
    is missing or damaged.
    """
    from explorer.formats import read_prompt, told_apart

    if lists := [prompt for prompt in prompts if isinstance(prompt, list | tuple)]:
        raise PromptError(f"prompts: found a list of {len(lists[0])}; expected them one by one, as in open(*prompts)")
    read = [prompt if isinstance(prompt, SoftPrompt) else read_prompt(prompt) for prompt in prompts]
    return Session(told_apart(read), model, Settings().changed(**settings), loader)
