"""Where a model lies and how it is loaded: folders, bundled names and Hugging Face ids; whose forward runs
it; what is odd about it.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from explorer.errors import ModelError
from explorer.models.architecture import HEAD, SHARED, Architecture, read_architecture
from explorer.models.placement import QUANTIZED, placement
from explorer.models.weights import EMBEDDING_KEYS, read_tensors, stored_shapes, weight_files
from explorer.system import hub
from explorer.system.files import MODELS
from explorer.system.hub import HubError
from explorer.words.wording import printable

if TYPE_CHECKING:
    import numpy as np
    import torch

    from explorer.models.fallback import TransformersNetwork
    from explorer.models.network import Network

DEFAULT_MODEL = "mini-t5"
"""the bundled model that is read with where nothing else is known"""


def model_folder(model: str | Path, weights: bool = False) -> Path:
    """The local folder of a model: a path, a name under `checkpoints/models`, or a Hugging Face id
    (downloaded or cached).

    weights: whether the weight files are needed too (else configuration and tokenizer). Raises ModelError
    when there is none.
    """
    for folder in (Path(model), MODELS / str(model)):
        if not _is_folder(folder):
            continue
        if hub.is_cached(folder):
            try:
                folder = hub.snapshot(folder)
            except HubError as error:
                raise ModelError(str(error)) from error
        if not (folder / "config.json").is_file():
            raise ModelError(
                f"{folder}: no config.json; expected a model folder as transformers' save_pretrained "
                "writes it"
            )
        return folder.resolve()
    return _downloaded(str(model), weights)


def bundled_models() -> list[str]:
    """Names of the models under `checkpoints/models`, in order."""
    return sorted(file.parent.name for file in MODELS.glob("*/config.json"))


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):  # names too long, zero bytes, folders that may not be looked into
        return False


def lasting_name(model: str) -> str:
    """How prompts record their base model: a bundled model's name, a hub id, or a folder's full path. Raises
    ModelError when there is none.
    """
    folder = model_folder(model, weights=True)
    if folder.parent == MODELS:
        return folder.name
    return str(folder) if Path(model).is_dir() else model


def _downloaded(model: str, weights: bool) -> Path:
    if len(model) > 200 or not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", model) or model.startswith("."):
        raise ModelError(
            f"{printable(model[:200])}: no such folder; expected a model folder, a name under "
            "checkpoints/models, or a Hugging Face id"
        )
    patterns = ["*.json", "*.model"]
    try:
        folder = hub.fetch(model, patterns + (["*.safetensors"] if weights else []))
        if weights and not any(folder.glob("*.safetensors")):
            folder = hub.fetch(model, [*patterns, "pytorch_model*.bin"])
        return folder
    except HubError as error:
        raise ModelError(
            f"{model}: no such folder, not bundled, and not to be had from the Hugging Face hub "
            f"({error}); give the folder of a downloaded model"
        ) from error


def read_network(
    folder: Path, device: str, dtype: "torch.dtype", table: "np.ndarray | None" = None
) -> "Network | TransformersNetwork":
    """The model in a folder: run by our own forward, or by transformers' where it is spread over devices or
    of a variant ours does not know.

    table: its input embeddings [V, H] float32 where they have been read already; their memory is shared where
    precision and device allow. Raises ModelError when the model is damaged, incomplete or no T5.
    """
    architecture = read_architecture(folder)
    stored = (
        _checked_shapes(folder, architecture) if QUANTIZED not in architecture.unusual else {}
    )  # those have other shapes, which transformers knows
    place = placement(folder, architecture, device, dtype, stored)
    tensors = None
    if isinstance(place, dict) and not architecture.unusual:
        tensors = _tensors(folder, architecture, place[""], dtype, table)
    if tensors is None:
        from explorer.models.fallback import TransformersNetwork

        return TransformersNetwork.load(folder, architecture, dtype, place)
    from explorer.models.network import Network

    return Network(architecture, tensors, dtype)


def _checked_shapes(folder: Path, made: Architecture) -> dict[str, tuple[int, ...]]:
    """The shapes in a model's files. Raises ModelError, before any weight is read, where files and
    config.json do not belong together.
    """
    try:
        there, wanted = stored_shapes(folder), made.shapes()
    except ModelError as error:
        raise ModelError(f"{folder}: cannot be loaded as a T5 ({str(error)[:300]})") from error
    if SHARED not in there and (copy := next((key for key in EMBEDDING_KEYS if key in there), None)):
        there[SHARED] = there[copy]
    if missing := sorted(wanted.keys() - there.keys()):
        raise ModelError(
            f"{folder}: {len(missing)} weights are missing, such as {missing[0]}; expected a whole "
            "model: get it again"
        )
    for name, shape in wanted.items():
        if there[name] != shape:
            raise ModelError(
                f"{folder}: cannot be loaded as a T5 ({name} has the shape {there[name]}; config.json "
                f"says {shape})"
            )
    return there


def _tensors(
    folder: Path, made: Architecture, device: str, dtype: "torch.dtype", table: "np.ndarray | None"
) -> "dict[str, torch.Tensor] | None":
    """The weights by name, checked, without copies of the embedding table; None for a stack that has another
    table, which is not our own.
    """
    import torch

    given = {}
    if (
        table is not None
        and torch.device(device).type == "cpu"
        and dtype == torch.float32
        and table.flags.writeable
    ):
        given[SHARED] = torch.from_numpy(table)
    shapes, copies = made.shapes(), (HEAD, *EMBEDDING_KEYS[1:2], "decoder.embed_tokens.weight")
    try:
        found = read_tensors(folder, {*shapes, *copies}, device, dtype, given)
    except (ModelError, RuntimeError) as error:  # RuntimeError: no room for them
        raise ModelError(
            f"{folder}: cannot be loaded as a T5 ({(str(error).splitlines() or [''])[0][:300]})"
        ) from error
    if SHARED not in found and copies[1] in found:
        found[SHARED] = found[copies[1]]
    if missing := sorted(shapes.keys() - found.keys()):
        raise ModelError(
            f"{folder}: {len(missing)} weights are missing, such as {missing[0]}; expected a whole "
            "model: get it again"
        )
    for name, tensor in found.items():
        if tuple(tensor.shape) != (wanted := shapes.get(name, shapes[SHARED])):
            raise ModelError(
                f"{folder}: cannot be loaded as a T5 ({name} has the shape {tuple(tensor.shape)}; "
                f"config.json says {wanted})"
            )
    own = {name for name in copies if name in found and not _equal(found[name], found[SHARED])}
    return (
        None
        if own - {HEAD}
        else {name: tensor for name, tensor in found.items() if name in shapes or name in own}
    )


def _equal(one: "torch.Tensor", other: "torch.Tensor") -> bool:
    import torch

    return one.data_ptr() == other.data_ptr() or torch.equal(one, other)


def doubts(network: "Network | TransformersNetwork", folder: Path) -> tuple[str, ...]:
    """What does not look like a T5 of the published kinds: 1.0 ties its head and scales, 1.1 and later have
    their own and do not.
    """
    tied, scaled = network.tied, network.architecture.scaled
    doubts = []
    if tied != scaled and network.architecture.kind != "mt5":  # mT5 never scales
        how = (
            "the head is tied to the embeddings, but outputs are not scaled"
            if tied
            else "the model has its own head, but outputs are scaled"
        )
        doubts.append(
            f"{how} (scale_decoder_outputs); T5 1.0 ties and scales, T5 1.1 and later do neither: "
            "probabilities may be off"
        )
    if SHARED not in weight_files(folder):
        doubts.append(f"{SHARED} is not in its files; the input embeddings were taken from another table")
    return tuple(doubts)
