"""Files of labelled texts as people have them: packing, separator, quotes, header and the names of columns.

What is unambiguous is accepted, and noted where something was assumed; the rest is refused with its row.
Knows nothing of tasks and class labels but that a label is short and comes again.
"""

import csv
import io
import json
import lzma
import re
import zlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from explorer.errors import DataError
from explorer.system.bounded import Unpacked, instead
from explorer.texts.delimited import SEPARATORS, Layout, Record, bare, listed, records_of
from explorer.texts.encodings import LARGEST_FILE, decoded, lines_of

TEXT_NAMES = (
    "text",
    "sentence",
    "review",
    "content",
    "document",
    "question",
    "tweet",
    "comment",
    "utterance",
    "input",
)
LABEL_NAMES = ("label", "labels", "class", "category", "sentiment", "target", "answer", "intent", "emotion")
"""what people call the two columns, in any case; the first name of each goes before the others"""
KINDS = {".tsv": "\t", ".csv": ",", ".jsonl": ""}
"""suffixes, and the separator that each promises"""
PACKED = (".xz", ".gz")
HEAD = 100_000
"""characters in which the header must end"""


@dataclass(frozen=True)
class Row:
    """One labelled text, as it stands in the file: of JSON and hub data any value."""

    text: object
    label: object
    place: str
    """such as `row 3`: counted from the file's first line, the header's"""


@dataclass(frozen=True)
class Rows:
    """The rows of a file, and what was assumed to read them."""

    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


def read_rows(
    path: Path, text_column: str | None = None, label_column: str | None = None, labels: Collection[str] = ()
) -> Rows:
    """The labelled texts of a TSV, CSV or JSONL file, packed or not.

    text_column, label_column: their names; by default `text` and `label`, or what people call them. labels:
    class labels that are known beforehand, which help to tell a column of labels where there is no header.
    Raises DataError when the file is missing, damaged, too large or ambiguous.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; expected TSV, CSV or JSONL with the columns text and label")
    text, kind, notes = file_text(path, KINDS, "expected .tsv, .csv or .jsonl (also as .xz or .gz)")
    separator = KINDS[kind]
    if kind != ".jsonl" and (said := re.match(r"sep=(.)(?=\r?\n)", text, re.IGNORECASE)):
        separator = said[1] if said[1] in SEPARATORS else separator  # the line is Excel's
        text = text[said.end() :]
    try:
        if kind == ".jsonl":
            found = Rows(tuple(_json_rows(text, path, text_column, label_column)))
        else:
            found = _table(text, path, separator, text_column, label_column, labels)
    except csv.Error as error:
        raise DataError(
            f"{path}: cannot be read ({error}); expected {kind[1:].upper()} with the columns text and label"
        ) from error
    return replace(found, notes=(*notes, *found.notes))


def file_text(path: Path, kinds: Collection[str], expected: str) -> tuple[str, str, tuple[str, ...]]:
    """The text of a file, packed or not, its suffix, and what was assumed to read it. Raises DataError for
    another suffix, and for a file that is damaged or too large.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    packing = suffixes.pop() if suffixes and suffixes[-1] in PACKED else ""
    kind = suffixes[-1] if suffixes else "none"
    if kind not in kinds:
        raise DataError(f"{path}: found the suffix {kind}; {expected}")
    content = _content(path, bool(packing))
    _check_kind(path, content)
    text, notes = decoded(content, str(path))
    return text, kind, notes


def _content(path: Path, packed: bool) -> bytes:
    """All bytes, unpacked. Raises DataError for a damaged file, and for more than LARGEST_FILE before they
    are in memory.
    """
    try:
        with io.BufferedReader(Unpacked(path, LARGEST_FILE)) if packed else path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}); expected a file that can be opened") from error
    except ValueError as error:  # it unpacks to more
        raise _too_large(path) from error
    if len(content) > LARGEST_FILE:
        raise _too_large(path)
    return content


