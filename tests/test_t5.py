"""The frozen model: one batch of many prompts equals separate runs, no prompt equals the plain model of
transformers, PEFT agrees.
"""

import json
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForSeq2SeqLM, AutoTokenizer, MT5Config, UMT5Config

from explorer.choices import LONGEST_INPUT
from explorer.errors import DataError, ModelError, PromptError
from explorer.formats import peft as peft_format
from explorer.models.encoder_decoder import FrozenT5
from explorer.models.fallback import TransformersNetwork
from explorer.models.loading import DEFAULT_MODEL, model_folder
from explorer.models.network import Network
from explorer.models.passes import attention_mask, split_by_length
from explorer.prompt import Origin, SoftPrompt
from explorer.system.files import MODELS
from explorer.texts.tasks import LONGEST_TEXT
from explorer.vocabulary import Vocabulary

TEXTS = [
    "a good film",
    "the waiter was slow and the food was bad , but a charming place after all",
    "good music",
]
LABELS = ("negative", "positive", "not so bad")


@pytest.fixture(scope="module")
def plain(tiny_t5_folder):
    """transformers' own model and tokenizer of the same folder."""
    return AutoModelForSeq2SeqLM.from_pretrained(
        tiny_t5_folder, dtype=torch.float32
    ).eval(), AutoTokenizer.from_pretrained(tiny_t5_folder)


@pytest.fixture(scope="module")
def prompts():
    """Prompts of unequal length, and none."""
    generator = np.random.default_rng(0)
    return [generator.standard_normal((length, 16)).astype(np.float32) for length in (1, 7, 30)] + [None]


def teacher_forced(network, tokenizer, text: str, label: str) -> float:
    """Σ log p(label pieces + eos | text) by the plain call of a seq2seq model."""
    target = torch.tensor([[*tokenizer(label, add_special_tokens=False)["input_ids"], 1]])
    with torch.no_grad():
        logits = network(**tokenizer(text, return_tensors="pt"), labels=target).logits[0].log_softmax(dim=-1)
    return float(logits.gather(1, target[0][:, None]).sum())


def test_one_batch_of_unequal_prompts_equals_separate_runs(tiny, prompts):
    together = tiny.label_log_probabilities(prompts, TEXTS, LABELS)
    assert together.shape == (4, 3, 3)
    alone = [
        [tiny.label_log_probabilities([prompt], [text], LABELS)[0, 0] for text in TEXTS] for prompt in prompts
    ]
    np.testing.assert_allclose(together, alone, atol=1e-4)
    written = tiny.generate(prompts, TEXTS, 6)
    assert written == [[tiny.generate([prompt], [text], 6)[0][0] for text in TEXTS] for prompt in prompts]


def test_one_batch_equals_separate_runs_on_the_bundled_model(model, vocabulary):
    table = vocabulary.embedding
    prompts = [table[100:105], None, table[200:220] * 1.5]
    texts = ["a charming film", "one of the worst things I have seen in a long , long time"]
    together = model.label_log_probabilities(prompts, texts, ["negative", "positive"])
    alone = [
        [model.label_log_probabilities([prompt], [text], ["negative", "positive"])[0, 0] for text in texts]
        for prompt in prompts
    ]
    np.testing.assert_allclose(together, alone, atol=1e-4)


def test_the_result_does_not_depend_on_the_size_of_a_pass(tiny, prompts, monkeypatch):
    expected = tiny.label_log_probabilities(prompts, TEXTS, LABELS)
    monkeypatch.setattr(
        "explorer.models.frozen.split_by_length", lambda lengths, *_: iter(np.arange(len(lengths))[:, None])
    )
    np.testing.assert_allclose(tiny.label_log_probabilities(prompts, TEXTS, LABELS), expected, atol=1e-4)


def test_no_prompt_is_the_plain_model(tiny, plain):
    network, tokenizer = plain
    scores = tiny.label_log_probabilities([None], TEXTS, LABELS)[0]
    expected = [[teacher_forced(network, tokenizer, text, label) for label in LABELS] for text in TEXTS]
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    assert tiny.text_ids(TEXTS) == tokenizer(TEXTS)["input_ids"]


