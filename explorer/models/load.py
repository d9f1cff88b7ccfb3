"""Loading a frozen model, whatever its family."""

from pathlib import Path
from typing import TYPE_CHECKING

from explorer.choices import Device, Dtype
from explorer.models.family import family_of
from explorer.models.loading import model_folder

if TYPE_CHECKING:
    import numpy as np

    from explorer.models.frozen import FrozenModel


def load_frozen(
    model: str | Path,
    device: Device | str = "auto",
    dtype: Dtype = "auto",
    embedding: "np.ndarray | None" = None,
) -> "FrozenModel":
    """The frozen model in a folder, of a bundled name or a Hugging Face id, whatever its family; see
    `FrozenT5.load`.

    Raises ModelError for a model that is missing, damaged or of no family that can be run.
    """
    from explorer.models.decoder_only import FrozenDecoder
    from explorer.models.encoder_decoder import FrozenT5

    of: type[FrozenModel] = FrozenT5 if family_of(model_folder(model)) == "encoder-decoder" else FrozenDecoder
    return of.load(model, device, dtype, embedding)
