"""Commands that put a reading to the test on the model itself."""

from typing import Annotated

import typer

from explorer.cli.choosing import Vocabularies, class_labels, read_prompts
from explorer.cli.options import PROMPT_HELP, Csv, Data, Json, Labels, Model, Overwrite, Seed
from explorer.cli.output import Output, cell, frame_table, note, printable, records

Prompt = Annotated[str, typer.Argument(metavar="PROMPT", show_default=False, help=PROMPT_HELP)]

FIGURES = ("reading", "accuracy", "low", "high", "agreement", "kl", "difference", "difference_low", "difference_high")


def faithfulness(
    prompt: Prompt,
    data: Data,
    labels: Labels = None,
    draws: Annotated[int, typer.Option("--draws", min=1, help="Prompts of random words that are run.")] = 5,
    points: Annotated[int, typer.Option("--points", min=2, help="Points of the curve from the soft prompt to its nearest words.")] = 11,
    curve: Annotated[str | None, typer.Option("--curve", metavar="FILE", help="That curve as CSV in a file.")] = None,
    seed: Seed = 0,
    model: Model = None,
    as_json: Json = False,
    csv: Csv = None,
    overwrite: Overwrite = False,
) -> None:
    """Test whether the neighbor reading does the prompt's job.

    The prompt is replaced by its nearest words, by none, by random ones, by its initial vectors, and the model is run again.
    """
    output, curve_output = Output(as_json, csv, overwrite=overwrite), Output(csv=curve, overwrite=overwrite)
    (read,) = read_prompts([prompt])
    chosen = class_labels([read], labels)
    from explorer.tasks import read_task

    task, vocabulary = read_task(data, chosen), Vocabularies(model).of(read)
    from explorer.evaluation.faithfulness import faithfulness as run
    from explorer.models.encoder_decoder import FrozenT5

    result = run(FrozenT5.load(vocabulary.name), vocabulary, read, task, draws, points, seed)
    if read.initial is None:
        note(f"{read.name}: no initial vectors were saved, so the reading `initial` is left out")
    frame = result.to_frame()
    if curve is not None:
        curve_output.write(lambda: None, result.curve_frame)

    def text() -> str:
        words = next(reading.words for reading in result.readings if reading.name == "cosine")
        head = f"{printable(read.name)} on {len(task)} texts; its nearest words (cosine): {printable(' '.join(words))}"
        return f"{head}\n\n{frame_table(frame, FIGURES)}\n\nfrom the soft prompt (share 0) to those words (share 1)\n{frame_table(result.curve_frame())}"

    output.write(lambda: records(frame), lambda: frame, text)


def attribution(
    prompt: Prompt,
    text: Annotated[list[str] | None, typer.Option("--text", metavar="T", show_default=False, help="A text; may be repeated, figures are means then.")] = None,
    data: Annotated[str | None, typer.Option("--data", metavar="FILE", help="Labelled texts to average over, as for evaluate.")] = None,
    label: Annotated[str | None, typer.Option("--label", metavar="L", help="The label asked about. Default: the model's answer on each text.")] = None,
    labels: Labels = None,
    orders: Annotated[int, typer.Option("--orders", min=1, help="Random orders that deletion and insertion are compared with.")] = 100,
    seed: Seed = 0,
    model: Model = None,
    as_json: Json = False,
    csv: Csv = None,
    overwrite: Overwrite = False,
) -> None:
    """Tell which prompt tokens the answer rests on.

    Leave-one-out, gate gradient and integrated gradients of the answer's log-probability; deletion and insertion curves.
    """
    output = Output(as_json, csv, overwrite=overwrite)
    if (text is None) == (data is None):
        raise typer.BadParameter("expected either --text or --data", param_hint="--text")
    (read,) = read_prompts([prompt])
    chosen = class_labels([read], labels)
    from explorer.tasks import check_text, read_task

    texts = list(read_task(data, chosen).texts) if data is not None else list(text)
    for number, one in enumerate(texts, start=1):
        check_text(one, f"text {number}")
        one.encode()  # a text that is not UTF-8 is refused here; the tokenizer would fail on it
    vocabulary = Vocabularies(model).of(read)
    from explorer.analysis.neighbors import nearest_neighbors
    from explorer.evaluation.attribution import attribute
    from explorer.models.encoder_decoder import FrozenT5

    result = attribute(FrozenT5.load(vocabulary.name), vocabulary, read, texts, chosen, label, orders, seed, note if len(texts) > 1 else None)
    frame = result.to_frame()

    def table_text() -> str:
        pieces = [row[0] for row in nearest_neighbors(read, vocabulary, 1).pieces]
        shown = frame.drop(columns="prompt").assign(nearest=pieces).sort_values("leave_one_out", ascending=False)
        order = (
            f"deleting in the order of leave-one-out: area {cell(result.deletion_area)}, p {cell(result.deletion_p)}; "
            f"inserting: area {cell(result.insertion_area)}, p {cell(result.insertion_p)} (against {len(result.deletion_null)} random orders)"
        )
        head = f"{printable(read.name)}, answer {printable(result.answer)!r}, {len(texts)} text{'s' * (len(texts) > 1)}"
        return f"{head}\n\n{frame_table(shown)}\n\ncompleteness error of integrated gradients: {result.completeness:.1%}\n{order}"

    output.write(lambda: records(frame), lambda: frame, table_text)
