"""The records of a table of labelled texts: cut by its separator and its quotes, or without them where they
stand for themselves.
"""

import csv
import io
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from explorer.errors import DataError
from explorer.texts.encodings import lines_of
from explorer.words.wording import count

SEPARATORS = {"\t": "tabs", ",": "commas", ";": "semicolons"}
"""what parts columns, and what messages call it"""


@dataclass(frozen=True)
class Record:
    """The cells of one record of a table, and where it begins."""

    cells: list[str]
    number: int
    """among the records, from 1"""
    line: int
    """of the file, from 1"""
    lines: int = 1
    """that it stands on"""

    @property
    def place(self) -> str:
        """How messages call it."""
        return f"row {self.number}" if self.number == self.line else f"row {self.number} (line {self.line})"

    @property
    def blank(self) -> bool:
        """Whether all cells are empty."""
        return not any(cell.strip() for cell in self.cells)


@dataclass(frozen=True)
class Layout:
    """How the lines of a table are cut, and which columns are meant."""

    separator: str
    names: tuple[str, ...]
    """of the columns; without a header the first record's cells"""
    text: int
    """the place of the texts among the columns"""
    label: int
    """and of the labels"""
    header: bool = True

    def fits(self, cells: Sequence[str]) -> bool:
        """Whether a record has both columns and none too many; empty ones at its end do not count."""
        return max(self.text, self.label) < len(cells) and not any(
            cell.strip() for cell in cells[len(self.names) :]
        )


def listed(names: Sequence[object]) -> str:
    """The first few names, shortened: a header may be a row of texts."""
    shown = [
        name if len(name) <= 40 else f"{name[:40]}…"
        for name in (" ".join(str(name).split()) or "(empty)" for name in names[:8])
    ]
    return ", ".join(shown) + (", …" if len(names) > 8 else "") or "none"


def records_of(text: str, layout: Layout, path: Path, labels: Collection[str]) -> list[Record]:
    """All records but blank ones, the header among them. Every field that begins with a quote is quoted, or
    none is; see `_swallowed`.

    Raises DataError with the row where neither holds.
    """
    lines = lines_of(text)
    quoted, broken = _quoted(text, layout.separator)
    bad = next((one for one in quoted if not layout.fits(one.cells)), None)
    hidden, sure = (None, False) if bad or broken else _swallowed(quoted, lines, layout, labels)
    if not bad and not broken and not hidden:
        return quoted
    literal = [
        Record(line.split(layout.separator), number, number)
        for number, line in enumerate(lines, start=1)
        if line.strip()
    ]
    literal = [one for one in literal if not one.blank]
    wrong = next((one for one in literal if not layout.fits(one.cells)), None)
    tabs = layout.separator == "\t"
    if wrong is None and '"' in text and (not hidden or (tabs and sure)):
        return _unquoted(literal, (layout.text, layout.label))
    if hidden is not None:
        raise DataError(
            f"{path}, {hidden.place}: a quote opens here and closes {count(hidden.lines - 1, 'line')} "
            f"below, over what look like rows; {_DOUBLED}"
        )
    if broken is not None and not (tabs and wrong is not None):
        raise DataError(
            f"{path}, {broken.place}: found a quote that opens a field and is not closed at its end; "
            f"{_DOUBLED}"
        )
    one = bad if bad is not None and bad.lines == 1 and broken is None else wrong or bad
    assert one is not None
    raise _misfit(one, layout, path)


_DOUBLED = 'expected quotes around a whole field, and "" for a quote within it'


def _misfit(one: Record, layout: Layout, path: Path) -> DataError:
    """What to say of a record that lacks a column or has too many."""
    where = f"{path}, {one.place}"
    if len(one.cells) > len(layout.names):
        expected = (
            f"expected {len(layout.names)} ({listed(layout.names)}): put quotes around a text that has "
            f"{SEPARATORS[layout.separator]}"
        )
        return DataError(f"{where}: found {count(len(one.cells), 'column')}; {expected}")
    missing = [
        kind for kind, place in (("text", layout.text), ("label", layout.label)) if place >= len(one.cells)
    ]
    return DataError(
        f"{where}: the {' and the '.join(missing)} is missing; expected {len(layout.names)} columns "
        f"({listed(layout.names)}): fill the row in"
    )


def _quoted(text: str, separator: str) -> tuple[list[Record], Record | None]:
    """The records by the rules of CSV, and the first that breaks them."""
    found: list[Record] = []
    reader, number = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True), 0
    while True:
        line, number = reader.line_num + 1, number + 1
        try:
            cells = next(reader)
        except StopIteration:
            return found, None
        except csv.Error:
            return found, Record([], number, line)
        record = Record(cells, number, line, reader.line_num - line + 1)
        if not record.blank:
            found.append(record)


def _swallowed(
    quoted: Sequence[Record], lines: Sequence[str], layout: Layout, labels: Collection[str]
) -> tuple[Record | None, bool]:
    """A record over several lines that are likely rows of their own, as a bare quote makes it: they have
    every column and a label that others have.

    With tabs, which texts hardly have, every column is enough to doubt it; the second value is whether their
    labels say so too.
    """
    known = {one.cells[layout.label].strip().casefold() for one in quoted[layout.header :]} | {
        label.casefold() for label in labels
    }

    def is_row(line: str) -> bool:
        cells = line.split(layout.separator)
        return layout.fits(cells) and (
            not known or cells[layout.label].strip().strip('"').casefold() in known
        )

    for one in quoted:
        if one.lines > 1:
            spanned = lines[one.line - 1 : one.line - 1 + one.lines]
            rows = [is_row(line) for line in spanned]
            if sum(rows) > 1 or (rows[0] and layout.text < layout.label):
                return one, True
            if layout.separator == "\t" and all(
                layout.fits(line.split("\t")) for line in spanned if line.strip()
            ):
                return one, False
    return None, False


def _unquoted(records: list[Record], columns: tuple[int, int]) -> list[Record]:
    """Records taken literally; where every field of a column stands in quotes they are taken off, and off
    labels and names at any rate.
    """
    made = [list(one.cells) for one in records]
    made[0] = [bare(cell) for cell in made[0]]
    text, label = columns
    whole = all(bare(cells[text]) != cells[text] for cells in made[1:])
    for cells in made[1:]:
        cells[label] = bare(cells[label].strip())
        cells[text] = bare(cells[text]) if whole else cells[text]
    return [replace(one, cells=cells) for one, cells in zip(records, made, strict=True)]


def bare(cell: str) -> str:
    """A cell without the quotes around it."""
    return cell[1:-1] if len(cell) > 1 and cell[0] == cell[-1] == '"' else cell