_OTHERS = (
    ((b"PK\x03\x04", b"\xd0\xcf\x11\xe0"), "a spreadsheet's workbook, or another zip file"),
    ((b"PAR1",), "a Parquet file"),
    ((b"ARROW1", b"\xff\xff\xff\xff"), "an Arrow file"),
    ((b"%PDF",), "a PDF"),
    ((b"SQLite format 3",), "an SQLite database"),
    ((b"\x1f\x8b", b"\xfd7zXZ", b"BZh"), "a packed file, whose name should end in .gz or .xz"),
)


def _check_kind(path: Path, content: bytes) -> None:
    """Raise DataError for what is no text, by name."""
    if (words := instead(content[:512])) is not None:
        raise DataError(f"{path}: found {words}")
    for openings, words in _OTHERS:
        if content.startswith(openings):
            raise DataError(
                f"{path}: found {words}; expected text: save it as CSV, TSV or JSONL with the columns "
                "text and label"
            )


def _too_large(path: Path) -> DataError:
    return DataError(
        f"{path}: has more than {LARGEST_FILE // 10**6} MB (unpacked); expected at most that: take a "
        "part of its rows"
    )


def column_of(
    names: Sequence[str], kind: str, asked: str | None, where: str, taken: int | None = None
) -> int | None:
    """The place of the column of texts or labels among names, None where there is none.

    kind: `text` or `label`. asked: its name, in any case where that is enough. taken: a column that is not
    meant. Raises DataError for an asked one that is not there, and where several could be meant.
    """
    folded = [name.strip().casefold() for name in names]
    known = TEXT_NAMES if kind == "text" else LABEL_NAMES
    tests = (
        [lambda n: names[n] == asked, lambda n: folded[n] == str(asked).strip().casefold()]
        if asked is not None
        else [lambda n: names[n].strip() == kind, lambda n: folded[n] == kind, lambda n: folded[n] in known]
    )
    for fits in tests:
        found = [number for number in range(len(names)) if number != taken and fits(number)]
        if len(found) > 1:
            several = ", ".join(names[number] for number in found)
            if len({names[number].strip() for number in found}) == 1:
                raise DataError(
                    f"{where}: found the column {names[found[0]].strip()} {len(found)} times; expected it "
                    "once: rename or delete one"
                )
            raise DataError(
                f"{where}: found several columns that could be the {kind}: {several}; expected one: name it",
                f"{kind}_column",
            )
        if found:
            return found[0]
    if asked is not None:
        raise DataError(
            f"{where}: found the columns {listed(names)}; expected {asked!r} among them", f"{kind}_column"
        )
    return None


def columns_of(
    names: Sequence[str], text_column: str | None, label_column: str | None, where: str
) -> tuple[int | None, int | None]:
    """The places of texts and labels; see `column_of`. A column that is asked for by name is not taken for
    the other.
    """
    label = column_of(names, "label", label_column, where) if label_column is not None else None
    text = column_of(names, "text", text_column, where, label)
    return text, column_of(names, "label", label_column, where, text) if label is None else label


def lacking(
    names: Sequence[str], text: int | None, label: int | None, where: str, header: bool = True
) -> DataError:
    """What to say of data without a column of texts or of labels."""
    missing = [kind for kind, place in (("text", text), ("label", label)) if place is None]
    wanted, named = " and ".join(missing), "column" if len(missing) == 1 else "columns"
    others = f", or give the data a header with {wanted}" if header else ""
    return DataError(
        f"{where}: found the columns {listed(names)}; expected {wanted}: name the {named}{others}",
        f"{missing[0]}_column",
    )


# JSON


def _json_rows(text: str, path: Path, text_column: str | None, label_column: str | None) -> Iterator[Row]:
    for number, line in enumerate(lines_of(text), start=1):
        if not line.strip():
            continue
        row, where = _json_object(line, path, number), f"{path}, row {number}"
        text_place, label_place = columns_of(list(row), text_column, label_column, where)
        if text_place is None or label_place is None:
            raise lacking(list(row), text_place, label_place, where, header=False)
        values = list(row.values())
        text_value, label = values[text_place], values[label_place]
        if text_value is None:
            raise DataError(f"{where}: the text is missing; expected a text and a label in every row")
        yield Row(text_value, label, f"row {number}")


