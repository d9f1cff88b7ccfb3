"""What every result has: one sentence that says what to conclude, one table, one line for the shell, one view
for a notebook.
"""

import html
from collections.abc import Iterator, Sequence
from typing import Generic, SupportsIndex, TypeVar, overload

import pandas as pd

from explorer.words.wording import count

ROWS_SHOWN = 10
"""of a table in a notebook"""


class Result:
    """Base of frozen dataclasses that hold a reading. They have `conclusion` and `to_frame`; with arrays for
    fields they are declared with `repr=False`.
    """

    @property
    def conclusion(self) -> str:
        """What to conclude, in one plain sentence computed from the numbers; it needs no p to be understood
        and claims no equality without a margin.
        """
        raise TypeError(f"{type(self).__name__} has no conclusion")

    def to_frame(self) -> pd.DataFrame:
        """The result as one table, the same that the command line and the pages write."""
        raise TypeError(f"{type(self).__name__} has no table")

    def __repr__(self) -> str:
        """One line: what it is, of which prompt, how many rows."""
        of = f" of {name}" if isinstance(name := getattr(self, "prompt", None), str) else ""
        return f"<{type(self).__name__}{of}: {_shape(self.to_frame())}; to_frame() has the table>"

    def _repr_html_(self) -> str:
        return shown_in_notebook(self.to_frame(), _conclusion_of(self))


R = TypeVar("R", bound=Result)


class Readings(Sequence[R], Generic[R]):
    """One result for each prompt, in the order of the prompts; also found by the prompt's name."""

    def __init__(self, results: Sequence[R]):
        self._results = tuple(results)

    @overload
    def __getitem__(self, key: SupportsIndex | str) -> R: ...
    @overload
    def __getitem__(self, key: slice) -> "Readings[R]": ...
    def __getitem__(self, key: SupportsIndex | str | slice) -> "R | Readings[R]":
        if isinstance(key, slice):
            return Readings(self._results[key])
        if not isinstance(key, str):
            return self._results[key]
        for result in self._results:
            if getattr(result, "prompt", None) == key:
                return result
        raise KeyError(
            f"{key}; found "
            f"{', '.join(str(getattr(result, 'prompt', '?')) for result in self._results) or 'nothing'}"
        )

    def __len__(self) -> int:
        return len(self._results)

    def __iter__(self) -> Iterator[R]:
        return iter(self._results)

    @property
    def conclusions(self) -> dict[str, str]:
        """What to conclude of each prompt, by its name: one sentence each."""
        return {
            str(getattr(result, "prompt", number)): result.conclusion
            for number, result in enumerate(self._results)
        }

    @property
    def conclusion(self) -> str:
        """What to conclude: one line a prompt, its name first."""
        return "\n".join(f"{name}: {sentence}" for name, sentence in self.conclusions.items())

    def to_frame(self) -> pd.DataFrame:
        """The tables of all prompts, one after the other."""
        return (
            pd.concat([result.to_frame() for result in self._results], ignore_index=True)
            if self._results
            else pd.DataFrame()
        )

    def __repr__(self) -> str:
        """One line: of how many prompts, what, how many rows."""
        kind = f"{type(self._results[0]).__name__}, " if self._results else ""
        return (
            f"<Readings of {count(len(self), 'prompt')}: {kind}{_shape(self.to_frame())}; to_frame() "
            "has the table>"
        )

    def _repr_html_(self) -> str:
        return shown_in_notebook(self.to_frame(), _conclusion_of(self))


def _conclusion_of(result: "Result | Readings") -> str:
    """What to conclude; empty for results that only hold a table."""
    try:
        return result.conclusion
    except TypeError:
        return ""


def _shape(frame: pd.DataFrame) -> str:
    return f"{count(len(frame), 'row')} × {count(len(frame.columns), 'column')}"


def shown_in_notebook(frame: pd.DataFrame, conclusion: str = "") -> str:
    """What to conclude, one line a prompt, then the first rows of a table, as HTML with its text escaped."""
    lines = conclusion.splitlines()
    lines = lines if len(lines) <= ROWS_SHOWN else [*lines[:ROWS_SHOWN], "…"]
    said = "".join(f"<p><b>{html.escape(line)}</b></p>" for line in lines)
    more = f"<p>{_shape(frame)}, the first {ROWS_SHOWN} are shown</p>" if len(frame) > ROWS_SHOWN else ""
    return said + (
        frame.head(ROWS_SHOWN).to_html(
            index=False, na_rep="–", float_format=lambda value: f"{value:.3f}", border=0
        )
        + more
    )
