"""How a session makes each reading once: for a prompt and its options, and not at all where the bundled model
answered before.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from explorer.arguments import as_list
from explorer.errors import DataError
from explorer.prompt import SoftPrompt
from explorer.resolve import Resolved, Settings

if TYPE_CHECKING:
    from explorer.kept import Kept, KeptModel
    from explorer.models.frozen import FrozenModel
    from explorer.results import Readings, Result
    from explorer.texts.tasks import Task
    from explorer.vocabulary import Vocabulary

T = TypeVar("T")
R = TypeVar("R", bound="Result")
Reading = Literal["ensemble", "shift", "faithfulness", "attribution"]
"""what may be kept, see explorer.kept"""
DRAWS, POINTS, ORDERS = 5, 11, 100
"""of random words and of the curve in faithfulness; of random orders in attribution"""


class Once(Resolved):
    """What follows from prompts, model and settings, and how readings of them are made once."""

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
            return self._kept_or_made(
                name, prompt, (prompt.name, *options), of, partial(read, prompt, vocabulary)
            )

        return self._each(name, (*options, self.settings.max_length, self.settings.template), known)

    def _kept_or_made(
        self, name: str, prompt: SoftPrompt, options: tuple, of: type[T], make: Callable[[], T]
    ) -> T:
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
        """Whether a reading of these tasks (of attribution: texts) was computed before for every prompt, so
        that nothing need run.
        """
        kept = self._kept(self.vocabulary)
        return kept is not None and all(
            kept.has(*self._key(reading, prompt, one)) for one in given for prompt in self.prompts
        )

    def _kept(self, vocabulary: "Vocabulary") -> "Kept | None":
        """What the model answered before, to texts cut where they are by default, within the usual
        template.
        """
        usual = self.settings.max_length == Settings.max_length and self.settings.template is None
        return self.loader.kept(vocabulary) if usual else None

    def _key(self, reading: str, prompt: SoftPrompt, given: "Task | str") -> tuple[str, SoftPrompt, tuple]:
        """What a reading with the usual options is kept by."""
        from explorer.kept import PROBABILITIES

        if isinstance(given, str):
            return (
                reading,
                prompt,
                (prompt.name, (given,), self.class_labels, None, ORDERS, self.settings.seed),
            )
        fitted = self._labelled(given)
        if reading == "faithfulness":
            return reading, prompt, (prompt.name, fitted, DRAWS, POINTS, self.settings.seed)
        return PROBABILITIES, prompt, (fitted.texts, fitted.labels)

    def _once(self, prompt: SoftPrompt, name: str, options: tuple, make: Callable[[], T]) -> T:
        from explorer.analysis.memo import remembered

        return remembered(self.vocabulary_of(prompt), (name, prompt, *options), make)

    def _answered(self, key: tuple, make: Callable[[], T]) -> T:
        from explorer.analysis.memo import remembered

        return remembered(
            self.vocabulary, (self.prompts, self.settings.max_length, self.settings.template, *key), make
        )

    def _labelled(self, task: "Task") -> "Task":
        """The task with the session's labels in their order; with its own where no prompt records labels and
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
        """Whether the prompts belong to a model that can be asked so: a decoder-only one."""
        from explorer.models.family import is_encoder_decoder

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
        from explorer.analysis.memo import remembered
        from explorer.models.templates import filled
        from explorer.texts.tasks import check_text
        from explorer.words.wording import cut

        given, longest, vocabulary, template = (
            as_list(texts, "texts"),
            self.settings.max_length,
            self.vocabulary,
            self.template,
        )

        def said() -> str | None:
            for number, text in enumerate(given, start=1):
                check_text(text, f"text {number}")
            read = [filled(template, text) for text in given]
            lengths = (
                vocabulary.lengths(read)
                if vocabulary.path is not None
                else list(map(len, self.model.tokenizer.inputs(read)))
            )
            return cut(lengths, longest)

        return remembered(vocabulary, ("cut", given, longest, template), said)

    def _say_cut(self, texts: Sequence[str]) -> None:
        """Tell once how many texts are cut."""
        said = self.cut(texts)
        if said is not None and said not in self._said:
            self._said.add(said)
            self.progress(said)
