"""Soft Prompt Explorer: what a trained soft prompt learned, and how far that reading can be trusted.

`explorer.open("my-adapter", model="google/flan-t5-small")` gives a `Session`; its methods are the readings.
Names are imported on first use.
"""

from importlib import import_module

_PUBLIC = {
    "open": ("session", "open_session"),
    "Session": ("session", "Session"),
    "Settings": ("session", "Settings"),
    "read_prompt": ("formats", "read_prompt"),
    "find_prompts": ("formats", "find_prompts"),
    "save": ("formats", "save"),
    "SoftPrompt": ("formats", "SoftPrompt"),
    "Origin": ("prompt", "Origin"),
    "Vocabulary": ("vocabulary", "Vocabulary"),
    "FrozenT5": ("models.encoder_decoder", "FrozenT5"),
    "nearest_neighbors": ("analysis.neighbors", "nearest_neighbors"),
    "Task": ("texts.tasks", "Task"),
    "read_task": ("texts.tasks", "read_task"),
    "tune": ("tuning.tune", "tune"),
    "Run": ("tuning.settings", "Run"),
    "TuningConfig": ("tuning.settings", "TuningConfig"),
    "ExplorerError": ("errors", "ExplorerError"),
}
__all__ = list(_PUBLIC)
__version__ = "0.2.0"


def __getattr__(name: str):
    if name not in _PUBLIC:
        raise AttributeError(f"module 'explorer' has no attribute {name!r}")
    module, attribute = _PUBLIC[name]
    return getattr(import_module(f"explorer.{module}"), attribute)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
