"""`labels`: how near the tokens are to the class labels, and whether those that began as a label still are
one.
"""

import math
from typing import TYPE_CHECKING, Annotated

import typer

from explorer.cli.options import (
    Csv,
    Json,
    Labels,
    Model,
    Nulls,
    Overwrite,
    Prompts,
    Revision,
    Seed,
    Template,
    Wide,
    label_values,
    values,
)
from explorer.cli.output import Output, cell, paragraph, records, table
from explorer.cli.session import open_session

if TYPE_CHECKING:
    import pandas as pd

    from explorer.analysis.labels import LabelReading
    from explorer.prompt import SoftPrompt


def labels(
    prompts: Prompts,
    labels: Labels = None,
    other_labels: Annotated[
        str | None,
        typer.Option(
            "--other-labels", metavar="A,B", help="Labels of other tasks, a baseline of persistence."
        ),
    ] = None,
    nulls: Nulls = 1000,
    seed: Seed = 0,
    template: Template = None,
    model: Model = None,
    revision: Revision = None,
    wide: Wide = False,
    as_json: Json = False,
    csv: Csv = None,
    overwrite: Overwrite = False,
) -> None:
    """Measure how near prompt tokens are to the class labels.

    Similarity is the cosine to the mean of a label's pieces; rank 1 means nearer than every piece of the
    vocabulary.
    """
    output, others = Output(as_json, csv, overwrite=overwrite), values(other_labels, "--other-labels")
    session = open_session(
        prompts,
        model,
        template=template,
        labels=label_values(labels),
        nulls=nulls,
        seed=seed,
        revision=revision,
    )
    import pandas as pd

    found = session.labels(others=others)
    similarities = found.to_frame()
    persistence = pd.concat([reading.persistence_frame() for reading in found], ignore_index=True)
    dispersion = pd.concat([reading.dispersion_frame() for reading in found], ignore_index=True)

    def text() -> str:
        if not wide:
            return "\n\n".join(
                _text(prompt, reading) for prompt, reading in zip(session.prompts, found, strict=True)
            )
        kept = table(persistence, wide) if len(persistence) else NONE_BEGAN
        said = paragraph(*found.conclusion.splitlines())
        return "\n\n".join([table(similarities, wide), kept, table(dispersion, wide), said])

    def content() -> dict[str, object]:
        return {
            "conclusion": found.conclusions,
            "similarities": records(similarities),
            "persistence": records(persistence),
            "dispersion": records(dispersion),
        }

    output.write(content, lambda: similarities, text)


NONE_BEGAN = "persistence: no prompt token was initialized from a class label"


def _text(prompt: "SoftPrompt", reading: "LabelReading") -> str:
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
    return f"{said}\n{table(_nearest(reading, sources(prompt)))}\n\n{kept}\n\n{paragraph(_spread(reading))}"


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
