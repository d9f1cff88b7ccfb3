"""Plain array files that hold one [P, H] array: NumPy's, safetensors and torch's, told by their content."""

import re
from functools import partial
from pathlib import Path

from explorer.errors import PromptError
from explorer.formats import peft
from explorer.formats.declared import Format
from explorer.formats.numpy_arrays import is_npy, is_npz, list_npy, list_npz
from explorer.formats.safetensors_arrays import is_ours, is_safetensors, list_safetensors
from explorer.formats.stored import Stored, choose, load, sliced, unwrapped
from explorer.formats.torch_arrays import is_torch, list_torch
from explorer.prompt import Origin, SoftPrompt

CONTAINERS = {
    "npy": (is_npy, list_npy),
    "npz": (is_npz, list_npz),
    "safetensors": (is_safetensors, list_safetensors),
    "torch": (is_torch, list_torch),
}
ENCODER = re.compile(r"((?:.*\.)?prompt_encoder\.(?:.*\.)?)embedding\.weight")
"""PEFT's table in the state of a whole model"""
OF_PEFT = re.compile(r"(^|\.)(prompt_embeddings$|prompt_encoder\.|(embedding|default)\.weight$)")
"""names that PEFT gives the prompt, in an adapter, a model's state or the state of its prompt encoder"""
SUFFIXES = {".npy": "npy", ".npz": "npz"}
"""what a file claims to be when its content is nothing known"""


def recognizes(path: Path) -> bool:
    """Whether `path` is an array file."""
    return container(path) is not None


def _is(kind: str, path: Path) -> bool:
    return container(path) == kind


def container(path: Path) -> str | None:
    """The kind of an array file: a key of CONTAINERS; None for other things."""
    if not path.is_file():
        return None
    return next((kind for kind, (matches, _) in CONTAINERS.items() if matches(path)), None) or SUFFIXES.get(
        path.suffix
    )


def list_arrays(path: Path) -> dict[str, Stored]:
    """The arrays of a file by their names. Raises PromptError when it is damaged or of another kind."""
    return CONTAINERS[container(path) or "npy"][1](path)


def read(path: Path, name: str, key: str | None = None) -> SoftPrompt:
    """Read the array `key` of a file, or its only two-dimensional one.

    Raises PromptError when the file is damaged or holds pickled objects, or when none or several arrays could
    be meant.
    """
    arrays, key = sliced(list_arrays(path), key)
    key = choose(path, arrays, key)
    bare = unwrapped(key)
    table = ENCODER.fullmatch(bare)
    heads = [
        name
        for name in arrays
        if table and unwrapped(name).startswith((f"{table[1]}mlp_head", f"{table[1]}lstm_head"))
    ]
    if heads:
        raise PromptError(
            f"{path}: {key} is P-tuning's table before its re-parameterization ({heads[0]} lies "
            "beside it), not the prompt; "
            "save the adapter with save_pretrained where it was trained, and open its folder"
        )
    doubled = len(arrays[key].shape) == 2 and arrays[key].shape[0] % 2 == 0
    alone = doubled and not is_ours(path) and (table is not None or OF_PEFT.search(bare) is not None)
    warnings = (
        (
            f"read without {peft.CONFIG}: for encoder–decoders the second half of its rows may never "
            "have been trained",
        )
        if alone
        else ()
    )
    origin = Origin(
        format=container(path) or "npy",
        path=path,
        key=key or None,
        dtype=arrays[key].dtype,
        warnings=warnings,
    )
    return SoftPrompt(load(path, key, arrays[key]), name, origin)


_USAGE = {
    "npz": (
        ("`.npy`, `.npz`, `.safetensors`, `.pt` with one matrix", "prompt.npz"),
        ("… with several matrices", '"prompt.npz#NAME"'),
    )
}
FORMATS = tuple(
    Format(kind, label, partial(_is, kind), read, _USAGE.get(kind, ()))
    for kind, label in {"npy": ".npy", "npz": ".npz", "safetensors": ".safetensors", "torch": ".pt"}.items()
)
