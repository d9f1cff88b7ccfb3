"""Traps of strangers' files and of the hub's cache: what is read is what the writer meant, or one line says
why not.
"""

import json
import shutil
import zipfile

import numpy as np
import pytest
from safetensors.numpy import save_file

from explorer.errors import ModelError, PromptError
from explorer.formats import find_prompts, read_prompt
from explorer.formats.archives import Archive
from explorer.formats.writing import as_safetensors
from explorer.models.tokenizer import _SENTINEL, BYTE
from explorer.models.weights import read_embedding
from explorer.prompt import Origin, SoftPrompt
from explorer.session import open_session

V = np.random.default_rng(1).standard_normal((6, 4)).astype(np.float32)
COMMIT = "a" * 40
SOFT = "prompt_encoder.default.embedding.weight"


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """A hub cache with one adapter: blobs, links to them, a branch."""
    folder = tmp_path / "hub" / "models--user--my-prompt"
    for part in ("blobs", "refs", f"snapshots/{COMMIT}"):
        (folder / part).mkdir(parents=True)
    (folder / "refs" / "main").write_text(COMMIT)
    (folder / "blobs" / "0").write_text(
        json.dumps(
            {"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 6, "prompt_tuning_init": "SAMPLE_VOCAB"}
        )
    )
    save_file({"prompt_embeddings": V}, folder / "blobs" / "1")
    for blob, name in enumerate(("adapter_config.json", "adapter_model.safetensors")):
        (folder / "snapshots" / COMMIT / name).symlink_to(f"../../blobs/{blob}")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return folder


def test_an_adapter_of_the_hub_is_read_from_the_cache_and_named_after_its_repository(cached):
    for given in (
        "user/my-prompt",
        cached,
        f"user/my-prompt@{COMMIT}",
        cached / "snapshots" / COMMIT / "adapter_model.safetensors",
    ):
        prompt = read_prompt(given)
        assert (prompt.name, prompt.origin.initialization) == ("user/my-prompt", "sampled-vocab")
    assert [prompt.name for _, prompt in find_prompts(cached.parent)] == ["user/my-prompt"]
    (cached / "refs" / "main").unlink()
    assert read_prompt("user/my-prompt").length == read_prompt(cached).length == 6
    with pytest.raises(PromptError, match="without the revision v9; found the snapshots aaaaaaaaaaaa"):
        read_prompt(cached, revision="v9")
    with pytest.raises(
        PromptError,
        match="user/other: no such file, folder or bundled prompt, nor to be had from the Hugging Face hub",
    ):
        read_prompt("user/other")
    shutil.rmtree(cached / "snapshots" / COMMIT)
    with pytest.raises(PromptError, match="found the snapshots none: download it again"):
        read_prompt(cached)


def test_halves_outside_an_adapter_are_doubted_and_tables_before_their_mlp_refused(tmp_path):
    file = tmp_path / "x.safetensors"
    save_file({SOFT: V}, file)
    assert "may never have been trained" in read_prompt(file).origin.warnings[0]
    save_file({SOFT: V, "prompt_encoder.default.mlp_head.0.weight": V}, file)
    with pytest.raises(PromptError, match="before its re-parameterization"):
        read_prompt(file)
    file.write_bytes(as_safetensors(SoftPrompt(V)))
    assert not read_prompt(file).origin.warnings


def test_advice_names_prompts_first_and_no_array_of_a_model(tmp_path):
    save_file(
        {"shared.weight": V, "a": V, "soft": V, "encoder.block.0.layer.0.SelfAttention.q.weight": V},
        tmp_path / "x.safetensors",
    )
    with pytest.raises(PromptError, match=r"found soft \(6, 4\), a \(6, 4\); .*such as x\.safetensors#soft"):
        read_prompt(tmp_path / "x.safetensors")


@pytest.mark.parametrize(
    "key",
    [
        "decoder.embed_tokens",
        "model.decoder.embed_tokens",
        "wte",
        "transformer.word_embeddings",
        "gpt_neox.embed_in",
        "module.shared",
    ],
)
def test_places_of_the_table(key, tmp_path):
    save_file({f"{key}.weight": V}, tmp_path / "model.safetensors")
    np.testing.assert_array_equal(read_embedding(tmp_path), V)


def test_quantized_and_ungathered_tables_are_refused_by_name(tmp_path):
    for stored, said in (
        ({"shared.weight": V.astype(np.int8)}, "is quantized"),
        ({"shared.weight": V, "shared.weight_scale": V}, "is quantized"),
        ({"shared.weight": np.zeros(0, np.float32)}, "zero_to_fp32"),
    ):
        save_file(stored, tmp_path / "model.safetensors")
        with pytest.raises(ModelError, match=said):
            read_embedding(tmp_path)


def test_zips_of_windows_and_macs(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.zip", "w") as archive:
        for name in ("run\\a.npy", "__MACOSX/._a.npy", "run\\"):
            archive.writestr(name, b"")
    with Archive(tmp_path / "w.zip") as archive:
        assert archive.names == ["run/a.npy"]


def test_special_pieces_of_mt5():
    assert _SENTINEL.fullmatch("▁<extra_id_7>")
    assert BYTE.fullmatch("<0x0A>")


def test_another_base_model_of_equal_width_is_one_note(vocabulary):
    prompt = SoftPrompt(
        np.ones((2, vocabulary.dimension), np.float32), "a", Origin(base_model="google/other")
    )
    (note,) = open_session(prompt, model="mini-t5").notes
    assert "its base model is google/other" in str(note)
