"""The frozen model: one batch of many prompts equals separate runs, no prompt equals the plain model, PEFT agrees."""

import json
import shutil
import threading

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForSeq2SeqLM, MT5Config, UMT5Config

from explorer.errors import DataError, ModelError, PromptError
from explorer.files import MODELS
from explorer.formats import peft as peft_format
from explorer.models.encoder_decoder import LONGEST_INPUT, FrozenT5, attention_mask, split_by_length
from explorer.models.loading import DEFAULT_MODEL, model_folder
from explorer.prompt import Origin, SoftPrompt
from explorer.tasks import LONGEST_TEXT

TEXTS = ["a good film", "the waiter was slow and the food was bad , but a charming place after all", "good music"]
LABELS = ("negative", "positive", "not so bad")


@pytest.fixture(scope="module")
def tiny(tiny_t5_folder):
    return FrozenT5.load(tiny_t5_folder, device="cpu")


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
    alone = [[tiny.label_log_probabilities([prompt], [text], LABELS)[0, 0] for text in TEXTS] for prompt in prompts]
    np.testing.assert_allclose(together, alone, atol=1e-4)
    written = tiny.generate(prompts, TEXTS, 6)
    assert written == [[tiny.generate([prompt], [text], 6)[0][0] for text in TEXTS] for prompt in prompts]


def test_one_batch_equals_separate_runs_on_the_bundled_model(model, vocabulary):
    table = vocabulary.embedding
    prompts = [table[100:105], None, table[200:220] * 1.5]
    texts = ["a charming film", "one of the worst things I have seen in a long , long time"]
    together = model.label_log_probabilities(prompts, texts, ["negative", "positive"])
    alone = [[model.label_log_probabilities([prompt], [text], ["negative", "positive"])[0, 0] for text in texts] for prompt in prompts]
    np.testing.assert_allclose(together, alone, atol=1e-4)


def test_the_result_does_not_depend_on_the_size_of_a_pass(tiny, prompts, monkeypatch):
    expected = tiny.label_log_probabilities(prompts, TEXTS, LABELS)
    monkeypatch.setattr("explorer.models.encoder_decoder.split_by_length", lambda lengths, *_: iter(np.arange(len(lengths))[:, None]))
    np.testing.assert_allclose(tiny.label_log_probabilities(prompts, TEXTS, LABELS), expected, atol=1e-4)


def test_no_prompt_is_the_plain_model(tiny):
    scores = tiny.label_log_probabilities([None], TEXTS, LABELS)[0]
    expected = [[teacher_forced(tiny.model, tiny.tokenizer, text, label) for label in LABELS] for text in TEXTS]
    np.testing.assert_allclose(scores, expected, atol=1e-4)
    inputs = tiny.tokenizer(TEXTS[0], return_tensors="pt")
    plain = tiny.model.generate(**inputs, max_new_tokens=6, do_sample=False)
    assert tiny.generate([None], TEXTS[:1], 6)[0][0] == tiny.tokenizer.decode(plain[0], skip_special_tokens=True)


def test_a_prompt_of_word_rows_is_those_words_before_the_text(tiny):
    words = tiny.tokenizer("a great cast", add_special_tokens=False)["input_ids"]
    table = tiny.model.get_input_embeddings().weight.detach().numpy()
    as_prompt = tiny.label_log_probabilities([table[words]], ["good music"], LABELS)[0, 0]
    as_text = tiny.label_log_probabilities([None], ["a great cast good music"], LABELS)[0, 0]
    np.testing.assert_allclose(as_prompt, as_text, atol=1e-4)


def test_probabilities_are_the_softmax_over_labels(tiny, prompts):
    scores = tiny.label_log_probabilities(prompts, TEXTS, LABELS).astype(np.float64)
    probabilities = tiny.label_probabilities(prompts, TEXTS, LABELS)
    np.testing.assert_allclose(probabilities.sum(axis=2), 1, atol=1e-6)
    np.testing.assert_allclose(probabilities, np.exp(scores) / np.exp(scores).sum(axis=2, keepdims=True), atol=1e-5)


