"""A session from what was typed. Doubts about prompts and models are said on stderr, once, with the flag that
mends them.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from explorer.choices import Device, Dtype
from explorer.cli.commandline import advice
from explorer.cli.options import template_value
from explorer.cli.output import note

if TYPE_CHECKING:
    from explorer.models.frozen import FrozenModel
    from explorer.session import Session


def open_session(
    typed: Sequence[str],
    model: str | None = None,
    device: Device | str = "auto",
    dtype: Dtype = "auto",
    progress: Callable[[str], None] = note,
    revision: str | None = None,
    template: str | None = None,
    **settings: Any,
) -> "Session":
    """Read prompts given by path, name or hub id, and find the vocabulary of each.

    revision: of those that are repositories on the hub. template: as typed. settings: fields of
    `Settings`. Raises PromptError for a prompt that is missing, damaged or of another width
    than the model, ModelError for a model that is missing.
    """
    from explorer.context import LocalLoader, Settings
    from explorer.formats import local, read_prompt, told_apart
    from explorer.session import Session
    from explorer.system.hub import is_cached

    places = [local(prompt) for prompt in typed]
    asked = [revision if len(typed) == 1 or place is None or is_cached(place) else None for place in places]
    prompts = told_apart(
        [read_prompt(prompt, revision=one) for prompt, one in zip(typed, asked, strict=True)]
    )
    session = Session(
        prompts,
        model,
        Settings(template=template_value(template), **settings),
        LocalLoader(device, dtype),
        progress,
    )
    for doubt in session.notes:
        progress(f"{doubt}{advice(doubt.setting)}")
    return session


def load_model(session: "Session") -> "FrozenModel":
    """The frozen model of all prompts; what is odd about it is said."""
    model = session.model
    for doubt in model.doubts:
        session.progress(f"{model.name}: {doubt}")
    return model
