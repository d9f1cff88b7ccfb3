"""Labelled texts: examples with class labels, from files, from a hub data set or given."""

import math
import os
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from explorer.errors import DataError
from explorer.texts.label_files import Row, Rows, columns_of, lacking, read_rows
from explorer.words.arguments import as_list
from explorer.words.wording import count

if TYPE_CHECKING:
    import numpy as np

LONGEST_TEXT = 100_000
"""characters of a text; a longer one is refused, since it is more likely a whole file. What a model reads of
a text is `max_length`, in pieces
"""
NO_LABEL = ("", "nan", "null", "n/a", "#n/a", "<na>")
"""what stands, in any case, where a label is missing, unless it is a class label that was asked for"""
HELD_OUT_OF, HELD_OUT_LEAST, HELD_OUT_SEED = 10, 30, 0
"""one in so many of a task's examples serves as dev when no dev texts are given, but so many at least where
that leaves two thirds; how they are drawn
"""


@dataclass(frozen=True, repr=False)
class Task:
    """Labelled examples. Raises DataError for a string where a list is meant, no examples, unequal lengths,
    empty texts or labels outside `labels`.
    """

    texts: tuple[str, ...]
    answers: tuple[str, ...]
    """the label of each text"""
    labels: tuple[str, ...]
    """the class labels, in a fixed order"""
    name: str
    notes: tuple[str, ...] = ()
    """what was assumed to read them, in words"""

    def __post_init__(self) -> None:
        for part in ("texts", "answers", "labels"):
            object.__setattr__(self, part, as_list(getattr(self, part), f"{self.name}, {part}"))
        if not self.texts or len(self.texts) != len(self.answers):
            raise DataError(
                f"{self.name}: {len(self.texts)} texts and {len(self.answers)} labels; expected as "
                "many of both, at least one"
            )
        if len(set(self.labels)) < 2:
            raise DataError(
                f"{self.name}: found the label{'s' if len(self.labels) != 1 else ''} "
                f"{', '.join(self.labels)}; expected at least two class labels"
            )
        if len(set(self.labels)) < len(self.labels):
            twice = next(label for label in self.labels if self.labels.count(label) > 1)
            raise DataError(f"{self.name}: found the label {twice} twice; expected different class labels")
        for row, text in enumerate(self.texts, start=1):
            check_text(text, f"{self.name}, row {row}")
        if unknown := sorted(set(self.answers) - set(self.labels)):
            raise DataError(
                f"{self.name}: found the label {unknown[0]!r}; the task has {', '.join(self.labels)}"
            )

    def __repr__(self) -> str:
        """One line: name, texts, labels."""
        return (
            f"<Task {self.name}: {count(len(self), 'text')}, labels "
            f"{', '.join(self.labels[:6])}{', …' * (len(self.labels) > 6)}>"
        )

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
        raise DataError(
            f"found the label{'s' * (len(found) != 1)} {', '.join(map(str, found)) or 'none'}; "
            "expected at least two different ones",
            "labels",
        )
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


