"""The command of a reading, made from its declaration: options, output, and a text for people.

A command's own file adds its text, and what else is its own.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

import typer

from explorer.cli import options
from explorer.cli.labelled import Columns, labelled
from explorer.cli.output import Output, concluded, note, paragraph, records, table
from explorer.cli.session import load_model, open_session
from explorer.readings import of_command
from explorer.readings.reading import NAMES, REQUIRED, TASK, TASKS, TEXTS, Parameter, Reading
from explorer.settings import Settings

if TYPE_CHECKING:
    from explorer.session import Session
    from explorer.texts.tasks import Task

RUNS = ("max_length", "template")
"""settings of every reading that runs the model"""


@dataclass(frozen=True)
class Command:
    """What a command adds to the declaration of its reading."""

    reading: Reading
    text: "Callable[[Asked], str] | None" = None
    """what people see; None: the conclusion, then the first table"""
    page: "Callable[[Asked], str] | None" = None
    """what --html writes; None: there is no such option"""
    own: tuple[Parameter, ...] = ()
    """options beside those declared"""
    begin: "Callable[[Asked], None] | None" = None
    """checks what was typed before prompts are opened"""
    ready: "Callable[[Asked], None] | None" = None
    """says what is done before it begins"""
    result: "Callable[[Asked], Any] | None" = None
    """makes the result, where it is not made from prompts and options alone; None: it is not this process
    that writes
    """

    @property
    def texts_are_optional(self) -> bool:
        """Whether texts may come from elsewhere too, which `begin` checks."""
        return self.begin is not None


class Asked:
    """A command as it was typed: where its results go, its session, its results as they are asked for."""

    def __init__(self, command: Command, typed: dict[str, Any]):
        self.command, self.reading, self.typed = command, command.reading, typed
        self.shown = of_command(self.reading.name)
        asides = {
            one.aside.option: typed[one.aside.option]
            for reading in self.shown
            for one in reading.tables
            if one.aside is not None and typed[one.aside.option] is not None
        }
        overwrite = typed["overwrite"]
        self.output = Output(
            typed["as_json"], typed["csv"], typed.get("html"), overwrite, beside=tuple(asides.values())
        )
        self.asides = {name: Output(csv=file, overwrite=overwrite) for name, file in asides.items()}
        self.wide: bool = typed["wide"]
        self.progress: Callable[[str], None] = note
        self.given: dict[str, Any] = {}
        """parameters that are not as they were typed"""
        self._results: dict[Reading, Any] = {}

    @cached_property
    def session(self) -> "Session":
        """The prompts, opened with the settings that were typed."""
        typed = self.typed
        settings = {name: typed[name] for name in (*Settings.__dataclass_fields__,) if name in typed}
        if "labels" in settings:
            settings["labels"] = options.label_values(settings["labels"])
        prompts = [typed["prompt"]] if self.reading.single else typed["prompts"]
        return open_session(
            prompts,
            typed["model"],
            typed.get("device", "auto"),
            typed.get("dtype", "auto"),
            self.progress,
            typed["revision"],
            **settings,
        )

    @property
    def columns(self) -> Columns:
        """The columns of labelled texts, as typed."""
        return Columns(self.typed["text_column"], self.typed["label_column"], self.typed["label_map"])

    @cached_property
    def task(self) -> "Task":
        """The labelled texts."""
        return labelled(self.session, self.typed["data"], self.columns)

    def parameters(self, reading: Reading) -> dict[str, Any]:
        """The parameters of a reading, as typed."""
        return {
            parameter.name: self._parameter(parameter)
            for parameter in reading.parameters
            if parameter.option in self.typed or parameter.name in self.given
        }

    def _parameter(self, parameter: Parameter) -> Any:
        if parameter.name in self.given:
            return self.given[parameter.name]
        value = self.typed[parameter.option]
        if parameter.type == TASK:
            return self.task
        if parameter.type == NAMES:
            return options.values(value, f"--{parameter.option.replace('_', '-')}")
        return parameter.default if parameter.type == TEXTS and not value else value

    @property
    def result(self) -> Any:
        """The result of the command's own reading."""
        return self.of(self.reading)

    def of(self, reading: Reading) -> Any:
        """The result of a reading that the command shows, made once."""
        if reading not in self._results:
            self._results[reading] = self.session.read(reading, **self.parameters(reading))
        return self._results[reading]

    def run(self) -> None:
        """Make the results and write them."""
        if self.command.begin is not None:
            self.command.begin(self)
        check_texts(self.given.get("texts", self.typed.get("text") or ()))
        if self.command.result is not None:
            result = self.command.result(self)
            if result is None:
                return
            self._results[self.reading] = result
        else:
            self._make()
        for reading in self.shown:
            for one in reading.tables:
                if one.aside is not None and one.aside.option in self.asides:
                    frame = lambda one=one, reading=reading: one.frame(self.of(reading))  # noqa: E731
                    self.asides[one.aside.option].write(lambda: None, frame)
        text, page = self.command.text or plain, self.command.page
        first = self.reading.tables[0]
        self.output.write(
            self._content,
            lambda: first.frame(self.result),
            lambda: text(self),
            None if page is None else lambda: page(self),
        )

    def _make(self) -> None:
        session, needs = self.session, self.reading.needs
        self.parameters(self.reading)  # labelled texts are read, and said to be wrong, before the model
        if "model" in needs:
            if "labels" in needs and any(one.type == TEXTS for one in self.reading.parameters):
                _ = session.class_labels  # prompts without labels are said before the model is loaded
            load_model(session)
        if self.command.ready is not None:
            self.command.ready(self)
        _ = self.result

    def _content(self) -> object:
        if self.reading.record is not None:
            from explorer.cli.output import plain as plain_values

            return plain_values(self.reading.record(self.result))
        first = self.reading.tables[0]
        if first.key is None:
            return records(first.frame(self.result))
        conclusions = getattr(self.result, "conclusions", None)
        tables = {
            one.key: records(one.frame(self.of(reading)))
            for reading in self.shown
            for one in reading.tables
            if one.key is not None
        }
        return {"conclusion": conclusions or self.reading.conclusion(self.result), **tables}


