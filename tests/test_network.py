"""Our own forward gives what transformers gives: logits, the gradient of the prompt, greedy text."""

import logging

import numpy as np
import pytest
import torch
from transformers import (
    MT5Config,
    MT5ForConditionalGeneration,
    T5Config,
    T5ForConditionalGeneration,
    UMT5Config,
    UMT5ForConditionalGeneration,
)

from explorer.errors import ModelError
from explorer.models.architecture import HEAD, SHARED, architecture, read_architecture
from explorer.models.fallback import TransformersNetwork
from explorer.models.network import Network, position_buckets
from explorer.models.passes import attention_mask

SIZES = {
    "d_model": 16,
    "d_kv": 8,
    "d_ff": 32,
    "num_layers": 3,
    "num_decoder_layers": 2,
    "num_heads": 2,
    "dropout_rate": 0.1,
}
SIZES |= {"vocab_size": 60, "decoder_start_token_id": 0}
FAMILY = {
    "t5": (T5ForConditionalGeneration, T5Config(**SIZES, feed_forward_proj="relu")),
    "t5-1.1": (
        T5ForConditionalGeneration,
        T5Config(**SIZES, feed_forward_proj="gated-gelu", tie_word_embeddings=False),
    ),
    "gated-silu": (T5ForConditionalGeneration, T5Config(**SIZES, feed_forward_proj="gated-silu")),
    "few-buckets": (
        T5ForConditionalGeneration,
        T5Config(**SIZES, relative_attention_num_buckets=6, relative_attention_max_distance=9),
    ),
    "mt5": (MT5ForConditionalGeneration, MT5Config(**SIZES)),
    "umt5": (UMT5ForConditionalGeneration, UMT5Config(**SIZES)),
}
ENDS = [*range(1, 60, 3)]
"""so many that random text ends now and then"""


@pytest.fixture(params=FAMILY)
def reference(request):
    """transformers' random model of one kind, with the functions that ours has."""
    made, config = FAMILY[request.param]
    torch.manual_seed(0)
    module = made(config)
    with torch.no_grad():
        for (
            name,
            weight,
        ) in (
            module.named_parameters()
        ):  # fresh norms are all ones and fresh biases small: neither would be seen
            if weight.ndim == 1 or "relative" in name:
                weight.uniform_(0.5, 2.0)
        if request.param != "t5":  # heads of their own, as all later kinds have
            module.lm_head.weight = torch.nn.Parameter(torch.randn(60, 16))
    module.generation_config.eos_token_id = ENDS
    return TransformersNetwork(module, architecture(config.to_dict(), {"eos_token_id": ENDS}))


@pytest.fixture
def batch():
    """Inputs [4, 12, 16] of unequal length, their mask, and targets [4, 3]."""
    generator = torch.Generator().manual_seed(1)
    embeds = torch.randn(4, 12, 16, generator=generator, requires_grad=True)
    return (
        embeds,
        attention_mask(torch.tensor([12, 7, 9, 1]), 12),
        torch.randint(1, 60, (4, 3), generator=generator),
    )


def answers(forward, embeds, mask, targets):
    """Logits and the gradient of their cross-entropy at the inputs."""
    logits = forward.target_logits(forward.encode(embeds, mask), mask, targets).float()
    torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten()).backward()
    gradient, embeds.grad = embeds.grad, None
    return logits.detach(), gradient


def test_transformers_does_not_tell_to_change_the_configuration_of_a_model_with_its_own_head(tmp_path):
    config = T5Config(**SIZES, feed_forward_proj="gated-gelu", tie_word_embeddings=False)
    module = T5ForConditionalGeneration(config)
    module.lm_head.weight = torch.nn.Parameter(torch.randn(60, 16))
    module.save_pretrained(tmp_path)
    told = []
    handler = logging.Handler()
    handler.emit = lambda record: told.append(record.getMessage())
    logger = logging.getLogger("transformers.modeling_utils")
    logger.addHandler(handler)
    try:
        network = TransformersNetwork.load(tmp_path, read_architecture(tmp_path), torch.float32, {"": "cpu"})
        logger.warning("another warning")
    finally:
        logger.removeHandler(handler)
    assert not network.tied
    assert told == ["another warning"]


