"""Labelled texts: reading them from TSV, CSV or JSONL files (packed or not) or from a hub data set."""

import csv
import io
import json
import lzma
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from explorer.arguments import as_list
from explorer.bounded import Unpacked
from explorer.errors import DataError
from explorer.wording import count

if TYPE_CHECKING:
    import numpy as np

MOST_UNPACKED = 512 * 2**20
"""bytes that a packed data file may unpack to"""
LONGEST_TEXT = 20_000
"""characters; a longer text is refused rather than silently cut"""
HELD_OUT_OF, HELD_OUT_LEAST, HELD_OUT_SEED = 10, 30, 0
"""one in so many of a task's examples serves as dev when no dev texts are given, but so many at least where that leaves two thirds; how they are drawn"""


@dataclass(frozen=True, repr=False)
class Task:
    """Labelled examples. Raises DataError for a string where a list is meant, no examples, unequal lengths, empty texts or labels outside `labels`."""

    texts: tuple[str, ...]
    answers: tuple[str, ...]
    """the label of each text"""
    labels: tuple[str, ...]
    """the class labels, in a fixed order"""
    name: str

    def __post_init__(self) -> None:
        for part in ("texts", "answers", "labels"):
            object.__setattr__(self, part, as_list(getattr(self, part), f"{self.name}, {part}"))
        if not self.texts or len(self.texts) != len(self.answers):
            raise DataError(f"{self.name}: {len(self.texts)} texts and {len(self.answers)} labels; expected as many of both, at least one")
        if len(set(self.labels)) < 2:
            raise DataError(f"{self.name}: found the label{'s' if len(self.labels) != 1 else ''} {', '.join(self.labels)}; expected at least two class labels")
        for row, text in enumerate(self.texts, start=1):
            check_text(text, f"{self.name}, row {row}")
        if unknown := sorted(set(self.answers) - set(self.labels)):
            raise DataError(f"{self.name}: found the label {unknown[0]!r}; the task has {', '.join(self.labels)}")

    def __repr__(self) -> str:
        """One line: name, texts, labels."""
        return f"<Task {self.name}: {count(len(self), 'text')}, labels {', '.join(self.labels[:6])}{', …' * (len(self.labels) > 6)}>"

    def __len__(self) -> int:
        """The number of examples."""
        return len(self.texts)

    @property
    def gold(self) -> "np.ndarray":
        """[B] the index of each text's label among `labels`."""
        import numpy as np

        place = {label: index for index, label in enumerate(self.labels)}
        return np.array([place[answer] for answer in self.answers])


def check_labels(labels: Sequence[str]) -> tuple[str, ...]:
    """The labels to choose from. Raises DataError for a string, fewer than two, or one given twice."""
    found = as_list(labels, "labels")
    if len(found) < 2 or len(set(found)) < len(found):
        raise DataError(f"found the label{'s' * (len(found) != 1)} {', '.join(map(str, found)) or 'none'}; expected at least two different ones", "labels")
    return found


def check_text(text: str, where: str = "text") -> None:
    """Raise DataError for a text that is empty or absurdly long."""
    if not text.strip():
        raise DataError(f"{where} is empty; expected some words")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{where} is not Unicode text (character {error.start + 1}); change it") from None
    if len(text) > LONGEST_TEXT:
        raise DataError(f"{where} has {len(text):,} characters; expected at most {LONGEST_TEXT:,}")


def read_task(data: str | Path, labels: tuple[str, ...] | None = None) -> Task:
    """Read labelled examples from a file with the columns `text` and `label`, or from `hf:NAME[/CONFIG]:SPLIT`.

    labels: the class labels in their order; by default the sorted distinct labels of the data.
    Raises DataError when the file is missing, damaged, without those columns, or has labels outside `labels`.
    """
    rows = _hub_rows(str(data)) if str(data).startswith("hf:") else _file_rows(Path(data))
    if not rows:
        raise DataError(f"{data}: no rows; expected the columns text and label with at least one example")
    for number, row in enumerate(rows, start=1):
        if missing := [column for column in ("text", "label") if row.get(column) is None]:
            found = ", ".join(str(column) for column, value in row.items() if column is not None and value is not None) or "none"
            raise DataError(f"{data}, row {number}: found the columns {found}; expected {' and '.join(missing)} in every row")
        if not isinstance(row["text"], str) or not isinstance(row["label"], str | int | float):
            raise DataError(f"{data}, row {number}: found a text or label that is no plain value; expected a text and a label")
    texts, answers = tuple(row["text"] for row in rows), tuple(str(row["label"]).strip() for row in rows)
    return Task(texts, answers, labels or tuple(sorted(set(answers))), Path(str(data)).name)