@pytest.mark.parametrize("bundled", [True, False], ids=["bundled", "tiny"])
def test_what_is_written_is_what_transformers_writes(bundled, model, tiny, tiny_t5_folder):
    one, folder = (model, MODELS / DEFAULT_MODEL) if bundled else (tiny, tiny_t5_folder)
    network, tokenizer = (
        AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.float32).eval(),
        AutoTokenizer.from_pretrained(folder),
    )
    expected = []
    for text in TEXTS:
        ids = network.generate(
            **tokenizer(text, return_tensors="pt"), max_new_tokens=12, do_sample=False, num_beams=1
        )
        expected.append(tokenizer.decode(ids[0], skip_special_tokens=True))
    assert one.generate([None], TEXTS, 12)[0] == expected


def test_a_prompt_of_word_rows_is_those_words_before_the_text(tiny):
    as_prompt = tiny.label_log_probabilities(
        [tiny.embedding[tiny.tokenizer.encode("a great cast")]], ["good music"], LABELS
    )[0, 0]
    as_text = tiny.label_log_probabilities([None], ["a great cast good music"], LABELS)[0, 0]
    np.testing.assert_allclose(as_prompt, as_text, atol=1e-4)


def test_a_prompt_may_be_given_as_it_is(tiny, prompts):
    named = [SoftPrompt(vectors, f"p{len(vectors)}") for vectors in prompts[:-1]]
    expected = tiny.label_probabilities(prompts, TEXTS, LABELS)
    np.testing.assert_array_equal(tiny.label_probabilities([*named, None], TEXTS, LABELS), expected)
    assert tiny.generate([*named, None], TEXTS, 4) == tiny.generate(prompts, TEXTS, 4)


def test_what_is_no_list_is_refused(tiny, prompts):
    with pytest.raises(
        DataError, match=r"labels: found the text 'bad,good'; expected a list, such as \['bad', 'good'\]"
    ):
        tiny.label_probabilities(prompts, TEXTS, "bad,good")
    with pytest.raises(DataError, match="labels: found the text 'good'"):
        tiny.label_log_probabilities(prompts, TEXTS, "good")
    with pytest.raises(DataError, match="texts: found the text 'a film'"):
        tiny.generate(prompts, "a film")
    with pytest.raises(
        PromptError, match="prompts: found <SoftPrompt lonely: 1 × 16; memory>; expected a list of prompts"
    ):
        tiny.generate(SoftPrompt(prompts[0], "lonely"), TEXTS)
    with pytest.raises(
        PromptError, match=r"prompts: found an array of shape \(7, 16\); expected a list of prompts"
    ):
        tiny.label_probabilities(prompts[1], TEXTS, LABELS)


def test_one_label_is_refused(tiny, prompts):
    for labels, found in (
        (["good"], "the label good"),
        (["good", "good"], "the labels good, good"),
        ([], "the labels none"),
    ):
        with pytest.raises(DataError, match=f"found {found}; expected at least two different ones"):
            tiny.label_probabilities(prompts, TEXTS, labels)


def test_a_pass_says_how_many_rows_it_had(tiny, prompts):
    rows = []
    tiny.label_probabilities(prompts, TEXTS * 40, LABELS, rows.append)
    assert (sum(rows), len(rows) > 1) == (len(prompts) * len(TEXTS) * 40, True)
    rows.clear()
    tiny.generate(prompts, TEXTS, 2, rows.append)
    assert sum(rows) == len(prompts) * len(TEXTS)


def test_probabilities_are_the_softmax_over_labels(tiny, prompts):
    scores = tiny.label_log_probabilities(prompts, TEXTS, LABELS).astype(np.float64)
    probabilities = tiny.label_probabilities(prompts, TEXTS, LABELS)
    np.testing.assert_allclose(probabilities.sum(axis=2), 1, atol=1e-6)
    np.testing.assert_allclose(
        probabilities, np.exp(scores) / np.exp(scores).sum(axis=2, keepdims=True), atol=1e-5
    )