def _json_object(line: str, path: Path, number: int) -> dict:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{path}, line {number}: no JSON ({error}); expected one object a line with text and label"
        ) from error
    if not isinstance(row, dict):
        raise DataError(
            f"{path}, line {number}: found a JSON {type(row).__name__}; expected an object with text "
            "and label"
        )
    return row


# Tables


def _table(
    text: str,
    path: Path,
    promised: str,
    text_column: str | None,
    label_column: str | None,
    labels: Collection[str],
) -> Rows:
    if not text.strip():
        return Rows(())
    separators = (promised, *(separator for separator in SEPARATORS if separator != promised))
    heads = {separator: _first(text, separator) for separator in separators}
    found: dict[str, tuple[int | None, int | None]] = {}
    asked = text_column is not None or label_column is not None
    for separator, names in heads.items():
        try:
            found[separator] = columns_of(names, text_column, label_column, str(path))
        except DataError:
            if len(names) > 1 and separator == promised:
                raise
            found[separator] = (None, None)
    for separator, (place, label) in found.items():
        if place is not None and label is not None:
            layout = Layout(separator, heads[separator], place, label)
            return _rows(records_of(text, layout, path, labels), layout, _assumed(layout, promised, path))
    best = max(
        found,
        key=lambda separator: (sum(place is not None for place in found[separator]), len(heads[separator])),
    )
    if asked or found[best] != (None, None):
        columns_of(heads[best], text_column, label_column, str(path))
        raise lacking(heads[best], *found[best], str(path))
    if len(headless := list(_headless(text, heads, path, labels))) != 1:
        raise lacking(heads[best], None, None, str(path))
    ((layout, records),) = headless
    said = (
        f"{path}: has no header; column {layout.text + 1} is taken as the text, column "
        f"{layout.label + 1} as the label"
    )
    return _rows(records, layout, (said, *_assumed(layout, promised, path)))


def _first(text: str, separator: str) -> tuple[str, ...]:
    """The cells of the first record that is not blank."""
    try:
        cells = next(
            (
                row
                for row in csv.reader(io.StringIO(text[:HEAD], newline=""), delimiter=separator)
                if any(map(str.strip, row))
            ),
            [],
        )
    except csv.Error:
        return ()
    while cells and not cells[-1].strip():
        cells.pop()
    return tuple(cells)


def _assumed(layout: Layout, promised: str, path: Path) -> tuple[str, ...]:
    """Notes on what the file's name and header did not say."""
    notes = (
        []
        if layout.separator == promised
        else [f"{path}: its columns are parted by {SEPARATORS[layout.separator]}"]
    )
    return tuple(notes)


def _rows(records: Sequence[Record], layout: Layout, notes: tuple[str, ...]) -> Rows:
    """Quotes around a label are taken off: `good, "yes"` has them after a space, where CSV does not know
    them.
    """
    return Rows(
        tuple(
            Row(one.cells[layout.text], bare(one.cells[layout.label].strip()), one.place)
            for one in records[layout.header :]
        ),
        notes,
    )


def _headless(
    text: str, heads: dict[str, tuple[str, ...]], path: Path, labels: Collection[str]
) -> Iterator[tuple[Layout, list[Record]]]:
    """Ways to read a file without a header: two columns, of which just one has few values that come again,
    the first row's among them.
    """
    known = {label.casefold() for label in labels}
    for separator, cells in heads.items():
        if len(cells) != 2:
            continue
        try:
            records = records_of(text, Layout(separator, cells, 0, 1, header=False), path, labels)
        except DataError:
            continue
        columns = [[record.cells[number].strip().casefold() for record in records] for number in (0, 1)]
        named = [number for number in (0, 1) if known and set(columns[number]) <= known]
        like = named or [
            number
            for number in (0, 1)
            if columns[number].count(columns[number][0]) > 1
            and 1 < len(set(columns[number])) <= len(records) / 2
        ]
        if len(like) == 1:
            yield Layout(separator, cells, 1 - like[0], like[0], header=False), records
