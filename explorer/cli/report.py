"""`report`: a folder to share."""

from pathlib import Path
from typing import Annotated

import typer

from explorer.cli.commandline import shell_line
from explorer.cli.options import Device, Dtype, K, Labels, Metric, Model, Nulls, Overwrite, Prompts, Revision, Seed, label_values
from explorer.cli.output import note
from explorer.cli.session import open_session
from explorer.files import check_folder, write_folder
from explorer.wording import count


def report(
    prompts: Prompts,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", show_default=False, help="The folder to make.")],
    k: K = 10,
    metric: Metric = "cosine",
    labels: Labels = None,
    nulls: Nulls = 1000,
    seed: Seed = 0,
    model: Model = None,
    revision: Revision = None,
    decoder: Annotated[
        bool, typer.Option("--decoder/--no-decoder", help="Also ask the frozen model's decoder, which needs the whole model in memory, and time.")
    ] = True,
    device: Device = "auto",
    dtype: Dtype = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Make a folder to share: all tables and one HTML page.

    CSV tables, report.html, which works offline, and report.json with versions, fingerprints and the command of each table.
    """
    check_folder(out, overwrite)
    session = open_session(prompts, model, device, dtype, k=k, metric=metric, nulls=nulls, seed=seed, labels=label_values(labels), revision=revision)
    from explorer.report.bundle import PAGE, bundle

    whole = [] if decoder else ["--no-decoder"]
    files = bundle(session, prompts, lambda recipe: shell_line(recipe, prompts, session, whole, revision), decoder)
    write_folder(out, files, overwrite)
    note(f"wrote {out}: {count(len(files), 'file')}, {PAGE} first")
