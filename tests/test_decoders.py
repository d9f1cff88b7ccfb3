"""Decoder-only language models: their answers are those of transformers and PEFT, whatever the family."""

import numpy as np
import pytest
import torch

from explorer.errors import DataError, ModelError
from explorer.models.decoder_only import FrozenDecoder
from explorer.models.encoder_decoder import FrozenT5
from explorer.models.family import family_of
from explorer.models.load import load_frozen
from explorer.models.templates import template_for
from tests.decoders import FAMILIES, decoder_folder

LABELS = ("negative", "positive", "very good")
TEXTS = ("a good film", "the food was bad and the waiter was slow", "an awful meal")
TEMPLATE = "{text}\nLabel:"


@pytest.fixture(scope="module", params=FAMILIES)
def folder(request, tmp_path_factory):
    return decoder_folder(tmp_path_factory.mktemp("decoders") / request.param, request.param)


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return decoder_folder(tmp_path_factory.mktemp("decoders") / "llama", "llama")


def _prompts(count: int, width: int = 32) -> list[np.ndarray]:
    generator = np.random.default_rng(7)
    return [generator.normal(size=(1 + number % 4, width)).astype(np.float32) for number in range(count)]


def _by_peft(folder, prompt: np.ndarray, text: str, label_ids: list[int], template: str = TEMPLATE) -> float:
    """log p of a label's pieces by PEFT's own forward, one row, no padding, no cache."""
    from peft import PromptTuningConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    config = PromptTuningConfig(
        task_type="CAUSAL_LM", num_virtual_tokens=len(prompt), num_transformer_submodules=1
    )
    adapted = get_peft_model(model, config).eval()
    adapted.prompt_encoder["default"].embedding.weight.data.copy_(torch.from_numpy(prompt))
    ids = tokenizer(template.replace("{text}", text))["input_ids"] + label_ids
    with torch.no_grad():
        logits = adapted(
            input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long)
        ).logits[0]
    scores = logits.float().log_softmax(-1)
    places = range(len(logits) - len(label_ids) - 1, len(logits) - 1)
    return float(sum(scores[place, piece] for place, piece in zip(places, label_ids, strict=True)))


@pytest.mark.parametrize("count", [pytest.param(1, marks=pytest.mark.slow), 9])
def test_label_probabilities_are_those_of_peft(folder, count):
    model = load_frozen(folder)
    assert isinstance(model, FrozenDecoder)
    prompts = _prompts(count)
    found = model.label_log_probabilities(prompts, TEXTS, LABELS)
    pieces = [model.label_ids(label) for label in LABELS]
    assert len({len(one) for one in pieces}) > 1  # labels of different lengths
    for n in {0, count - 1}:
        for b, text in enumerate(TEXTS):
            expected = [_by_peft(folder, prompts[n], text, one) for one in pieces]
            assert found[n, b] == pytest.approx(expected, abs=1e-4)


def test_without_a_prompt_they_are_those_of_transformers(folder):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = load_frozen(folder), AutoTokenizer.from_pretrained(folder)
    network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    (label,) = (model.label_ids("positive"),)
    found = model.label_log_probabilities([None], TEXTS, ["positive"])[0, :, 0]
    for text, score in zip(TEXTS, found, strict=True):
        ids = tokenizer(f"{text}\nLabel:")["input_ids"]
        with torch.no_grad():
            logits = network(torch.tensor([ids + label])).logits[0].log_softmax(-1)
        assert score == pytest.approx(
            float(sum(logits[len(ids) - 1 + place, piece] for place, piece in enumerate(label))), abs=1e-4
        )


def test_generated_text_is_that_of_transformers(folder):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = load_frozen(folder), AutoTokenizer.from_pretrained(folder)
    network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    written = model.generate([None, *_prompts(2)], TEXTS, max_new_tokens=6)
    for text, one in zip(TEXTS, written[0], strict=True):
        ids = torch.tensor([tokenizer(f"{text}\nLabel:")["input_ids"]])
        alone = network.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=6, do_sample=False, pad_token_id=1
        )[0, ids.shape[1] :]
        assert one == tokenizer.decode(alone, skip_special_tokens=True)


