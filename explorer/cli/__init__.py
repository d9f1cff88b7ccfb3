"""The command line: one command per panel of the dashboard, each in a file named after it.

Results go to stdout, progress and warnings to stderr. Exit codes: 0 done, 1 an ExplorerError in one line, 2
bad usage, 130 Ctrl-C, 141 the reader of stdout has gone. Heavy imports happen inside the commands.
"""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from explorer.cli.app import app as dashboard
from explorer.cli.attribution import attribution
from explorer.cli.clusters import clusters
from explorer.cli.commandline import SCRIPT, advice, misuse, program
from explorer.cli.compare import compare
from explorer.cli.convert import convert
from explorer.cli.cues import cues
from explorer.cli.decode import decode
from explorer.cli.decompose import decompose
from explorer.cli.ensemble import ensemble
from explorer.cli.evaluate import evaluate
from explorer.cli.faithfulness import faithfulness
from explorer.cli.gain import gain
from explorer.cli.inspect import inspect
from explorer.cli.labels import labels
from explorer.cli.layers import layers
from explorer.cli.map import draw_map
from explorer.cli.neighbors import neighbors
from explorer.cli.output import note
from explorer.cli.predict import predict
from explorer.cli.prompts import prompts
from explorer.cli.reading import Command, command
from explorer.cli.report import report
from explorer.cli.shift import shift
from explorer.cli.train import train
from explorer.errors import ExplorerError
from explorer.readings import READINGS
from explorer.system.files import FULL


class Commands(TyperGroup):
    """Turns what people and bad input do into one line on stderr and an exit code."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command line; help and version too may meet a full disk or a reader that has gone."""
        _open_closed_streams()
        try:
            try:
                return super().main(*args, **kwargs)
            finally:
                sys.stdout.flush()
        except BrokenPipeError:
            _abandon_stdout()
            sys.exit(141)
        except OSError as error:
            note(f"Error: {_in_words(error)}")
            _abandon_stdout()
            sys.exit(1)

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except ExplorerError as error:
            note(f"Error: {error}{advice(error.setting)}")
            raise typer.Exit(1) from error
        except typer.BadParameter as error:
            error.message = misuse(error.message, error.__cause__)
            raise
        except KeyboardInterrupt as interruption:
            note(f"interrupted: {interruption}" if str(interruption) else "interrupted")
            raise typer.Exit(130) from interruption
        except BrokenPipeError as error:
            _abandon_stdout()
            raise typer.Exit(141) from error
        except (
            UnicodeEncodeError
        ) as error:  # from file names and arguments that are not UTF-8, wherever they are used first
            note(
                f"Error: found {str(error.object)[:80]!a}, which is not UTF-8; rename the file or "
                "change the text"
            )
            raise typer.Exit(1) from error
        except OSError as error:
            note(f"Error: {_in_words(error)}")
            _abandon_stdout()
            raise typer.Exit(1) from error
        return result


def _open_closed_streams() -> None:
    """Where a shell closed stdout or stderr (`>&-`), write into nothing: else the next file that is opened
    would take its number, and what is meant for the screen would go into that.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 (until the end)


def _in_words(error: OSError) -> str:
    """What went wrong; a file that is not named is the one that results are written to."""
    if error.filename is not None:
        return str(error)
    advice = "; make room or choose another place" if error.errno in FULL else ""
    return f"stdout cannot be written ({error.strerror or error}){advice}"


def _abandon_stdout() -> None:
    """Point stdout at nothing, so that the interpreter's last flush cannot fail again."""
    with suppress(OSError, ValueError):  # ValueError: not a real file, as in tests
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


app = typer.Typer(
    cls=Commands,
    help="Soft Prompt Explorer: what a trained soft prompt learned, and how far that reading can be trusted.",
    add_completion=program()
    == SCRIPT,  # a shell completes the name of a program, which `python -m explorer` is not
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def _tell_version(wanted: bool) -> None:
    if wanted:
        from explorer import __version__

        typer.echo(f"{SCRIPT} {__version__}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_tell_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Options of the program itself; they end it before a command runs."""


_WITH_TEXT: dict[str, Callable[..., None]] = {
    "neighbors": neighbors,
    "clusters": clusters,
    "decompose": decompose,
    "labels": labels,
    "map": draw_map,
    "compare": compare,
    "predict": predict,
    "evaluate": evaluate,
    "gain": gain,
    "cues": cues,
    "layers": layers,
    "shift": shift,
    "ensemble": ensemble,
    "faithfulness": faithfulness,
    "attribution": attribution,
    "decode": decode,
}
"""commands of readings with a text of their own; those of others follow from their declarations alone"""
_READINGS = {
    reading.name: _WITH_TEXT.get(reading.name) or command(Command(reading))
    for reading in READINGS
    if reading.shown_by == reading.name
}
COMMANDS: dict[str, Callable[..., None]] = {
    "prompts": prompts,
    "inspect": inspect,
    "convert": convert,
    **_READINGS,
    "report": report,
    "train": train,
    "app": dashboard,
}
for _name in COMMANDS:
    app.command(_name)(COMMANDS[_name])
