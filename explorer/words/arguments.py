"""What callers give: a list where a list is meant, since a string would count as its letters."""

from collections.abc import Iterable, Sequence

from explorer.errors import DataError

SHOWN = 80
"""characters of a text that a message quotes"""


def as_list(given: Sequence[str], what: str) -> tuple[str, ...]:
    """The given names or texts. Raises DataError for a string, and for what holds anything else than text."""
    if isinstance(given, str):
        short = given if len(given) <= SHOWN else f"{given[:SHOWN]}…"
        raise DataError(
            f"{what}: found the text {short!r}; expected a list, such as "
            f"{[part.strip() for part in short.split(',')]!r}"
        )
    found = tuple(given) if isinstance(given, Iterable) else (given,)
    if wrong := [type(one).__name__ for one in found if not isinstance(one, str)]:
        raise DataError(
            f"{what}: found {'None' if wrong[0] == 'NoneType' else f'a {wrong[0]}'}; expected a list of texts"
        )
    return found


def different_names(given: Sequence[str], what: str, setting: str | None = None) -> tuple[str, ...]:
    """The given names; setting: which they are. Raises DataError as `as_list`, for an empty name, and for a
    name given twice.
    """
    found = as_list(given, what)
    if not all(name.strip() for name in found) or len(set(found)) < len(found):
        raise DataError(f"{what}: found {', '.join(found)!r}; expected different names", setting)
    return found
