"""Small words that messages, tables and pages share."""


def count(number: int, one: str, many: str | None = None) -> str:
    """`1 prompt`, `9 prompts`."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"
