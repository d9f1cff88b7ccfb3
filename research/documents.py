"""Puts the measured tables into the documents again: `python -m research.documents`, or for one document
`python -m research.documents docs/formats.md`.

A table stands between `<!-- MODULE: NAME -->`, such as `<!-- research.tables: prompts -->`, and `<!-- end
-->`: what that module's `tables()` has by that name. What is said around the tables is written by hand, and
read again after every change.
"""

import re
import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = ("checkpoints/README.md", "docs/formats.md", "docs/results.md")
TABLE = re.compile(r"(<!-- (research\.\w+): ([^>]+?) -->\n\n)(.*?)(\n\n<!-- end -->)", re.DOTALL)


def filled(text: str, tables: Callable[[str], dict[str, str]]) -> str:
    """A document with its tables made again. tables: module -> name -> Markdown. Raises KeyError for a table
    that the module does not have.
    """
    return TABLE.sub(lambda block: block[1] + tables(block[2])[block[3]] + block[5], text)


@cache
def measured(module: str) -> dict[str, str]:
    """What a module measures."""
    print(f"{module} …", flush=True)
    return import_module(module).tables()


if __name__ == "__main__":
    for name in sys.argv[1:] or DOCUMENTS:
        file = ROOT / name
        file.write_text(filled(file.read_text(encoding="utf-8"), measured), encoding="utf-8")
        print(f"wrote {file}")
