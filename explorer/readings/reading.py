"""What a reading declares: the question it answers, what it needs, how it is computed, which tables it has.

Imports nothing heavy: the command line builds its help from declarations.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

if TYPE_CHECKING:
    import pandas as pd

    from explorer.prompt import SoftPrompt

R = TypeVar("R", covariant=True)

Need = Literal["model", "labels", "texts", "trajectory", "language model"]
"""what a reading needs besides vectors: a frozen model that runs; class labels; texts to run it on; saved
training steps; a model without an encoder
"""
REQUIRED: Any = ...
"""the default of a parameter that must be given"""
TEXTS, TASK, TASKS, NAMES = "texts", "task", "tasks", "names"
"""types of parameters beside plain ones: texts; labelled texts; several of these; different names"""


@dataclass(frozen=True)
class Parameter:
    """What a reading's own call takes, or what a command takes for a setting."""

    name: str
    help: str
    type: Any = int
    """int, bool, str, a Literal, or one of TEXTS, TASK, TASKS, NAMES"""
    default: Any = REQUIRED
    minimum: int | None = None
    maximum: int | None = None
    typed: str | None = None
    """what the command line calls it, where that is another name; empty: it is for Python alone"""
    metavar: str | None = None
    repeated: bool = False
    """whether the command line takes it several times"""
    hidden_default: bool = False
    """whether the help leaves the default out"""

    @property
    def option(self) -> str:
        """What the command line calls it; empty where it is for Python alone."""
        return self.name if self.typed is None else self.typed


@dataclass(frozen=True)
class Table:
    """One table of a result. The first of a reading is what its command writes as CSV."""

    name: str
    """of its file in a report, and what a download is named after"""
    says: str
    """what its rows tell, in one phrase"""
    frame: "Callable[[Any], pd.DataFrame]"
    key: str | None = None
    """its entry in JSON; None: the JSON of a command is the rows of its one table"""
    aside: Parameter | None = None
    """the option of a file that the command writes it to as CSV, where it is no part of the rest"""
    reported: bool = True


def whole(result: Any) -> "pd.DataFrame":
    """The result's own table."""
    return result.to_frame()


def joined(frame: str) -> "Callable[[Sequence[Any]], pd.DataFrame]":
    """Another table of each prompt's result, by the name of its method, those of all prompts in one."""

    def make(results: Sequence[Any]) -> "pd.DataFrame":
        import pandas as pd

        return pd.concat([getattr(result, frame)() for result in results], ignore_index=True)

    return make


def late(module: str, name: str) -> Callable[[], Any]:
    """A class or function of a module below `explorer`, which is imported when it is asked for."""
    return lambda: getattr(import_module(f"explorer.{module}"), name)


@dataclass(frozen=True, eq=False)
class Reading(Generic[R]):
    """One question to soft prompts, declared once.

    compute(on, **arguments) makes the result: `on` is a `readings.made.On`, the arguments are the parameters
    and the settings named here and nothing else, so that what a result depends on is what it is remembered
    by.
    """

    name: str
    question: str
    """in plain words, as the documents list it"""
    about: str
    """what its command does, as its help says"""
    compute: Callable[..., Any]
    tables: tuple[Table, ...] = ()
    settings: tuple[str, ...] = ()
    """the fields of `Settings` that it depends on"""
    parameters: tuple[Parameter, ...] = ()
    needs: frozenset[Need] = frozenset()
    each: bool = True
    """whether every prompt is read by itself, for a `Readings`; else all are read together"""
    fewest: int = 1
    """prompts that it can read"""
    most: int | None = None
    """prompts that a report has it for"""
    single: bool = False
    """whether its command takes one prompt"""
    command: str | None = None
    """the command that shows it; None: one of its own name; empty: none"""
    method: str | None = None
    """its method of `Session`, where that is another name; empty: none"""
    options: Mapping[str, Parameter] = field(default_factory=dict)
    """what its command says of a setting, where that is not the usual"""
    remembered: bool = True
    kept: Callable[[], Any] | None = None
    """gives the type of a result, where those of bundled prompts travel with them"""
    record: Callable[[Any], object] | None = None
    """its JSON, where that is more than the rows of its tables"""
    conclusion: Callable[[Any], str] = field(default=lambda result: result.conclusion)
    figure: str | None = None
    """the function of `explorer.figures` that draws it"""

    @property
    def shown_by(self) -> str:
        """The name of its command; empty where it has none."""
        return self.name if self.command is None else self.command

    @property
    def called(self) -> str:
        """The name of its method of `Session`; empty where it has none."""
        return self.name if self.method is None else self.method

    @property
    def source(self) -> str:
        """The module whose imports below `analysis` and `evaluation` are what computes it."""
        return self.compute.__module__

    def fits(self, prompt: "SoftPrompt", labels: Sequence[str] | None) -> bool:
        """Whether a prompt records what is needed; labels: those that were asked for."""
        return ("labels" not in self.needs or bool(labels or prompt.origin.labels)) and (
            "trajectory" not in self.needs or prompt.trajectory is not None
        )
