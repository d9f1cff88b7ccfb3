"""`prompts`: what is here."""

from typing import TYPE_CHECKING, Annotated

import typer

from explorer.cli.options import Csv, Json, Overwrite, Wide
from explorer.cli.output import Output, note, paragraph, records, table
from explorer.words.wording import count

if TYPE_CHECKING:
    import pandas as pd

SHOWN = ["name", "base_model", "task", "initialization", "seed", "length", "dev_accuracy", "gain"]


def prompts(
    folder: Annotated[
        str | None,
        typer.Argument(
            metavar="DIR", show_default=False, help="Where to look. Default: checkpoints/prompts."
        ),
    ] = None,
    wide: Wide = False,
    as_json: Json = False,
    csv: Csv = None,
    overwrite: Overwrite = False,
) -> None:
    """List the prompts in a folder, one row each."""
    output = Output(as_json, csv, overwrite=overwrite)
    from explorer.formats import PassedOver, find_prompts, in_words
    from explorer.report.tables import list_prompts

    passed: list[PassedOver] = []
    frame = list_prompts(find_prompts(folder, passed))
    if passed:
        note(in_words(passed))
    if frame.empty:
        note(f"no prompts below {folder or 'checkpoints/prompts'}")
    output.write(lambda: records(frame), lambda: frame, lambda: _text(frame, wide))


def _text(frame: "pd.DataFrame", wide: bool) -> str:
    """One line a prompt; those that cannot be read below, with the reason."""
    broken = frame[frame["error"].notna()]
    listed = frame if wide else frame.loc[frame["error"].isna(), SHOWN]
    if wide and broken.empty:
        listed = frame.drop(columns="error")
    said = count(len(frame), "prompt") + (f", {len(broken)} of which cannot be read:" if len(broken) else "")
    reasons = [f"{row.name}: {row.error}" for row in broken[["name", "error"]].itertuples(index=False)]
    return f"{table(listed, wide)}\n\n{paragraph(said, *reasons)}"
