"""Small words that messages, tables and pages share."""

from collections.abc import Mapping, Sequence


def printable(text: object) -> str:
    """A name or path as text that every file and screen takes: bytes of a file name that are not UTF-8 are
    escaped.
    """
    return str(text).encode("utf-8", "backslashreplace").decode()


def one_line(text: str) -> str:
    """Text without control characters: a file or piece may be named to steer the terminal it is printed
    on.
    """
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text
    )


def count(number: int, one: str, many: str | None = None) -> str:
    """`1 prompt`, `9 prompts`."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def article(name: str) -> str:
    """`a LORA`, `an IA3`: the name with its article."""
    return f"{'an' if name[:1].casefold() in tuple('aeiou') else 'a'} {name}"


def cut(lengths: Sequence[int], longest: int) -> str | None:
    """`3 of 84 texts were cut at 512 pieces`, for texts of these lengths in pieces; None where none is
    longer.
    """
    if not (number := sum(length > longest for length in lengths)):
        return None
    return (
        f"{number:,} of {count(len(lengths), 'text')} {'was' if number == 1 else 'were'} cut at "
        f"{longest} pieces"
    )


def all_zero(tokens: int) -> str:
    """The subject of a sentence on a prompt that is nothing but zeros."""
    return "Its one token is zero" if tokens == 1 else f"All {tokens:,} tokens are zero"


def special_said(special: Mapping[int, str]) -> str:
    """The clause of a sentence on tokens that are special rows, by position; empty where there are none."""
    named = [f"token {position} is {piece}" for position, piece in list(special.items())[:3]]
    if not named:
        return ""
    more = f" and {len(special) - 3:,} more are special pieces" if len(special) > 3 else ""
    return f"; {', '.join(named)}{more} and {'enters' if len(special) == 1 else 'enter'} no verdict"


def zeros_said(tokens: int, what: str) -> str:
    """The clause of a sentence that says what tokens of zeros have; empty where there are none."""
    return f"; {count(tokens, 'token')} of zeros {'has' if tokens == 1 else 'have'} {what}" if tokens else ""
