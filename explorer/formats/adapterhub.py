"""AdapterHub's prompt tuning (the `adapters` library): a folder told from PEFT's by the keys of its
configuration.
"""

from pathlib import Path

from explorer.errors import PromptError
from explorer.formats.declared import Format
from explorer.formats.peft import CONFIG, weights
from explorer.formats.stored import choose, load, read_json
from explorer.prompt import Origin, SoftPrompt

WEIGHTS = ("adapter.safetensors", "pytorch_adapter.bin")
TABLE = "prompt_embedding.weight"


def recognizes(path: Path) -> bool:
    """Whether `path` is a folder with an adapter configuration that is not PEFT's."""
    if not (path.is_dir() and (path / CONFIG).is_file()):
        return False
    try:
        config = read_json(path / CONFIG)
    except PromptError:  # PEFT's reader, which comes next, will say what is wrong
        return False
    return "peft_type" not in config and isinstance(config.get("config"), dict)


def read(path: Path, name: str, key: str | None = None) -> SoftPrompt:
    """Read a prompt-tuning adapter. Raises PromptError for another architecture, missing or damaged files."""
    config = read_json(path / CONFIG)
    method = config["config"]
    if method.get("architecture") != "prompt_tuning":
        raise PromptError(
            f"{path}: found an AdapterHub adapter of architecture "
            f"{str(method.get('architecture'))[:40]}; expected prompt_tuning"
        )
    file, arrays = weights(path, WEIGHTS)
    key = choose(
        file,
        arrays,
        key,
        {name: stored for name, stored in arrays.items() if name.endswith(TABLE) and stored.matrix},
    )
    model, text = config.get("model_name"), method.get("prompt_init_text")
    origin = Origin(
        format="adapterhub",
        path=path,
        key=key,
        dtype=arrays[key].dtype,
        base_model=model if isinstance(model, str) and model else None,
        initialization=f"text: {text}" if method.get("prompt_init") == "from_string" else None,
    )
    return SoftPrompt(load(file, key, arrays[key]), name, origin)


FORMAT = Format("adapterhub", "AdapterHub", recognizes, read, (("AdapterHub", "my-adapter"),), WEIGHTS)
