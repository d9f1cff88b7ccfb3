"""Reading text to pretrain on: one passage a line, plain or packed (.xz, .gz)."""

import gzip
import lzma
import random
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from explorer.errors import DataError


def open_text(path: Path) -> IO[str]:
    """Open a UTF-8 text file, unpacking `.xz` and `.gz` on the way.

    Raises DataError when the file is missing.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; expected a text file, plain or packed as .xz or .gz")
    opener = {".xz": lzma.open, ".gz": gzip.open}.get(path.suffix, open)
    return opener(path, "rt", encoding="utf-8")


def passages(path: Path) -> Iterator[str]:
    """Yield the non-empty passages of one corpus file, stripped, in order.

    Raises DataError when the file is missing, damaged or not UTF-8.
    """
    try:
        with open_text(path) as file:
            for line in file:
                if text := line.strip():
                    yield text
    except (OSError, lzma.LZMAError, EOFError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: cannot be read as UTF-8 text ({error}); expected one passage a line"
        ) from error


def sample_passages(paths: list[Path], count: int, seed: int, longest: int = 2000) -> list[str]:
    """Draw about `count` passages evenly over the files' lines (reservoir sampling), each cut to `longest`
    characters.
    """
    generator = random.Random(seed)
    reservoir: list[str] = []
    seen = 0
    for path in paths:
        for text in passages(path):
            seen += 1
            if len(reservoir) < count:
                reservoir.append(text[:longest])
            elif (slot := generator.randrange(seen)) < count:
                reservoir[slot] = text[:longest]
    return reservoir
