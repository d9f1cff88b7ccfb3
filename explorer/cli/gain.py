"""`gain`: what a prompt's gain over no prompt is made of."""

from explorer.cli.output import concluded, interval, paragraph, table
from explorer.cli.reading import Asked, Command, command
from explorer.readings import GAIN

COLUMNS = {
    "prompt": "prompt",
    "no_prompt": "none",
    "prior_fitted": "prior",
    "accuracy": "accuracy",
    "discrimination": "apart",
    "auc_no_prompt": "AUC none",
    "auc": "AUC",
}
"""of the narrow table, and what they are called there"""
LEGEND = (
    "none: accuracy without the prompt; prior: the same, the model's preference among the labels taken off; "
    "apart: what the prompt adds to that, with its interval. AUC: one label against the rest, 0.5 is chance."
)


def _text(asked: Asked) -> str:
    frame, groups = asked.result.to_frame(), asked.result.groups_frame()
    if not asked.wide:
        spans = [interval(row.discrimination_low, row.discrimination_high) for row in frame.itertuples()]
        frame = frame[list(COLUMNS)].rename(columns=COLUMNS).assign(**{"95 %": spans})
        frame.insert(5, "95 %", frame.pop("95 %"))
        spans = [interval(row.discrimination_low, row.discrimination_high) for row in groups.itertuples()]
        groups = groups[["group", "prompts", "gain", "discrimination", "auc"]].assign(**{"95 %": spans})
        groups.insert(4, "95 %", groups.pop("95 %"))
    parts = [table(frame, asked.wide), *([table(groups, asked.wide)] if len(groups) else [])]
    parts += [] if asked.wide else [paragraph(LEGEND)]
    return concluded(asked.result.conclusion, "\n\n".join(parts), asked.wide)


gain = command(Command(GAIN, _text))
