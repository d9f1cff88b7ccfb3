"""Labelled texts as commands take them; what was assumed about them is said on stderr."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from explorer.cli.commandline import advice
from explorer.cli.options import label_map_value

if TYPE_CHECKING:
    from explorer.cli.reading import Asked
    from explorer.context import Progress
    from explorer.session import Session
    from explorer.texts.tasks import Task


@dataclass(frozen=True)
class Columns:
    """The names of the columns of texts and labels, as typed; None: what people call them."""

    text: str | None = None
    label: str | None = None
    label_map: str | None = None
    """what labels of the data are to be called, as typed"""

    def read(self, data: str, labels: tuple[str, ...] | None, say: "Progress") -> "Task":
        """The labelled texts of a file or hub data set. Raises DataError when they cannot be used."""
        from explorer.texts.tasks import read_task

        task = read_task(data, labels, self.text, self.label, label_map_value(self.label_map))
        for said in task.notes:
            say(said)
        return task


def labelled(session: "Session", data: str, columns: Columns) -> "Task":
    """Labelled texts with the session's class labels; where it has none, with their own, which is said.
    Raises DataError when they cannot be used.
    """
    task = columns.read(data, session.class_labels if session.names_labels else None, session.progress)
    if not session.names_labels:
        session.progress(of_data(session, data, task.labels))
    return task


def read_for(asked: "Asked") -> None:
    """Texts of `--data` for a reading that takes them with or without labels."""
    from explorer.texts.tasks import Task, with_labels
    from explorer.texts.unlabelled import read_task_or_texts

    session, data, columns = asked.session, asked.typed["data"], asked.columns
    labels = session.class_labels if session.names_labels else None
    found = read_task_or_texts(data, labels, columns.text, columns.label)
    if not isinstance(found, Task):
        session.progress(f"{data}: has no labels, so nothing is compared with them")
        asked.given |= {"texts": list(found), "answers": None}
        return
    for said in found.notes:
        session.progress(said)
    if labels is None:
        session.progress(of_data(session, data, found.labels))
        asked.session = session.change(labels=found.labels)
    answers = found.answers if labels is None else with_labels(found, labels).answers
    asked.given |= {"texts": list(found.texts), "answers": tuple(answers)}


def of_data(session: "Session", data: str, labels: tuple[str, ...]) -> str:
    """That class labels are taken from the data, and how to name others."""
    names = ", ".join(prompt.name for prompt in session.prompts[:3]) + (
        ", …" if len(session.prompts) > 3 else ""
    )
    verb = "records" if len(session.prompts) == 1 else "record"
    return f"{names} {verb} no class labels; taking those of {data}: {', '.join(labels)}{advice('labels')}"
