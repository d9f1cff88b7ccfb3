"""What commands write: tables for people, 100 columns wide; JSON and CSV for programs; notes on stderr."""

import json
import math
import textwrap
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from explorer.system.files import check_target, csv_bytes, write_file
from explorer.words.wording import one_line

if TYPE_CHECKING:
    import pandas as pd

STDOUT, TO_STDOUT = "-", ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")
WIDTH = 100
"""columns of a terminal that tables for people fit into"""
NARROWEST = 8
"""columns that a text column is never shortened below"""
GAP = "  "


def note(message: str) -> None:
    """Progress or a warning: one line on stderr."""
    typer.echo(one_line(message), err=True)


class Output:
    """Where a command's results go. Made before the work begins, so that an unusable target is refused at
    once.

    beside: files of tables that have an Output of their own. Raises WriteError for a target that exists
    (unless `overwrite`) or cannot be written, and typer.BadParameter when two results are meant for stdout or
    for one file.
    """

    def __init__(
        self,
        as_json: bool = False,
        csv: str | None = None,
        html: str | None = None,
        overwrite: bool = False,
        beside: Sequence[str] = (),
    ):
        csv, html, *rest = (STDOUT if target in TO_STDOUT else target for target in (csv, html, *beside))
        self.as_json, self.csv, self.html, self.overwrite = as_json, csv, html, overwrite
        files = [target for target in (csv, html, *rest) if target is not None]
        if as_json + files.count(STDOUT) > 1:
            raise typer.BadParameter(
                "only one of --json, --csv - and --html - can go to stdout; give the others a file"
            )
        if len(set(files)) < len(files):
            raise typer.BadParameter(f"found {files[-1]} for two results; give each a file of its own")
        for target in (csv, html):
            if target not in (None, STDOUT):
                check_target(Path(target), overwrite)

    def write(
        self,
        content: Callable[[], object],
        frame: "Callable[[], pd.DataFrame] | None" = None,
        text: Callable[[], str] | None = None,
        page: Callable[[], str] | None = None,
    ) -> None:
        """Give the results in the forms asked for: JSON, CSV, HTML; a table for people when none was."""
        if self.html is not None and page is not None:
            self._put(self.html, page().encode("utf-8", "backslashreplace"))
        if self.csv is not None and frame is not None:
            self._put(self.csv, csv_bytes(frame()))
        if self.as_json:
            data = json.dumps(content(), ensure_ascii=False, indent=1, allow_nan=False) + "\n"
            self._put(STDOUT, data.encode("utf-8", "backslashreplace"))
        if not self.as_json and self.csv is None and self.html is None and text is not None:
            self._put(STDOUT, (text() + "\n").encode("utf-8", "backslashreplace"))

    def _put(self, target: str, data: bytes) -> None:
        if target == STDOUT:
            typer.echo(data, nl=False)
            return
        write_file(Path(target), data, self.overwrite)
        note(f"wrote {target}")


def records(frame: "pd.DataFrame") -> list[dict[str, object]]:
    """Rows of a frame as JSON objects: the same figures as in CSV, null for what is not a number."""
    columns = [[plain(value) for value in frame[name].to_numpy()] for name in frame.columns]
    return [dict(zip(frame.columns, row, strict=True)) for row in zip(*columns, strict=True)]


