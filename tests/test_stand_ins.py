"""What stands in place of a file, and rows, names and columns that disagree: said by name, on every surface."""

import json

import foreign
import numpy as np
import pytest
from safetensors.numpy import save_file
from test_trainer import adapter

from explorer.errors import DataError, ExplorerError, ModelError, PromptError
from explorer.formats import read_prompt
from explorer.models.architecture import read_json
from explorer.models.tokenizer import read_tokenizer
from explorer.models.weights import read_embedding
from explorer.texts.label_files import read_rows

V = np.random.default_rng(1).standard_normal((6, 4)).astype(np.float32)
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 1\n"
PAGE = b"\xef\xbb\xbf\n<!DOCTYPE HTML><title>Sign in</title>"
STAND_INS = {"Git LFS pointer": POINTER, "web page": PAGE, "server's error message": b"Entry not found"}


@pytest.mark.parametrize("words", STAND_INS)
@pytest.mark.parametrize(
    "name", ["adapter_config.json", "adapter_model.safetensors", "adapter_model.bin", "explorer.json"]
)
def test_files_of_an_adapter(name, words, tmp_path):
    weights = name if name.endswith(".bin") else "adapter_model.safetensors"
    place = foreign.peft(tmp_path, V, weights)
    (place / name).write_bytes(STAND_INS[words])
    with pytest.raises(PromptError, match=rf"{name}: found a {words}"):
        read_prompt(place)


@pytest.mark.parametrize("words", STAND_INS)
@pytest.mark.parametrize(
    "name",
    [
        "prompt.npy",
        "prompt.npz",
        "prompt.pt",
        "prompt.safetensors",
        "x.nemo",
        "checkpoint_5/encoder.prompt.prompt.prompt",
    ],
)
def test_files_of_other_formats(name, words, tmp_path):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(STAND_INS[words])
    place = tmp_path / name.partition("/")[0]
    with pytest.raises(PromptError, match=f"found a {words}"):
        read_prompt(place)


@pytest.mark.parametrize("words", STAND_INS)
@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "spiece.model", "model.safetensors"])
def test_files_of_a_model(name, words, tmp_path):
    (tmp_path / name).write_bytes(STAND_INS[words])
    read = {"config.json": lambda folder: read_json(folder / name), "model.safetensors": read_embedding}
    with pytest.raises(ModelError, match=f"{name}: found a {words}"):
        read.get(name, read_tokenizer)(tmp_path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        *((content, f"found a {words}") for words, content in STAND_INS.items()),
        (b"PK\x03\x04rest", "found a spreadsheet's workbook"),
        (b"PAR1rest", "found a Parquet file; expected text"),
        (b"text,label,text\na,b,c\n", "found the column text 2 times; expected it once"),
    ],
)
def test_data_that_is_no_table(content, words, tmp_path):
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(DataError, match=words):
        read_rows(tmp_path / "x.csv")


def test_excels_separator_line_is_no_row(tmp_path):
    (tmp_path / "x.csv").write_bytes(b"sep=;\r\ntext;label\r\na, b;good\r\nc;bad\r\n")
    rows = read_rows(tmp_path / "x.csv").rows
    assert [(row.text, row.label) for row in rows] == [("a, b", "good"), ("c", "bad")]
    assert rows[0].place == "row 3"


def configured(folder, rows: int, **config: object):
    folder.mkdir()
    config = {"peft_type": "PROMPT_TUNING", **config}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    table = np.arange(rows * 4, dtype=np.float32).reshape(rows, 4)
    save_file({"prompt_embeddings": table}, folder / "adapter_model.safetensors")
    return folder