@pytest.mark.parametrize("config", [MT5Config, UMT5Config])
def test_other_models_of_the_family_answer_as_transformers_does(config, tiny, tiny_t5_folder, tmp_path):
    own = AutoConfig.from_pretrained(tiny_t5_folder)
    sizes = {key: getattr(own, key) for key in ("vocab_size", "d_model", "d_kv", "d_ff", "num_layers", "num_decoder_layers", "num_heads")}
    torch.manual_seed(1)
    network = AutoModelForSeq2SeqLM.from_config(config(**sizes, decoder_start_token_id=0, pad_token_id=0, eos_token_id=1))
    network.save_pretrained(tmp_path)
    tiny.tokenizer.save_pretrained(tmp_path)
    loaded = FrozenT5.load(tmp_path, device="cpu")
    expected = [[teacher_forced(network.eval(), tiny.tokenizer, text, label) for label in LABELS] for text in TEXTS]
    np.testing.assert_allclose(loaded.label_log_probabilities([None], TEXTS, LABELS)[0], expected, atol=1e-4)


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # PEFT asks transformers for it
def test_peft_loads_a_written_prompt_and_agrees(model, vocabulary, tmp_path):
    from peft import PeftModel

    generator = np.random.default_rng(4)
    vectors = vocabulary.embedding[generator.choice(vocabulary.searchable_ids, 12)] * 1.3
    written = SoftPrompt(vectors, "planted", Origin(format="explorer", base_model="mini-t5", labels=("negative", "positive")))
    peft_format.write(written, tmp_path / "planted", {})
    network = AutoModelForSeq2SeqLM.from_pretrained(MODELS / DEFAULT_MODEL, dtype=torch.float32)
    tuned = PeftModel.from_pretrained(network, tmp_path / "planted").eval()
    texts = ["a warm and funny film", "slow , loud and far too long"]
    scores = np.array([[teacher_forced(tuned, model.tokenizer, text, label) for label in ("negative", "positive")] for text in texts])
    expected = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.label_probabilities([vectors], texts, ["negative", "positive"])[0], expected, atol=1e-4)


def test_the_weights_are_frozen_and_unchanged_by_use(tiny, prompts):
    assert not any(parameter.requires_grad for parameter in tiny.model.parameters())
    assert not tiny.model.training
    before = {name: tensor.clone() for name, tensor in tiny.model.state_dict().items()}
    tiny.label_probabilities(prompts, TEXTS, LABELS)
    tiny.generate(prompts, TEXTS)
    assert all(torch.equal(before[name], tensor) for name, tensor in tiny.model.state_dict().items())


def test_threads_get_the_answers_they_would_get_alone(tiny, prompts):
    expected = tiny.label_probabilities(prompts, TEXTS, LABELS)
    found = []
    threads = [threading.Thread(target=lambda: found.append(tiny.label_probabilities(prompts, TEXTS, LABELS))) for _ in range(4)]
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
    assert model.dimension == model.model.config.d_model


def test_labels_end_with_eos_and_need_a_piece(tiny):
    assert tiny.label_ids("positive")[-1] == tiny.model.config.eos_token_id
    with pytest.raises(DataError, match="label '' has no piece in the vocabulary"):
        tiny.label_ids("")


@pytest.mark.parametrize(
    ("text", "message"),
    [(" \t", "text 2 is empty"), ("a " * (LONGEST_INPUT + 1), r"text 2 has \d+ pieces; expected at most 512"), ("a" * (LONGEST_TEXT + 1), "20,001 characters")],
)
def test_unusable_texts_are_named_by_number(tiny, text, message):
    with pytest.raises(DataError, match=message):
        tiny.label_probabilities([None], ["good", text], LABELS)


def test_vectors_of_another_width_are_refused(tiny):
    with pytest.raises(PromptError, match=r"prompt 2: vectors of shape \(3, 5\), but .* needs \[P, 16\]"):
        tiny.label_probabilities([None, np.zeros((3, 5), np.float32)], ["good"], LABELS)
    with pytest.raises(PromptError, match=r"prompt 1: vectors of shape \(16,\)"):
        tiny.generate([np.zeros(16, np.float32)], ["good"])


def copied(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


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
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "bart", "architectures": ["BartForConditionalGeneration"]}))
    with pytest.raises(ModelError, match="found a bart model; expected one of the T5 family"):
        FrozenT5.load(folder)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_named(tiny_t5_folder):
    with pytest.raises(ModelError, match="torch sees no GPU; use --device cpu"):
        FrozenT5.load(tiny_t5_folder, device="cuda")


def test_a_model_spread_by_accelerate_answers_the_same(tiny_t5_folder):
    prompts, texts = [np.ones((3, 16), np.float32)], ["a good film", "the food was bad"]
    whole = FrozenT5.load(tiny_t5_folder, device="cpu")
    split = FrozenT5.load(tiny_t5_folder, device="split", dtype="float32")
    np.testing.assert_allclose(
        split.label_probabilities(prompts, texts, ("good", "bad")), whole.label_probabilities(prompts, texts, ("good", "bad")), rtol=1e-5
    )
    assert whole.memory == sum(weight.nbytes for weight in whole.model.parameters())


def test_what_is_odd_about_a_model_is_said(tiny_t5_folder, tmp_path):
    import json
    import shutil

    folder = shutil.copytree(tiny_t5_folder, tmp_path / "odd")
    usual = FrozenT5.load(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"scale_decoder_outputs": not usual.model.config.scale_decoder_outputs}))
    odd = FrozenT5.load(folder)
    assert len(usual.doubts) + len(odd.doubts) == 1
    assert "scale_decoder_outputs" in (*usual.doubts, *odd.doubts)[0]


def test_the_bundled_model_is_not_odd(model):
    assert model.doubts == ()
