"""What commands write: tables for people, JSON and CSV for programs, and files that appear whole or not at all."""

import json
import math
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from explorer.errors import ExplorerError

if TYPE_CHECKING:
    import pandas as pd

STDOUT = "-"


def note(message: str) -> None:
    """Progress or a warning: one line on stderr."""
    typer.echo(printable(message), err=True)


def printable(text: str) -> str:
    """Text without control characters: a file or piece may be named to steer the terminal it is printed on."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)


class Output:
    """Where a command's results go. Made before the work begins, so that an unusable target is refused at once.

    Raises ExplorerError for a target that exists (unless `overwrite`) or cannot be written, and typer.BadParameter when two
    results are meant for stdout.
    """

    def __init__(self, as_json: bool = False, csv: str | None = None, html: str | None = None, overwrite: bool = False):
        self.as_json, self.csv, self.html, self.overwrite = as_json, csv, html, overwrite
        if as_json + (csv == STDOUT) + (html == STDOUT) > 1:
            raise typer.BadParameter("only one of --json, --csv - and --html - can go to stdout; give the others a file")
        for target in (csv, html):
            if target not in (None, STDOUT):
                check_target(Path(target), overwrite)

    def write(
        self,
        content: Callable[[], object],
        frame: Callable[[], "pd.DataFrame"] | None = None,
        text: Callable[[], str] | None = None,
        page: Callable[[], str] | None = None,
    ) -> None:
        """Give the results in the forms asked for: JSON, CSV, HTML; a table for people when none was."""
        if self.html is not None:
            self._put(self.html, page())
        if self.csv is not None:
            from explorer.files import safe_csv

            self._put(self.csv, safe_csv(frame()))
        if self.as_json:
            self._put(STDOUT, json.dumps(content(), ensure_ascii=False, indent=1, allow_nan=False) + "\n")
        if not self.as_json and self.csv is None and self.html is None:
            self._put(STDOUT, text() + "\n")

    def _put(self, target: str, text: str) -> None:
        data = text.encode("utf-8", "backslashreplace")
        if target == STDOUT:
            typer.echo(data, nl=False)
            return
        write_file(Path(target), data, self.overwrite)
        note(f"wrote {target}")


def check_target(path: Path, overwrite: bool) -> None:
    """Raise ExplorerError when a file cannot be written here, or exists and `overwrite` is False."""
    if path.is_dir():
        raise ExplorerError(f"{path}: is a folder; expected the name of a file to write")
    if path.is_file() and not overwrite:
        raise ExplorerError(f"{path} exists already; choose another name or pass --overwrite")
    if not path.parent.is_dir():
        raise ExplorerError(f"{path}: there is no folder {path.parent}; make it first or choose another place")
    if not os.access(path.parent if path.is_file() or not path.exists() else path, os.W_OK):
        raise ExplorerError(f"{path}: cannot be written (permission denied); choose another place")


def write_file(path: Path, data: bytes, overwrite: bool) -> None:
    """Write a file under a temporary name, then rename it: whole or not at all. Pipes and devices are written to directly.

    Raises ExplorerError when it exists and `overwrite` is False, or when it cannot be written.
    """
    check_target(path, overwrite)
    path = path.resolve()
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(data)
            return
        partial.write_bytes(data)
        if path.exists():
            shutil.copymode(path, partial)
        os.replace(partial, path)
    except OSError as error:
        raise ExplorerError(f"{path}: cannot be written ({error.strerror or error}); choose another place") from error
    finally:
        partial.unlink(missing_ok=True)


def check_folder(path: Path, overwrite: bool) -> None:
    """Raise ExplorerError when a folder cannot be made here, or holds something and `overwrite` is False."""
    if path.exists() and not path.is_dir():
        raise ExplorerError(f"{path}: is a file; expected the name of a folder to make")
    if path.is_dir() and any(path.iterdir()) and not overwrite:
        raise ExplorerError(f"{path} exists already and is not empty; choose another name or pass --overwrite")
    beside = path if path.is_dir() else path.absolute().parent
    if not beside.is_dir():
        raise ExplorerError(f"{path}: there is no folder {beside}; make it first or choose another place")
    if not os.access(beside, os.W_OK):
        raise ExplorerError(f"{path}: cannot be written (permission denied); choose another place")


def write_folder(path: Path, files: dict[str, bytes], overwrite: bool) -> None:
    """Write files into a folder: a new one appears whole or not at all, in one that is there each file does; others in it stay.

    Raises ExplorerError when it cannot be written.
    """
    check_folder(path, overwrite)
    if path.is_dir():
        for name, data in files.items():
            write_file(path / name, data, overwrite)
        return
    path = path.absolute()
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.mkdir()
        for name, data in files.items():
            (partial / name).write_bytes(data)
        os.replace(partial, path)
    except OSError as error:
        raise ExplorerError(f"{path}: cannot be written ({error.strerror or error}); choose another place") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def records(frame: "pd.DataFrame") -> list[dict[str, object]]:
    """Rows of a frame as JSON objects: the same figures as in CSV, null for what is not a number."""
    columns = [[plain(value) for value in frame[name].to_numpy()] for name in frame.columns]
    return [dict(zip(frame.columns, row, strict=True)) for row in zip(*columns, strict=True)]


def plain(value: object) -> object:
    """A value JSON can hold; NaN and infinity become null."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if hasattr(value, "dtype") and value.ndim == 0:  # NumPy scalars: float32 in its own shortest digits, as in CSV
        value = float(str(value)) if value.dtype.kind == "f" else value.item()
    elif hasattr(value, "ndim"):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, int)):
        return value
    return None if type(value).__name__ in ("NAType", "NaTType") else str(value)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Aligned text: numbers to the right, everything else to the left."""
    rows = [[plain(value) for value in row] for row in rows]
    shown = [[cell(value) for value in row] for row in rows]
    widths = [max(len(line[n]) for line in [list(columns), *shown]) for n in range(len(columns))]
    numeric = [any(isinstance(row[n], (int, float)) for row in rows) for n in range(len(columns))]

    def aligned(line: Sequence[str]) -> str:
        return "  ".join(c.rjust(w) if right else c.ljust(w) for c, w, right in zip(line, widths, numeric, strict=True)).rstrip()

    return "\n".join(aligned(line) for line in [list(columns), *shown])


def frame_table(frame: "pd.DataFrame", columns: Sequence[str] | None = None) -> str:
    """A frame, or some of its columns, as aligned text."""
    chosen = frame if columns is None else frame[list(columns)]
    return table(list(chosen.columns), (list(row) for row in chosen.itertuples(index=False)))


def cell(value: object) -> str:
    """One value as people read it: three decimals, commas in a list, a dash for nothing."""
    value = plain(value)
    if value is None or value in ("", [], {}):
        return "–"
    if isinstance(value, list):
        return ", ".join(map(cell, value))
    if isinstance(value, dict):
        return ", ".join(f"{printable(key)} {cell(item)}" for key, item in value.items())
    if isinstance(value, float):
        return f"{value:.1f}" if abs(value) >= 1000 else f"{value:.3f}"
    return printable(str(value))
