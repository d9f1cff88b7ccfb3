"""A session: some prompts, the model they belong to, one set of settings. It resolves each once, and every
reading is a method.

The command line, the pages, the report and Python all read through it, so that they cannot disagree. Nobody
else decides which model reads a prompt, which labels, which k, which null distributions.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explorer.arguments import as_list, different_names
from explorer.choices import Grouping
from explorer.errors import DataError, PromptError
from explorer.once import DRAWS, ORDERS, POINTS, Once
from explorer.prompt import SoftPrompt
from explorer.resolve import Loader, Settings

if TYPE_CHECKING:
    import pandas as pd

    from explorer.analysis.clusters import Clusters
    from explorer.analysis.compare.groups import Comparison, Read
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
    from explorer.results import Readings
    from explorer.texts.tasks import Task
    from explorer.vocabulary import Vocabulary


Share = Callable[[float], None]
"""told how much is done, 0…1"""


class Session(Once):
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
        from explorer.analysis.clusters import Clusters, clusters, with_k

        k, usual, draws = self.settings.k, Settings.k, (self.settings.nulls, self.settings.seed)
        found = self._each_kept(
            "clusters",
            (usual, *draws),
            Clusters,
            lambda prompt, vocabulary: clusters(prompt, vocabulary, usual, *draws),
        )
        if k == usual:
            return found
        verdicts = dict(zip(self.prompts, found, strict=True))
        return self._each(
            "clusters with k",
            (k, *draws),
            lambda prompt, vocabulary, *_: with_k(verdicts[prompt], prompt, vocabulary, k, *draws),
        )

    def significant_groups(self) -> list[tuple[tuple[str, ...], ...]]:
        """Of each prompt the words of every token's group where it is significant, else none: the verdict of
        `clusters` alone, for less.
        """
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
        from explorer.analysis.redundancy import Redundancy, redundancy

        k, seed = self.settings.k, self.settings.seed
        return self._each_kept(
            "redundancy",
            (k, seed),
            Redundancy,
            lambda prompt, vocabulary: redundancy(prompt, vocabulary, k, seed=seed),
        )

    def labels(
        self, labels: Sequence[str] | None = None, others: Sequence[str] = ()
    ) -> "Readings[LabelReading]":
        """How near the tokens are to class labels: `labels`, else those of the settings, else each prompt's
        own; see analysis.labels.

        others: labels of other tasks, a baseline of persistence.
        """
        from explorer.analysis.labels import read_labels

        chosen = self.settings.labels if labels is None else different_names(labels, "labels")
        others = as_list(others, "other labels")
        nulls, seed = self.settings.nulls, self.settings.seed
        return self._each(
            "labels",
            (chosen, others, nulls, seed),
            lambda prompt, vocabulary, *_: read_labels(prompt, vocabulary, chosen, nulls, seed, others),
        )

    def norms(self) -> "Readings[Norms]":
        """Length and place of every token beside the vocabulary's rows; see analysis.norms."""
        from explorer.analysis.norms import read_norms

        return self._each("norms", (), read_norms)

    def changes(self) -> "Readings[NeighborChanges]":
        """Every change of a token's nearest piece while it was trained; see analysis.trajectory. Raises
        PromptError without saved steps.
        """
        from explorer.analysis.trajectory import neighbor_changes

        return self._each("changes", (), neighbor_changes)

    @property
    def map_is_kept(self) -> bool:
        """Whether the map of the vocabulary is there; else fitting it takes some minutes, once."""
        from explorer.analysis.map.store import is_kept

        return is_kept(self.vocabulary)

    def vocabulary_map(self) -> "VocabularyMap":
        """The map of the vocabulary: shipped, kept, or fitted now."""
        from explorer.analysis.map.store import load_map
        from explorer.analysis.memo import remembered

        return remembered(self.vocabulary, "map", lambda: load_map(self.vocabulary, self.progress))

    def map(self, paths: bool = False, before_training: bool = False) -> "MapReading":
        """Prompts and labels on the map; paths: also where the tokens were while they were trained;
        before_training: also where they began.
        """
        from explorer.analysis.map.place import (
            MapReading,
            place_initial,
            place_labels,
            place_prompt,
            place_trajectory,
        )

        drawn, vocabulary = self.vocabulary_map(), self.vocabulary
        trained = [prompt for prompt in self.prompts if prompt.trajectory is not None]
        placed = [
            replace(
                self._once(prompt, "place", (), partial(place_prompt, prompt, vocabulary, drawn)),
                groups=groups,
            )
            for prompt, groups in zip(self.prompts, self.significant_groups(), strict=True)
        ]
        if before_training:
            placed += [
                self._once(prompt, "place before", (), partial(place_initial, prompt, vocabulary, drawn))
                for prompt in trained
            ]
        placed += [place_labels(self.all_labels, vocabulary, drawn)] if self.all_labels else []
        along = {
            prompt.name: self._once(prompt, "path", (), partial(place_trajectory, prompt, vocabulary, drawn))
            for prompt in trained * paths
        }
        return MapReading(drawn, tuple(placed), along)

    def compare(self, by: Grouping = "initialization") -> "Comparison":
        """Readings of all prompts side by side, in groups; see analysis.compare."""
        from explorer.analysis.compare.groups import compare
        from explorer.analysis.memo import remembered

        now, vocabulary = self.settings, self.vocabulary
        key = ("compare", self.prompts, by, now.k, now.nulls, now.seed)

        def read(prompt: SoftPrompt) -> "Read":
            one = self._with((prompt,), now.changed(labels=None))
            return one.clusters()[0], one.labels()[0] if prompt.origin.labels else None, one.norms()[0]

        return remembered(
            vocabulary,
            key,
            lambda: compare(self.prompts, vocabulary, by, now.k, now.nulls, now.seed, self.progress, read),
        )

    def pairs(self) -> "pd.DataFrame":
        """Prompt against prompt, positions matched one to one; see analysis.compare.matching."""
        from explorer.analysis.compare.matching import pairs
        from explorer.analysis.memo import remembered

        vocabulary, seed = self.vocabulary, self.settings.seed
        return remembered(
            vocabulary, ("pairs", self.prompts, seed), lambda: pairs(self.prompts, vocabulary, seed=seed)
        )

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
        from explorer.evaluation.scoring import predict

        given = (texts,) if isinstance(texts, str) else tuple(texts)
        asked = self._asked(no_prompt)
        self._say_cut(given)
        key = ("predict", given, self.class_labels, no_prompt, generate, max_new_tokens)
        return self._answered(
            key, lambda: predict(self.model, asked, given, self.class_labels, generate, max_new_tokens)
        )

    def evaluate(self, task: "Task", no_prompt: bool = False, generate: bool = True) -> "Scores":
        """Accuracy, macro F1 and invalid-output rate on labelled texts."""
        from explorer.evaluation.scoring import evaluate

        asked, fitted = self._asked(no_prompt), self._labelled(task)
        self._say_cut(fitted.texts)
        return self._answered(
            ("evaluate", fitted, no_prompt, generate),
            lambda: evaluate(self._answering, asked, fitted, progress=self.progress, generate=generate),
        )

    def ensemble(self, task: "Task", share: Share | None = None) -> "Ensemble":
        """What the prompts answer together, in one batch; share: told how much is done, 0…1."""
        from explorer.evaluation.ensemble import ensemble

        fitted, seed = self._labelled(task), self.settings.seed
        self._say_cut(fitted.texts)
        return self._answered(
            ("ensemble", fitted, seed),
            lambda: ensemble(self._answering, self.prompts, fitted, share, seed, self.progress),
        )

    def shift(self, tasks: "Sequence[Task]", no_prompt: bool = False, generate: bool = True) -> "DomainShift":
        """What each prompt answers on a source (the first task) and on targets, and how much is lost."""
        from explorer.evaluation.domain_shift import DomainShift, answer

        if not tasks:
            raise DataError("found no tasks; expected the source and at least one target")
        asked, fitted = self._asked(no_prompt), tuple(self._labelled(task) for task in tasks)
        self._say_cut([text for task in fitted for text in task.texts])
        found = self._answered(
            ("shift", fitted, no_prompt, generate),
            lambda: answer(self._answering, asked, fitted, generate, self.progress),
        )
        return DomainShift(tuple(task.name for task in fitted), tuple(found))

    def faithfulness(
        self, task: "Task", draws: int = DRAWS, points: int = POINTS, share: Share | None = None
    ) -> "Readings[Faithfulness]":
        """How much accuracy survives when a prompt is replaced by its nearest words?"""
        from explorer.evaluation.faithfulness import Faithfulness, faithfulness

        fitted, seed = self._labelled(task), self.settings.seed
        self._say_cut(fitted.texts)

        def read(prompt: SoftPrompt, vocabulary: "Vocabulary", *_: Any) -> Faithfulness:
            return faithfulness(
                self.model, vocabulary, prompt, fitted, draws, points, seed, share, self.progress
            )

        return self._each_kept("faithfulness", (fitted, draws, points, seed), Faithfulness, read)

    def attribution(
        self, texts: Sequence[str] | str, label: str | None = None, orders: int = ORDERS
    ) -> "Readings[Attribution]":
        """Which prompt tokens the answer rests on; of several texts the means."""
        from explorer.evaluation.attribution import Attribution, attribute

        given, seed, labels = (
            (texts,) if isinstance(texts, str) else tuple(texts),
            self.settings.seed,
            self.class_labels,
        )
        self._say_cut(given)

        def read(prompt: SoftPrompt, vocabulary: "Vocabulary", *_: Any) -> Attribution:
            return attribute(
                self.model, vocabulary, prompt, given, labels, label, orders, seed, self.progress
            )

        return self._each_kept("attribution", (given, labels, label, orders, seed), Attribution, read)

    def decode(self, texts: Sequence[str] | str | None = None) -> "Readings[DecoderReading]":
        """The first pieces that the decoder writes more often with each prompt than without: alone, in a gap,
        before texts (None: a few neutral ones).

        k pieces each; see evaluation.decoder_reading.
        """
        return self._decoded(texts)[0]

    def label_mass(self, texts: Sequence[str] | str | None = None) -> "LabelMass":
        """How likely the decoder begins with class labels, of each prompt's own task and of others; see
        evaluation.label_mass.

        Raises DataError where no prompt records labels and none are given.
        """
        found = self._decoded(texts)[1]
        if found is None:
            raise DataError(
                f"{self.prompts[0].name} records no class labels; name them, such as negative and positive",
                "labels",
            )
        return found

    def verbalize(self, k: int = 5) -> "Readings[Verbalization]":
        """What a language model writes for each prompt token in a sentence that asks for its meaning; see
        evaluation.verbalization.

        Raises ModelError for a T5.
        """
        from explorer.evaluation.verbalization import verbalize

        return self._each(
            "verbalize",
            (k, self.settings.seed),
            lambda prompt, vocabulary, *options: verbalize(self.model, vocabulary, prompt, *options),
        )

    def _decoded(
        self, texts: Sequence[str] | str | None
    ) -> "tuple[Readings[DecoderReading], LabelMass | None]":
        from explorer.evaluation.decoder_reading import read_decoder
        from explorer.evaluation.neutral_texts import NEUTRAL

        given = NEUTRAL if texts is None else (texts,) if isinstance(texts, str) else as_list(texts, "texts")
        now, vocabulary = self.settings, self.vocabulary
        self._say_cut(given)
        options = (given, now.labels, now.k, now.include_special, now.seed)
        return self._answered(
            ("decode", *options),
            lambda: read_decoder(self.model, vocabulary, self.prompts, *options, self.progress),
        )

    def _asked(self, no_prompt: bool) -> list[SoftPrompt | None]:
        return [*self.prompts, None] if no_prompt else list(self.prompts)


def open_session(
    *prompts: SoftPrompt | str | Path,
    model: str | Path | None = None,
    loader: Loader | None = None,
    **settings: Any,
) -> Session:
    """Open prompts for reading: paths, bundled names, ids of adapters on the Hugging Face hub (`user/name`,
    `user/name@revision`), or prompts in memory.

    settings: fields of `Settings`. Prompts of one name that lie in different places get names that tell them
    apart. Raises PromptError for a prompt that is missing or damaged.
    """
    from explorer.formats import read_prompt, told_apart

    if lists := [prompt for prompt in prompts if isinstance(prompt, list | tuple)]:
        raise PromptError(
            f"prompts: found a list of {len(lists[0])}; expected them one by one, as in open(*prompts)"
        )
    read = [prompt if isinstance(prompt, SoftPrompt) else read_prompt(prompt) for prompt in prompts]
    return Session(told_apart(read), model, Settings().changed(**settings), loader)
