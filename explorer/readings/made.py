"""How a reading is made: what its computation is given, and how it is made once.

A computation is given the settings and parameters that its reading declares, and nothing else: what a result
depends on is what it is remembered by.
"""

from collections.abc import Callable
from dataclasses import is_dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from explorer.errors import DataError
from explorer.readings.reading import NAMES, REQUIRED, TASK, TASKS, TEXTS, Parameter, Reading
from explorer.settings import Settings
from explorer.words.arguments import as_list

if TYPE_CHECKING:
    from explorer.cached.kept import KeptModel, Question
    from explorer.context import Context
    from explorer.evaluation.asked_once import AskedOnce
    from explorer.models.frozen import FrozenModel
    from explorer.prompt import SoftPrompt
    from explorer.texts.tasks import Task
    from explorer.vocabulary import Vocabulary

R = TypeVar("R")
Share = Callable[[float], None]
"""told how much is done, 0…1"""
MayBeKept = Literal["ensemble", "shift", "faithfulness", "attribution"]
"""readings that pages look for among kept answers"""


class On:
    """What a reading is computed on: prompts of one model, and that model. It knows no settings."""

    def __init__(self, context: "Context", share: Share | None = None):
        self._context, self.share = context, share
        self.prompts, self.progress = context.prompts, context.progress

    @property
    def prompt(self) -> "SoftPrompt":
        """The one prompt of a reading that reads each by itself."""
        (prompt,) = self.prompts
        return prompt

    @property
    def vocabulary(self) -> "Vocabulary":
        """The one vocabulary of the prompts."""
        return self._context.vocabulary

    @property
    def model(self) -> "FrozenModel":
        """The frozen model, loaded now if it was not before."""
        return self._context.model

    @property
    def asked_once(self) -> "AskedOnce":
        """The frozen model, which remembers what it answered."""
        from explorer.evaluation.asked_once import AskedOnce

        return AskedOnce(lambda: self._context.model, self.vocabulary)

    @property
    def answering(self) -> "FrozenModel | KeptModel":
        """The frozen model; where answers are kept, one that is loaded only for those that are not."""
        kept, context = self._context.loader.kept(self._context.vocabulary), self._context
        once = cast("FrozenModel", self.asked_once)
        if kept is None or not kept.answers_for_model or not _usual(context):
            return once
        from explorer.cached.kept import KeptModel

        return KeptModel(kept, lambda: once)

    @property
    def recorded_labels(self) -> tuple[str, ...]:
        """Every class label that some prompt records."""
        return tuple(dict.fromkeys(label for prompt in self.prompts for label in prompt.origin.labels or ()))

    def asked(self, no_prompt: bool) -> "list[SoftPrompt | None]":
        """The prompts, and None for the model without any where that is asked for."""
        return [*self.prompts, None] if no_prompt else list(self.prompts)

    def read(self, reading: Reading[R], prompt: "SoftPrompt | None" = None, **given: Any) -> R:
        """Another reading of these prompts, or of one of them. given: its parameters, and every setting that
        it depends on, since this reading then depends on them too. Raises TypeError where one is missing.
        """
        if missing := set(reading.settings) - set(given):
            raise TypeError(f"{reading.name}: expected the settings {', '.join(sorted(missing))}")
        context = self._context if prompt is None else self._context.of(prompt)
        settings = {name: given[name] for name in reading.settings if name in given}
        rest = {name: value for name, value in given.items() if name not in settings}
        return read(context.changed(**settings), reading, rest)


def read(context: "Context", reading: Reading[R], given: dict[str, Any], share: Share | None = None) -> R:
    """A reading of the prompts; given: its parameters. Raises what the reading raises, and TypeError for
    parameters that it does not have.
    """
    arguments = _arguments(context, reading, given)
    if not reading.each:
        return _made(context, reading, arguments, share)
    from explorer.results import Readings

    made = [_made(context.of(prompt), reading, arguments, share) for prompt in context.prompts]
    return Readings(made)  # type: ignore[return-value]


