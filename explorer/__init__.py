"""Soft Prompt Explorer: what a trained soft prompt learned, and how far that reading can be trusted.

Data flows one way: formats + vocabulary -> analysis -> report -> figures -> (command line | pages), and
tasks + t5 -> tuning, evaluation -> (command line | pages). Names below are imported on first use.
"""

from importlib import import_module

_PUBLIC = {
    "ExplorerError": "errors",
    "SoftPrompt": "prompt",
    "read_prompt": "formats",
    "find_prompts": "formats",
    "Vocabulary": "vocabulary",
    "Task": "tasks",
    "read_task": "tasks",
    "FrozenT5": "t5",
    "nearest_neighbors": "analysis.neighbors",
    "PromptReport": "report",
    "tune": "tuning.tuned",
}
__all__ = list(_PUBLIC)
__version__ = "0.1.0"


def __getattr__(name: str):
    if name not in _PUBLIC:
        raise AttributeError(f"module 'explorer' has no attribute {name!r}")
    return getattr(import_module(f"explorer.{_PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