def plain(value: Any) -> Any:
    """A value JSON can hold; NaN and infinity become null."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if (
        hasattr(value, "dtype") and value.ndim == 0
    ):  # NumPy scalars: float32 in its own shortest digits, as in CSV
        value = float(str(value)) if value.dtype.kind == "f" else value.item()
    elif hasattr(value, "ndim"):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, int)):
        return value
    return None if type(value).__name__ in ("NAType", "NaTType") else str(value)


def table(frame: "pd.DataFrame", wide: bool = False, lists: Sequence[str] = ()) -> str:
    """A frame as aligned text, numbers to the right; no line is longer than WIDTH columns unless `wide`.

    Where one would be, text is shortened: first columns named in `lists` (items with commas) at their end,
    then the widest in the middle.
    """
    names = list(frame.columns)
    rows = [[plain(value) for value in row] for row in frame.itertuples(index=False)]
    shown = [names, *([cell(value) for value in row] for row in rows)]
    widths = [max(width_of(line[n]) for line in shown) for n in range(len(names))]
    numeric = [any(isinstance(row[n], (int, float)) for row in rows) for n in range(len(names))]
    if not wide:
        widths = _fitted(
            widths,
            [
                0 if right else max(NARROWEST, width_of(name))
                for name, right in zip(names, numeric, strict=True)
            ],
            names,
            lists,
        )
    return "\n".join(_line(line, widths, numeric, [name in lists for name in names]) for line in shown)


def _fitted(widths: list[int], least: list[int], names: Sequence[str], lists: Sequence[str]) -> list[int]:
    """Column widths that fit together; least: how narrow each column may get, 0 for one that is not
    shortened.
    """
    widths = list(widths)
    room = WIDTH - len(GAP) * (len(widths) - 1)
    while sum(widths) > room:
        open_ = [n for n in range(len(widths)) if least[n] and widths[n] > least[n]]
        if not open_:
            break
        chosen = [n for n in open_ if names[n] in lists] or open_
        widths[max(chosen, key=lambda n: widths[n])] -= 1
    return widths


def _line(line: Sequence[str], widths: Sequence[int], numeric: Sequence[bool], lists: Sequence[bool]) -> str:
    cells = []
    for text, width, right, is_list in zip(line, widths, numeric, lists, strict=True):
        short = (
            text
            if width_of(text) <= width
            else _without_end(text, width)
            if is_list
            else _without_middle(text, width)
        )
        space = " " * (width - width_of(short))
        cells.append(space + short if right else short + space)
    return GAP.join(cells).rstrip()


def width_of(text: str) -> int:
    """Columns that a text takes in a terminal: two for a wide East Asian character, none for a combining
    one.
    """
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text
    )


def _without_end(text: str, width: int) -> str:
    """Items with commas, the last left out: `fine, great, …`."""
    kept = _clipped(text, width - 1)
    items, comma, _ = kept.rpartition(", ")
    return f"{items}, …" if comma else f"{kept}…"


def _without_middle(text: str, width: int) -> str:
    """The beginning and the end: `sentiment/class…length-100`."""
    head = _clipped(text, width // 2)
    return f"{head}…{_clipped(text[::-1], width - width_of(head) - 1)[::-1]}"


def _clipped(text: str, width: int) -> str:
    text = text[:width]
    while width_of(text) > width:
        text = text[:-1]
    return text


def paragraph(*sentences: str) -> str:
    """Sentences as lines of at most WIDTH columns; empty ones are left out."""
    return "\n".join(
        textwrap.fill(one_line(sentence), WIDTH, break_on_hyphens=False) for sentence in sentences if sentence
    )


def concluded(said: str, rest: str, wide: bool) -> str:
    """What it comes to, then the tables; after wide tables, whose first line is the header that scripts look
    for.
    """
    return f"{rest}\n\n{paragraph(said)}" if wide else f"{paragraph(said)}\n\n{rest}"


def entries(words: dict[str, str]) -> str:
    """Names and what they stand for, one below the other; long texts go on in the next line."""
    indent = " " * (max(map(len, words)) + len(GAP))
    lines = [
        textwrap.fill(one_line(word), WIDTH - len(indent), break_on_hyphens=False) for word in words.values()
    ]
    return "\n".join(
        name.ljust(len(indent)) + textwrap.indent(line, indent).lstrip()
        for name, line in zip(words, lines, strict=True)
    )


def interval(low: float, high: float) -> str:
    """A 95 % interval in one cell; empty where it is not known."""
    return f"{low:.3f} … {high:.3f}" if math.isfinite(low) and math.isfinite(high) else ""


def cell(value: object) -> str:
    """One value as people read it: three decimals, commas in a list, a dash for nothing."""
    value = plain(value)
    if value is None or value in ("", [], {}):
        return "–"
    if isinstance(value, list):
        return ", ".join(map(cell, value))
    if isinstance(value, dict):
        return ", ".join(f"{one_line(key)} {cell(item)}" for key, item in value.items())
    if isinstance(value, float):
        return f"{value:.1f}" if abs(value) >= 1000 else f"{round(value, 3) + 0.0:.3f}"  # no -0.000
    return one_line(str(value))