def test_keys_of_a_prompt_are_shared_by_the_texts_behind_it(folder):
    """What tuning does: each prompt goes through the model once, its texts behind it, with the same scores
    and gradients.
    """
    model = load_frozen(folder)
    network, fronts = (
        model.network,
        torch.from_numpy(np.stack([_prompts(8)[3], _prompts(8)[7]])).requires_grad_(),
    )
    ids = torch.tensor(model.text_ids([TEXTS[0]] * 4))
    which, mask = torch.tensor([0, 1, 1, 0]), torch.ones(4, fronts.shape[1] + ids.shape[1], dtype=torch.long)
    mask[1:, -2:] = 0  # as texts that are shorter
    target = torch.tensor(model.label_ids("very good")).expand(4, -1)
    found = []
    for encode in (
        lambda: network.encode_after(fronts, which, network.embed(ids), mask),
        lambda: network.encode(torch.cat([fronts[which], network.embed(ids)], 1), mask),
    ):
        logits = network.target_logits(encode(), mask, target)
        (slope,) = torch.autograd.grad(logits.log_softmax(-1)[..., 0].sum(), fronts)
        with torch.no_grad():
            cached = network.target_logits(encode(), mask, target)
        assert torch.allclose(cached, logits, atol=1e-4)
        found.append((logits.detach(), slope))
    assert torch.allclose(found[0][0], found[1][0], atol=1e-4)
    assert torch.allclose(found[0][1], found[1][1], atol=1e-3)


def test_what_is_masked_inside_a_row_leaves_its_place_empty(folder):
    """Attribution masks single tokens: the others keep their places."""
    if family_of(folder) and folder.name == "bloom":
        pytest.skip("BLOOM's distances come from the mask, so that what follows a masked token moves up")
    model = load_frozen(folder)
    embeds = torch.randn(1, 6, 32, generator=torch.Generator().manual_seed(1))
    mask, places = torch.tensor([[1, 0, 1, 1, 1, 1]]), torch.arange(6)[None]
    target = torch.tensor([model.label_ids("positive")])
    with torch.no_grad():
        found = model.network.target_logits(model.encode(embeds, mask), mask, target)[:, 0]
        given = {"inputs_embeds": embeds, "attention_mask": mask, "position_ids": places}
        expected = model.network.module(**given).logits[:, -1]
    assert torch.allclose(found, expected, atol=1e-4)


def test_rows_of_the_table_are_what_the_model_reads(folder):
    """Gemma multiplies embeddings by √H on their way in: a prompt lies among the multiplied ones, and so do
    the vocabulary's rows.
    """
    from explorer.vocabulary import Vocabulary

    model, vocabulary = load_frozen(folder), Vocabulary.load(folder)
    with torch.no_grad():
        read = model.embed(torch.arange(len(vocabulary))).numpy()
    assert np.allclose(read, vocabulary.embedding, rtol=1e-5)
    assert (folder.name.startswith("gemma")) == (model.network.scale != 1)


def test_a_tokenizer_that_adds_bos_puts_it_between_prompt_and_text(tmp_path):
    made = decoder_folder(tmp_path / "bos", "llama", bos=True)
    model = load_frozen(made)
    assert model.text_ids(["a film"])[0][0] == 0
    assert 0 not in model.label_ids("positive")
    (prompt,) = _prompts(1)
    found = model.label_log_probabilities([prompt], TEXTS[:1], ["positive"])[0, 0, 0]
    assert found == pytest.approx(_by_peft(made, prompt, TEXTS[0], model.label_ids("positive")), abs=1e-4)


