"""What commands write: tables for people, as wide as the terminal; JSON and CSV for programs; notes on
stderr.
"""

import json
import math
import shutil
import sys
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
WIDTH, NARROW, BROAD = 100, 80, 200
"""columns: of sentences and of what goes into a pipe; of the narrowest and the broadest terminal that tables
follow
"""
TEXTS = ("text", "generated")
"""columns of texts, which are shortened in a pipe too"""
NAME, NARROWEST = 24, 8
"""columns of the first text of a table, its name, that it keeps as long as others can give way, and of any
text
"""
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


def screen() -> int | None:
    """Columns of the terminal that stdout is, 80 to 200; None for a pipe or a file."""
    if not sys.stdout.isatty():
        return None
    return min(max(shutil.get_terminal_size((WIDTH, 24)).columns, NARROW), BROAD)


def table(frame: "pd.DataFrame", wide: bool = False, lists: Sequence[str] = ()) -> str:
    """A frame as aligned text, numbers to the right; no line is longer than the terminal unless `wide`.

    Where one would be, text is shortened: first columns named in `lists` (items with commas) at their end,
    then the widest, so that what tells its cells apart stays. Into a pipe lists and texts alone are shortened
    to 100 columns; names stay whole.
    """
    names, room = list(frame.columns), screen()
    rows = [[plain(value) for value in row] for row in frame.itertuples(index=False)]
    shown = [names, *([cell(value) for value in row] for row in rows)]
    columns = [[line[n] for line in shown] for n in range(len(names))]
    numeric = [any(isinstance(row[n], (int, float)) for row in rows) for n in range(len(names))]
    widths = [max(map(width_of, column)) for column in columns]
    if not wide:
        cut = [
            not right and (room is not None or name in (*lists, *TEXTS))
            for name, right in zip(names, numeric, strict=True)
        ]
        widths = _fitted(widths, cut, [name in lists for name in names], columns, room or WIDTH)
    columns = [
        [_without_end(text, width) if width_of(text) > width else text for text in column]
        if name in lists
        else shortened(column, width)
        for name, column, width in zip(names, columns, widths, strict=True)
    ]
    return "\n".join(
        GAP.join(map(_aligned, line, widths, numeric)).rstrip() for line in zip(*columns, strict=True)
    )


def _fitted(
    widths: list[int], cut: list[bool], lists: list[bool], columns: list[list[str]], room: int
) -> list[int]:
    """Column widths that fit into `room`: of the columns that may be cut lists give way first, then the
    widest text, then headers of numbers; headers of text only where nothing else is left.
    """
    widths, room = list(widths), room - len(GAP) * (len(widths) - 1)
    first = cut.index(True) if True in cut else -1
    names = [NAME if n == first and not lists[n] else NARROWEST for n in range(len(widths))]
    headers = [max(name, width_of(column[0])) for name, column in zip(names, columns, strict=True)]
    cells = [max([NARROWEST, *map(width_of, column[1:])]) for column in columns]
    for texts, numbers in (
        (headers, widths),
        (headers, cells),
        (names, cells),
        ([NARROWEST] * len(cut), cells),
    ):
        floors = [text if may else number for may, text, number in zip(cut, texts, numbers, strict=True)]
        while sum(widths) > room:
            ready = [n for n, floor in enumerate(floors) if widths[n] > floor]
            if not ready:
                break
            widths[max([n for n in ready if lists[n]] or ready, key=lambda n: widths[n])] -= 1
    return widths


def _aligned(text: str, width: int, right: bool) -> str:
    space = " " * (width - width_of(text))
    return space + text if right else text + space


def shortened(texts: Sequence[str], width: int) -> list[str]:
    """Texts of at most `width` columns. Of longer ones a part is left out, `sentiment/class…length-100`, in
    all of them where it leaves most of them different.
    """
    long = sorted({text for text in texts if width_of(text) > width})
    if not long:
        return list(texts)
    heads = sorted(range(width), key=lambda head: abs(head - width // 2))
    head = max(heads, key=lambda head: len({_without_middle(text, width, head) for text in long}))
    cut = {text: _without_middle(text, width, head) for text in long}
    if len(set(cut.values())) < len(long):  # what differs stands in the middle
        pairs = enumerate(zip(long[0], long[-1], strict=False))
        shared = next((n for n, pair in pairs if len(set(pair)) > 1), len(long[0]))
        rest = {text: f"…{_without_middle(text[shared:], width - 1, width // 2)}" for text in long}
        cut = max(cut, rest, key=lambda shown: len(set(shown.values())))
    return [cut.get(text, text) for text in texts]


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


def _without_middle(text: str, width: int, head: int) -> str:
    """The first `head` columns of a text and its end; the text itself where it fits."""
    if width_of(text) <= width:
        return text
    begin = _clipped(text, head)
    return f"{begin}…{_clipped(text[::-1], width - width_of(begin) - 1)[::-1]}"


def _clipped(text: str, width: int) -> str:
    text = text[:width]
    while width_of(text) > width:
        text = text[:-1]
    return text


def paragraph(*sentences: str) -> str:
    """Sentences as lines of at most 100 columns, or of the terminal's; empty ones are left out."""
    room = min(screen() or WIDTH, WIDTH)
    return "\n".join(_filled(one_line(sentence), room) for sentence in sentences if sentence)


def _filled(text: str, room: int) -> str:
    """A text in lines of at most `room` columns; a filler stands for the second column of wide characters."""
    spread = "".join(char + "\0" * (width_of(char) - 1) for char in text)
    return textwrap.fill(spread, room, break_on_hyphens=False).replace("\0", "")


def concluded(said: str, rest: str, wide: bool) -> str:
    """What it comes to, then the tables; after wide tables, whose first line is the header that scripts look
    for.
    """
    return f"{rest}\n\n{paragraph(said)}" if wide else f"{paragraph(said)}\n\n{rest}"


def entries(words: dict[str, str]) -> str:
    """Names and what they stand for, one below the other; long texts go on in the next line."""
    indent, room = " " * (max(map(len, words)) + len(GAP)), min(screen() or WIDTH, WIDTH)
    lines = [_filled(one_line(word), room - len(indent)) for word in words.values()]
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
