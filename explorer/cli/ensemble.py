"""`ensemble`: what prompts answer together."""

from typing import TYPE_CHECKING

from explorer.cli.output import cell, concluded, interval, paragraph, table
from explorer.cli.reading import Asked, Command, command
from explorer.readings import ENSEMBLE

if TYPE_CHECKING:
    import pandas as pd


def _text(asked: Asked) -> str:
    frame, record = asked.result.to_frame(), asked.result.to_record()
    shown = frame.drop(columns="kind") if asked.wide else _narrow(frame)
    agreement = (
        f"The members disagree on {record['disagreement']:.1%} of the texts; {record['tied']:.1%} "
        "are ties (decided by summed "
        f"log-probability). Fleiss' kappa {cell(record['kappa'])} (1 is full agreement, 0 chance)."
    )
    rest = f"{table(shown, asked.wide)}\n\n{paragraph(_best(frame), agreement)}"
    return concluded(asked.result.conclusion, rest, asked.wide)


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


ensemble = command(Command(ENSEMBLE, _text))
