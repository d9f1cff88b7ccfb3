"""KoboldAI's soft prompts (mtj): a zip with `tensor.npy` and `meta.json`; two-byte values are bfloat16."""

from pathlib import Path

from explorer.errors import PromptError
from explorer.formats.archives import ZIP, Archive
from explorer.formats.declared import Format
from explorer.formats.numpy_arrays import parse_npy
from explorer.formats.stored import parse_json, starts_with
from explorer.prompt import Origin, SoftPrompt

TENSOR, META = "tensor.npy", "meta.json"


def recognizes(path: Path) -> bool:
    """Whether `path` is a zip with a tensor and its description."""
    if not starts_with(path, *ZIP):
        return False
    try:
        with Archive(path) as archive:
            return {TENSOR, META} <= set(archive.names)
    except PromptError:
        return False


def read(path: Path, name: str, key: str | None = None) -> SoftPrompt:
    """Read the tensor; the description's name becomes the task. Raises PromptError when the archive is
    damaged or hostile.
    """
    if key not in (None, TENSOR):
        raise PromptError(f"{path}: no array {key[:80]}; found {TENSOR}")
    with Archive(path) as archive:
        vectors = parse_npy(archive.read(TENSOR), path)
        meta = parse_json(archive.read(META), path)
    title, model = meta.get("name"), meta.get("model_name")
    origin = Origin(
        format="kobold",
        path=path,
        key=TENSOR,
        dtype=vectors.dtype.name,
        task=title if isinstance(title, str) and title else None,
        base_model=model if isinstance(model, str) and model else None,
    )
    return SoftPrompt(vectors, name, origin)


FORMAT = Format("kobold", "KoboldAI", recognizes, read, (("KoboldAI", "softprompt.zip"),))
