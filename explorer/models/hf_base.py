"""What every model that transformers holds tells of its weights, and which of them transformers would
misread.
"""

from pathlib import Path
from typing import Any

import torch

from explorer.models.architecture import read_json


class HeldByTransformers:
    """A transformers model, frozen; a part of `models.frozen.Forward`."""

    module: Any

    @property
    def embedding(self) -> torch.Tensor:
        """[V, H]"""
        return self.module.get_input_embeddings().weight

    @property
    def tied(self) -> bool:
        """Whether the head is the embedding table."""
        return self.module.get_output_embeddings().weight is self.embedding

    @property
    def memory(self) -> int:
        """Bytes that the weights take, on all devices together."""
        return sum(weight.numel() * weight.element_size() for weight in self.module.parameters())

    @property
    def device(self) -> torch.device:
        """Where the embedding table is."""
        return self.embedding.device

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the weights."""
        return self.embedding.dtype


def check_quantization(folder: Path) -> None:
    """Raise ValueError for weights quantized in a way that transformers does not know: it would take them for
    plain numbers.
    """
    from transformers.quantizers import AutoHfQuantizer

    quantization = read_json(folder / "config.json").get("quantization_config")
    if quantization and not AutoHfQuantizer.supports_quant_method(quantization):
        raise ValueError(
            f"its weights are quantized by {str(quantization.get('quant_method'))[:40]!r}, which "
            "transformers does not know"
        )
