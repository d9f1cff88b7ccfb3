"""`neighbors`: the vocabulary pieces nearest to each prompt token."""

from typing import TYPE_CHECKING, Annotated

import typer

from explorer.cli.options import Csv, Json, K, Metric, Model, Overwrite, Prompts, Revision, Seed, Wide
from explorer.cli.output import Output, paragraph, records, table
from explorer.cli.session import open_session
from explorer.words.wording import count

if TYPE_CHECKING:
    import pandas as pd

    from explorer.analysis.neighbors import NearestNeighbors
    from explorer.prompt import SoftPrompt


def neighbors(
    prompts: Prompts,
    k: K = 10,
    metric: Metric = "auto",
    include_special: Annotated[
        bool, typer.Option("--include-special", help="Search control pieces, sentinels and padding rows too.")
    ] = False,
    merge_variants: Annotated[
        bool,
        typer.Option(
            "--merge-variants", help="Leave out a piece that is a nearer one but for case or leading space."
        ),
    ] = False,
    nulls: Annotated[
        int,
        typer.Option(
            "--nulls", min=0, help="Random vectors that cosine, whitened and csls are compared with; 0: none."
        ),
    ] = 1000,
    seed: Seed = 0,
    model: Model = None,
    revision: Revision = None,
    wide: Wide = False,
    csv: Csv = None,
    as_json: Json = False,
    overwrite: Overwrite = False,
) -> None:
    """List the vocabulary pieces nearest to each prompt token.

    The search is exact, over every piece that stands for text.
    """
    output = Output(as_json, csv, overwrite=overwrite)
    session = open_session(
        prompts,
        model,
        k=k,
        metric=metric,
        nulls=nulls,
        seed=seed,
        include_special=include_special,
        merge_variants=merge_variants,
        revision=revision,
    )
    found = session.neighbors()

    def text() -> str:
        pairs = zip(session.prompts, found, strict=True)
        return "\n\n".join(
            _text(prompt, one, session.vocabulary_of(prompt).name, wide) for prompt, one in pairs
        )

    output.write(lambda: records(found.to_frame()), found.to_frame, text)


def _text(prompt: "SoftPrompt", found: "NearestNeighbors", model: str, wide: bool) -> str:
    """One line a prompt token: what it began as, its neighbors from the nearest on, how near the first is,
    what that is worth.
    """
    from explorer.report.tables import neighbor_table

    scale = "distance, smaller is closer" if found.metric == "l2" else "higher is closer"
    why = f"; {found.why}" if found.why else ""
    said, head = (
        f"{prompt.name}: {found.conclusion}",
        f"{count(found.token_ids.shape[1], 'nearest piece')} of {model}, {found.metric} ({scale}){why}",
    )
    shown = with_words(
        neighbor_table(prompt, found), ["first", "last", "margin", "p", "q"] if wide else ["first", "q"]
    )
    shown = shown if wide else shown.rename(columns={"first": found.metric})
    told = paragraph(said, found.disagreement, head)
    return f"{told}\n{table(shown, wide, ['neighbors'])}\n{paragraph(legend(shown))}".rstrip()


def with_words(near: "pd.DataFrame", scores: list[str]) -> "pd.DataFrame":
    """Position and origin of each token, its neighbors in one column, then some of the scores that are
    there.
    """
    ranks = [column for column in near if column.isdigit()]
    words = [", ".join(filter(None, row)) for row in near[ranks].to_numpy()]
    shown = near[["position", "source"]].rename(columns={"source": "began as"}).assign(neighbors=words)
    return shown.join(near[[column for column in scores if column in near]])


def legend(shown: "pd.DataFrame") -> str:
    """The marks that neighbors in this table have."""
    text = " ".join(shown["neighbors"])
    marks = {" *": "* a hub, near to much of the vocabulary", "·": "· a piece that begins no word"}
    return "; ".join(told for mark, told in marks.items() if mark in text)
