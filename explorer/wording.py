"""Small words that messages, tables and pages share."""


def printable(text: object) -> str:
    """A name or path as text that every file and screen takes: bytes of a file name that are not UTF-8 are escaped."""
    return str(text).encode("utf-8", "backslashreplace").decode()


def count(number: int, one: str, many: str | None = None) -> str:
    """`1 prompt`, `9 prompts`."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def all_zero(tokens: int) -> str:
    """The subject of a sentence on a prompt that is nothing but zeros."""
    return "Its one token is zero" if tokens == 1 else f"All {tokens:,} tokens are zero"


def zeros_said(tokens: int, what: str) -> str:
    """The clause of a sentence that says what tokens of zeros have; empty where there are none."""
    return f"; {count(tokens, 'token')} of zeros {'has' if tokens == 1 else 'have'} {what}" if tokens else ""