@pytest.mark.parametrize("config", [MT5Config, UMT5Config])
def test_other_models_of_the_family_answer_as_transformers_does(
    config, tiny, tiny_t5_folder, plain, tmp_path
):
    own = AutoConfig.from_pretrained(tiny_t5_folder)
    sizes = {
        key: getattr(own, key)
        for key in ("vocab_size", "d_model", "d_kv", "d_ff", "num_layers", "num_decoder_layers", "num_heads")
    }
    torch.manual_seed(1)
    network = AutoModelForSeq2SeqLM.from_config(
        config(**sizes, decoder_start_token_id=0, pad_token_id=0, eos_token_id=1)
    )
    network.save_pretrained(tmp_path)
    plain[1].save_pretrained(tmp_path)
    loaded = FrozenT5.load(tmp_path, device="cpu")
    assert isinstance(loaded.network, Network)
    expected = [[teacher_forced(network.eval(), plain[1], text, label) for label in LABELS] for text in TEXTS]
    np.testing.assert_allclose(loaded.label_log_probabilities([None], TEXTS, LABELS)[0], expected, atol=1e-5)


@pytest.mark.parametrize(
    "stored",
    ["sharded", "bin", "bin with copies", "float16", "own decoder embeddings", "encoder embeddings alone"],
)
def test_every_way_of_storing_weights_gives_the_same(stored, plain, tiny_t5_folder, tmp_path):
    """transformers reads the folder as we do; only a decoder with embeddings of its own is left to it."""
    from safetensors.torch import load_file, save_file

    folder = copied(tiny_t5_folder, tmp_path)
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    if stored == "sharded":
        plain[0].save_pretrained(folder, max_shard_size="4KB")
        assert len(list(folder.glob("*.safetensors"))) > 1
    elif stored.startswith("bin"):
        copies = (
            dict.fromkeys(
                ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight"), state["shared.weight"]
            )
            if "copies" in stored
            else {}
        )
        torch.save(state | copies, folder / "pytorch_model.bin")
    elif stored == "float16":
        save_file(
            {key: tensor.half() for key, tensor in state.items()},
            folder / "model.safetensors",
            {"format": "pt"},
        )
    elif stored == "own decoder embeddings":
        save_file(
            state | {"decoder.embed_tokens.weight": state["shared.weight"].flip(0).contiguous()},
            folder / "model.safetensors",
            {"format": "pt"},
        )
    else:
        save_file(
            {key.replace("shared", "encoder.embed_tokens"): tensor for key, tensor in state.items()},
            folder / "model.safetensors",
            {"format": "pt"},
        )
    loaded = FrozenT5.load(folder, device="cpu")
    assert isinstance(loaded.network, TransformersNetwork) == stored.startswith("own")
    assert [doubt.partition(" is not in")[0] for doubt in loaded.doubts if "scale" not in doubt] == [
        "shared.weight"
    ] * stored.startswith("encoder")
    network = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.float32).eval()
    expected = [[teacher_forced(network, plain[1], text, label) for label in LABELS] for text in TEXTS]
    np.testing.assert_allclose(loaded.label_log_probabilities([None], TEXTS, LABELS)[0], expected, atol=1e-5)


def test_what_our_forward_does_not_know_is_left_to_transformers(tiny, prompts, tiny_t5_folder, tmp_path):
    folder = copied(tiny_t5_folder, tmp_path)
    settings = json.loads((folder / "generation_config.json").read_text())
    (folder / "generation_config.json").write_text(json.dumps(settings | {"repetition_penalty": 5.0}))
    penalized = FrozenT5.load(folder, device="cpu")
    assert isinstance(penalized.network, TransformersNetwork)
    np.testing.assert_allclose(
        penalized.label_log_probabilities(prompts, TEXTS, LABELS),
        tiny.label_log_probabilities(prompts, TEXTS, LABELS),
        atol=1e-5,
    )
    assert penalized.generate(prompts, TEXTS, 8) != tiny.generate(prompts, TEXTS, 8)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps(config | {"feed_forward_proj": "gated-mish", "dense_act_fn": "mish"})
    )
    (folder / "generation_config.json").write_text(json.dumps(settings))
    other = FrozenT5.load(folder, device="cpu")
    assert other.network.architecture.unusual == ("the activation mish",)
    assert other.label_probabilities([None], TEXTS, LABELS).shape == (1, 3, 3)
    with pytest.raises(ModelError, match="the model has the activation mish, which tuning does not know"):
        other.network.cast(torch.float32)


