"""The command line: `python -m explorer`, one command per panel of the dashboard.

Results go to stdout, progress and warnings to stderr. Exit codes: 0 done, 1 an ExplorerError in one line, 2 bad usage,
130 Ctrl-C, 141 the reader of stdout has gone. Heavy imports happen inside the commands.
"""

import os
import sys
from contextlib import suppress

import typer
from typer.core import TyperGroup

from explorer.cli import comparing, making, reading, running, scoring, trusting
from explorer.cli.output import note
from explorer.errors import ExplorerError


class Commands(TyperGroup):
    """Turns what people and bad input do into one line on stderr and an exit code."""

    def invoke(self, ctx: typer.Context) -> object:
        """Run the chosen command."""
        sys.stdout.reconfigure(errors="backslashreplace")
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except ExplorerError as error:
            note(f"Error: {error}")
            raise typer.Exit(1) from error
        except KeyboardInterrupt as interruption:
            note(f"interrupted: {interruption}" if str(interruption) else "interrupted")
            raise typer.Exit(130) from interruption
        except BrokenPipeError as error:
            _abandon_stdout()
            raise typer.Exit(141) from error
        except UnicodeEncodeError as error:  # from file names and arguments that are not UTF-8, wherever they are used first
            note(f"Error: found {str(error.object)[:80]!a}, which is not UTF-8; rename the file or change the text")
            raise typer.Exit(1) from error
        except OSError as error:
            note(f"Error: {error}")
            _abandon_stdout()
            raise typer.Exit(1) from error
        return result


def _abandon_stdout() -> None:
    """Point stdout at nothing, so that the interpreter's last flush cannot fail again."""
    with suppress(OSError, ValueError):  # ValueError: not a real file, as in tests
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


app = typer.Typer(
    cls=Commands,
    help="Soft Prompt Explorer: what a trained soft prompt learned, and how far that reading can be trusted.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)

COMMANDS = {
    "prompts": reading.prompts,
    "inspect": reading.inspect,
    "convert": reading.convert,
    "neighbors": reading.neighbors,
    "clusters": reading.clusters,
    "labels": reading.labels,
    "map": comparing.draw_map,
    "compare": comparing.compare,
    "report": comparing.report,
    "predict": running.predict,
    "evaluate": scoring.evaluate,
    "shift": scoring.shift,
    "ensemble": scoring.ensemble,
    "faithfulness": trusting.faithfulness,
    "attribution": trusting.attribution,
    "train": making.train,
    "pretrain": making.pretrain,
    "app": running.app,
}
for _name in COMMANDS:
    app.command(_name)(COMMANDS[_name])
