"""What every result has: one table, one line for the shell, one view for a notebook."""

from collections.abc import Iterator, Sequence
from typing import Generic, Protocol, TypeVar, overload

import pandas as pd

from explorer.wording import count

ROWS_SHOWN = 10
"""of a table in a notebook"""


class Result:
    """Base of frozen dataclasses that hold a reading. They have `to_frame`; with arrays for fields they are declared with `repr=False`."""

    def to_frame(self) -> pd.DataFrame:
        """The result as one table, the same that the command line and the pages write."""
        raise TypeError(f"{type(self).__name__} has no table")

    def __repr__(self) -> str:
        """One line: what it is, of which prompt, how many rows."""
        of = f" of {name}" if isinstance(name := getattr(self, "prompt", None), str) else ""
        return f"<{type(self).__name__}{of}: {_shape(self.to_frame())}; to_frame() has the table>"

    def _repr_html_(self) -> str:
        return _html(self)


class _Tabular(Protocol):
    def to_frame(self) -> pd.DataFrame: ...


R = TypeVar("R", bound=_Tabular)


class Readings(Sequence[R], Generic[R]):
    """One result for each prompt, in the order of the prompts; also found by the prompt's name."""

    def __init__(self, results: Sequence[R]):
        self._results = tuple(results)

    @overload
    def __getitem__(self, key: int | str) -> R: ...
    @overload
    def __getitem__(self, key: slice) -> "Readings[R]": ...
    def __getitem__(self, key: int | str | slice) -> "R | Readings[R]":
        if isinstance(key, slice):
            return Readings(self._results[key])
        if isinstance(key, int):
            return self._results[key]
        for result in self._results:
            if getattr(result, "prompt", None) == key:
                return result
        raise KeyError(key)

    def __len__(self) -> int:
        return len(self._results)

    def __iter__(self) -> Iterator[R]:
        return iter(self._results)

    def to_frame(self) -> pd.DataFrame:
        """The tables of all prompts, one after the other."""
        return pd.concat([result.to_frame() for result in self._results], ignore_index=True)

    def __repr__(self) -> str:
        kind = type(self._results[0]).__name__ if self._results else "nothing"
        return (
            f"<Readings of {count(len(self), 'prompt')}: {kind}, {_shape(self.to_frame())}; to_frame() has the table>"
            if self._results
            else "<Readings of 0 prompts>"
        )

    def _repr_html_(self) -> str:
        return _html(self)


def _shape(frame: pd.DataFrame) -> str:
    return f"{count(len(frame), 'row')} × {count(len(frame.columns), 'column')}"


def _html(result: _Tabular) -> str:
    import html

    frame = result.to_frame()
    conclusion = getattr(result, "conclusion", None)
    said = f"<p><b>{html.escape(conclusion)}</b></p>" if isinstance(conclusion, str) else ""
    more = f"<p>{_shape(frame)}, the first {ROWS_SHOWN} are shown</p>" if len(frame) > ROWS_SHOWN else ""
    return said + frame.head(ROWS_SHOWN).to_html(index=False, na_rep="–", float_format=lambda value: f"{value:.3f}", border=0) + more
