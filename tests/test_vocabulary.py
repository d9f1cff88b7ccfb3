"""The vocabulary as it is read from a model folder, against transformers; and what is said of a folder that
is none.
"""

import dataclasses
import json
import shutil
import subprocess
import sys

import numpy as np
import planted
import pytest
from safetensors.numpy import load_file, save_file

from explorer.errors import ModelError, PromptError
from explorer.models.loading import model_folder
from explorer.models.weights import EMBEDDING_KEYS
from explorer.vocabulary import Vocabulary


@pytest.fixture
def copy(tiny_t5_folder, tmp_path):
    return shutil.copytree(tiny_t5_folder, tmp_path / "model")


def test_the_table_and_the_pieces_are_those_of_transformers(tiny_t5_folder):
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    read, tokenizer = Vocabulary.load(tiny_t5_folder), AutoTokenizer.from_pretrained(tiny_t5_folder)
    weight = (
        AutoModelForSeq2SeqLM.from_pretrained(tiny_t5_folder).get_input_embeddings().weight.detach().numpy()
    )
    np.testing.assert_array_equal(read.embedding, weight)
    assert list(read.pieces[: len(tokenizer)]) == tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    assert len(read) == len(weight) > len(tokenizer)
    assert read.pieces[-1] == f"<row {len(weight) - 1}>"
    sentinels = {number for number, piece in enumerate(read.pieces) if piece.startswith("<extra_id_")}
    assert len(sentinels) > 0
    special = {*tokenizer.all_special_ids, *sentinels, *range(len(tokenizer), len(weight))}
    assert set(np.flatnonzero(~read.searchable)) == special
    np.testing.assert_array_equal(read.searchable_ids, np.flatnonzero(read.searchable))
    text = "the food was great, and the waiter not so bad"
    assert read.encode(text) == tokenizer(text, add_special_tokens=False)["input_ids"]


def test_no_row_of_the_bundled_vocabulary_that_is_searched_is_a_control_piece(vocabulary):
    searched = [vocabulary.pieces[token_id] for token_id in vocabulary.searchable_ids]
    assert not [piece for piece in searched if piece.startswith("<")]
    assert "<extra_id_0>" in vocabulary.pieces
    assert vocabulary.dimension == vocabulary.embedding.shape[1]
    assert vocabulary.tokens[vocabulary.pieces.index("▁the")] == " the"


def test_loading_imports_neither_torch_nor_transformers():
    heavy = "('torch', 'transformers', 'faiss')"
    program = (
        "import sys; from explorer.vocabulary import Vocabulary; Vocabulary.load(); print([m for m in "
        f"{heavy} if m in sys.modules])"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "[]"
    )


def test_a_sharded_half_precision_model_is_read(copy):
    import ml_dtypes

    whole = load_file(copy / "model.safetensors")
    (copy / "model.safetensors").unlink()
    shards = [
        {name: array for number, (name, array) in enumerate(whole.items()) if number % 2 == half}
        for half in (0, 1)
    ]
    index = {}
    for number, shard in enumerate(shards):
        save_file(
            {name: array.astype(ml_dtypes.bfloat16) for name, array in shard.items()},
            copy / f"part-{number}.safetensors",
        )
        index |= dict.fromkeys(shard, f"part-{number}.safetensors")
    (copy / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    key = next(key for key in EMBEDDING_KEYS if key in whole)
    read = Vocabulary.load(copy).embedding
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, whole[key].astype(ml_dtypes.bfloat16).astype(np.float32))


def test_the_fingerprint_is_that_of_the_content(copy, tiny_t5_folder):
    one, two = Vocabulary.load(copy), Vocabulary.load(tiny_t5_folder)
    assert one.fingerprint == two.fingerprint
    assert len(one.fingerprint) == 16
    changed = one.embedding.copy()
    changed[7, 3] += 1e-6
    assert dataclasses.replace(one, embedding=changed).fingerprint != one.fingerprint
    renamed = (*one.pieces[:-1], "other")
    assert dataclasses.replace(one, pieces=renamed).fingerprint != one.fingerprint


