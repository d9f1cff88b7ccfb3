"""What puts prompts into one group: any recorded field, several at once, or a part of the name."""

import re
from collections.abc import Mapping, Sequence

from explorer.choices import GROUPINGS
from explorer.errors import ExplorerError
from explorer.prompt import SoftPrompt

UNKNOWN = "unknown"
"""the group of prompts that do not record a field"""
SHORT = {"lr": "learning_rate", "steps": "max_steps"}
"""names by which a field is asked for, and how else it is recorded"""


def groups_by(prompts: Sequence[SoftPrompt], by: str) -> list[str]:
    """The group of each prompt.

    by: a field, several with commas, or `name:REGEX`, last: what its first group, else all of it, finds in
    the name.

    Raises ExplorerError for a field that no prompt records and an expression that is none or finds nothing.
    """
    fields, colon, expression = by.partition("name:")
    columns = [_field(prompts, name.strip()) for name in fields.split(",") if name.strip()]
    columns += [_in_names(prompts, expression)] if colon else []
    if not columns:
        raise ExplorerError(f"found the grouping {by!r}; expected a field, or name: and an expression", "by")
    return [", ".join(values) for values in zip(*columns, strict=True)]


def recorded(prompt: SoftPrompt) -> dict[str, str]:
    """Every field of a prompt that it can be grouped by, and its value as a group's name."""
    origin = prompt.origin
    known: dict[str, object] = {**origin.hyperparameters}
    known |= {
        f"data.{name}": value.get("name") for name, value in origin.data.items() if isinstance(value, Mapping)
    }
    known |= {
        "prompt": prompt.name,
        "initialization": origin.initialization,
        "task": origin.task,
        "length": prompt.length,
        "seed": origin.seed,
        "step": origin.step,
        "base_model": origin.base_model,
        "format": origin.format,
        "template": origin.template,
        "labels": ", ".join(origin.labels or ()) or None,
        "data": known.get("data.train"),
        "run": None if origin.path is None else origin.path.resolve().parent.name,
    }
    for short, name in SHORT.items():
        known.setdefault(short, known.get(name))
    return {
        name: f"{value:g}" if isinstance(value, float) else str(value)
        for name, value in known.items()
        if value is not None and isinstance(value, str | int | float)
    }


def _field(prompts: Sequence[SoftPrompt], name: str) -> list[str]:
    known = [recorded(prompt) for prompt in prompts]
    if name not in GROUPINGS and not any(name in fields for fields in known):
        there = dict.fromkeys([*GROUPINGS, *sorted({field for fields in known for field in fields})])
        raise ExplorerError(
            f"found the grouping {name!r}; expected one of {', '.join(there)}, or a part of the name "
            "such as 'name:lr([0-9.]+)'",
            "by",
        )
    return [fields.get(name, UNKNOWN) for fields in known]


def _in_names(prompts: Sequence[SoftPrompt], expression: str) -> list[str]:
    try:
        pattern = re.compile(expression)
    except re.error as error:
        raise ExplorerError(
            f"found the expression {expression!r} ({error}); expected one such as 'name:lr([0-9.]+)'", "by"
        ) from error
    found = [pattern.search(prompt.name) for prompt in prompts]
    if not expression or not any(found):
        raise ExplorerError(
            f"found no part of a name that fits {expression!r}; the first of {len(prompts)} is "
            f"{prompts[0].name}",
            "by",
        )
    return [UNKNOWN if one is None else (one[1] if pattern.groups else one[0]) or UNKNOWN for one in found]
