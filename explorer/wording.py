"""Small words that messages, tables and pages share."""


def printable(text: object) -> str:
    """A name or path as text that every file and screen takes: bytes of a file name that are not UTF-8 are escaped."""
    return str(text).encode("utf-8", "backslashreplace").decode()


def count(number: int, one: str, many: str | None = None) -> str:
    """`1 prompt`, `9 prompts`."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"
