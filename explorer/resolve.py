"""Old names of `context` and `settings`, for branches that were begun before; goes."""

from explorer.context import LocalLoader as Loader
from explorer.context import Note, Progress, silent
from explorer.settings import Settings

__all__ = ["Loader", "Note", "Progress", "Settings", "silent"]