def test_variants_of_a_word_are_one_group():
    pieces = ("▁good", "good", "▁Good", "GOOD", "▁goods", "▁", "Ġgood")
    groups = planted.from_rows(np.eye(7), pieces).word_groups
    assert len({groups[n] for n in (0, 1, 2, 3, 6)}) == 1
    assert len(set(groups)) == 3


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("▁laughs", "Laughing", True),
        ("▁technology", "technologies", True),
        ("▁connection", "connected", True),
        ("▁great", "▁greater", False),  # Snowball joins inflected forms, not degrees of comparison
        ("▁king", "▁kin", False),
        ("▁good", "▁great", False),
        ("▁red", "▁ring", False),
    ],
)
def test_inflected_forms_share_a_stem(one, other, same):
    vocabulary = planted.from_rows(np.eye(2), (one, other))
    assert (vocabulary.stem_groups[0] == vocabulary.stem_groups[1]) == same


def test_a_text_is_the_mean_of_its_pieces(vocabulary):
    ids = vocabulary.encode("negative nonsense")
    np.testing.assert_allclose(
        vocabulary.text_vector("negative nonsense"), vocabulary.embedding[ids].mean(axis=0), rtol=1e-6
    )
    np.testing.assert_array_equal(
        vocabulary.text_vector("negative</s>"), vocabulary.text_vector("negative")
    )  # no eos, no control pieces
    with pytest.raises(PromptError, match="label '☃' has no piece in the vocabulary of mini-t5"):
        vocabulary.text_vector("☃")
    with pytest.raises(
        PromptError,
        match="label '' has no piece in the vocabulary of mini-t5; expected a word the tokenizer knows",
    ):
        vocabulary.text_vector("")


def test_half_a_surrogate_pair_is_refused(vocabulary):
    with pytest.raises(PromptError, match=r"found 'good\\ud800', which is not Unicode text"):
        vocabulary.text_vector("good\ud800")


def test_a_tokenizer_saved_with_truncation_does_not_cut(copy):
    path = copy / "tokenizer.json"
    saved = json.loads(path.read_text())
    saved["truncation"] = {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0}
    saved["padding"] = {
        "strategy": {"Fixed": 64},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "<pad>",
    }
    path.write_text(json.dumps(saved))
    text = "a good film with a great cast"
    assert len(Vocabulary.load(copy).encode(text)) == 7


def test_widths_are_checked_with_both_named(vocabulary):
    vocabulary.check_width(np.ones((2, vocabulary.dimension)), "a")
    with pytest.raises(
        PromptError,
        match=(
            rf"a/b: vectors of width 768, but mini-t5 has embeddings of width {vocabulary.dimension}; "
            r"give the prompt's own base model"
        ),
    ):
        vocabulary.check_width(np.ones((2, 768)), "a/b")


def test_a_vocabulary_of_parts_that_do_not_fit_is_refused():
    pieces, searchable = ("a", "b"), np.ones(2, bool)
    with pytest.raises(
        ModelError, match=r"x: embedding \(3, 4\), 2 pieces, mask \(2,\); expected \[V, H\], V, \[V\]"
    ):
        Vocabulary(np.ones((3, 4), np.float32), pieces, searchable, "x")
    with pytest.raises(ModelError, match=r"embedding \(2,\)"):
        Vocabulary(np.ones(2, np.float32), pieces, searchable, "x")
    with pytest.raises(ModelError, match="no row of the vocabulary stands for text"):
        Vocabulary(np.ones((2, 4), np.float32), pieces, ~searchable, "x")
    with pytest.raises(ModelError, match="1 of 2 embeddings hold NaN or infinity"):
        Vocabulary(np.array([[1, np.nan], [1, 2]], np.float32), pieces, searchable, "x")
    with pytest.raises(ModelError, match="planted was not read from a folder and has no tokenizer"):
        planted.vocabulary().encode("good")


