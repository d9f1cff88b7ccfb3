"""`shift`: what was tuned on one domain, tested on others."""

from typing import TYPE_CHECKING

import typer

from explorer.cli.labelled import Columns, of_data
from explorer.cli.output import concluded, interval, table
from explorer.cli.processes import Processes
from explorer.cli.reading import Asked, Command, command
from explorer.cli.session import load_model
from explorer.errors import DataError
from explorer.readings import SHIFT
from explorer.readings.reading import TASK, TASKS, Parameter

if TYPE_CHECKING:
    from explorer.evaluation.domain_shift import Answered, DomainShift
    from explorer.session import Session
    from explorer.texts.tasks import Task
    from explorer.tuning.whole_models import TunedModel


SOURCE = Parameter(
    "source",
    "Labelled texts of the domain they were tuned on, held out.",
    TASK,
    metavar="FILE",
)
TARGET = Parameter(
    "target", "Labelled texts of another domain; may be repeated.", TASKS, metavar="FILE", repeated=True
)
TUNED_MODEL = Parameter(
    "tuned_model",
    "A model of `train --tune model` to compare with; may be repeated.",
    str,
    default=None,
    metavar="DIR",
    repeated=True,
)
RENAMED = Parameter(
    "map",
    "What a target's label is called in the source.",
    str,
    default=None,
    metavar="LABEL=LABEL",
    repeated=True,
)


def _result(asked: Asked) -> "DomainShift | None":
    """What prompts and models answer in all processes, in the first one."""
    typed, processes = asked.typed, Processes()
    names, files = _renaming(typed["map"] or []), (typed["source"], *typed["target"])
    asked.progress, typed["device"] = processes.note, processes.device_for(typed["device"])
    generate = typed["generate"]
    with processes.failing_together():
        session = asked.session
        tasks = _tasks(session, files, names, asked.columns)
        models = _tuned(typed["tuned_model"] or [], tasks[0].labels)
        answered, last = _answers(session, tasks, typed["no_prompt"], generate, processes)
        of_models = [_of_model(one, session, tasks, generate) for one in processes.share(models)]
    found = [*processes.gathered(answered), *last, *processes.gathered(of_models)]
    if not processes.first:
        return None
    from explorer.evaluation.domain_shift import DomainShift

    return DomainShift(_domains(files), tuple(found))


def _renaming(pairs: list[str]) -> dict[str, str]:
    """LABEL=LABEL pairs. Raises typer.BadParameter for what is none, or for one label with two names."""
    found: dict[str, str] = {}
    for pair in pairs:
        old, sign, new = (part.strip() for part in pair.partition("="))
        if not old or not sign or not new or found.get(old, new) != new:
            raise typer.BadParameter(
                f"found {pair!r}; expected LABEL=LABEL, each label once, such as pos=positive",
                param_hint="--map",
            )
        found[old] = new
    return found


def _domains(files: tuple[str, ...]) -> tuple[str, ...]:
    """What the domains are called: by their files' tasks, or by the files where two tasks share a name."""
    from explorer.texts.tasks import task_name

    if len(set(files)) < len(files):
        raise typer.BadParameter(
            "found a file twice; expected the source and other files as targets", param_hint="--target"
        )
    domains = tuple(task_name(file) for file in files)
    return domains if len(set(domains)) == len(domains) else files


def _tasks(
    session: "Session", files: tuple[str, ...], names: dict[str, str], columns: Columns
) -> "list[Task]":
    """The texts of every domain under its name, with the source's labels: those of the session, where it has
    none those of the source's texts.
    """
    from dataclasses import replace

    from explorer.evaluation.domain_shift import mapped

    domains = _domains(files)
    labels = session.class_labels if session.names_labels else None
    read = [columns.read(file, None, session.progress) for file in files]
    if labels is None:
        labels = tuple(dict.fromkeys(names.get(label, label) for label in read[0].labels))
        session.progress(of_data(session, files[0], labels))
    return [
        replace(mapped(task, names, labels), name=domain) for task, domain in zip(read, domains, strict=True)
    ]


def _tuned(folders: list[str], labels: tuple[str, ...]) -> "list[TunedModel]":
    """The tuned models to compare with. Raises ModelError for a folder without one, DataError for one of
    other labels.
    """
    from explorer.tuning.whole_models import read_tuned_model

    models = [read_tuned_model(folder) for folder in folders]
    for one in models:
        if set(one.labels) != set(labels):
            raise DataError(
                f"{one.path}: was tuned on the labels {', '.join(one.labels)}; expected "
                f"{', '.join(labels)}: leave it out or name the labels",
                "labels",
            )
    return models


def _answers(
    session: "Session", tasks: "list[Task]", no_prompt: bool, generate: bool, processes: Processes
) -> "tuple[list[Answered], list[Answered]]":
    """What this process's prompts answer, and, in the first process, what the bare model does if asked
    for.
    """
    mine, bare = processes.share([prompt.name for prompt in session.prompts]), no_prompt and processes.first
    if not mine:
        return [], []
    chosen = session.only(*mine)
    load_model(chosen)
    found = list(chosen.shift(tasks, bare, generate).answered)
    return (found[:-1], found[-1:]) if bare else (found, [])


def _of_model(one: "TunedModel", session: "Session", tasks: "list[Task]", generate: bool) -> "Answered":
    """What a tuned model answers; it is loaded for this alone, and forgotten."""
    from explorer.context import LocalLoader
    from explorer.evaluation.domain_shift import answer_with_model

    session.progress(f"loading {one.path}")
    frozen = (
        LocalLoader(session.loader.device, session.loader.dtype)
        .frozen(str(one.path))
        .limited(session.settings.max_length)
        .templated(session.template)
    )
    return answer_with_model(frozen, one.name, one.seed, tasks, generate, session.progress)


def _text(result: "DomainShift") -> str:
    """Accuracy of every prompt or model on every domain, means over seeds, and how much is lost."""
    frame, means, differences = result.to_frame(), result.summary(), result.differences()
    parts = [table(frame[["prompt", "target", "n", "accuracy", "macro_f1", "drop"]])]
    spans = [
        interval(row.drop_low, row.drop_high) if row.target != row.source else ""
        for row in means.itertuples()
    ]
    over_seeds = means[["initialization", "target", "runs", "accuracy", "deviation", "drop"]].assign(
        **{"95 % of the drop": spans}
    )
    parts.append(
        f"means over seeds; drop: accuracy on {result.domains[0]} minus accuracy here\n{table(over_seeds)}"
    )
    if len(differences):
        shown = differences[["target", "difference"]].assign(
            **{"95 %": [interval(row.low, row.high) for row in differences.itertuples()]}
        )
        parts.append(f"prompt tuning minus model tuning, paired over texts\n{table(shown)}")
    return "\n\n".join(parts)


def _wide(result: "DomainShift") -> str:
    parts = [table(result.to_frame(), True), f"means over seeds\n{table(result.summary(), True)}"]
    differences = result.differences()
    if len(differences):
        parts.append(f"prompt tuning minus model tuning, paired over texts\n{table(differences, True)}")
    return "\n\n".join(parts)


shift = command(
    Command(
        SHIFT,
        lambda asked: concluded(
            asked.result.conclusion, _wide(asked.result) if asked.wide else _text(asked.result), asked.wide
        ),
        own=(SOURCE, TARGET, TUNED_MODEL, RENAMED),
        result=_result,
    )
)
