"""Models of strangers: whatever their folders hold, one line, no code of theirs, and no memory taken before
it is known that they can be run.
"""

import json
import shutil
from contextlib import suppress
from pathlib import Path

import pytest

from explorer.errors import ModelError
from explorer.models.encoder_decoder import FrozenT5
from explorer.vocabulary import Vocabulary


@pytest.fixture
def folder(tiny_t5_folder, tmp_path) -> Path:
    """A copy of the tiny model."""
    return Path(shutil.copytree(tiny_t5_folder, tmp_path / "model"))


def change(file: Path, **settings: object) -> None:
    """Put other settings into a configuration; None takes one out."""
    found = json.loads(file.read_text()) | settings
    file.write_text(json.dumps({name: value for name, value in found.items() if value is not None}))


CONFIGS: dict[str, dict[str, object]] = {
    "many layers": {"num_layers": 10**9},
    "more layers than weights": {"num_layers": 900},
    "many decoder layers": {"num_decoder_layers": 10**12},
    "a wide model": {"d_model": 2**40},
    "a large vocabulary": {"vocab_size": 10**7},
    "more heads": {"num_heads": 10**6},
    "half a layer": {"num_layers": 1.5},
    "a width in words": {"d_model": "sixteen"},
    "a width in a list": {"d_model": [16]},
    "no heads": {"num_heads": 0},
    "minus one": {"d_ff": -1},
    "true": {"d_kv": True},
    "a kind that is a list": {"model_type": ["t5"]},
    "a kind that is an object": {"model_type": {"t5": 1}},
    "another kind": {"model_type": "gpt2"},
    "an activation that is a number": {"feed_forward_proj": 3},
    "an activation that nobody knows": {"feed_forward_proj": "gated-evil", "dense_act_fn": "evil"},
    "a switch in words": {"is_gated_act": "false"},
    "scaled by a word": {"scale_decoder_outputs": "no"},
    "tied by a word": {"tie_word_embeddings": "yes"},
    "epsilon in words": {"layer_norm_epsilon": "small"},
    "epsilon that is none": {"layer_norm_epsilon": float("nan")},
    "a huge epsilon": {"layer_norm_epsilon": 10**400},
    "a start that is no piece": {"decoder_start_token_id": 10**6},
    "a start in words": {"decoder_start_token_id": "<pad>"},
    "an end that is no piece": {"eos_token_id": -1},
    "no buckets to speak of": {"relative_attention_num_buckets": 1},
    "no distance": {"relative_attention_max_distance": 1},
    "quantized by a list": {"quantization_config": [8]},
    "quantized by nobody": {"quantization_config": {"quant_method": "evil"}},
    "quantized without its library": {
        "quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True}
    },
    "quantized by GPTQ": {"quantization_config": {"quant_method": "gptq", "bits": 4}},
}


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_hostile_configuration_is_one_line(kind, folder):
    change(folder / "config.json", **CONFIGS[kind])
    with pytest.raises(ModelError) as caught:
        FrozenT5.load(folder, device="cpu")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700


def test_no_start_piece_is_the_padding(folder):
    change(folder / "config.json", decoder_start_token_id=None)
    (folder / "generation_config.json").unlink(missing_ok=True)
    model = FrozenT5.load(folder, device="cpu")
    assert model.network.architecture.start == 0
    assert model.generate([None], ["a good film"])


@pytest.mark.parametrize("content", [b"", b"[1]", b"null", b"{", b"\xff", b"[" * 100_000])
@pytest.mark.parametrize("name", ["config.json", "generation_config.json", "tokenizer.json"])
def test_damaged_files_are_one_line(name, content, folder):
    (folder / name).write_bytes(content)
    with pytest.raises(ModelError) as caught:
        FrozenT5.load(folder, device="cpu")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("load", [FrozenT5.load, Vocabulary.load])
def test_a_folder_without_a_tokenizer_is_told_before_weights_are_read(load, folder, monkeypatch):
    for file in (*folder.glob("*token*"), *folder.glob("*.model")):
        file.unlink()
    for name in ("explorer.models.encoder_decoder.read_network", "explorer.vocabulary.read_embedding"):
        monkeypatch.setattr(name, lambda *_: pytest.fail("weights were read"))
    with pytest.raises(ModelError, match="no tokenizer"):
        load(folder)


def test_a_piece_with_a_huge_number_is_refused(folder):
    content = json.loads((folder / "tokenizer.json").read_text())
    content["added_tokens"].append({**content["added_tokens"][0], "id": 4_000_000_000, "content": "<far>"})
    (folder / "tokenizer.json").write_text(json.dumps(content))
    with suppress(ModelError):
        assert len(Vocabulary.load(folder)) < 1000  # tokenizers may number it anew


def test_a_tokenizer_of_another_model_is_told(folder, tiny_t5_folder):
    content = json.loads((folder / "tokenizer.json").read_text())
    content["model"]["vocab"] += [[f"▁more{number}", -9.0] for number in range(300)]
    (folder / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(ModelError, match="they belong to different models"):
        FrozenT5.load(folder, device="cpu")


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("kind", ["t5", "evil"])
def test_code_of_a_folder_is_never_run_and_nobody_is_asked(kind, fast, folder, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    monkeypatch.setenv("HF_MODULES_CACHE", str(folder.parent / "modules"))
    ran = folder.parent / "ran"
    (folder / "evil.py").write_text(
        f"from pathlib import Path\nPath({str(ran)!r}).touch()\nclass Config: pass\nclass Model: "
        "pass\nclass Tokenizer: pass\n"
    )
    auto = {
        "AutoConfig": "evil.Config",
        "AutoModelForSeq2SeqLM": "evil.Model",
        "AutoTokenizer": ["evil.Tokenizer", None],
    }
    change(
        folder / "config.json",
        model_type=kind,
        auto_map=auto,
        feed_forward_proj="gated-evil",
        dense_act_fn="evil",
    )
    change(folder / "tokenizer_config.json", tokenizer_class="Tokenizer", auto_map=auto)
    if not fast:
        (folder / "tokenizer.json").unlink()
    for load in (FrozenT5.load, Vocabulary.load):
        with suppress(ModelError):
            load(folder)
    assert not ran.exists()


@pytest.mark.parametrize("name", ["../outside.safetensors", "/etc/passwd", "a/b.safetensors"])
def test_an_index_names_files_beside_it_only(name, folder):
    (folder / "model.safetensors").rename(folder / "other.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"shared.weight": name}}))
    with pytest.raises(ModelError, match="expected names of files beside it"):
        Vocabulary.load(folder)


@pytest.mark.parametrize("name", ["", "\0", "a" * 5000, "../" * 2000, "字" * 300, "a\nb", "<img src=x>", "~"])
def test_names_that_are_no_model(name):
    with pytest.raises(ModelError) as caught:
        Vocabulary.load(name)
    assert len(str(caught.value)) < 700