def test_labels_follow_the_template(llama):
    model = load_frozen(llama)
    joined = model.tokenizer.encode("a\nLabel: positive")
    assert model.tokenizer.encode("a\nLabel:") + model.label_ids("positive") == joined
    trailing = model.templated("{text}\nLabel: ")  # the space belongs to the label
    assert (trailing.label_ids("positive"), trailing.text_ids(["a"])) == (
        model.label_ids("positive"),
        model.text_ids(["a"]),
    )
    new_line = model.templated("{text}\nLabel:\n")
    assert new_line.tokenizer.decode(new_line.label_ids("positive")) == "positive"
    with pytest.raises(DataError, match="has no piece"):
        model.label_ids(" ")
    with pytest.raises(DataError, match="expected at most 128: is this a text"):
        model.label_ids("good " * 30_000)


def test_labels_that_share_a_beginning_are_scored_by_their_own_pieces(llama):
    model = load_frozen(llama)
    scores = model.label_log_probabilities([None], TEXTS, ["very", "very good"])[0]
    assert (scores[:, 0] > scores[:, 1]).all()  # the longer one goes on from the shorter


@pytest.mark.parametrize(
    "template", ["{text}\nLabel:", "{text} Label:", "Review: {text} It was", "yes no {text}"]
)
@pytest.mark.parametrize("of", ["t5", "decoder", "decoder with bos", "decoder with bos and sep"])
def test_of_long_texts_the_text_gives_way(of, template, tmp_path, tiny_t5_folder):
    """Faults: a T5 that loses what stands behind the text, a decoder that loses bos or a closing piece, rows
    longer than the limit.
    """
    if of == "t5":
        folder = tiny_t5_folder
    else:
        folder = decoder_folder(tmp_path / "model", "llama", bos="bos" in of)
        if "sep" in of:  # a closing piece that ends no text
            from tokenizers import Tokenizer, processors

            tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            tokenizer.post_processor = processors.TemplateProcessing(
                single="<s> $A <s>", special_tokens=[("<s>", 0)]
            )
            tokenizer.save(str(folder / "tokenizer.json"))
    model = load_frozen(folder).templated(template)
    whole, short = model.text_ids(["good " * 40 + "good", "good"])
    cut, same = model.limited(len(short) + 5).text_ids(["good " * 40 + "good", "good"])
    assert (len(cut), same) == (len(short) + 5, short)
    differ = (place for place in range(len(cut)) if cut[: place + 1] != whole[: place + 1])
    good = next(differ, len(cut))
    assert cut[:good] == whole[:good]  # the beginning of the text, and what stands before it
    assert cut[good:] == whole[len(whole) - len(cut[good:]) :]  # what stands behind it, to the end
    repeated = model.tokenizer.encode("a good")[-1]
    assert cut.count(repeated) >= 5
    with pytest.raises(DataError, match="leaves none for a text") as raised:
        model.limited(2).text_ids(["good " * 40])
    assert raised.value.setting == "max-length"


def test_a_text_beyond_the_context_is_refused_in_one_line(llama):
    model = load_frozen(llama)
    with pytest.raises(
        DataError, match=r"reads 128 pieces at once; found .* together: read fewer pieces"
    ) as error:
        model.label_probabilities([_prompts(4)[3]], ["good food " * 90], LABELS)
    assert error.value.setting == "max-length"


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("Label:", "no {text}"),
        ("{text} {text}", "2 times"),
        ("{text}" + "x" * 3000, "characters"),
        ("chat", "no chat"),
    ],
)
def test_templates_that_cannot_be_used(llama, template, said):
    with pytest.raises(DataError, match=said.replace("{", r"\{")) as error:
        template_for(template, llama)
    assert error.value.setting == "template"


def test_a_chat_model_offers_its_template(tmp_path):
    chat = (
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}\n{% endfor %}{% if "
        "add_generation_prompt %}<|assistant|>\n{% endif %}"
    )
    made = decoder_folder(tmp_path / "chat", "llama", chat=chat)
    assert "template chat" in load_frozen(made).doubts[0]
    assert template_for("chat", made) == "<|user|>{text}\n<|assistant|>\n"
    assert template_for(None, made) == TEMPLATE