@pytest.mark.parametrize(
    ("rows", "named", "halves", "task", "length"),
    [
        (12, 6, None, "SEQ_2_SEQ_LM", 6),
        (12, 6, 2, None, 6),
        (6, 6, 1, "SEQ_2_SEQ_LM", 6),
        (5, 5, None, "CAUSAL_LM", 5),
        (5, None, None, "CAUSAL_LM", 5),
        (5, None, 1, None, 5),
        (12, 10, None, "SEQ_2_SEQ_LM", None),
        (12, None, None, "SEQ_2_SEQ_LM", None),
        (12, None, 2, None, None),
        (5, 3, None, "CAUSAL_LM", None),
        (6, 3, 2, "CAUSAL_LM", None),
        (6, 3, 2, "SEQ_CLS", None),
        (6, 6, "two", None, None),
        (6, True, 1, None, None),
        (3, 6, None, None, None),
    ],
)
def test_rows_are_as_many_as_the_configuration_names(rows, named, halves, task, length, tmp_path):
    place = configured(
        tmp_path / "a", rows, num_virtual_tokens=named, num_transformer_submodules=halves, task_type=task
    )
    if length is not None:
        assert read_prompt(place).length == length
        return
    with pytest.raises(PromptError, match=rf"names {named} virtual tokens.*the weights hold {rows} rows"):
        read_prompt(place)


def test_what_wrappers_put_before_names_is_taken_off(tmp_path):
    place = configured(tmp_path / "a", 5, num_virtual_tokens=5, task_type="CAUSAL_LM")
    save_file({"_orig_mod.module.prompt_embeddings": V[:5]}, place / "adapter_model.safetensors")
    np.testing.assert_array_equal(read_prompt(place).vectors, V[:5])
    file = tmp_path / "x.safetensors"
    soft = "module.prompt_encoder.default"
    save_file({f"{soft}.embedding.weight": V, f"{soft}.mlp_head.0.weight": V}, file)
    with pytest.raises(PromptError, match="before its re-parameterization"):
        read_prompt(file)


@pytest.mark.parametrize(
    "key",
    [
        "embedding.weight",
        "default.embedding.weight",
        "prompt_encoder.default.embedding.weight",
        "a.prompt_embeddings",
    ],
)
def test_a_dump_of_pefts_prompt_encoder_may_have_two_halves(key, tmp_path):
    save_file({key: V}, tmp_path / "x.safetensors")
    assert "may never have been trained" in read_prompt(tmp_path / "x.safetensors").origin.warnings[0]


def test_vectors_and_slices_are_named(tmp_path):
    file = tmp_path / "x.npz"
    np.savez(file, several=np.stack([V, 2 * V, 3 * V]), one=V[0])
    with pytest.raises(PromptError, match=r"one slice of several is named x\.npz#several/0"):
        read_prompt(file)
    np.testing.assert_array_equal(read_prompt(f"{file}#several/2").vectors, 3 * V)
    np.testing.assert_array_equal(read_prompt(f"{file}#one").vectors, V[:1])
    with pytest.raises(PromptError, match=r"no slice 3 of several \(3, 6, 4\); expected 0 to 2"):
        read_prompt(f"{file}#several/3")


def test_a_vocabulary_that_is_named_is_no_prompt(tmp_path):
    np.savez(tmp_path / "x.npz", table=np.ones((2000, 4), np.float32), soft=V)
    with pytest.raises(PromptError, match="table has 2,000 rows, as a vocabulary has"):
        read_prompt(f"{tmp_path}/x.npz#table")


@pytest.mark.parametrize("whole", [True, False])
def test_what_is_said_of_a_checkpoint_under_its_temporary_name_is_true(whole, tmp_path):
    for step in (10, 20):
        adapter(tmp_path / "run" / f"checkpoint-{step}", V * step)
    adapter(tmp_path / "run" / "tmp-checkpoint-30", V)
    if not whole:
        (tmp_path / "run" / "tmp-checkpoint-30" / "adapter_model.safetensors").write_bytes(b"cut")
    warning = read_prompt(tmp_path / "run").origin.warnings[-1]
    assert ("its adapter is whole, but it was never renamed" in warning) == whole
    assert ("half-written?" in warning) != whole
    assert "no adapter_config.json" not in warning


def test_every_error_is_one_line(tmp_path):
    (tmp_path / "x.npy").write_bytes(POINTER)
    with pytest.raises(ExplorerError) as caught:
        read_prompt(tmp_path / "x.npy")
    assert "\n" not in str(caught.value)