def task_name(data: str) -> str:
    """What a file's task is called: `train` of `hf:sst2:train` and `mr/train.tsv.xz` says nothing, the name before it does."""
    parts = Path(data.removeprefix("hf:").split(":")[0]).parts
    stem = parts[-1].split(".")[0]
    return parts[-2] if stem in ("train", "dev", "test") and len(parts) > 1 else stem


def held_out(task: Task) -> tuple[Task, Task]:
    """The task without some of its examples, and those: a tenth, of few examples up to a third, drawn by a fixed seed, so that all runs share them.

    Raises DataError when there are too few examples to part.
    """
    import numpy as np

    if len(task) < HELD_OUT_OF:
        raise DataError(f"{task.name}: {len(task)} examples; expected at least {HELD_OUT_OF} to hold some out, or dev texts in a file of their own", "dev")
    order = np.random.default_rng(HELD_OUT_SEED).permutation(len(task))
    number = max(len(task) // HELD_OUT_OF, min(HELD_OUT_LEAST, len(task) // 3))
    held = set(order[:number].tolist())

    def part(inside: bool) -> Task:
        chosen = [n for n in range(len(task)) if (n in held) == inside]
        return replace(task, texts=tuple(task.texts[n] for n in chosen), answers=tuple(task.answers[n] for n in chosen))

    return part(False), part(True)


def _file_rows(path: Path) -> list[dict]:
    if not path.is_file():
        raise DataError(f"{path}: no such file; expected TSV, CSV or JSONL with the columns text and label")
    kind = Path(path.stem).suffix if path.suffix in (".xz", ".gz") else path.suffix
    if kind not in (".tsv", ".csv", ".jsonl"):
        raise DataError(f"{path}: found the suffix {kind or 'none'}; expected .tsv, .csv or .jsonl (also as .xz or .gz)")
    try:
        with _opened(path) as raw, io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as file:
            if kind == ".jsonl":
                return [_json_object(line, path, number) for number, line in enumerate(file, start=1) if line.strip()]
            return list(csv.DictReader(file, delimiter="\t" if kind == ".tsv" else ",", strict=True))  # a stray quote would swallow rows
    except (OSError, EOFError, lzma.LZMAError, zlib.error, ValueError, csv.Error) as error:  # ValueError: not UTF-8, or unpacks to too much
        raise DataError(f"{path}: cannot be read ({error}); expected UTF-8 {kind[1:].upper()}") from error


def _opened(path: Path) -> io.BufferedReader:
    """The bytes of a data file, unpacked where it is packed."""
    return io.BufferedReader(Unpacked(path, MOST_UNPACKED)) if path.suffix in (".xz", ".gz") else path.open("rb")


def _json_object(line: str, path: Path, number: int) -> dict:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}, line {number}: no JSON ({error}); expected one object a line with text and label") from error
    if not isinstance(row, dict):
        raise DataError(f"{path}, line {number}: found a JSON {type(row).__name__}; expected an object with text and label")
    return row


def _hub_rows(data: str) -> list[dict]:
    parts = data.split(":")
    if len(parts) != 3 or not all(parts):
        raise DataError(f"{data}: expected hf:NAME[/CONFIG]:SPLIT")
    os.environ["HF_DATASETS_TRUST_REMOTE_CODE"] = "0"  # a data set that is a script is not run, nor is anybody asked
    try:
        from datasets import ClassLabel, load_dataset
    except ImportError as error:
        raise DataError(f"{data}: reading hub data sets needs `pip install datasets`") from error
    name, config = parts[1], None
    if name.count("/") > 1:
        name, config = name.rsplit("/", 1)
    try:
        table = load_dataset(name, config, split=parts[2])
    except Exception as error:  # the hub raises many kinds: offline, not found, unknown split
        raise DataError(f"{data}: cannot be loaded ({(str(error).splitlines() or [''])[0][:160]}); give a TSV, CSV or JSONL file instead") from error
    feature = table.features.get("label")
    rows = [dict(row) for row in table]
    if isinstance(feature, ClassLabel):
        rows = [{**row, "label": feature.int2str(row["label"])} for row in rows]
    return rows
