"""The project's exceptions. Their messages are shown to people as they are: what was found, what was expected, what to do."""


class ExplorerError(Exception):
    """Base of every error that bad input can cause. One line, no traceback."""


class PromptError(ExplorerError):
    """A checkpoint that is no soft prompt, is damaged, or does not fit the model."""


class ModelError(ExplorerError):
    """A base model or vocabulary that is missing, damaged or of another kind."""


class DataError(ExplorerError):
    """A data file, text or label that cannot be used."""