def read_task(
    data: str | Path,
    labels: tuple[str, ...] | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    label_map: Mapping[str, str] | None = None,
) -> Task:
    """Read labelled examples from a TSV, CSV or JSONL file, or from `hf:NAME[/CONFIG]:SPLIT`; see
    `label_files` for what is accepted.

    labels: the class labels in their order; by default the sorted distinct labels of the data. A label that
    differs from one of them only by case is that one. text_column, label_column: names of the columns; by
    default `text` and `label` or what people call them. label_map: what labels of the data are to be called;
    without it, two that say no and yes (`0` and `1`, `neg` and `pos`, `False` and `True`) are read as two
    such class labels, which is noted. Raises DataError, with the row, when the file is
    missing, damaged or ambiguous, or has empty texts, missing labels or labels outside `labels`.
    """
    hub = str(data).startswith("hf:")
    found = (
        _hub_rows(str(data), text_column, label_column)
        if hub
        else read_rows(Path(data), text_column, label_column, labels or ())
    )
    if not found.rows:
        raise DataError(f"{data}: no rows; expected the columns text and label with at least one example")
    for row in found.rows:
        if not isinstance(row.text, str) or not isinstance(row.label, str | int | float | None):
            raise DataError(
                f"{data}, {row.place}: found a text or label that is no plain value; expected a text "
                "and a label"
            )
        check_text(row.text, f"{data}, {row.place}")
    written = answers = _answers(found.rows, labels or (), str(data))
    named = _mapped(answers, label_map, str(data)) if label_map else _as_meant(answers, labels or ())
    answers = [named.get(answer, answer) for answer in answers]
    if labels is None:
        _check_spelling(answers, str(data))
    wanted = labels or tuple(sorted(set(answers)))
    made = [alike(answer, wanted) for answer in answers]
    for row, answer, label in zip(found.rows, answers, made, strict=True):
        if label is None:
            raise DataError(
                f"{data}, {row.place}: found the label {answer!r}; the task has {', '.join(wanted)}: "
                f"change the data, name its labels, or map them, such as {answer}={wanted[0]}",
                "labels",
            )
    changed = {answer: label for answer, label in zip(written, made, strict=True) if answer != label}
    notes = [f"{data}: its label {answer} is read as {label}" for answer, label in sorted(changed.items())]
    texts = tuple(str(row.text) for row in found.rows)
    return Task(texts, tuple(map(str, made)), wanted, Path(str(data)).name, (*found.notes, *notes))


def _mapped(answers: Sequence[str], label_map: Mapping[str, str], data: str) -> dict[str, str]:
    """What each label of the data is to be called. Raises DataError for a label that the data do not have."""
    there = sorted(set(answers))
    named = {alike(old, there): new for old, new in label_map.items()}
    if missing := [old for old in label_map if alike(old, there) is None]:
        raise DataError(
            f"{data}: found the labels {', '.join(there[:8])}; none of them is {missing[0]}, which is "
            f"mapped to {label_map[missing[0]]}: map labels of the data",
            "label-map",
        )
    return {str(old): new for old, new in named.items()}


NO_AND_YES = (
    ("0", "1"),
    ("false", "true"),
    ("no", "yes"),
    ("neg", "pos"),
    ("negative", "positive"),
    ("bad", "good"),
    ("incorrect", "correct"),
    ("unacceptable", "acceptable"),
)
"""two labels whose order nobody doubts, in lower case"""


def _as_meant(answers: Sequence[str], labels: Sequence[str]) -> dict[str, str]:
    """Labels of the data as class labels, where both are two that say no and yes; empty where none need be,
    or it is not plain which is which.
    """
    there = dict.fromkeys(answers)
    if len(labels) != 2 or all(alike(answer, labels) is not None for answer in there):
        return {}
    for no_and_yes in NO_AND_YES:
        asked = [next((label for label in labels if label.casefold() == word), None) for word in no_and_yes]
        if None not in asked:
            break
    else:
        return {}
    for no_and_yes in NO_AND_YES:
        named = {answer: alike(answer.casefold(), no_and_yes) for answer in there}
        if None not in named.values():
            return {answer: str(asked[no_and_yes.index(str(word))]) for answer, word in named.items()}
    return {}


def alike(answer: str, labels: Sequence[str]) -> str | None:
    """The label that an answer is: that very one, else the only one that differs by case alone, or as 1.0
    from 1 or 1 from 1.0; None where there is none.
    """
    if answer in labels:
        return answer
    found = [
        label
        for label in labels
        if answer.casefold() in (label.casefold(), f"{label}.0") or f"{answer}.0" == label
    ]
    return found[0] if len(found) == 1 else None


def with_labels(task: Task, labels: Sequence[str]) -> Task:
    """The task with these class labels in their order; its own may differ from them by case. Raises DataError
    for a label that is none of them.
    """
    named = {answer: alike(answer, labels) or answer for answer in set(task.answers)}
    return replace(task, answers=tuple(named[answer] for answer in task.answers), labels=tuple(labels))