def test_which_model_a_folder_holds(llama, tiny_t5_folder, tmp_path):
    assert family_of(llama) == "decoder-only"
    assert isinstance(load_frozen(tiny_t5_folder), FrozenT5)
    for kind, classes in (
        ("bert", ["BertForMaskedLM"]),
        ("bart", ["BartForConditionalGeneration"]),
        ("nonsense", ["NonsenseForCausalLM"]),
    ):
        other = tmp_path / kind
        other.mkdir()
        (other / "config.json").write_text(
            f'{{"model_type": "{kind}", "architectures": ["{classes[0]}"], "is_encoder_decoder": '
            f"{str(kind == 'bart').lower()}}}"
        )
        with pytest.raises(
            ModelError, match=rf"found a {kind} model \({classes[0]}\); expected one of the T5 family"
        ):
            family_of(other)
    with pytest.raises(ModelError, match="found a llama model; expected one of the T5 family"):
        FrozenT5.load(llama)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"num_hidden_layers": 10**9}, "num_hidden_layers"),
        ({"hidden_size": "wide"}, "hidden_size"),
        ({"hidden_size": 64}, "cannot be loaded|another shape|missing"),
        ({"num_hidden_layers": 5}, "weights are missing"),
    ],
)
def test_damaged_models_are_one_line(llama, tmp_path, changed, said):
    import json
    import shutil

    broken = tmp_path / "broken"
    shutil.copytree(llama, broken)
    config = json.loads((broken / "config.json").read_text()) | changed
    (broken / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=said) as error:
        load_frozen(broken)
    assert "\n" not in str(error.value)


def test_first_pieces_are_a_distribution_also_where_nothing_stands_before(llama):
    found = load_frozen(llama).first_pieces([None, *_prompts(2)], ["", "a good film"])
    assert found.shape == (3, 2, len(load_frozen(llama).network.embedding))
    assert np.exp(found).sum(axis=2) == pytest.approx(1, abs=1e-4)


def test_a_label_is_the_word_behind_a_space(llama, tiny_t5_folder):
    """Where labels stand in running text: a byte-level tokenizer has pieces of their own there, SentencePiece
    the same everywhere.
    """
    from explorer.vocabulary import Vocabulary

    vocabulary = Vocabulary.load(llama)
    (piece,) = vocabulary.encode(" good")
    assert vocabulary.pieces[piece] == "Ġgood"
    assert np.array_equal(vocabulary.text_vector("good"), vocabulary.embedding[piece])
    other = Vocabulary.load(tiny_t5_folder)
    assert np.array_equal(other.text_vector("good"), other.embedding[other.encode("good")].mean(axis=0))


def test_a_prompt_that_does_not_fit_is_not_tuned(llama):
    from explorer.texts.tasks import Task
    from explorer.tuning.settings import Run, TuningConfig
    from explorer.tuning.tune import tune
    from explorer.vocabulary import Vocabulary

    task = Task(("good food", "bad food"), ("good", "bad"), ("bad", "good"), "food")
    with pytest.raises(DataError, match="reads 128 pieces at once"):
        tune(
            load_frozen(llama),
            Vocabulary.load(llama),
            task,
            task,
            [Run("random", 0)],
            TuningConfig(length=120, steps=1),
            "food",
        )


def test_a_model_without_keys_and_values_is_refused(tmp_path):
    """Mamba goes on from a state instead."""
    from transformers import MambaConfig, MambaForCausalLM

    from tests.decoders import byte_tokenizer

    tokenizer = byte_tokenizer()
    MambaForCausalLM(
        MambaConfig(vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, state_size=4)
    ).save_pretrained(tmp_path / "mamba")
    tokenizer.save_pretrained(tmp_path / "mamba")
    with pytest.raises(ModelError, match="a mamba model, which keeps no keys and values"):
        load_frozen(tmp_path / "mamba")
