"""A session from what was typed. Doubts about prompts and models are said on stderr, once, with the flag that mends them."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from explorer.choices import Device, Dtype
from explorer.cli.commandline import advice
from explorer.cli.output import note

if TYPE_CHECKING:
    from explorer.models.encoder_decoder import FrozenT5
    from explorer.prompt import SoftPrompt
    from explorer.session import Session


def open_session(
    typed: Sequence[str],
    model: str | None = None,
    device: Device | str = "auto",
    dtype: Dtype = "auto",
    progress: Callable[[str], None] = note,
    **settings: Any,
) -> "Session":
    """Read prompts given by path or name, and find the vocabulary of each.

    settings: fields of `explorer.resolve.Settings`. Raises PromptError for a prompt that is missing, damaged or of another width
    than the model, ModelError for a model that is missing.
    """
    from explorer.formats import read_prompt
    from explorer.resolve import Loader, Settings
    from explorer.session import Session

    prompts = told_apart([read_prompt(prompt) for prompt in typed])
    session = Session(prompts, model, Settings(**settings), Loader(device, dtype), progress)
    for doubt in session.notes:
        progress(f"{doubt}{advice(doubt.setting)}")
    return session


def told_apart(prompts: "Sequence[SoftPrompt]") -> "list[SoftPrompt]":
    """The same prompts; of those in different places that share a name, each with as many folders before it as tell them apart."""
    from dataclasses import replace

    named = []
    for prompt in prompts:
        own = prompt.origin.path
        rivals = {path for one in prompts if one.name == prompt.name and (path := one.origin.path) not in (None, own)}
        if rivals and own is not None:
            parts = next(n for n in range(1, len(own.parts) + 1) if all(own.parts[-n:] != rival.parts[-n:] for rival in rivals))
            key = prompt.name.partition("#")[1:]
            prompt = replace(prompt, name="/".join(own.parts[-parts:]) + "".join(key))
        named.append(prompt)
    return named


def load_model(session: "Session") -> "FrozenT5":
    """The frozen model of all prompts; what is odd about it is said."""
    model = session.model
    for doubt in model.doubts:
        session.progress(f"{model.name}: {doubt}")
    return model
