"""What a checkpoint format declares. `explorer.formats.FORMATS` lists all of them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from explorer.prompt import SoftPrompt


@dataclass(frozen=True)
class Format:
    """One kind of checkpoint: the reader list, what the upload page names, the table of docs/formats.md and
    the parameters of the readers' tests follow from it.
    """

    name: str
    """as `Origin.format` calls it"""
    label: str
    """as people call it; formats with one label are one to them"""
    recognizes: Callable[[Path], bool]
    """whether a path is one, by its content"""
    read: Callable[[Path, str, str | None], SoftPrompt]
    """the prompt of a path, under a name; the last argument says which of several. Raises PromptError"""
    usage: tuple[tuple[str, str], ...] = ()
    """where such a prompt comes from, and how it is named to every command"""
    weights: tuple[str, ...] = ()
    """files of an adapter's folder that hold its weights, tried in order; empty for what is no adapter"""