def _arguments(context: "Context", reading: Reading, given: dict[str, Any]) -> dict[str, Any]:
    """What the computation is given, by name: parameters, class labels behind the texts, settings."""
    known = {parameter.name: parameter for parameter in reading.parameters}
    missing = [name for name, one in known.items() if one.default is REQUIRED and name not in given]
    if missing or set(given) - set(known):
        raise TypeError(f"{reading.name}: found {', '.join(given) or 'nothing'}; expected {', '.join(known)}")
    arguments: dict[str, Any] = {}
    labels = "labels" in reading.needs and "labels" not in reading.settings
    for name, parameter in known.items():
        arguments[name] = _value(context, parameter, given.get(name, parameter.default))
        if labels and parameter.type == TEXTS:
            arguments["labels"] = context.class_labels
    return arguments | {name: getattr(context.settings, name) for name in reading.settings}


def _value(context: "Context", parameter: Parameter, value: Any) -> Any:
    """A parameter as computations take it. Raises DataError for what is none."""
    if parameter.type == TEXTS and value is not None:
        texts = (value,) if isinstance(value, str) else as_list(value, "texts")
        context.say_cut(texts)
        return texts
    if parameter.type == TASK:
        task = context.labelled(value)
        context.say_cut(task.texts)
        return task
    if parameter.type == TASKS:
        if not value:
            raise DataError("found no tasks; expected the source and at least one target")
        tasks = tuple(context.labelled(task) for task in value)
        context.say_cut([text for task in tasks for text in task.texts])
        return tasks
    return as_list(value, parameter.option.replace("_", " ")) if parameter.type == NAMES else value


def _made(context: "Context", reading: Reading, arguments: dict[str, Any], share: Share | None) -> Any:
    make = partial(reading.compute, On(context, share), **arguments)
    if not reading.remembered:
        return make()
    from explorer.cached import cached

    now, values = context.settings, tuple(arguments.values())
    run = (now.max_length, now.template) if "model" in reading.needs else ()
    key = (reading, context.prompts, *values, *run)
    if reading.kept is not None and (kept := context.loader.kept(context.vocabulary)) is not None:
        question = _question(context, reading, context.prompts[0], values)
        make = partial(kept.answer, question, reading.kept(), make)
    return cached(context.vocabulary, key, make)


def _usual(context: "Context") -> bool:
    """Whether texts are cut where they are by default, within the usual template: as in what ships."""
    return context.settings.max_length == Settings.max_length and context.settings.template is None


def _question(context: "Context", reading: Reading, prompt: "SoftPrompt", values: tuple) -> "Question":
    """What a result is kept by: the name of its prompt too, where it holds that."""
    from explorer.cached.kept import Question

    named = reading.kept is not None and is_dataclass(reading.kept())
    options = (prompt.name, *values) if named else values
    runs = (context.settings.max_length, context.template) if "model" in reading.needs else ()
    return Question(reading.name, prompt, options, reading.source, runs, _usual(context))


def is_kept(context: "Context", reading: Reading, given: "tuple[Task | str, ...]") -> bool:
    """Whether a reading of these tasks (of attribution: texts) was computed before for every prompt, so that
    nothing need run.
    """
    from explorer.cached.kept import probabilities

    kept = context.loader.kept(context.vocabulary)
    if kept is None:
        return False
    for one in given:
        if reading.kept is None:  # its answers are kept, not its results
            if not kept.answers_for_model or not _usual(context):
                return False
            task = context.labelled(cast("Task", one))
            asked = [probabilities(prompt, task.texts, task.labels) for prompt in context.prompts]
        else:
            values = tuple(_arguments(context, reading, {reading.parameters[0].name: one}).values())
            asked = [_question(context, reading, prompt, values) for prompt in context.prompts]
        if not all(map(kept.has, asked)):
            return False
    return True