def test_a_folder_with_a_sentencepiece_model_alone_is_cut_alike(model, tmp_path):
    folder = copied(MODELS / DEFAULT_MODEL, tmp_path)
    (folder / "tokenizer.json").unlink()
    loaded = FrozenT5.load(folder, device="cpu")
    assert isinstance(loaded.network, Network)
    assert loaded.text_ids(TEXTS) == model.text_ids(TEXTS)
    assert loaded.generate([None], TEXTS, 8) == model.generate([None], TEXTS, 8)


def test_a_table_that_was_read_is_shared(tiny_t5_folder, vocabulary):
    table = Vocabulary.load(tiny_t5_folder).embedding
    model = FrozenT5.load(tiny_t5_folder, device="cpu", embedding=table)
    assert np.shares_memory(model.embedding, table)
    np.testing.assert_array_equal(FrozenT5.load(tiny_t5_folder, device="cpu").embedding, table)
    assert np.shares_memory(Vocabulary.load(tiny_t5_folder, model.embedding).embedding, table)
    assert FrozenT5.load(tiny_t5_folder, device="cpu", dtype="bfloat16", embedding=table).embedding is None
    with pytest.raises(ModelError, match=r"shared.weight has the shape \(16128, 256\); config.json says"):
        FrozenT5.load(tiny_t5_folder, device="cpu", embedding=vocabulary.embedding)


def test_predictions_take_no_heavy_import():
    """A local folder with tokenizer.json is scored and continued without transformers."""
    code = (
        "import sys; from explorer.evaluation.scoring import evaluate; from explorer.texts.tasks "
        "import Task; from explorer.models.encoder_decoder import FrozenT5;"
        "task = Task(('a film', 'a book'), ('good', 'bad'), ('bad', 'good'), 'two'); "
        "print(evaluate(FrozenT5.load(device='cpu'), [None], task).to_frame());"
        "print([name for name in ('transformers', 'sklearn', 'scipy', 'huggingface_hub', 'faiss') if "
        "name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.filterwarnings(
    "ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"
)  # PEFT asks transformers for it
def test_peft_loads_a_written_prompt_and_agrees(model, vocabulary, tmp_path):
    from peft import PeftModel

    generator = np.random.default_rng(4)
    vectors = vocabulary.embedding[generator.choice(vocabulary.searchable_ids, 12)] * 1.3
    written = SoftPrompt(
        vectors, "planted", Origin(format="explorer", base_model="mini-t5", labels=("negative", "positive"))
    )
    peft_format.write(written, tmp_path / "planted", {})
    network = AutoModelForSeq2SeqLM.from_pretrained(MODELS / DEFAULT_MODEL, dtype=torch.float32)
    tuned = PeftModel.from_pretrained(network, tmp_path / "planted").eval()
    texts = ["a warm and funny film", "slow , loud and far too long"]
    tokenizer = AutoTokenizer.from_pretrained(MODELS / DEFAULT_MODEL)
    scores = np.array(
        [
            [teacher_forced(tuned, tokenizer, text, label) for label in ("negative", "positive")]
            for text in texts
        ]
    )
    expected = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(
        model.label_probabilities([vectors], texts, ["negative", "positive"])[0], expected, atol=1e-4
    )


def test_the_weights_are_frozen_and_unchanged_by_use(tiny, prompts):
    weights = tiny.network.tensors
    assert not any(weight.requires_grad for weight in weights.values())
    before = {name: tensor.clone() for name, tensor in weights.items()}
    tiny.label_probabilities(prompts, TEXTS, LABELS)
    tiny.generate(prompts, TEXTS)
    assert all(torch.equal(before[name], tensor) for name, tensor in weights.items())


