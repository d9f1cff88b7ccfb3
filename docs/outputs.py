"""Makes the outputs in README.md again: `python docs/outputs.py`, or `make readme`.

A block ```console of README shows comments after `# `, commands after `$ ` and what they print, cut at a line
`…`: as many lines before and after it stay as are there now.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

README = Path(__file__).resolve().parent.parent / "README.md"
BLOCK = re.compile(r"(```console\n)(.*?)(```)", re.DOTALL)
CUT, WIDTH = "…", 100
"""the line that stands for those left out, and the columns of the terminal"""


def remade(text: str, run: Callable[[list[str]], str]) -> str:
    """A document with the outputs of its console blocks made again. run: the arguments of a command -> its
    stdout.
    """
    return BLOCK.sub(lambda block: block[1] + _block(block[2], run) + block[3], text)


def _block(content: str, run: Callable[[list[str]], str]) -> str:
    made: list[str] = []
    for part in filter(None, re.split(r"^(?=[$#] )", content, flags=re.MULTILINE)):
        first, *shown = part.rstrip("\n").split("\n")
        made.append(first)
        if first.startswith("$ "):
            output = run(shlex.split(first)[2:]).rstrip("\n").split("\n")
            made += [*_cut([line.rstrip() for line in output], shown), ""]
    return "\n".join(made).rstrip("\n") + "\n"


def _cut(output: list[str], shown: list[str]) -> list[str]:
    """The first and last lines of an output, as many as are shown around `…`; all of it where there is no
    such line.
    """
    if CUT not in shown:
        return output
    head, tail = shown.index(CUT), len(shown) - shown.index(CUT) - 1
    return output if len(output) <= head + tail else [*output[:head], CUT, *output[len(output) - tail :]]


def run(arguments: list[str]) -> str:
    """What a command prints on stdout."""
    command = [sys.executable, "-m", "explorer", *arguments]
    environment = {**os.environ, "COLUMNS": str(WIDTH)}
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
        cwd=README.parent,
        env=environment,
    ).stdout


if __name__ == "__main__":
    README.write_text(remade(README.read_text(encoding="utf-8"), run), encoding="utf-8")
