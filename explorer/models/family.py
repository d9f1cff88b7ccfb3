"""Which kind of model a folder holds. Decided here alone, by what its `config.json` says."""

from pathlib import Path
from typing import Literal

from explorer.errors import ModelError
from explorer.models.architecture import FAMILY, read_json
from explorer.words.wording import article

Family = Literal["encoder-decoder", "decoder-only"]
TASK_TYPES: dict[Family, str] = {"encoder-decoder": "SEQ_2_SEQ_LM", "decoder-only": "CAUSAL_LM"}
"""what PEFT calls them"""
HEADS = ("ForCausalLM", "LMHeadModel")
"""how classes of language models end"""


def family_of(folder: Path) -> Family:
    """The kind of model in a folder. Raises ModelError for any other kind, and for a damaged
    `config.json`.
    """
    config = read_json(folder / "config.json")
    kind, classes = config.get("model_type"), config.get("architectures")
    if kind in FAMILY:
        return "encoder-decoder"
    named = [one for one in classes if isinstance(one, str)] if isinstance(classes, list) else []
    if (
        isinstance(kind, str)
        and config.get("is_encoder_decoder") is not True
        and (any(one.endswith(HEADS) for one in named) or not named)
        and _known(kind)
    ):
        return "decoder-only"
    found = f"{str(kind or 'nameless')[:60]} model" + (f" ({named[0][:60]})" if named else "")
    raise ModelError(
        f"{folder}: found {article(found)}; expected one of the T5 family ({', '.join(FAMILY)}) or a "
        "decoder-only language model"
    )


def is_encoder_decoder(folder: Path) -> bool:
    """Whether a folder holds a T5; False for everything else, models that cannot be run among it."""
    try:
        return read_json(folder / "config.json").get("model_type") in FAMILY
    except ModelError:
        return False


def _known(kind: str) -> bool:
    """Whether transformers has a language model of this type, and no masked one, which reads both ways."""
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    )

    return kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and kind not in MODEL_FOR_MASKED_LM_MAPPING_NAMES
