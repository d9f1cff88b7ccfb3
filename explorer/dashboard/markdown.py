"""Text from checkpoints as the pages show it: data, never markup."""

import re

from explorer.words.wording import printable

LONGEST_NAME, LONGEST_SUFFIX = 150, 20
"""bytes of a file's name; file systems take 255"""
_MARKUP = re.compile(r"[\\`*_\[\]<>~$:&^@|]|(?<=www)\.|^[#+=.-]|(?<=^\d)[.)]")
"""characters that mean something in Markdown, some of them only at the start; plain names stay as they are"""


def safe(text: object) -> str:
    """Text for a place that reads Markdown, shown letter by letter on one line."""
    return _MARKUP.sub(r"\\\g<0>", " ".join(printable(text).split()))


def model_name(name: str) -> str:
    """A model as captions call it: the last part of a folder or of an id on the hub, safe for Markdown."""
    return safe(name.rstrip("/").rpartition("/")[2] or name)


def slug(*parts: object) -> str:
    """The name of a file made of what it holds: letters, digits, dots and dashes, at most LONGEST_NAME bytes
    with the last suffix kept; never `.` or `..`.
    """
    name = re.sub(r"[^\w.-]+", "-", "-".join(str(part) for part in parts)).strip("-")
    if len(name.encode()) > LONGEST_NAME:
        stem, dot, suffix = name.rpartition(".")
        end = f"{dot}{suffix}" if stem and len(suffix.encode()) <= LONGEST_SUFFIX else ""
        name = (stem if end else name).encode()[: LONGEST_NAME - len(end.encode())].decode(
            errors="ignore"
        ) + end
    return name if name.strip(".") else ""
