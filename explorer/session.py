"""A session: some prompts, the model they belong to, one set of settings; every reading is a method.

The command line, the pages, the report and Python all read through it, so that they cannot disagree. What it
knows of prompts, model and labels is its `context`; what each reading is, `readings` declares.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from explorer import readings
from explorer.choices import LONGEST_INPUT, MetricChoice
from explorer.context import Context, Loader, LocalLoader, Note, Progress, silent
from explorer.errors import ExplorerError, PromptError
from explorer.evaluation.neutral_texts import NEUTRAL
from explorer.prompt import SoftPrompt, prompt_list
from explorer.readings.made import MayBeKept, Share, is_kept, read
from explorer.readings.map import vocabulary_map
from explorer.readings.reading import Reading
from explorer.settings import Settings
from explorer.vocabulary import Vocabulary
from explorer.words.wording import count

if TYPE_CHECKING:
    import pandas as pd

    from explorer.analysis.clusters import Clusters
    from explorer.analysis.compare.groups import Comparison
    from explorer.analysis.decomposition import Decomposition
    from explorer.analysis.labels import LabelReading
    from explorer.analysis.labels_found import LabelsFound
    from explorer.analysis.map.fit import VocabularyMap
    from explorer.analysis.map.place import MapReading
    from explorer.analysis.neighbors import NearestNeighbors
    from explorer.analysis.norms import Norms
    from explorer.analysis.redundancy import Redundancy
    from explorer.analysis.trajectory import NeighborChanges
    from explorer.evaluation.attribution import Attribution
    from explorer.evaluation.cues import Cues, TextCues
    from explorer.evaluation.decoder_reading import DecoderReading
    from explorer.evaluation.domain_shift import DomainShift
    from explorer.evaluation.ensemble import Ensemble
    from explorer.evaluation.faithfulness import Faithfulness
    from explorer.evaluation.gain import Gain
    from explorer.evaluation.label_mass import LabelMass
    from explorer.evaluation.layers import Layers
    from explorer.evaluation.scoring import Predictions, Scores
    from explorer.evaluation.verbalization import Verbalization
    from explorer.models.frozen import FrozenModel
    from explorer.results import Readings
    from explorer.texts.tasks import Task

R = TypeVar("R")
MENDS = {
    "labels": 'explorer.open(..., labels=["negative", "positive"])',
    "model": 'explorer.open(..., model="google/flan-t5-small")',
    "template": 'explorer.open(..., template="{text} Sentiment:")',
}
"""what somebody types in Python where a setting mends an error"""


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
        """model: a folder, a bundled name or a Hugging Face id that reads all prompts; None: each prompt's
        own base model.

        Raises PromptError for no prompts or two of one name.
        """
        name = None if model is None else str(model)
        self.context = Context(
            prompt_list(prompts), name, settings or Settings(), loader or LocalLoader(), progress
        )
        self._in_python = False
        """whether errors say what to type in Python; a page and a shell have words of their own"""

    @classmethod
    def _with(cls, context: Context, in_python: bool) -> Self:
        made = cls.__new__(cls)
        made.context, made._in_python = context, in_python
        return made

    def __repr__(self) -> str:
        names = [prompt.name for prompt in self.prompts]
        shown = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
        return f"<Session of {count(len(names), 'prompt')}: {shown}; model {self.model_name or 'their own'}>"

    def _repr_html_(self) -> str:
        import pandas as pd

        from explorer.results import shown_in_notebook

        columns = ["prompt", "length", "dimension", "task", "initialization", "model"]
        rows = [
            (
                prompt.name,
                prompt.length,
                prompt.dimension,
                prompt.origin.task,
                prompt.origin.initialization,
                self.model_name or prompt.origin.base_model,
            )
            for prompt in self.prompts
        ]
        return shown_in_notebook(pd.DataFrame(rows, columns=columns))

    def only(self, *chosen: str) -> Self:
        """The same session with some of its prompts, by name. Raises PromptError for a name that is not among
        them.
        """
        return self._with(self.context.only(*chosen), self._in_python)

    def change(self, **settings: Any) -> Self:
        """The same session with other settings (fields of `Settings`)."""
        return self._with(self.context.changed(**settings), self._in_python)

    # What was found out about prompts and model: see `Context`.

    @property
    def prompts(self) -> tuple[SoftPrompt, ...]:
        """The prompts that are read."""
        return self.context.prompts

    @property
    def model_name(self) -> str | None:
        """The model that reads all prompts; None: each prompt's own."""
        return self.context.model_name

    @property
    def settings(self) -> Settings:
        """What readings are made with."""
        return self.context.settings

    @property
    def loader(self) -> Loader:
        """Where vocabularies and models come from."""
        return self.context.loader

    @property
    def progress(self) -> Progress:
        """Is told in words what is being done."""
        return self.context.progress

    def vocabulary_of(self, prompt: SoftPrompt) -> Vocabulary:
        """The vocabulary a prompt is read with. Raises ModelError when there is none and PromptError when the
        widths differ.
        """
        return self.context.vocabulary_of(prompt)

    @property
    def vocabulary(self) -> Vocabulary:
        """The one vocabulary of all prompts. Raises PromptError when they belong to different models."""
        return self.context.vocabulary

    @property
    def notes(self) -> tuple[Note, ...]:
        """What to doubt: warnings of the checkpoints, models that were not found, other labels."""
        return self.context.notes

    @property
    def model(self) -> "FrozenModel":
        """The frozen model all prompts belong to."""
        return self.context.model

    @property
    def template(self) -> str:
        """What the model reads in place of a text."""
        return self.context.template

    @property
    def template_in_words(self) -> str | None:
        """Which template texts are read in, and whether it is given, recorded or guessed; None for a T5 that
        reads the text alone.
        """
        return self.context.template_in_words

    @property
    def names_labels(self) -> bool:
        """Whether labels were asked for or some prompt records its own."""
        return self.context.names_labels

    @property
    def class_labels(self) -> tuple[str, ...]:
        """The labels to rank. Raises DataError for none, one, or different ones."""
        return self.context.class_labels

    @property
    def all_labels(self) -> tuple[str, ...]:
        """The labels asked for, else every label that some prompt records; empty where none does."""
        return self.context.all_labels

    @property
    def verbalizes(self) -> bool:
        """Whether the prompts belong to a model that can be asked what they mean."""
        return self.context.verbalizes

    def pieces_read(self, text: str) -> tuple[str, ...]:
        """What the model reads behind a prompt of one text, piece by piece."""
        return self.context.pieces_read(text)

    def cut(self, texts: Sequence[str]) -> str | None:
        """What to say of texts that the model does not read whole; None where it reads all of them so."""
        return self.context.cut(texts)

    # Readings

    def read(self, reading: "Reading[R]", share: Share | None = None, **parameters: Any) -> R:
        """Any reading that is declared in `explorer.readings`; share: told how much is done, 0…1."""
        try:
            return read(self.context, reading, parameters, share)
        except ExplorerError as error:
            if self._in_python and error.setting in MENDS:
                raise type(error)(f"{error}: {MENDS[error.setting]}", error.setting) from error
            raise

    def readable(self, reading: Reading) -> tuple[str, ...]:
        """The prompts that have what a reading needs, by name; none where they are too few for it."""
        return self.context.readable(reading)

    def kept(self, reading: MayBeKept, *given: "Task | str") -> bool:
        """Whether a reading of these tasks (of attribution: texts) was computed before for every prompt, so
        that nothing need run.
        """
        declared = next(one for one in readings.READINGS if one.name == reading)
        return is_kept(self.context, declared, given)

    def neighbors(self) -> "Readings[NearestNeighbors]":
        """The nearest vocabulary rows of every prompt token; see analysis.neighbors."""
        return self.read(readings.NEIGHBORS)

    def centered_neighbors(self) -> "Readings[NearestNeighbors]":
        """The same after the vocabulary's mean is taken away, without nulls."""
        return self.read(readings.CENTERED)

    def clusters(self) -> "Readings[Clusters]":
        """Does a token lie among words that belong together? See analysis.clusters."""
        return self.read(readings.CLUSTERS)

    def significant_groups(self) -> list[tuple[tuple[str, ...], ...]]:
        """Of each prompt the words of every token's group where it is significant, else none: the verdict of
        `clusters` alone, for less.
        """
        return list(self.read(readings.GROUPS))

    def decompose(self, words: int = 5) -> "Readings[Decomposition]":
        """Every token as a sum of few words; see analysis.decomposition."""
        return self.read(readings.DECOMPOSE, words=words)

    def redundancy(self) -> "Readings[Redundancy]":
        """Do the tokens of a prompt repeat each other? See analysis.redundancy."""
        return self.read(readings.REDUNDANCY)

    def labels(
        self, labels: Sequence[str] | None = None, others: Sequence[str] = ()
    ) -> "Readings[LabelReading]":
        """How near the tokens are to class labels: `labels`, else those of the settings, else each prompt's
        own; see analysis.labels.

        others: labels of other tasks, a baseline of persistence.
        """
        asked = self if labels is None else self.change(labels=labels)
        return asked.read(readings.LABELS, others=others)

    def labels_found(self) -> "Readings[LabelsFound]":
        """Tokens that found a class label while they were trained; see analysis.labels_found."""
        return self.read(readings.LABELS_FOUND)

    def norms(self) -> "Readings[Norms]":
        """Length and place of every token beside the vocabulary's rows; see analysis.norms."""
        return self.read(readings.NORMS)

    def changes(self) -> "Readings[NeighborChanges]":
        """Every change of a token's nearest piece while it was trained; see analysis.trajectory. Raises
        PromptError without saved steps.
        """
        return self.read(readings.CHANGES)

    @property
    def map_is_kept(self) -> bool:
        """Whether the map of the vocabulary is there; else fitting it takes some minutes, once."""
        from explorer.analysis.map.store import is_kept

        return is_kept(self.vocabulary)

    def vocabulary_map(self) -> "VocabularyMap":
        """The map of the vocabulary: shipped, kept, or fitted now."""
        return vocabulary_map(self.vocabulary, self.progress)

    def map(self, paths: bool = False, before_training: bool = False) -> "MapReading":
        """Prompts and labels on the map; paths: also where the tokens were while they were trained;
        before_training: also where they began.
        """
        return self.read(readings.MAP, paths=paths, before_training=before_training)

    def compare(self, by: str = "initialization") -> "Comparison":
        """Readings of all prompts side by side, in groups; see analysis.compare."""
        return self.read(readings.COMPARE, by=by)

    def pairs(self) -> "pd.DataFrame":
        """Prompt against prompt, positions matched one to one; see analysis.compare.matching."""
        return self.read(readings.PAIRS)

    # Readings that run the frozen model. `no_prompt` adds the model without any prompt.

    def predict(
        self,
        texts: Sequence[str] | str,
        no_prompt: bool = False,
        generate: bool = True,
        max_new_tokens: int = 8,
    ) -> "Predictions":
        """Label probabilities and generated text of every prompt on every text, in one batch. A single text
        may be given as it is.
        """
        return self.read(
            readings.PREDICT,
            texts=texts,
            no_prompt=no_prompt,
            generate=generate,
            max_new_tokens=max_new_tokens,
        )

    def evaluate(self, task: "Task", no_prompt: bool = False, generate: bool = True) -> "Scores":
        """Accuracy, macro F1 and invalid-output rate on labelled texts."""
        return self.read(readings.EVALUATE, task=task, no_prompt=no_prompt, generate=generate)

    def gain(self, task: "Task", generate: bool = True) -> "Gain":
        """What each prompt's gain over no prompt is made of; see evaluation.gain."""
        return self.read(readings.GAIN, task=task, generate=generate)

    def cues(self, texts: "Task | Sequence[str]", answers: Sequence[str] | None = None) -> "Cues":
        """Which words of texts decide the answer, with each prompt and without; answers: the label of each,
        where they are known (a task has them). See evaluation.cues.
        """
        session, texts, answers = self._texts(texts, answers)
        return session.read(readings.CUES, texts=texts, answers=answers)

    def text_cues(self, text: str) -> "TextCues":
        """What deleting each word of one text does to its answer."""
        return self.read(readings.TEXT_CUES, text=text)

    def layers(
        self,
        texts: "Task | Sequence[str]",
        answers: Sequence[str] | None = None,
        share: Share | None = None,
    ) -> "Readings[Layers]":
        """In which layers the answer appears, and where the prompt is read; answers as in `cues`. See
        evaluation.layers.
        """
        session, texts, answers = self._texts(texts, answers)
        return session.read(readings.LAYERS, share, texts=texts, answers=answers)

    def _texts(
        self, texts: "Task | Sequence[str]", answers: Sequence[str] | None
    ) -> tuple[Self, Sequence[str], tuple[str, ...] | None]:
        """Texts with their labels, where they have them, and the session that knows these."""
        from explorer.texts.tasks import Task

        if not isinstance(texts, Task):
            if answers is None:
                return self, texts, None
            texts = Task(tuple(texts), tuple(answers), self.class_labels, "texts")
        task = self.context.labelled(texts)
        session = self if self.names_labels else self.change(labels=task.labels)
        return session, task.texts, task.answers

    def ensemble(self, task: "Task", share: Share | None = None) -> "Ensemble":
        """What the prompts answer together, in one batch; share: told how much is done, 0…1."""
        return self.read(readings.ENSEMBLE, share, task=task)

    def shift(self, tasks: "Sequence[Task]", no_prompt: bool = False, generate: bool = True) -> "DomainShift":
        """What each prompt answers on a source (the first task) and on targets, and how much is lost."""
        return self.read(readings.SHIFT, tasks=tasks, no_prompt=no_prompt, generate=generate)

    def faithfulness(
        self, task: "Task", draws: int = 5, points: int = 11, share: Share | None = None
    ) -> "Readings[Faithfulness]":
        """How much accuracy survives when a prompt is replaced by its nearest words?"""
        return self.read(readings.FAITHFULNESS, share, task=task, draws=draws, points=points)

    def typed_words(
        self,
        task: "Task",
        words: Sequence[str],
        draws: int = 5,
        points: int = 11,
        share: Share | None = None,
    ) -> "Readings[Faithfulness]":
        """The same with words that somebody typed in the prompt's place, too."""
        return self.read(readings.TYPED_WORDS, share, task=task, words=words, draws=draws, points=points)

    def attribution(
        self, texts: Sequence[str] | str, label: str | None = None, orders: int = 100
    ) -> "Readings[Attribution]":
        """Which prompt tokens the answer rests on; of several texts the means."""
        return self.read(readings.ATTRIBUTION, texts=texts, label=label, orders=orders)

    def decode(self, texts: Sequence[str] | str | None = None) -> "Readings[DecoderReading]":
        """The first pieces that the decoder writes more often with each prompt than without: alone, in a gap,
        before texts (None: a few neutral ones).

        k pieces each; see evaluation.decoder_reading.
        """
        return self.read(readings.DECODE, texts=NEUTRAL if texts is None else texts)

    def label_mass(self, texts: Sequence[str] | str | None = None) -> "LabelMass":
        """How likely the decoder begins with class labels, of each prompt's own task and of others; see
        evaluation.label_mass.

        Raises DataError where no prompt records labels and none are given.
        """
        return self.read(readings.LABEL_MASS, texts=NEUTRAL if texts is None else texts)

    def verbalize(self, k: int = 5) -> "Readings[Verbalization]":
        """What a language model writes for each prompt token in a sentence that asks for its meaning; see
        evaluation.verbalization.

        Raises ModelError for a T5.
        """
        return self.read(readings.VERBALIZE, k=k)


