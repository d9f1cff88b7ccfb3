"""On which devices a model runs and in which precision, decided before any weight is read."""

from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from explorer.choices import Device, Dtype
from explorer.errors import ModelError
from explorer.models.architecture import HEAD, SHARED, Architecture

if TYPE_CHECKING:
    import torch

ROWS_PER_PASS = {"cpu": 64, "cuda": 1024}
"""rows of a batch that go through the model at once: a processor is fastest while they fit into its cache
(twice 256 rows' pace)
"""
POSITIONS_PER_ROW = 96
"""longer rows, padding included, go through the model fewer at a time"""
QUANTIZED = "quantized weights"
"""what such a model is called in `Architecture.unusual`"""


def chosen_device(asked: Device | str) -> str:
    """The device asked for; `auto` takes CUDA where there is some. Raises ModelError for one that does not
    exist, and where there is no GPU.
    """
    import torch

    device = ("cuda" if torch.cuda.is_available() else "cpu") if asked == "auto" else str(asked)
    try:
        wants_gpu = device != "split" and torch.device(device).type == "cuda"
    except RuntimeError as error:
        raise ModelError(
            f"found the device {device!r}; expected auto, cpu, cuda, split or such as cuda:1", "device"
        ) from error
    if wants_gpu and not torch.cuda.is_available():
        raise ModelError(f"device {device} was asked for, but torch sees no GPU; use cpu", "device")
    return device


def chosen_dtype(asked: Dtype, device: str) -> "torch.dtype":
    """The precision asked for; `auto` is bfloat16 on GPUs that compute in it (compute capability 8 and
    later), else float32.

    device: as `chosen_device` gives it; of several GPUs (`split`) all must.
    """
    import torch

    if asked != "auto":
        return getattr(torch, asked)
    if device == "split":
        cards = (
            [f"cuda:{number}" for number in range(torch.cuda.device_count())]
            if torch.cuda.is_available()
            else []
        )
    else:
        cards = [device] if torch.device(device).type == "cuda" else []
    return torch.bfloat16 if cards and all(map(computes_bfloat16, cards)) else torch.float32


def computes_bfloat16(device: "str | torch.device") -> bool:
    """Whether a CUDA device computes in bfloat16 itself: older cards only imitate it, slowly."""
    import torch

    return torch.cuda.get_device_capability(device) >= (8, 0)


def weights_take(architecture: Architecture, dtype: "torch.dtype", own_head: bool) -> int:
    """Bytes of all weights in a precision, whatever the one that they are stored in."""
    shapes = architecture.shapes()
    return (sum(map(prod, shapes.values())) + own_head * prod(shapes[SHARED])) * dtype.itemsize


def pass_takes(architecture: Architecture, dtype: "torch.dtype") -> int:
    """Bytes that the largest pass on a GPU needs at once, roughly: a layer's inputs, attention and
    feed-forward at every position.
    """
    positions = ROWS_PER_PASS["cuda"] * POSITIONS_PER_ROW
    inner = architecture.heads * architecture.head_dimension
    return (
        positions
        * (3 * architecture.dimension + 4 * inner + (len(architecture.into) + 1) * architecture.hidden)
        * dtype.itemsize
    )


def placement(
    folder: Path,
    architecture: Architecture,
    device: str,
    dtype: "torch.dtype",
    stored: "dict[str, tuple[int, ...]]",
) -> dict[str, str] | str:
    """Where transformers is to put the weights: on one device, or (`auto`) where Accelerate finds room.

    stored: shapes of the weights in the model's files; empty for quantized ones, which take what their files
    do.
    """
    import torch

    if device == "split":
        return "auto"
    if torch.device(device).type == "cuda":
        files = [*folder.glob("*.safetensors")] or [*folder.glob("*.bin")]
        quantized = QUANTIZED in architecture.unusual
        weights = (
            sum(file.stat().st_size for file in files)
            if quantized
            else weights_take(architecture, dtype, HEAD in stored)
        )
        if weights + pass_takes(architecture, dtype) > torch.cuda.mem_get_info(device)[0]:
            return "auto"
    return {"": device}
