"""The forward that prompts are tuned through gives what transformers gives, and the same gradient of the prompt."""

import numpy as np
import pytest
import torch
from transformers import MT5Config, MT5ForConditionalGeneration, T5Config, T5ForConditionalGeneration, UMT5Config, UMT5ForConditionalGeneration

from explorer.errors import ModelError
from explorer.models.encoder_decoder import FrozenT5, attention_mask
from explorer.models.network import Network

SIZES = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 3, "num_decoder_layers": 2, "num_heads": 2, "dropout_rate": 0.1}
SIZES |= {"vocab_size": 60, "decoder_start_token_id": 0}
FAMILY = {
    "t5": (T5ForConditionalGeneration, T5Config(**SIZES, feed_forward_proj="relu")),
    "t5-1.1": (T5ForConditionalGeneration, T5Config(**SIZES, feed_forward_proj="gated-gelu", tie_word_embeddings=False)),
    "gated-silu": (T5ForConditionalGeneration, T5Config(**SIZES, feed_forward_proj="gated-silu")),
    "mt5": (MT5ForConditionalGeneration, MT5Config(**SIZES)),
    "umt5": (UMT5ForConditionalGeneration, UMT5Config(**SIZES)),
}


@pytest.fixture(params=FAMILY)
def random_model(request):
    network, config = FAMILY[request.param]
    torch.manual_seed(0)
    model = network(config).eval().requires_grad_(False)
    for name, weight in model.named_parameters():  # fresh norms are all ones and fresh biases small: neither would be seen
        if weight.ndim == 1 or "relative" in name:
            torch.nn.init.uniform_(weight, 0.5, 2.0)
    return FrozenT5(model, None, request.param)


@pytest.fixture
def batch():
    """Inputs [4, 12, 16] of unequal length, their mask, and targets [4, 3]."""
    generator = torch.Generator().manual_seed(1)
    embeds = torch.randn(4, 12, 16, generator=generator, requires_grad=True)
    return embeds, attention_mask(torch.tensor([12, 7, 9, 1]), 12), torch.randint(1, 60, (4, 3), generator=generator)


def answers(forward, embeds, mask, targets):
    """Logits and the gradient of their cross-entropy at the inputs."""
    logits = forward.target_logits(forward.encode(embeds, mask), mask, targets).float()
    torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten()).backward()
    gradient, embeds.grad = embeds.grad, None
    return logits.detach(), gradient


def test_logits_and_gradients_are_those_of_transformers(random_model, batch):
    logits, gradient = answers(Network(random_model, torch.float32), *batch)
    expected, expected_gradient = answers(random_model, *batch)
    torch.testing.assert_close(logits, expected, atol=2e-4, rtol=1e-4)
    torch.testing.assert_close(gradient, expected_gradient, atol=1e-5, rtol=1e-3)
    assert gradient.abs().max() > 1e-4
    assert (gradient[3, 1:] == 0).all(), "what is masked has no gradient"


def test_weights_are_shared_where_the_precision_is_the_same(random_model):
    def storages(network):
        tensors = [network.embedding, network.head, network.encoder.layers[0][0].query, network.decoder.layers[1][2].out]
        return {tensor.data_ptr() for tensor in tensors}

    own = {weight.data_ptr() for weight in random_model.model.parameters()}
    assert storages(Network(random_model, torch.float32)) <= own
    assert not storages(Network(random_model, torch.bfloat16)) & own


def test_bfloat16_is_near_float32(model, vocabulary):
    """On the bundled model: the gradients of a prompt point the same way."""
    texts = [torch.tensor(ids) for ids in model.text_ids(["a charming film", "dull and far too long to sit through"])]
    gradients = []
    for dtype in (torch.float32, torch.bfloat16):
        network = Network(model, dtype)
        prompt = torch.from_numpy(vocabulary.embedding[100:105].astype(np.float32)).requires_grad_(True)
        ids = torch.nn.utils.rnn.pad_sequence(texts, batch_first=True)
        embeds = torch.cat([prompt.expand(2, -1, -1).to(dtype), network.embed(ids)], dim=1)
        mask = attention_mask(torch.tensor([len(t) + 5 for t in texts]), embeds.shape[1])
        targets = torch.tensor([model.label_ids("positive"), model.label_ids("negative")])
        logits = network.target_logits(network.encode(embeds, mask), mask, targets).float()
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten()).backward()
        gradients.append(prompt.grad.flatten())
    assert torch.nn.functional.cosine_similarity(*gradients, dim=0) > 0.99


def test_layers_that_are_not_on_a_device_are_refused(random_model):
    random_model.model.encoder.block[1].to("meta")
    with pytest.raises(ModelError, match="do not fit on this machine's GPUs"):
        Network(random_model, torch.float32)