def test_what_is_said_of_a_folder_that_is_no_model(copy, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"empty: no config.json; expected a model folder"):
        Vocabulary.load(tmp_path / "empty")
    with pytest.raises(
        ModelError,
        match=(
            "nowhere/at/all: no such folder; expected a model folder, a name under checkpoints/models, "
            "or a Hugging Face id"
        ),
    ):
        model_folder("nowhere/at/all")
    tokenizer = (copy / "tokenizer.json").read_bytes()
    (copy / "tokenizer.json").write_text("{")
    with pytest.raises(ModelError, match=r"tokenizer.json: cannot be read .*; expected a tokenizers file"):
        Vocabulary.load(copy)
    (copy / "tokenizer.json").unlink()
    with pytest.raises(
        ModelError,
        match=(
            r"no tokenizer.json, and transformers finds no tokenizer .*; expected tokenizer.json or "
            r"spiece.model"
        ),
    ):
        Vocabulary.load(copy)
    (copy / "tokenizer.json").write_bytes(tokenizer)
    weights = (copy / "model.safetensors").read_bytes()
    for content in (b"", weights[:1000], b"\xff" * 64):
        (copy / "model.safetensors").write_bytes(content)
        with pytest.raises(ModelError, match=r"weights cannot be read .*; expected a whole safetensors file"):
            Vocabulary.load(copy)
    save_file({"decoder.weight": np.ones((2, 2), np.float32)}, copy / "model.safetensors")
    with pytest.raises(ModelError, match=r"no input embeddings found; expected one of shared.weight"):
        Vocabulary.load(copy)
    save_file({"shared.weight": np.ones((5, 2), np.float32)}, copy / "model.safetensors")
    with pytest.raises(ModelError, match="the embedding table 5 rows; they belong to different models"):
        Vocabulary.load(copy)
    (copy / "model.safetensors").unlink()
    with pytest.raises(
        ModelError,
        match=(
            r"no model.safetensors; expected weights as safetensors \(re-save the model with "
            r"save_pretrained\)"
        ),
    ):
        Vocabulary.load(copy)


@pytest.mark.parametrize(
    "index",
    [
        "{",
        "[]",
        '{"weight_map": {}}',
        '{"weight_map": {"shared.weight": "gone.safetensors"}}',
        '{"weight_map": 3}',
    ],
)
def test_a_damaged_shard_index_is_one_line(copy, index):
    (copy / "model.safetensors.index.json").write_text(index)
    with pytest.raises(ModelError) as caught:
        Vocabulary.load(copy)
    assert "\n" not in str(caught.value)


def test_a_hub_model_that_cannot_be_had_is_one_line():
    with pytest.raises(
        ModelError,
        match=(
            "google/t5-small-not-here: no such folder, not bundled, and not to be had from the Hugging "
            "Face hub"
        ),
    ) as caught:
        Vocabulary.load("google/t5-small-not-here")
    assert "\n" not in str(caught.value)


def test_a_tokenizer_of_sentencepiece_alone_is_the_same(tmp_path, vocabulary):
    """A folder without tokenizer.json, as older models are: pieces, what is searched and the ids of texts are
    those of the fast one.
    """
    folder = tmp_path / "old"
    shutil.copytree(vocabulary.path, folder)
    (folder / "tokenizer.json").unlink()
    old = Vocabulary.load(folder)
    assert old.pieces == vocabulary.pieces
    np.testing.assert_array_equal(old.searchable, vocabulary.searchable)
    for text in ("a charming film", "  two  spaces, UNKNOWN 漢字 and naïve"):
        assert old.encode(text) == vocabulary.encode(text)