def test_logits_and_gradients_are_those_of_transformers(reference, batch):
    logits, gradient = answers(reference.cast(torch.float32), *batch)
    expected, expected_gradient = answers(reference, *batch)
    torch.testing.assert_close(logits, expected, atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(gradient, expected_gradient, atol=1e-5, rtol=1e-3)
    assert gradient.abs().max() > 1e-4
    assert (gradient[3, 1:] == 0).all(), "what is masked has no gradient"


def test_logits_without_gradients_are_the_same(reference, batch):
    """Where none are wanted, attention is another kernel."""
    embeds, mask, targets = batch
    with torch.inference_mode():
        network = reference.cast(torch.float32)
        logits = network.target_logits(network.encode(embeds, mask), mask, targets)
        torch.testing.assert_close(
            logits,
            reference.target_logits(reference.encode(embeds, mask), mask, targets),
            atol=2e-5,
            rtol=1e-5,
        )


def test_greedy_text_is_that_of_transformers(reference):
    """Step by step with kept keys and values, on rows that end at different steps."""
    generator = torch.Generator().manual_seed(2)
    embeds, mask = (
        torch.randn(40, 12, 16, generator=generator),
        attention_mask(torch.randint(1, 13, (40,), generator=generator), 12),
    )
    with torch.inference_mode():
        found, expected = (
            reference.cast(torch.float32).generate(embeds, mask, 9),
            reference.generate(embeds, mask, 9),
        )
        ids = reference.module.generate(
            inputs_embeds=embeds, attention_mask=mask, max_new_tokens=9, do_sample=False, num_beams=1
        ).tolist()
    assert found == expected
    assert [row[: len(own)] for row, own in zip(([row[1:] for row in ids]), found, strict=True)] == found
    assert all(piece == 0 for row, own in zip(ids, found, strict=True) for piece in row[1 + len(own) :]), (
        "the rest is padding"
    )
    assert len({len(row) for row in found}) > 1, "rows end at different steps"


@pytest.mark.parametrize("both_ways", [True, False])
@pytest.mark.parametrize(("buckets", "longest"), [(32, 128), (8, 20), (64, 256)])
def test_position_biases_are_those_of_transformers(both_ways, buckets, longest):
    from transformers.models.t5.modeling_t5 import T5Attention

    distance = torch.arange(-300, 301)[None]
    expected = T5Attention._relative_position_bucket(
        distance, bidirectional=both_ways, num_buckets=buckets, max_distance=longest
    )
    assert torch.equal(position_buckets(distance, both_ways, buckets, longest), expected)


def test_weights_are_shared_where_the_precision_is_the_same(reference):
    def storages(network):
        tensors = [
            network.embedding,
            network.head,
            network.encoder.layers[0][0].query,
            network.decoder.layers[1][2].out,
        ]
        return {tensor.data_ptr() for tensor in tensors}

    own = {weight.data_ptr() for weight in reference.module.parameters()}
    network = reference.cast(torch.float32)
    assert storages(network) <= own
    assert network.cast(torch.float32) is network
    assert not storages(network.cast(torch.bfloat16)) & own
    assert network.tied == reference.tied


def test_what_a_checkpoint_must_have_is_what_transformers_has(reference):
    state = {name: tuple(weight.shape) for name, weight in reference.module.state_dict().items()}
    copies = {"encoder.embed_tokens.weight", "decoder.embed_tokens.weight", HEAD}
    assert reference.architecture.shapes() == {
        name: shape for name, shape in state.items() if name not in copies
    }
    assert state[SHARED] == state[HEAD]


def test_bfloat16_is_near_float32(model, vocabulary):
    """On the bundled model: the gradients of a prompt point the same way."""
    texts = [
        torch.tensor(ids)
        for ids in model.text_ids(["a charming film", "dull and far too long to sit through"])
    ]
    gradients = []
    for dtype in (torch.float32, torch.bfloat16):
        network = model.network.cast(dtype)
        prompt = torch.from_numpy(vocabulary.embedding[100:105].astype(np.float32)).requires_grad_(True)
        ids = torch.nn.utils.rnn.pad_sequence(texts, batch_first=True)
        embeds = torch.cat([prompt.expand(2, -1, -1).to(dtype), network.embed(ids)], dim=1)
        mask = attention_mask(torch.tensor([len(t) + 5 for t in texts]), embeds.shape[1])
        targets = torch.tensor([model.label_ids("positive"), model.label_ids("negative")])
        logits = network.target_logits(network.encode(embeds, mask), mask, targets).float()
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten()).backward()
        gradients.append(prompt.grad.flatten())
    assert torch.nn.functional.cosine_similarity(*gradients, dim=0) > 0.99


def test_layers_that_are_not_on_a_device_are_refused(reference):
    reference.module.encoder.block[1].to("meta")
    with pytest.raises(ModelError, match="do not fit on this machine's GPUs"):
        reference.cast(torch.float32)


def test_a_network_is_built_from_names_alone(reference, batch):
    """A mapping of names and tensors is enough, and a missing head is the embedding table."""
    embeds, mask, targets = batch
    state = {name: reference.module.state_dict()[name] for name in reference.architecture.shapes()}
    network = Network(reference.architecture, state, torch.float32)
    assert network.tied
    with torch.inference_mode():
        assert network.target_logits(network.encode(embeds, mask), mask, targets).shape == (4, 3, 60)
    assert network.memory == sum(weight.nbytes for weight in state.values())
