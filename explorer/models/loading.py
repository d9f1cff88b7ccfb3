"""Where a model lies and how it is loaded: folders, bundled names and Hugging Face ids; what is odd about a checkpoint."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from explorer.errors import ModelError
from explorer.files import MODELS
from explorer.models.weights import EMBEDDING_KEYS, stored_names

if TYPE_CHECKING:
    import torch

DEFAULT_MODEL = "mini-t5"
"""the bundled model that is read with where nothing else is known"""


def model_folder(model: str | Path, weights: bool = False) -> Path:
    """The local folder of a model: a path, a name under `checkpoints/models`, or a Hugging Face id (downloaded or cached).

    weights: whether the weight files are needed too (else configuration and tokenizer). Raises ModelError when there is none.
    """
    for folder in (Path(model), MODELS / str(model)):
        if folder.is_dir():
            if not (folder / "config.json").is_file():
                raise ModelError(f"{folder}: no config.json; expected a model folder as transformers' save_pretrained writes it")
            return folder.resolve()
    return _downloaded(str(model), weights)


def _downloaded(model: str, weights: bool) -> Path:
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", model) or model.startswith("."):
        raise ModelError(f"{model}: no such folder; expected a model folder, a name under checkpoints/models, or a Hugging Face id")
    from huggingface_hub import snapshot_download

    patterns = ["*.json", "*.model"]
    try:
        folder = Path(snapshot_download(model, allow_patterns=patterns + (["*.safetensors"] if weights else [])))
        if weights and not any(folder.glob("*.safetensors")):
            folder = Path(snapshot_download(model, allow_patterns=[*patterns, "pytorch_model*.bin"]))
        return folder
    except Exception as error:  # the hub raises a dozen kinds: offline, not found, gated, broken proxy
        reason = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"{model}: no such folder, not bundled, and not to be had from the Hugging Face hub ({reason}); give the folder of a downloaded model"
        ) from error


def placement(folder: Path, device: str) -> dict[str, str] | str:
    """Where transformers is to put the weights: on one device, or (`auto`) where Accelerate finds room."""
    import torch

    if device.startswith("cuda"):
        files = [*folder.glob("*.safetensors")] or [*folder.glob("*.bin")]
        if sum(file.stat().st_size for file in files) > torch.cuda.mem_get_info(device)[0]:
            return "auto"
    return "auto" if device == "split" else {"": device}


def doubts(network: "torch.nn.Module", folder: Path) -> tuple[str, ...]:
    """What does not look like a T5 of the published kinds: 1.0 ties its head and scales, 1.1 and later have their own and do not."""
    tied = network.get_output_embeddings().weight is network.get_input_embeddings().weight
    scaled = getattr(network.config, "scale_decoder_outputs", tied)
    doubts = []
    if tied != scaled:
        how = "the head is tied to the embeddings, but outputs are not scaled" if tied else "the model has its own head, but outputs are scaled"
        doubts.append(f"{how} (scale_decoder_outputs); T5 1.0 ties and scales, T5 1.1 and later do neither: probabilities may be off")
    if "shared.weight" not in stored_names(folder):
        doubts.append("shared.weight is not in its files; the input embeddings were taken from another table")
    return tuple(doubts)


def read_network(folder: Path, precision: "torch.dtype", placement: "dict[str, str] | str") -> tuple:
    """Model and tokenizer of a folder. Raises ModelError when they are damaged, incomplete or no T5."""
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoModelForSeq2SeqLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        config = AutoConfig.from_pretrained(folder)
        if config.model_type not in ("t5", "mt5", "umt5"):
            raise ModelError(f"{folder}: found a {config.model_type} model; expected one of the T5 family (t5, mt5, umt5)")
        tokenizer = AutoTokenizer.from_pretrained(folder)
        network, report = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=precision, device_map=placement, output_loading_info=True)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"{folder}: cannot be loaded as a T5 ({(str(error).splitlines() or [''])[0][:200]})") from error
    if missing := sorted(report["missing_keys"]):
        raise ModelError(f"{folder}: {len(missing)} weights are missing, such as {missing[0]}; expected a whole model: get it again")
    _check_embedding(network, folder)
    return network, tokenizer


def _check_embedding(network: "torch.nn.Module", folder: Path) -> None:
    """Raise ModelError when the model did not get its file's input embeddings: some releases take the head's instead."""
    from safetensors import safe_open

    file = folder / "model.safetensors"
    if not file.is_file():  # several files: nothing to compare cheaply
        return
    with safe_open(file, framework="pt") as weights:
        if key := next((key for key in EMBEDDING_KEYS if key in set(weights.keys())), None):
            table = network.get_input_embeddings().weight
            rows = weights.get_slice(key)[:8].to(table.device, table.dtype)
            if rows.shape != table[:8].shape or not (rows == table[:8]).all():
                raise ModelError(f"{file}: transformers loaded other input embeddings than {key}; use another release of transformers")
