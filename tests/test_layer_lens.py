"""Layers: the lens ends at the model's answer, hiding the prompt is what masking it is, for T5 and decoders."""

import numpy as np
import pytest
from decoders import decoder_folder
from planted import prompt

from explorer.errors import DataError
from explorer.evaluation.layers import Layers, layers
from explorer.models.decoder_only import FrozenDecoder

LABELS = ("negative", "positive")
TEXTS = (
    "the food was good",
    "a bad story",
    "the waiter was slow and the music was awful",
    "what is the name",
)
DECODERS = ("llama", "gemma2", "gpt2", "opt", "bloom")


@pytest.fixture(scope="module", params=("t5", *DECODERS))
def model(request, tiny, tmp_path_factory):
    if request.param == "t5":
        return tiny
    folder = decoder_folder(tmp_path_factory.mktemp("layers") / request.param, request.param)
    return FrozenDecoder.load(folder, device="cpu")


def some_prompt(model, length: int = 4):
    return prompt(np.random.default_rng(0).standard_normal((length, model.dimension)), "some")


def through(model, vectors, run):
    """What `run(layers, embeds, mask, targets)` gives for every text, in the texts' order."""
    from explorer.models.layer_states import layered, passes

    targets = [model.label_ids(label) for label in LABELS]
    inside = layered(model)
    found = {}
    for rows, embeds, mask in passes(model, [vectors], model.text_ids(TEXTS), max(map(len, targets))):
        given = run(inside, embeds, mask, targets)
        found |= {int(row): given[:, n] for n, row in enumerate(rows)}
    return np.stack([found[n] for n in range(len(TEXTS))], axis=1)


def test_the_lens_ends_at_the_models_answer_and_without_a_prompt_too(model):
    one = some_prompt(model)
    result = layers(model, one, TEXTS, LABELS)
    wanted = model.label_log_probabilities([one, None], TEXTS, LABELS)
    assert np.allclose(result.scores[:, -1], wanted, atol=1e-4)
    assert not np.allclose(result.scores[:, 0], wanted, atol=1e-2)
    last = [n for n, (part, _) in enumerate(result.names) if part == "encoder"][-1:]
    for layer in last:  # the decoder reads the last encoder layer as it always does
        assert np.allclose(result.scores[:, layer], wanted, atol=1e-4)


def test_hiding_the_prompt_from_the_first_layer_is_masking_it_and_after_the_last_changes_nothing(model):
    import torch

    vectors = some_prompt(model).vectors
    deep = len(layers(model, some_prompt(model), TEXTS, LABELS).names)
    both = through(model, vectors, lambda inside, *given: inside.knocked_out(*given, 4, [0, deep]).numpy())

    def masked(inside, embeds, mask, targets):
        hidden = mask.clone()
        hidden[:, :4] = 0
        encoded = model.encode(embeds, hidden)
        scores = [model.target_scores(encoded, hidden, torch.tensor(target)) for target in targets]
        return torch.stack(scores, dim=1)[None].numpy()

    assert np.allclose(both[0], through(model, vectors, masked)[0], atol=1e-4)
    assert np.allclose(both[1], model.label_log_probabilities([vectors], TEXTS, LABELS)[0], atol=1e-4)


def test_hiding_less_changes_less_than_hiding_all(tiny):
    """A layer that began from another state than the shared one would change the answer at every depth."""
    result = layers(tiny, some_prompt(tiny), TEXTS, LABELS)
    assert result.depths == (0, 1, 2, 3)
    assert np.abs(result.knock_out[0]).max() > 1e-3
    assert len({tuple(row) for row in result.knock_out.round(6).tolist()}) == 4


def test_lens_and_attention_agree_with_transformers(tiny, tiny_t5_folder):
    import torch
    from transformers import T5ForConditionalGeneration

    reference = T5ForConditionalGeneration.from_pretrained(tiny_t5_folder, attn_implementation="eager").eval()
    one = some_prompt(tiny)
    result = layers(tiny, one, TEXTS[:1], LABELS)
    ids = torch.tensor(tiny.text_ids(TEXTS[:1]))
    embeds = torch.cat([torch.tensor(one.vectors)[None], reference.shared(ids)], dim=1)
    with torch.no_grad():
        encoded = reference.encoder(inputs_embeds=embeds, output_hidden_states=True, output_attentions=True)
        early = reference.encoder.final_layer_norm(encoded.hidden_states[1])
        for column, label in enumerate(LABELS):
            target = torch.tensor([tiny.label_ids(label)])
            logits = reference(encoder_outputs=(early,), labels=target).logits
            score = torch.log_softmax(logits, dim=-1).gather(2, target[:, :, None]).sum()
            assert result.scores[0, 0, 0, column] == pytest.approx(float(score), abs=1e-4)
        start = torch.zeros(1, 1, dtype=torch.long)
        across = reference(
            encoder_outputs=(encoded.last_hidden_state,), decoder_input_ids=start, output_attentions=True
        ).cross_attentions
    for layer in range(2):
        own = encoded.attentions[layer][0, :, 4:, :4].mean(dim=(0, 1))
        assert np.allclose(result.attention[layer], own, atol=1e-5)
        assert np.allclose(result.attention[2 + layer], across[layer][0, :, 0, :4].mean(dim=0), atol=1e-5)