def plain(asked: Asked) -> str:
    """The conclusion, one line a prompt, then the first table."""
    frame = asked.reading.tables[0].frame(asked.result)
    return concluded(asked.reading.conclusion(asked.result), table(frame, asked.wide), asked.wide)


def each(text: Callable[[Asked, int], str]) -> Callable[[Asked], str]:
    """A text of every prompt, by its place among those asked for."""
    return lambda asked: "\n\n".join(text(asked, place) for place in range(len(asked.session.prompts)))


def tables(asked: Asked) -> str:
    """All tables as they are, then what they come to."""
    frames = [
        one.frame(asked.of(reading)) for reading in asked.shown for one in reading.tables if one.aside is None
    ]
    said = [reading.conclusion(asked.of(reading)) for reading in asked.shown]
    return "\n\n".join([*(table(frame, True) for frame in frames), paragraph(*"\n".join(said).splitlines())])


def check_texts(texts: list[str]) -> None:
    """Raise DataError for a text that is empty, absurdly long or no Unicode."""
    if not texts:
        return
    from explorer.texts.tasks import check_text

    for number, text in enumerate(texts, start=1):
        check_text(text, f"text {number}")


def command(made: Command) -> Callable[..., None]:
    """The function that typer makes a command of: its signature and help are those of the declaration."""

    def run(**typed: Any) -> None:
        Asked(made, typed).run()

    taken = _options(made)
    run.__signature__ = inspect.Signature(taken)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in taken}
    run.__name__, run.__doc__ = made.reading.name, inspect.cleandoc(made.reading.about)
    return run


def _options(made: Command) -> list[inspect.Parameter]:
    """Prompts, parameters, files beside, settings, then what every command has."""
    reading, shown = made.reading, of_command(made.reading.name)
    taken = [
        _taken("prompt", options.Prompt) if reading.single else _taken("prompts", options.Prompts),
        *(_declared(one, made) for one in reading.parameters if one.option),
        *(_declared(one, made) for one in made.own),
        *(_declared(one.aside, made) for each in shown for one in each.tables if one.aside is not None),
    ]
    settings = [name for name in Settings.__dataclass_fields__ if name in reading.settings]
    if "labels" in reading.needs and "labels" not in settings:
        settings.insert(0, "labels")
    settings += [name for name in RUNS if "model" in reading.needs]
    for name in dict.fromkeys(settings):
        annotation = options.SETTINGS[name]
        if name in reading.options:
            annotation = annotated(reading.options[name])
        taken.append(_taken(name, annotation, getattr(Settings, name)))
    if any(one.type in (TASK, TASKS) for one in (*reading.parameters, *made.own)):
        taken += [
            _taken("text_column", options.TextColumn, None),
            _taken("label_column", options.LabelColumn, None),
            _taken("label_map", options.LabelMap, None),
        ]
    taken += [_taken("model", options.Model, None), _taken("revision", options.Revision, None)]
    if "model" in reading.needs:
        taken += [_taken("device", options.Device, "auto"), _taken("dtype", options.Dtype, "auto")]
    taken += [_taken("wide", options.Wide, False), _taken("as_json", options.Json, False)]
    taken += [_taken("csv", options.Csv, None)]
    taken += [] if made.page is None else [_taken("html", options.Html, None)]
    return [*taken, _taken("overwrite", options.Overwrite, False)]


def _taken(name: str, annotation: Any, default: Any = REQUIRED) -> inspect.Parameter:
    default = inspect.Parameter.empty if default is REQUIRED else default
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _declared(parameter: Parameter, made: Command) -> inspect.Parameter:
    default = parameter.default
    if parameter.type in (TEXTS, NAMES) and (default is not REQUIRED or made.texts_are_optional):
        default = None
    return _taken(parameter.option, annotated(parameter, default), default)


def annotated(parameter: Parameter, default: Any = REQUIRED) -> Any:
    """A parameter as typer takes it."""
    kind: Any = str if parameter.type in (TEXTS, TASK, TASKS, NAMES) else parameter.type
    kind = list[str] if parameter.repeated else kind
    name = parameter.option.replace("_", "-")
    flag = f"-{name}" if len(name) == 1 else f"--{name}"
    if parameter.type is bool and parameter.default is True:
        flag = f"--{name}/--no-{name}"
    return Annotated[
        kind | None if default is None else kind,
        typer.Option(
            flag,
            metavar=parameter.metavar,
            min=parameter.minimum,
            max=parameter.maximum,
            help=parameter.help,
            show_default=default is not REQUIRED and not parameter.repeated,
        ),
    ]