def test_a_vocabulary_of_bytes_is_read(tmp_path, copy):
    """ByT5: no pieces but bytes, and a tokenizer that exists in Python only."""
    from transformers import AutoTokenizer, ByT5Tokenizer

    for file in copy.glob("*token*"):
        file.unlink()
    ByT5Tokenizer().save_pretrained(copy)
    rows = 384
    save_file(
        {"shared.weight": np.random.default_rng(0).normal(size=(rows, 8)).astype(np.float32)},
        copy / "model.safetensors",
    )
    bytes_of = Vocabulary.load(copy)
    assert len(bytes_of) == rows
    assert (
        bytes_of.encode("né")
        == AutoTokenizer.from_pretrained(copy)("né", add_special_tokens=False)["input_ids"]
        == [113, 198, 172]
    )
    assert [bytes_of.pieces[i] for i in bytes_of.encode("film")] == list("film")
    assert int(bytes_of.searchable.sum()) == 256


@pytest.mark.parametrize("sharded", [False, True])
def test_a_model_kept_as_bin_is_read_and_no_pickle_executed(copy, sharded):
    import torch
    from safetensors.torch import load_file

    expected = Vocabulary.load(copy).embedding
    state = load_file(copy / "model.safetensors")
    (copy / "model.safetensors").unlink()
    file = "pytorch_model-00001-of-00001.bin" if sharded else "pytorch_model.bin"
    torch.save({key: value.to(torch.bfloat16) for key, value in state.items()}, copy / file)
    if sharded:
        (copy / "pytorch_model.bin.index.json").write_text(
            json.dumps({"weight_map": dict.fromkeys(state, file)})
        )
    np.testing.assert_allclose(Vocabulary.load(copy).embedding, expected, rtol=1e-2)
    mark = copy / "executed"
    torch.save({"shared.weight": Executed(mark)}, copy / file)
    with pytest.raises(
        ModelError,
        match=r"cannot be read as plain tensors .*; no pickle is executed: get the model as safetensors",
    ):
        Vocabulary.load(copy)
    assert not mark.exists()
    (copy / file).write_bytes(b"\x80\x02" * 8)
    with pytest.raises(ModelError, match="cannot be read as plain tensors"):
        Vocabulary.load(copy)


class Executed:
    """A pickle of this makes a file when it is executed."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (open, (str(self.mark), "w"))


def test_another_models_prompts_are_read_and_its_model_is_not_run(tiny_t5_folder, tmp_path):
    """A Llama-shaped folder serves for readings alone."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from explorer.analysis.clusters import clusters
    from explorer.analysis.neighbors import nearest_neighbors
    from explorer.formats import read_prompt
    from explorer.models.encoder_decoder import FrozenT5

    folder = tmp_path / "llama"
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=192,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        (folder / file).write_bytes((tiny_t5_folder / file).read_bytes())
    vocabulary = Vocabulary.load(folder)
    np.save(tmp_path / "prompt.npy", vocabulary.embedding[vocabulary.searchable_ids[3:6]])
    prompt = read_prompt(tmp_path / "prompt.npy")
    np.testing.assert_array_equal(
        nearest_neighbors(prompt, vocabulary, k=2).token_ids[:, 0], vocabulary.searchable_ids[3:6]
    )
    assert len(clusters(prompt, vocabulary, 3, 50).to_frame()) == 3
    with pytest.raises(ModelError, match="found a llama model; expected one of the T5 family"):
        FrozenT5.load(folder)


def test_pieces_of_bytes_are_shown_as_their_text():
    """Byte-level tokenizers write bytes as signs; SentencePiece writes letters, which stay."""
    from explorer.words.pieces import readable, spaced

    assert [readable(piece) for piece in ("Ġcaf" + "Ã©", "âĢĿ", "Ġ", "ing", "▁café", "é", "Åł", "Ċ")] == [
        "café",
        "·”",
        "␣",
        "·ing",
        "café",
        "·é",
        "·Š",
        "·⏎",
    ]
    assert [spaced(piece) for piece in ("ĠâĢľ", "▁a", "ñ", "ĠĠa")] == [" “", " a", "ñ", "  a"]
