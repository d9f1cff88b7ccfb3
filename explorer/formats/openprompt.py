"""OpenPrompt's state dicts: `soft_embeds` [P, H], or `soft_embedding.weight` [1 + P, H] whose row 0
MixedTemplate never uses.
"""

from pathlib import Path

from explorer.errors import PromptError
from explorer.formats.archives import Archive
from explorer.formats.declared import Format
from explorer.formats.stored import choose, load, starts_with
from explorer.formats.torch_arrays import OLD, is_torch, list_torch
from explorer.prompt import Origin, SoftPrompt

PADDED, PLAIN = "soft_embedding.weight", "soft_embeds"


def recognizes(path: Path) -> bool:
    """Whether `path` is a torch file whose pickle, unexecuted, names one of OpenPrompt's tables."""
    if not is_torch(path) or starts_with(path, OLD):
        return False
    try:
        with Archive(path) as archive:
            pickled = next(name for name in archive.names if name.endswith("data.pkl"))
            return b"soft_embed" in archive.read(pickled)
    except (PromptError, StopIteration):
        return False


def read(path: Path, name: str, key: str | None = None) -> SoftPrompt:
    """Read a template's soft tokens.

    Raises PromptError when the file holds more than plain tensors (OpenPrompt can save whole models with
    dill), or several prompts.
    """
    arrays = list_torch(path)
    tables = {
        name: stored for name, stored in arrays.items() if name.endswith((PADDED, PLAIN)) and stored.matrix
    }
    key = choose(path, arrays, key, tables)
    vectors, padded = load(path, key, arrays[key]), key.endswith(PADDED) and arrays[key].matrix
    warnings = ("1 row dropped: OpenPrompt's MixedTemplate never uses row 0",) if padded else ()
    origin = Origin("openprompt", path, key or None, arrays[key].dtype, int(padded), warnings=warnings)
    return SoftPrompt(vectors[1:] if padded else vectors, name, origin)


USAGE = ("OpenPrompt, a checkpoint of plain tensors", "best.ckpt")
FORMAT = Format("openprompt", "OpenPrompt", recognizes, read, (USAGE,))
