"""`cues`: which words of a text decide the answer."""

import typer

from explorer.cli.labelled import read_for
from explorer.cli.options import DATA_HELP
from explorer.cli.output import concluded, interval, table
from explorer.cli.reading import Asked, Command, command
from explorer.readings import CUES, TEXT_CUES
from explorer.readings.reading import TASK, Parameter

DATA = Parameter(
    "data",
    f"Texts, labelled or not (a column text, or .txt): {DATA_HELP}",
    TASK,
    default=None,
    metavar="FILE",
)
TEXT = Parameter("text", "One text: what deleting each of its words does.", str, default=None, metavar="T")
COLUMNS = ["label", "term", "effect", "effect_no_prompt", "deletion", "95 %", "kind"]


def _begin(asked: Asked) -> None:
    if (asked.typed["text"] is None) == (asked.typed["data"] is None):
        raise typer.BadParameter("expected either --text or --data", param_hint="--text")
    if asked.typed["text"] is not None:
        asked.reading, asked.shown = TEXT_CUES, (TEXT_CUES,)
        asked.given["texts"] = asked.given["text"] = [asked.typed["text"]]
    else:
        read_for(asked)


def _text(asked: Asked) -> str:
    result, wide = asked.result, asked.wide
    frame = result.to_frame()
    if asked.reading is CUES:
        fidelity, likeness = result.labels_frame(), result.likeness_frame()
        if not wide:
            spans = [interval(row.deletion_low, row.deletion_high) for row in frame.itertuples()]
            several = ["prompt"] * (len(result.prompts) > 1)
            fidelity = fidelity[[*several, "label", "n", "r2", "r2_no_prompt", "r2_gold", "p"]]
            frame = frame.assign(**{"95 %": spans})[several + COLUMNS].dropna(axis="columns", how="all")
        rest = [table(one, wide) for one in (fidelity, frame, likeness) if len(one)]
        return concluded(result.conclusion, "\n\n".join(rest), wide)
    return concluded(result.conclusion, table(frame, wide), wide)


cues = command(Command(CUES, _text, own=(DATA, TEXT), begin=_begin))
