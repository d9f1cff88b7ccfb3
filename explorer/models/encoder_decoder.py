"""The frozen T5: an encoder that reads prompt and text, a decoder that answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from explorer.choices import Device, Dtype
from explorer.errors import ModelError
from explorer.models.architecture import read_architecture
from explorer.models.family import TASK_TYPES
from explorer.models.frozen import FrozenModel
from explorer.models.loading import DEFAULT_MODEL, doubts, model_folder, read_network
from explorer.models.placement import chosen_device, chosen_dtype
from explorer.models.tokenizer import read_tokenizer
from explorer.system.files import MODELS

if TYPE_CHECKING:
    from explorer.models.fallback import TransformersNetwork
    from explorer.models.network import Network


@dataclass(frozen=True, eq=False, repr=False)
class FrozenT5(FrozenModel):
    """A T5 encoder–decoder whose weights never change, on one device, used by one thread at a time."""

    network: "Network | TransformersNetwork"

    task_type: ClassVar[str] = TASK_TYPES["encoder-decoder"]

    @classmethod
    def load(
        cls,
        model: str | Path = DEFAULT_MODEL,
        device: Device | str = "auto",
        dtype: Dtype = "auto",
        embedding: np.ndarray | None = None,
    ) -> Self:
        """Load a T5 from a folder, a bundled model's name or a Hugging Face id.

        device: `auto` takes CUDA where there is some, and `split` there when the weights in their precision,
        and a pass, need more than is free; weights go straight to a GPU, without a full copy in host memory.
        `split`: Accelerate spreads the layers over all devices. dtype: `auto` is bfloat16 on CUDA cards that
        compute in it and float32 elsewhere. embedding: the model's own table [V, H] float32 where it has been
        read already, as a `Vocabulary` has; it is then shared, not read again. Raises ModelError when the
        model is missing, damaged or no T5.
        """
        folder = model_folder(model, weights=True)
        device = chosen_device(device)
        precision = chosen_dtype(dtype, device)
        made, tokenizer = (
            read_architecture(folder),
            read_tokenizer(folder),
        )  # both before the weights take memory
        if len(tokenizer.pieces) > made.rows:
            found = (
                f"the tokenizer has {len(tokenizer.pieces):,} pieces, the embedding table {made.rows:,} rows"
            )
            raise ModelError(f"{folder}: {found}; they belong to different models")
        network = read_network(folder, device, precision, embedding)
        name = folder.name if folder.parent == MODELS else str(model)
        return cls(network, tokenizer, name, folder, doubts(network, folder))

    def _behind(self) -> None:
        """Nothing: a T5's answer stands by itself."""

    def _closing(self) -> list[int]:
        """Eos."""
        return self._alone()

    def _left_out(self) -> tuple[int, ...]:
        """Nothing."""
        return ()

    def says(self, written: str, labels: Sequence[str]) -> bool:
        """Whether a generated text is one of the labels: nothing else, since a T5 says when it has ended."""
        return written.strip() in labels

    def _alone(self) -> list[int]:
        """Eos alone."""
        return [self.network.architecture.end]
