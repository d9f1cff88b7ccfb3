"""How things are typed in a shell: the program's name, the flag of a setting, the command that makes a table
again.

Nothing outside `cli` knows a flag: errors, notes and recipes name settings, and become shell text here.
"""

import shlex
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from explorer.report.bundle import Recipe
    from explorer.session import Session

SCRIPT, MODULE = "prompt-explorer", "python -m explorer"
"""what the command line is started by: the installed script, or the package itself"""


def program() -> str:
    """How this process was started."""
    return SCRIPT if Path(sys.argv[0]).stem == SCRIPT else MODULE


def flag(setting: str) -> str:
    """The flag of a setting: `--model`, `-k`."""
    return f"-{setting}" if len(setting) == 1 else f"--{setting.replace('_', '-')}"


def advice(setting: str | None) -> str:
    """What follows a message whose cause a setting mends: ` (--model)`; empty where there is none."""
    if setting is None:
        return ""
    return f" (`{program()} prompts` lists what is here)" if setting == "prompt" else f" ({flag(setting)})"


def misuse(said: str, cause: BaseException | None) -> str:
    """What is wrong with an option's value: what was found, what was expected, what may have been meant.

    said: typer's message, which is its validator's own; cause: the validator's error, which knows the value.
    """
    said = said.removeprefix("Value error, ").removesuffix(".")
    errors: list[dict] = getattr(cause, "errors", list)()
    value = str(errors[0].get("input")) if errors else ""
    if said.startswith("Input should be "):
        wanted = said.removeprefix("Input should be ").partition(",")[0]
        return (
            f"found {value[:80]!r}; expected "
            f"{'a number ' if wanted.startswith(('greater', 'less')) else ''}{wanted}"
        )
    choices = [choice.strip(" '") for choice in said.partition("is not one of ")[2].split(",")]
    meant = [
        choice for choice in choices if value and choice.startswith(value.casefold())
    ] or get_close_matches(value.casefold(), choices, 1)
    return f"{said}; did you mean {meant[0]!r}?" if meant and meant[0] else said


def shell_line(
    recipe: "Recipe",
    given: Sequence[str],
    session: "Session",
    whole: Sequence[str] = (),
    revision: str | None = None,
) -> str:
    """The command that makes a table of a report again. given: the prompts as they were typed; whole: further
    flags of the report itself.

    revision: of those that are on the hub.
    """
    words = [*MODULE.split(), recipe.command, *given, *([] if revision is None else ["--revision", revision])]
    for name in recipe.settings:
        value = getattr(session.settings, name)
        if value is not None:
            words += [flag(name), ",".join(value) if isinstance(value, tuple) else str(value)]
    words += [] if session.model_name is None else ["--model", session.model_name]
    words += whole if recipe.output == "folder" else ()
    words += {"csv": ["--csv", recipe.file], "json": ["--json"], "folder": ["--out", recipe.file]}[
        recipe.output
    ]
    return shlex.join(words)
