"""`attribution`: which prompt tokens the answer rests on."""

from typing import TYPE_CHECKING, Annotated

import typer

from explorer.choices import LONGEST_INPUT
from explorer.cli import options
from explorer.cli.labelled import Columns, labelled
from explorer.cli.output import Output, cell, concluded, paragraph, records, table
from explorer.cli.predict import check_texts
from explorer.cli.session import load_model, open_session
from explorer.words.wording import count

if TYPE_CHECKING:
    from explorer.evaluation.attribution import Attribution
    from explorer.session import Session


def attribution(
    prompt: options.Prompt,
    text: Annotated[
        list[str] | None,
        typer.Option(
            "--text", metavar="T", show_default=False, help="A text; may be repeated, figures are means then."
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option("--data", metavar="FILE", help=f"Labelled texts to average over: {options.DATA_HELP}"),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(
            "--label", metavar="L", help="The label asked about. Default: the model's answer on each text."
        ),
    ] = None,
    labels: options.Labels = None,
    orders: Annotated[
        int,
        typer.Option("--orders", min=1, help="Random orders that deletion and insertion are compared with."),
    ] = 100,
    seed: options.Seed = 0,
    text_column: options.TextColumn = None,
    label_column: options.LabelColumn = None,
    max_length: options.MaxLength = LONGEST_INPUT,
    template: options.Template = None,
    model: options.Model = None,
    revision: options.Revision = None,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    wide: options.Wide = False,
    as_json: options.Json = False,
    csv: options.Csv = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Measure how much each prompt token matters to an answer.

    Leave-one-out, gate gradient and integrated gradients of the answer's log-probability; deletion and
    insertion curves.
    """
    output = Output(as_json, csv, overwrite=overwrite)
    if (text is None) == (data is None):
        raise typer.BadParameter("expected either --text or --data", param_hint="--text")
    session = open_session(
        [prompt],
        model,
        device,
        dtype,
        labels=options.label_values(labels),
        max_length=max_length,
        template=template,
        seed=seed,
        revision=revision,
    )

    texts = (
        list(labelled(session, data, Columns(text_column, label_column)).texts)
        if data is not None
        else list(text or ())
    )
    check_texts(texts)
    load_model(session)
    (result,) = session.attribution(texts, label, orders)
    frame = result.to_frame()
    output.write(lambda: records(frame), lambda: frame, lambda: _text(session, result, wide))


def _text(session: "Session", result: "Attribution", wide: bool) -> str:
    """Whether the order of the tokens finds what the answer rests on, then one line a token, the most
    important first.
    """
    from explorer.words.pieces import readable

    pieces = [readable(row[0]) for row in session.change(k=1, metric="cosine", nulls=0).neighbors()[0].pieces]
    shown = (
        result.to_frame()
        .drop(columns="prompt")
        .assign(nearest=pieces)
        .sort_values("leave_one_out", ascending=False)
    )
    shown.insert(1, "nearest", shown.pop("nearest"))
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
