"""What an entry on the disk is found by: the content of everything that it depends on, never a name alone."""

import hashlib
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from explorer.cached.memory import memo
from explorer.prompt import SoftPrompt
from explorer.texts.tasks import Task
from explorer.vocabulary import Vocabulary

APART = ("map.npz", "pretraining.json", "README.md")
"""files in a model's folder that answers do not depend on"""
SMALL = 2**20
"""bytes of a file that is read anew in each process"""


def digest(*parts: object) -> str:
    """32 hexadecimal digits of plain values, arrays, prompts, labelled texts and tuples of these. Raises
    TypeError for others.
    """
    made = hashlib.blake2b(digest_size=16)
    _feed(made, parts)
    return made.hexdigest()


def _feed(made: Any, part: object) -> None:
    if isinstance(part, tuple | list):
        made.update(f"({len(part)}".encode())
        for one in part:
            _feed(made, one)
    elif isinstance(part, np.ndarray):
        made.update(f"{part.dtype.str}{part.shape}".encode())
        made.update(np.ascontiguousarray(part).data)
    elif isinstance(part, SoftPrompt):
        _feed(made, ("prompt", part.name, part.vectors, part.initial, part.origin.read_as))
    elif isinstance(part, Task):
        _feed(made, ("task", part.name, part.texts, part.answers, part.labels))
    elif part is None or isinstance(part, str | int | float | np.integer | np.floating):
        said = repr(part.item() if isinstance(part, np.generic) else part).encode()
        made.update(f"{len(said)}:".encode() + said)
    else:
        raise TypeError(f"found a {type(part).__name__} in a key; expected what has content")


def of_vocabulary(vocabulary: Vocabulary) -> str:
    """Of the table, the pieces and which rows are searched."""
    return memo(vocabulary).get(
        "content", lambda: digest(vocabulary.fingerprint, vocabulary.searchable.astype(np.uint8))
    )


def of_model(folder: Path) -> str:
    """Of all files of a model's folder that it depends on: 32 hexadecimal digits."""
    files = sorted(file for file in folder.iterdir() if file.is_file() and file.name not in APART)
    return _of_files(tuple((file, file.stat().st_size, file.stat().st_ctime_ns) for file in files))


@lru_cache(maxsize=16)
def _of_files(files: tuple[tuple[Path, int, int], ...]) -> str:
    """Of the files' names and bytes; read again when a size or a time changed."""
    return digest([(file.name, _of_file(file, size, changed)) for file, size, changed in files])


def _of_file(file: Path, size: int, changed: int) -> str:
    """Of one file's bytes; that of a large one is remembered on the disk by place, size and time."""
    from explorer.cached.disk import store

    def read() -> str:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, lambda: hashlib.blake2b(digest_size=16)).hexdigest()

    if size < SMALL or (kept := store()) is None:
        return read()
    place = os.path.realpath(file)
    return kept.get(digest("file", place, size, changed, file.stat().st_ino), str, read)
