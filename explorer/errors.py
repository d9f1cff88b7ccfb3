"""The project's exceptions. Their messages are shown to people as they are: what was found, what was
expected, what to do.
"""

from explorer.words.wording import one_line


class ExplorerError(Exception):
    """Base of every error that bad input can cause. One line, no traceback."""

    def __init__(self, message: str, setting: str | None = None):
        """setting: the name of the setting that mends it, such as `model`; the command line adds its flag, a
        page its control.
        """
        super().__init__(one_line(message))  # of names and values that a file's writer chose
        self.setting = setting


class PromptError(ExplorerError):
    """A checkpoint that is not a soft prompt, is damaged, or does not fit the model."""


class ModelError(ExplorerError):
    """A base model or vocabulary that is missing, damaged or of another kind."""


class DataError(ExplorerError):
    """A data file, text or label that cannot be used."""


class WriteError(ExplorerError):
    """A file or folder that cannot be written, or exists and may not be replaced."""


class LabelError(DataError, PromptError):
    """Class labels that a model does not know or cannot tell apart."""
