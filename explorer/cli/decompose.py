"""`decompose`: each prompt token as a sum of few words, beside what chance explains."""

from typing import TYPE_CHECKING, Annotated

import typer

from explorer.cli.options import Csv, Json, Model, Nulls, Overwrite, Prompts, Revision, Seed, Wide
from explorer.cli.output import Output, paragraph, records, table
from explorer.cli.session import open_session

if TYPE_CHECKING:
    from explorer.analysis.decomposition import Decomposition
    from explorer.prompt import SoftPrompt


def decompose(
    prompts: Prompts,
    words: Annotated[
        int, typer.Option("--words", min=1, max=50, help="Words that each token is made of, at most.")
    ] = 5,
    nulls: Nulls = 1000,
    seed: Seed = 0,
    model: Model = None,
    revision: Revision = None,
    wide: Wide = False,
    as_json: Json = False,
    csv: Csv = None,
    overwrite: Overwrite = False,
) -> None:
    """Write each token as a sum of few words.

    Orthogonal matching pursuit with weights of 0 or more. Energy: the share of a token's squared length that
    its words explain; p against random vectors, which any words explain in part.
    """
    output = Output(as_json, csv, overwrite=overwrite)
    session = open_session(prompts, model, nulls=nulls, seed=seed, revision=revision)
    found = session.decompose(words)
    frame = found.to_frame()

    def text() -> str:
        if wide:
            return f"{table(frame, wide)}\n\n{paragraph(*found.conclusion.splitlines())}"
        return "\n\n".join(_text(prompt, one) for prompt, one in zip(session.prompts, found, strict=True))

    output.write(lambda: records(frame), lambda: frame, text)


def _text(prompt: "SoftPrompt", found: "Decomposition") -> str:
    """One prompt: what it comes to, then each token with its words and their weights."""
    import pandas as pd

    from explorer.report.tables import sources

    shown = pd.DataFrame(
        {"position": range(prompt.length), "began as": sources(prompt), "weight × word": found.sums()}
    )
    shown = shown.assign(energy=found.energy[:, -1], p=found.p[:, -1])
    return f"{paragraph(f'{prompt.name}: {found.conclusion}')}\n{table(shown, lists=['weight × word'])}"