def _answers(rows: Sequence[Row], labels: Sequence[str], data: str) -> list[str]:
    """The label of each row as text. Raises DataError for rows without one."""
    answers = [_label(row.label) for row in rows]
    known = {label.casefold() for label in labels}
    missing = [
        row
        for row, answer in zip(rows, answers, strict=True)
        if answer.casefold() in NO_LABEL and answer.casefold() not in known
    ]
    if missing:
        more = f" (and in {count(len(missing) - 1, 'row')} more)" if len(missing) > 1 else ""
        raise DataError(
            f"{data}, {missing[0].place}: the label is missing{more}; expected one in every row: fill "
            "it in or take the row out"
        )
    for row, answer in zip(rows, answers, strict=True):
        if any("\ud800" <= character <= "\udfff" for character in answer):
            raise DataError(f"{data}, {row.place}: the label {answer!a} is not Unicode text; change it")
    return answers


def _label(value: object) -> str:
    """A label as text: JSON has whole numbers as 1 or 1.0, and no label as NaN."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, float):
        return str(int(value)) if value == int(value) else str(value)
    return str(value).strip()


def _check_spelling(answers: Iterable[str], data: str) -> None:
    """Raise DataError where two labels differ only by case, or as 1 from 1.0, by a quote or by what cannot be
    seen.
    """
    spelled: dict[str, str] = {}
    for answer in sorted(set(answers)):
        if (other := spelled.setdefault(_meant(answer), answer)) != answer:
            how = "case" if other.casefold() == answer.casefold() else "the way they are written"
            raise DataError(
                f"{data}: found the labels {other} and {answer}, which differ only by {how}; expected "
                "one spelling: change the data"
            )


def _meant(label: str) -> str:
    """A label without what makes no other class of it."""
    seen = "".join(
        character for character in unicodedata.normalize("NFC", label).casefold() if character.isprintable()
    )
    return re.sub(r"(?<=\d)\.0+$", "", seen.strip(' "'))


def task_name(data: str) -> str:
    """What a file's task is called: `train` of `hf:sst2:train` and `mr/train.tsv.xz` says nothing, the name
    before it does.
    """
    parts = Path(data.removeprefix("hf:").split(":")[0]).parts
    stem = parts[-1].split(".")[0]
    return parts[-2] if stem in ("train", "dev", "test") and len(parts) > 1 else stem


def held_out(task: Task) -> tuple[Task, Task]:
    """The task without some of its examples, and those: a tenth, of few examples up to a third, drawn by a
    fixed seed, so that all runs share them.

    Raises DataError when there are too few examples to part.
    """
    import numpy as np

    if len(task) < HELD_OUT_OF:
        raise DataError(
            f"{task.name}: {len(task)} examples; expected at least {HELD_OUT_OF} to hold some out, or "
            "dev texts in a file of their own",
            "dev",
        )
    order = np.random.default_rng(HELD_OUT_SEED).permutation(len(task))
    number = max(len(task) // HELD_OUT_OF, min(HELD_OUT_LEAST, len(task) // 3))
    held = set(order[:number].tolist())

    def part(inside: bool) -> Task:
        chosen = [n for n in range(len(task)) if (n in held) == inside]
        return replace(
            task, texts=tuple(task.texts[n] for n in chosen), answers=tuple(task.answers[n] for n in chosen)
        )

    return part(False), part(True)


def _hub_rows(data: str, text_column: str | None, label_column: str | None) -> Rows:
    parts = data.split(":")
    if len(parts) != 3 or not all(parts):
        raise DataError(f"{data}: expected hf:NAME[/CONFIG]:SPLIT")
    os.environ["HF_DATASETS_TRUST_REMOTE_CODE"] = (
        "0"  # a data set that is a script is not run, nor is anybody asked
    )
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
        raise DataError(
            f"{data}: cannot be loaded ({(str(error).splitlines() or [''])[0][:160]}); give a TSV, "
            "CSV or JSONL file instead"
        ) from error
    names = list(table.column_names)
    text, label = columns_of(names, text_column, label_column, data)
    if text is None or label is None:
        raise lacking(names, text, label, data)
    feature = table.features.get(names[label])
    named = feature.int2str if isinstance(feature, ClassLabel) else None
    rows = [(row[names[text]], row[names[label]]) for row in table]
    return Rows(
        tuple(
            Row(one, named(answer) if named and answer >= 0 else answer, f"row {number}")
            for number, (one, answer) in enumerate(rows, start=1)
        )
    )
