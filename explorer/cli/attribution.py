"""`attribution`: which prompt tokens the answer rests on."""

from typing import TYPE_CHECKING

import typer

from explorer.cli.options import DATA_HELP
from explorer.cli.output import cell, concluded, paragraph, table
from explorer.cli.reading import Asked, Command, command
from explorer.readings import ATTRIBUTION
from explorer.readings.reading import TASK, Parameter
from explorer.words.wording import count

if TYPE_CHECKING:
    from explorer.evaluation.attribution import Attribution
    from explorer.session import Session

DATA = Parameter("data", f"Labelled texts to average over: {DATA_HELP}", TASK, default=None, metavar="FILE")


def _begin(asked: Asked) -> None:
    if (asked.typed["text"] is None) == (asked.typed["data"] is None):
        raise typer.BadParameter("expected either --text or --data", param_hint="--text")
    if asked.typed["data"] is not None:
        asked.given["texts"] = list(asked.task.texts)


def _text(session: "Session", result: "Attribution", wide: bool) -> str:
    """Whether the order of the tokens finds what the answer rests on, then one line a token, the most
    important first.
    """

    pieces = [
        session.vocabulary.readable(row[0])
        for row in session.change(k=1, metric="cosine", nulls=0).neighbors()[0].pieces
    ]
    shown = (
        result.to_frame()
        .drop(columns="prompt")
        .assign(nearest=pieces)
        .sort_values("leave_one_out", ascending=False)
    )
    shown.insert(1, "nearest", shown.pop("nearest"))
    if not result.holds:
        shown = shown.drop(columns="completeness_error")
        shown = shown.rename(columns={"integrated_gradients": "integrated_gradients (do not hold)"})
    head = f"Answer {result.answer!r}, {count(result.texts, 'text')}; figures in nats of its log-probability"
    where = "" if result.texts == 1 else " in the other half of the texts"
    order = (
        f"Deleting tokens in the order of leave-one-out{where}: area {cell(result.deletion_area)} "
        f"(smaller is better), p {cell(result.deletion_p)}; "
        f"inserting: area {cell(result.insertion_area)} (larger is better), p {cell(result.insertion_p)}; "
        f"against {count(len(result.deletion_null), 'random order')}. Completeness error of "
        f"integrated gradients: {result.completeness:.1%}."
    )
    return concluded(
        f"{result.prompt}: {result.conclusion}",
        f"{paragraph(head)}\n\n{table(shown, wide)}\n\n{paragraph(order)}",
        wide,
    )


attribution = command(
    Command(
        ATTRIBUTION,
        lambda asked: _text(asked.session, asked.result[0], asked.wide),
        own=(DATA,),
        begin=_begin,
    )
)