def test_threads_get_the_answers_they_would_get_alone(tiny, prompts):
    expected = tiny.label_probabilities(prompts, TEXTS, LABELS)
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(tiny.label_probabilities(prompts, TEXTS, LABELS)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    for probabilities in found:
        np.testing.assert_allclose(probabilities, expected, atol=1e-6)


def test_passes_are_bounded_and_hold_every_row_once():
    lengths = np.random.default_rng(0).integers(1, 90, 500)
    passes = list(split_by_length(lengths, rows=64, positions=1000))
    assert sorted(np.concatenate(passes).tolist()) == list(range(500))
    assert all(len(rows) <= 64 and len(rows) * lengths[rows].max() <= 1000 for rows in passes)
    assert [rows.tolist() for rows in split_by_length(np.array([5000, 3]), positions=10)] == [[0], [1]]
    assert list(split_by_length(np.array([], np.int64))) == []


def test_the_mask_ends_where_the_row_ends():
    assert attention_mask(torch.tensor([1, 3]), 3).tolist() == [[1, 0, 0], [1, 1, 1]]


def test_bundled_models_are_named_shortly_and_others_by_what_was_given(model, tiny, tiny_t5_folder):
    assert (model.name, tiny.name) == ("mini-t5", str(tiny_t5_folder))
    assert model.dimension == 256
    assert repr(model) == "<FrozenT5 mini-t5: H 256, 35 MB of torch.float32 on cpu>"


def test_labels_end_with_eos_and_need_a_piece(tiny):
    assert tiny.label_ids("positive")[-1] == 1
    with pytest.raises(DataError, match="label '' has no piece in the vocabulary"):
        tiny.label_ids("")


def test_a_text_is_no_label(tiny):
    assert len(tiny.label_ids("good " * 100)) > 100
    with pytest.raises(
        DataError, match=r"label 'good good .* has 30,00. pieces; expected at most 128: is this a text"
    ):
        tiny.label_probabilities([None], ["a good film"], ["positive", "good " * 30_000])


@pytest.mark.parametrize(
    ("text", "message"),
    [(" \t", "text 2 is empty"), ("a" * (LONGEST_TEXT + 1), "100,001 characters")],
)
def test_unusable_texts_are_named_by_number(tiny, text, message):
    with pytest.raises(DataError, match=message):
        tiny.label_probabilities([None], ["good", text], LABELS)


def test_a_text_beyond_the_limit_is_cut_and_keeps_its_end(tiny):
    long, short = "good film " * 400, "good"
    whole, cut = tiny.limited(10_000), tiny.limited(5)
    assert len(tiny.text_ids([long])[0]) == LONGEST_INPUT == tiny.max_length
    assert cut.text_ids([long, short]) == [[*whole.text_ids([long])[0][:4], 1], whole.text_ids([short])[0]]
    assert (cut.network, cut.lock) == (tiny.network, tiny.lock)
    scores = tiny.label_probabilities([None], [long, short], LABELS)
    assert scores.shape == (1, 2, len(LABELS))
    np.testing.assert_allclose(scores[:, 1:], tiny.label_probabilities([None], [short], LABELS), atol=1e-5)


def test_vectors_of_another_width_are_refused(tiny):
    with pytest.raises(PromptError, match=r"prompt 2: vectors of shape \(3, 5\), but .* needs \[P, 16\]"):
        tiny.label_probabilities([None, np.zeros((3, 5), np.float32)], ["good"], LABELS)
    with pytest.raises(PromptError, match=r"prompt 1: vectors of shape \(16,\)"):
        tiny.generate([np.zeros(16, np.float32)], ["good"])


def copied(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("config.json", "{", r"config\.json: cannot be read .*; expected a JSON object"),
        ("config.json", "[1]", r"config\.json: found a JSON list; expected an object"),
        (
            "config.json",
            '{"model_type": "t5", "d_model": "wide", "num_layers": 2, "vocab_size": 9, "num_heads": 1}',
            'found d_model = "wide"; expected a whole',
        ),
        (
            "config.json",
            '{"model_type": "t5", "d_model": 16}',
            "found num_layers = null; expected a whole number above 0",
        ),
        ("config.json", "{}", "found a nameless model; expected one of the T5 family"),
        (
            "generation_config.json",
            '{"eos_token_id": "end"}',
            'found eos_token_id = "end"; expected the number of a piece',
        ),
    ],
)
def test_damaged_configurations_are_named(file, content, message, tiny_t5_folder, tmp_path):
    folder = copied(tiny_t5_folder, tmp_path)
    (folder / file).write_text(content)
    with pytest.raises(ModelError, match=message):
        FrozenT5.load(folder)


