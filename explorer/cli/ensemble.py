"""`ensemble`: what prompts answer together."""

from typing import TYPE_CHECKING

from explorer.choices import LONGEST_INPUT
from explorer.cli import options
from explorer.cli.labelled import Columns, labelled
from explorer.cli.output import Output, cell, concluded, interval, paragraph, plain, table
from explorer.cli.session import load_model, open_session

if TYPE_CHECKING:
    import pandas as pd


def ensemble(
    prompts: options.Prompts,
    data: options.Data,
    labels: options.Labels = None,
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
    """Score the majority vote of several prompts, in one batch.

    Members, their average, the best one, majority vote (ties by summed log-probability) and mean probability.
    """
    output = Output(as_json, csv, overwrite=overwrite)
    session = open_session(
        prompts,
        model,
        device,
        dtype,
        labels=options.label_values(labels),
        max_length=max_length,
        template=template,
        seed=seed,
        revision=revision,
    )

    task = labelled(session, data, Columns(text_column, label_column))
    load_model(session)
    result = session.ensemble(task)
    frame, record = result.to_frame(), result.to_record()

    def text() -> str:
        shown = frame.drop(columns="kind") if wide else _narrow(frame)
        agreement = (
            f"The members disagree on {record['disagreement']:.1%} of the texts; {record['tied']:.1%} "
            "are ties (decided by summed "
            f"log-probability). Fleiss' kappa {cell(record['kappa'])} (1 is full agreement, 0 chance)."
        )
        return concluded(
            result.conclusion, f"{table(shown, wide)}\n\n{paragraph(_best(frame), agreement)}", wide
        )

    output.write(lambda: plain(record), lambda: frame, text)


def _narrow(frame: "pd.DataFrame") -> "pd.DataFrame":
    """The figures with their interval in one column."""
    spans = {"95 %": [interval(row.low, row.high) for row in frame.itertuples()]}
    return frame[["prompt", "accuracy"]].assign(**spans).join(frame[["calibration_error", "difference"]])


def _best(frame: "pd.DataFrame") -> str:
    """The best member, which was chosen by hindsight, beside the vote."""
    best, average = (frame[frame["kind"] == kind].iloc[0] for kind in ("best", "average"))
    span = interval(best["difference_low"], best["difference_high"])
    return (
        f"The best member (chosen by hindsight) is right on {best['accuracy']:.3f} of the texts, "
        f"members on average on {average['accuracy']:.3f}. "
        f"Best member minus vote: {best['difference']:+.3f} (95 %: {span})."
    )
