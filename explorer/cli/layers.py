"""`layers`: in which layers the answer appears, and where the prompt is read."""

from dataclasses import replace

from explorer.cli.cues import DATA
from explorer.cli.labelled import read_for
from explorer.cli.output import concluded, table
from explorer.cli.reading import Asked, Command, command
from explorer.readings import LAYERS
from explorer.readings.reading import REQUIRED


def _text(asked: Asked) -> str:
    frame = asked.result.to_frame()
    if not asked.wide:
        frame = frame.drop(columns=["log_probability", "log_probability_no_prompt"]).rename(
            columns={"accuracy_no_prompt": "no prompt", "agreement_no_prompt": "agrees"}
        )
        frame = frame.dropna(axis="columns", how="all")
        frame = frame.drop(columns="prompt") if len(asked.session.prompts) == 1 else frame
    return concluded(asked.result.conclusion, table(frame, asked.wide), asked.wide)


layers = command(Command(LAYERS, _text, own=(replace(DATA, default=REQUIRED),), begin=read_for))