def test_weights_of_another_shape_are_named(tiny_t5_folder, tmp_path):
    folder = copied(tiny_t5_folder, tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"d_ff": 48}))
    with pytest.raises(
        ModelError, match=r"cannot be loaded as a T5 \(.*DenseReluDense.* has the shape .*; config.json says"
    ):
        FrozenT5.load(folder)


def test_a_missing_model_is_named(tmp_path):
    with pytest.raises(ModelError, match="no such folder"):
        FrozenT5.load(str(tmp_path / "nowhere"))
    with pytest.raises(ModelError, match=r"no config\.json"):
        FrozenT5.load(tmp_path)
    with pytest.raises(ModelError, match="not to be had from the Hugging Face hub"):
        model_folder("nobody/such-a-model-is-not-cached")


def test_damaged_weights_are_named(tiny_t5_folder, tmp_path):
    folder = copied(tiny_t5_folder, tmp_path)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelError, match="cannot be loaded as a T5"):
        FrozenT5.load(folder)


def test_missing_weights_are_not_made_up(tiny_t5_folder, tmp_path):
    from safetensors.numpy import load_file, save_file

    folder = copied(tiny_t5_folder, tmp_path)
    tensors = load_file(folder / "model.safetensors")
    del tensors["encoder.final_layer_norm.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"1 weights are missing, such as encoder\.final_layer_norm\.weight"):
        FrozenT5.load(folder)


def test_another_architecture_is_refused(tiny_t5_folder, tmp_path):
    folder = copied(tiny_t5_folder, tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps({**config, "model_type": "bart", "architectures": ["BartForConditionalGeneration"]})
    )
    with pytest.raises(ModelError, match="found a bart model; expected one of the T5 family"):
        FrozenT5.load(folder)


def test_devices_are_named_as_torch_names_them(tiny, tiny_t5_folder):
    table = Vocabulary.load(tiny_t5_folder).embedding
    numbered = FrozenT5.load(tiny_t5_folder, device="cpu:0", embedding=table)
    assert np.shares_memory(numbered.embedding, table)
    np.testing.assert_array_equal(
        numbered.label_probabilities([None], TEXTS, LABELS), tiny.label_probabilities([None], TEXTS, LABELS)
    )
    with pytest.raises(
        ModelError, match="found the device 'gpu0'; expected auto, cpu, cuda, split or such as cuda:1"
    ):
        FrozenT5.load(tiny_t5_folder, device="gpu0")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_named(tiny_t5_folder):
    with pytest.raises(ModelError, match="torch sees no GPU; use cpu"):
        FrozenT5.load(tiny_t5_folder, device="cuda")


def test_a_model_spread_by_accelerate_answers_the_same(tiny_t5_folder):
    prompts, texts = [np.ones((3, 16), np.float32)], ["a good film", "the food was bad"]
    whole = FrozenT5.load(tiny_t5_folder, device="cpu")
    split = FrozenT5.load(tiny_t5_folder, device="split", dtype="float32")
    np.testing.assert_allclose(
        split.label_probabilities(prompts, texts, ("good", "bad")),
        whole.label_probabilities(prompts, texts, ("good", "bad")),
        rtol=1e-5,
    )
    assert isinstance(split.network, TransformersNetwork)
    assert split.generate(prompts, texts, 5) == whole.generate(prompts, texts, 5)
    assert split.memory == whole.memory


def test_what_is_odd_about_a_model_is_said(tiny_t5_folder, tmp_path):
    folder = copied(tiny_t5_folder, tmp_path)
    usual = FrozenT5.load(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps(config | {"scale_decoder_outputs": not usual.network.architecture.scaled})
    )
    odd = FrozenT5.load(folder)
    assert len(usual.doubts) + len(odd.doubts) == 1
    assert "scale_decoder_outputs" in (*usual.doubts, *odd.doubts)[0]


def test_the_bundled_model_is_not_odd(model):
    assert model.doubts == ()
