"""Texts without labels: lines of a text file, or the column of texts of a table."""

import csv
import io
import json
from pathlib import Path

from explorer.errors import DataError
from explorer.texts.label_files import KINDS, column_of, file_text, lacking
from explorer.texts.tasks import Task, check_text, read_task

LINES = ".txt"


def read_task_or_texts(
    data: str,
    labels: tuple[str, ...] | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
) -> Task | tuple[str, ...]:
    """Labelled texts, or the texts alone of a file that has no column of labels. Raises what `read_task` and
    `read_texts` raise.
    """
    if Path(data).suffix.lower() == LINES:
        return read_texts(Path(data))
    try:
        return read_task(data, labels, text_column, label_column)
    except DataError as error:
        if label_column is not None or error.setting != "label_column" or not Path(data).is_file():
            raise
        return read_texts(Path(data), text_column)


def read_texts(path: Path, text_column: str | None = None) -> tuple[str, ...]:
    """The texts of a .txt file, one a line, or of a TSV, CSV or JSONL file with a column of texts. Raises
    DataError, with the row, where there are none, and for an empty text.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; expected TSV, CSV, JSONL or TXT with texts")
    text, kind, _ = file_text(
        path, (*KINDS, LINES), "expected .tsv, .csv, .jsonl or .txt (also as .xz or .gz)"
    )
    if kind == LINES:
        texts = [(f"row {n}", line) for n, line in enumerate(text.splitlines(), start=1) if line.strip()]
    elif kind == ".jsonl":
        texts = _json_texts(text, path, text_column)
    else:
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=KINDS[kind]) if any(row)]
        place = column_of(rows[0], "text", text_column, str(path)) if rows else None
        if rows and place is None:
            raise lacking(rows[0], None, 0, str(path))
        texts = [
            (f"row {n}", row[place or 0])
            for n, row in enumerate(rows[1:], start=2)
            if len(row) > (place or 0)
        ]
    if not texts:
        raise DataError(f"{path}: no texts; expected at least one")
    for where, one in texts:
        check_text(one, f"{path}, {where}")
    return tuple(one for _, one in texts)


def _json_texts(text: str, path: Path, text_column: str | None) -> list[tuple[str, str]]:
    texts = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{path}, row {number}: cannot be read ({error.msg}); expected JSON") from error
        names = tuple(row) if isinstance(row, dict) else ()
        place = column_of(names, "text", text_column, str(path)) if names else None
        if place is None or not isinstance(row[names[place]], str):
            raise DataError(f"{path}, row {number}: found no text; expected an object with text")
        texts.append((f"row {number}", row[names[place]]))
    return texts