def open_session(
    *prompts: SoftPrompt | str | Path,
    model: str | Path | None = None,
    loader: Loader | None = None,
    k: int = Settings.k,
    metric: MetricChoice = Settings.metric,
    nulls: int = Settings.nulls,
    seed: int = Settings.seed,
    labels: Sequence[str] | None = None,
    include_special: bool = False,
    merge_variants: bool = False,
    max_length: int = LONGEST_INPUT,
    template: str | None = None,
    **unknown: Any,
) -> Session:
    """Open prompts for reading: paths, bundled names, ids of adapters on the Hugging Face hub (`user/name`,
    `user/name@revision`), or prompts in memory.

    model: what reads all of them: a folder, a bundled name or a hub id; None: each prompt's own base model.
    k: neighbors of a token. metric: of the neighbor table. nulls: random vectors of each null distribution.
    labels: class labels; None: those the prompts record. include_special: search control pieces too.
    merge_variants: leave out a neighbor that is a nearer one but for case or leading space. max_length:
    pieces of a text that the model reads. template: what it reads in place of a text, `{text}` in it. loader:
    where models come from. Prompts of one name that lie in different places get names that tell them apart.

    Raises PromptError for a prompt that is missing or damaged, ExplorerError for a setting that does not
    exist.
    """
    from explorer.formats import read_prompt, told_apart

    if lists := [prompt for prompt in prompts if isinstance(prompt, list | tuple)]:
        raise PromptError(
            f"prompts: found a list of {len(lists[0])}; expected them one by one, as in open(*prompts)"
        )
    given = {
        "k": k,
        "metric": metric,
        "nulls": nulls,
        "seed": seed,
        "labels": labels,
        "include_special": include_special,
        "merge_variants": merge_variants,
        "max_length": max_length,
        "template": template,
    }
    opened = [prompt if isinstance(prompt, SoftPrompt) else read_prompt(prompt) for prompt in prompts]
    session = Session(told_apart(opened), model, Settings().changed(**given, **unknown), loader)
    session._in_python = True
    return session
