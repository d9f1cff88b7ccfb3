"""Text from checkpoints as the pages show it: data, never markup."""

import re

_MARKUP = re.compile(r"[\\`*_\[\]<>~$:&^@|]|(?<=www)\.|^[#+=.-]|(?<=^\d)[.)]")
"""characters that mean something in Markdown, some of them only at the start; plain names stay as they are"""


def safe(text: object) -> str:
    """Text for a place that reads Markdown, shown letter by letter on one line."""
    return _MARKUP.sub(r"\\\g<0>", " ".join(str(text).split()))


def model_name(name: str) -> str:
    """A model as captions call it: the last part of a folder or of an id on the hub, safe for Markdown."""
    return safe(name.rstrip("/").rpartition("/")[2] or name)


def slug(*parts: object) -> str:
    """The name of a file made of what it holds."""
    return re.sub(r"[^\w.-]+", "-", "-".join(str(part) for part in parts)).strip("-")
