"""`faithfulness`: what remains of a prompt when its nearest words stand in its place."""

from typing import TYPE_CHECKING, Annotated

import typer

from explorer.choices import LONGEST_INPUT
from explorer.cli import options
from explorer.cli.labelled import Columns, labelled
from explorer.cli.output import Output, concluded, interval, paragraph, records, table
from explorer.cli.session import load_model, open_session
from explorer.words.wording import count

if TYPE_CHECKING:
    import pandas as pd

    from explorer.evaluation.faithfulness import Faithfulness

FIGURES = [
    "reading",
    "accuracy",
    "low",
    "high",
    "agreement",
    "kl",
    "difference",
    "difference_low",
    "difference_high",
]


def faithfulness(
    prompt: options.Prompt,
    data: options.Data,
    labels: options.Labels = None,
    draws: Annotated[int, typer.Option("--draws", min=1, help="Prompts of random words that are run.")] = 5,
    points: Annotated[
        int,
        typer.Option(
            "--points", min=2, help="Points of the curve from the soft prompt to its nearest words."
        ),
    ] = 11,
    curve: Annotated[
        str | None, typer.Option("--curve", metavar="FILE", help="That curve as CSV in a file.")
    ] = None,
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
    """Score a prompt's nearest words in its place.

    How much accuracy survives when the prompt is replaced by its nearest words? The model is also run without
    a prompt, with random words, and with the vectors the prompt began as.
    """
    output, curve_output = (
        Output(as_json, csv, overwrite=overwrite, beside=curve),
        Output(csv=curve, overwrite=overwrite),
    )
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

    task, (read,) = labelled(session, data, Columns(text_column, label_column)), session.prompts
    load_model(session)
    (result,) = session.faithfulness(task, draws, points)
    if read.initial is None:
        session.progress(f"{read.name}: no initial vectors were saved, so the reading `initial` is left out")
    frame = result.to_frame()
    if curve is not None:
        curve_output.write(lambda: None, result.curve_frame)
    output.write(lambda: records(frame), lambda: frame, lambda: _text(result, frame, wide))


def _text(result: "Faithfulness", frame: "pd.DataFrame", wide: bool) -> str:
    """What the words are worth, then one line for everything that stood in the prompt's place."""
    from explorer.evaluation.faithfulness import NORM_KEPT
    from explorer.words.pieces import readable

    words = next(reading.words or () for reading in result.readings if reading.name == "cosine")
    head = paragraph(
        f"{count(len(result.task), 'text')}; its nearest words (cosine): {', '.join(map(readable, words))}"
    )
    if wide:
        curve = table(result.curve_frame(), wide)
        rest = (
            f"{head}\n\n{table(frame[FIGURES], wide)}\n\nfrom the soft prompt (share 0) to those words "
            f"(share 1)\n{curve}"
        )
    else:
        main = frame[~frame["reading"].str.endswith(NORM_KEPT)]
        spans = {"95 %": [interval(row.difference_low, row.difference_high) for row in main.itertuples()]}
        columns = ["reading", "accuracy", "agreement", "kl", "difference"]
        rest = f"{head}\n\n{table(main[columns].assign(**spans))}"
    return concluded(f"{result.prompt}: {result.conclusion}", rest, wide)
