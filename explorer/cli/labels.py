"""`labels`: how near the tokens are to the class labels, and whether those that began as a label still are
one.
"""

import math
from typing import TYPE_CHECKING

from explorer.cli.output import cell, paragraph, table
from explorer.cli.reading import Asked, Command, command
from explorer.readings import LABELS, LABELS_FOUND

if TYPE_CHECKING:
    import pandas as pd

    from explorer.analysis.labels import LabelReading
    from explorer.analysis.labels_found import LabelsFound
    from explorer.prompt import SoftPrompt


def _all(asked: Asked) -> str:
    if not asked.wide:
        trios = zip(asked.session.prompts, asked.result, asked.of(LABELS_FOUND), strict=True)
        return "\n\n".join(_text(*trio) for trio in trios)
    frames = [one.frame(asked.result) for one in LABELS.tables]
    shown = [table(frame, True) if len(frame) else NONE_BEGAN for frame in frames]
    return "\n\n".join([*shown, paragraph(*asked.result.conclusion.splitlines())])


NONE_BEGAN = "persistence: no prompt token was initialized from a class label"


def _text(prompt: "SoftPrompt", reading: "LabelReading", found: "LabelsFound") -> str:
    """One prompt: what it comes to, the nearest label of each token, what became of the tokens that began as
    one.
    """
    from explorer.report.tables import sources

    began = reading.persistence_frame()
    kept = NONE_BEGAN
    if len(began):
        kept = (
            "tokens that began as a label, and their own label's "
            f"rank\n{table(began[['position', 'label', 'initial_rank', 'rank', 'p', 'p_words']])}"
        )
    head = f"the nearest of the labels {', '.join(reading.labels)} (cosine; rank 1: nearer than every piece)"
    said = paragraph(f"{prompt.name}: {reading.conclusion}", head)
    nearest, rest = table(_nearest(reading, sources(prompt))), paragraph(_spread(reading), found.conclusion)
    return f"{said}\n{nearest}\n\n{kept}\n\n{rest}"


def _spread(reading: "LabelReading") -> str:
    """Over how many tokens the similarity to labels is spread."""
    if math.isnan(reading.dispersion):
        return "No token is on the side of any label."
    before = (
        ""
        if math.isnan(reading.initial_dispersion)
        else f"; {cell(reading.initial_dispersion)} before training"
    )
    return (
        f"Spread of label similarity over the tokens: {cell(reading.dispersion)} (0 all in one token, "
        f"1 even){before}."
    )


def _nearest(reading: "LabelReading", began: list[str]) -> "pd.DataFrame":
    """One row a token: position, began as, its nearest label with similarity, rank, p."""
    frame = reading.to_frame()
    best = frame.loc[
        frame.groupby("position")["similarity"].idxmax(), ["position", "label", "similarity", "rank", "p"]
    ]
    best.insert(1, "began as", began)
    return best.rename(columns={"label": "nearest label"})


labels = command(Command(LABELS, _all))