def test_logit_lens_and_attention_of_a_decoder_agree_with_transformers(tmp_path):
    import torch
    from transformers import AutoModelForCausalLM

    folder = decoder_folder(tmp_path / "llama", "llama")
    model = FrozenDecoder.load(folder, device="cpu")
    reference = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()
    one = some_prompt(model)
    result = layers(model, one, TEXTS, LABELS)
    for n, text in enumerate(TEXTS):
        ids = torch.tensor(model.text_ids([text]))
        for column, label in enumerate(LABELS):
            pieces = torch.tensor([model.label_ids(label)])
            embeds = torch.cat(
                [
                    torch.tensor(one.vectors)[None],
                    reference.get_input_embeddings()(torch.cat([ids, pieces], dim=1)),
                ],
                dim=1,
            )
            with torch.no_grad():
                state = reference.model(inputs_embeds=embeds, output_hidden_states=True).hidden_states[1]
                logits = reference.lm_head(reference.model.norm(state))[:, -pieces.shape[1] - 1 : -1]
            score = torch.log_softmax(logits, dim=-1).gather(2, pieces[:, :, None]).sum()
            assert result.scores[0, 0, n, column] == pytest.approx(float(score), abs=1e-4)
    single = layers(model, one, TEXTS[2:3], LABELS)
    embeds = torch.cat(
        [
            torch.tensor(one.vectors)[None],
            reference.get_input_embeddings()(torch.tensor(model.text_ids(TEXTS[2:3]))),
        ],
        dim=1,
    )
    with torch.no_grad():
        weights = reference.model(inputs_embeds=embeds, output_attentions=True).attentions
    assert np.allclose(single.attention[1], weights[1][0, :, 4:, :4].mean(dim=(0, 1)), atol=1e-5)
    assert np.allclose(result.attention.sum(axis=1), result.to_frame().attention)


def planted_layers(with_prompt, without, knock_out=(-4.0, -3.0, 0.0), texts: int = 400) -> Layers:
    """Accuracies by layer, with the prompt and without."""
    generator = np.random.default_rng(0)
    gold = generator.integers(2, size=texts)
    scores = np.empty((2, len(with_prompt), texts, 2), np.float32)
    for row, accuracies in enumerate((with_prompt, without)):
        for layer, accuracy in enumerate(accuracies):
            right = generator.random(texts) < accuracy
            answer = np.where(right, gold, 1 - gold)
            scores[row, layer] = np.eye(2)[answer] * 2 - 3
    names = tuple(("decoder", n + 1) for n in range(len(with_prompt)))
    hidden = np.repeat(np.array(knock_out)[:, None], 5, axis=1)
    return Layers("some", LABELS, gold, names, scores, (0, 1, 2), hidden, np.full((len(names), 3), 0.1))


def test_a_model_that_has_the_answer_and_does_not_say_it_is_told_from_one_that_lacks_it():
    elicits = planted_layers((0.5, 0.8, 0.85), (0.5, 0.8, 0.5))
    assert elicits.conclusion.startswith(
        "It elicits what the model has: without the prompt decoder layer 2 is "
    )
    assert "from decoder layer 3 on it is hardly read any more (+0.0)." in elicits.conclusion
    adds = planted_layers((0.5, 0.6, 0.85), (0.5, 0.5, 0.5), (-4, -3, -2))
    assert adds.conclusion.startswith("It adds: without the prompt no layer is nearly as accurate")
    assert adds.conclusion.endswith("the last layers still read it.")
    idle = planted_layers((0.5, 0.6, 0.6), (0.5, 0.6, 0.6), (0, 0, 0))
    assert idle.conclusion.startswith("The prompt is not shown to help on these texts")
    assert idle.conclusion.endswith("Hiding the prompt hardly changes the answers.")


def test_without_labels_there_is_no_accuracy(tiny):
    result = layers(tiny, some_prompt(tiny), TEXTS, LABELS)
    frame = result.to_frame()
    assert frame.accuracy.isna().all()
    assert frame.agreement.iloc[-1] == 1
    assert result.conclusion.startswith("Nine of ten answers stand after ")
    assert list(frame.columns)[:10] == [
        *("prompt", "layer", "part", "accuracy", "agreement", "log_probability", "accuracy_no_prompt"),
        *("agreement_no_prompt", "log_probability_no_prompt", "knock_out"),
    ]


def test_no_texts_and_one_label_are_refused(tiny):
    with pytest.raises(DataError, match="no texts to read"):
        layers(tiny, some_prompt(tiny), (), LABELS)
    with pytest.raises(DataError, match="expected at least two different ones"):
        layers(tiny, some_prompt(tiny), TEXTS, LABELS[:1])
