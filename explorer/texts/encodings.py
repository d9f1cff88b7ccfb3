"""From the bytes of a text file to its text and lines."""

import re

from explorer.errors import DataError

LARGEST_FILE = 100_000_000
"""bytes of a text file, unpacked; of a larger one no more is read, and it is refused"""
MOST_FOREIGN = 0.2
"""share of bytes beyond ASCII up to which a file that is not UTF-8 is taken for Windows-1252, a Western
European encoding
"""
_LINE = re.compile(r"\r\n|\r|\n")


def lines_of(text: str) -> list[str]:
    """The lines without their ends, as an editor counts them: other separators of Unicode are part of a
    line.
    """
    return _LINE.split(text)


def decoded(content: bytes, where: str) -> tuple[str, tuple[str, ...]]:
    """The text of a file's bytes, and what was assumed: UTF-8, UTF-16, UTF-32, or Windows-1252 where that is
    likely.

    Raises DataError, which names the row, for bytes that are none of these.
    """
    encoding = (
        next((name for mark, name in _MARKS if content.startswith(mark)), None)
        or _wide(content, where)
        or "utf-8"
    )
    try:
        return content.decode(encoding).removeprefix("\ufeff"), ()
    except UnicodeDecodeError as error:
        row = (
            len(_LINE.findall(content[: error.start].decode("latin-1"))) + 1
            if encoding.startswith("utf-8")
            else None
        )
        found = f"row {row} is not UTF-8" if row else f"it is damaged as {encoding.upper()}"
        if row and not content.startswith(b"\xef\xbb\xbf") and _western(content):
            return content.decode("cp1252"), (
                f"{where}: {found}; the file is read as Windows-1252 (Western European)",
            )
        raise DataError(
            f"{where}: cannot be read ({found}, nor clearly another encoding); expected UTF-8: save "
            "it as that"
        ) from None


_MARKS = (
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
)
"""byte order marks, the longer first"""


def _wide(content: bytes, where: str) -> str | None:
    """UTF-16 without a byte order mark, told by its zero bytes; few of them, as of other scripts than Latin,
    where all else fits too.

    Raises DataError for zero bytes in other places.
    """
    if b"\0" not in content:
        return None
    for name, zeros, others in (
        ("utf-16-le", content[1::2], content[::2]),
        ("utf-16-be", content[::2], content[1::2]),
    ):
        if not others.count(0) and (zeros.count(0) > 0.5 * len(zeros) or _fits(content, name)):
            return name
    raise DataError(f"{where}: cannot be read (it has zero bytes, as text has not); expected UTF-8 text")


def _fits(content: bytes, encoding: str) -> bool:
    """Whether bytes are lines of letters and signs in an encoding, none of them unknown or a control
    character.
    """
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        return False
    return "\n" in text and all(line.replace("\t", " ").isprintable() for line in lines_of(text))


def _western(content: bytes) -> bool:
    """Whether bytes that are not UTF-8 are likely Windows-1252: few beyond ASCII, never many in a row, none
    that would be whole UTF-8 letters.
    """
    if re.search(rb"[\x80-\xff]{4}", content) or re.search(
        "[^\0-\x7f\ufffd]", content.decode("utf-8", "replace")
    ):
        return False
    foreign = len(re.findall(rb"[\x80-\xff]", content))
    return foreign <= MOST_FOREIGN * len(content) and not re.search(rb"[\x81\x8d\x8f\x90\x9d]", content)
