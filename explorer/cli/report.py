"""`report`: a folder to share."""

from pathlib import Path
from typing import Annotated

import typer

from explorer.cli import options
from explorer.cli.commandline import shell_line
from explorer.cli.output import note
from explorer.cli.session import open_session
from explorer.system.files import check_folder, write_folder
from explorer.words.wording import count


def report(
    prompts: options.Prompts,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", show_default=False, help="The folder to make.")
    ],
    k: options.K = 10,
    metric: options.Metric = "auto",
    labels: options.Labels = None,
    nulls: options.Nulls = 1000,
    seed: options.Seed = 0,
    template: options.Template = None,
    model: options.Model = None,
    revision: options.Revision = None,
    decoder: Annotated[
        bool,
        typer.Option(
            "--decoder/--no-decoder",
            help="Also ask the frozen model's decoder, which needs the whole model in memory, and time.",
        ),
    ] = True,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    overwrite: options.Overwrite = False,
) -> None:
    """Make a folder to share: all tables and one HTML page.

    CSV tables, report.html, which works offline, and report.json with versions, fingerprints and the command
    of each table.
    """
    check_folder(out, overwrite)
    session = open_session(
        prompts,
        model,
        device,
        dtype,
        k=k,
        metric=metric,
        nulls=nulls,
        seed=seed,
        labels=options.label_values(labels),
        template=template,
        revision=revision,
    )
    from explorer.report.bundle import PAGE, bundle

    whole = [] if decoder else ["--no-decoder"]
    files = bundle(
        session, prompts, lambda recipe: shell_line(recipe, prompts, session, whole, revision), decoder
    )
    write_folder(out, files, overwrite)
    note(f"wrote {out}: {count(len(files), 'file')}, {PAGE} first")
