"""Where a model runs and in which precision: decided from what the card can do and what is free, without a
card.
"""

import numpy as np
import pytest
import torch
from test_network import FAMILY, SIZES

from explorer.cli import COMMANDS
from explorer.errors import ModelError
from explorer.models import encoder_decoder
from explorer.models.architecture import HEAD, architecture, read_architecture
from explorer.models.fallback import TransformersNetwork
from explorer.models.loading import stored_shapes
from explorer.models.network import Network
from explorer.models.placement import chosen_device, chosen_dtype, pass_takes, placement, weights_take

RUNNING = (
    "predict",
    "evaluate",
    "shift",
    "ensemble",
    "faithfulness",
    "attribution",
    "decode",
    "report",
    "train",
    "app",
)


@pytest.fixture
def cards(monkeypatch):
    """Cards of these compute capabilities, with so many bytes free: `cards((8, 0), free=…)`."""

    def plug_in(*capabilities: tuple[int, int], free: int = 0) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(capabilities))
        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(capabilities))
        monkeypatch.setattr(
            torch.cuda,
            "get_device_capability",
            lambda device=None: capabilities[torch.device(device).index or 0],
        )
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device=None: (free, free))

    return plug_in


def test_every_command_that_runs_a_model_takes_a_device_and_a_precision():
    for name in RUNNING:
        assert {"device", "dtype"} <= COMMANDS[name].__annotations__.keys(), name


def test_bfloat16_only_where_every_card_computes_in_it(cards):
    cards()
    assert (chosen_device("auto"), chosen_dtype("auto", "cpu"), chosen_dtype("auto", "split")) == (
        "cpu",
        torch.float32,
        torch.float32,
    )
    with pytest.raises(ModelError, match="torch sees no GPU; use cpu"):
        chosen_device("cuda")
    with pytest.raises(ModelError, match="found the device 'gpu'; expected auto, cpu, cuda, split"):
        chosen_device("gpu")
    cards((7, 5), (8, 0))
    assert chosen_device("auto") == "cuda"
    assert [chosen_dtype("auto", device) for device in ("cuda", "cuda:1", "split")] == [
        torch.float32,
        torch.bfloat16,
        torch.float32,
    ]
    assert chosen_dtype("bfloat16", "cuda") == torch.bfloat16, "what is asked for is done"
    cards((9, 0), (8, 6))
    assert chosen_dtype("auto", "split") == torch.bfloat16


def test_weights_are_counted_in_the_precision_they_will_have(tiny_t5_folder, tiny):
    made = read_architecture(tiny_t5_folder)
    own_head = HEAD in stored_shapes(tiny_t5_folder)
    assert weights_take(made, torch.float32, own_head) == tiny.memory
    assert weights_take(made, torch.bfloat16, own_head) * 2 == tiny.memory


def test_a_card_must_hold_the_weights_in_their_precision_and_a_pass(tiny_t5_folder, cards):
    made, stored = read_architecture(tiny_t5_folder), stored_shapes(tiny_t5_folder)
    for dtype in (torch.float32, torch.bfloat16):
        needed = weights_take(made, dtype, HEAD in stored) + pass_takes(made, dtype)
        cards((8, 0), free=needed)
        assert placement(tiny_t5_folder, made, "cuda", dtype, stored) == {"": "cuda"}
        cards((8, 0), free=needed - 1)
        assert placement(tiny_t5_folder, made, "cuda", dtype, stored) == "auto"
    assert placement(tiny_t5_folder, made, "cpu", torch.float32, stored) == {"": "cpu"}
    assert placement(tiny_t5_folder, made, "split", torch.float32, stored) == "auto"


def test_the_largest_t5_fits_a_card_of_40_gb_in_bfloat16_and_not_in_float32():
    xxl = {
        "model_type": "t5",
        "vocab_size": 32128,
        "d_model": 4096,
        "d_kv": 64,
        "d_ff": 10240,
        "num_layers": 24,
        "num_heads": 64,
    }
    made = architecture(
        {
            **xxl,
            "num_decoder_layers": 24,
            "feed_forward_proj": "gated-gelu",
            "tie_word_embeddings": False,
            "decoder_start_token_id": 0,
        }
    )
    taken = [
        weights_take(made, dtype, True) + pass_takes(made, dtype) for dtype in (torch.bfloat16, torch.float32)
    ]
    assert weights_take(made, torch.bfloat16, True) == pytest.approx(22.3e9, rel=0.01)
    assert taken[0] < 40 * 2**30 < taken[1]


@pytest.mark.parametrize("kind", ["t5", "t5-1.1"])
def test_exact_logits_are_not_rounded_to_the_precision_of_the_weights(kind):
    made, config = FAMILY[kind]
    torch.manual_seed(0)
    module = made(config).to(torch.bfloat16)
    reference = TransformersNetwork(module, architecture(config.to_dict()))
    network = reference.cast(torch.bfloat16)
    embeds, mask, targets = (
        torch.randn(2, 5, SIZES["d_model"]).to(torch.bfloat16),
        torch.ones(2, 5, dtype=torch.long),
        torch.tensor([[5, 1], [7, 1]]),
    )
    for one in (network, reference):
        encoded = one.encode(embeds, mask)
        plain, exact = (
            one.target_logits(encoded, mask, targets),
            one.target_logits(encoded, mask, targets, True),
        )
        assert (plain.dtype, exact.dtype) == (torch.bfloat16, torch.float32)
        torch.testing.assert_close(exact, plain.float(), atol=0.02, rtol=0.02)
        assert (exact.to(torch.bfloat16).float() != exact).float().mean() > 0.9, (
            "more digits than bfloat16 has"
        )
    assert isinstance(network, Network)


def test_a_pass_is_embedded_in_one_transfer(tiny, monkeypatch):
    calls = []
    embed = encoder_decoder.FrozenT5.embed
    monkeypatch.setattr(
        encoder_decoder.FrozenT5, "embed", lambda self, ids: calls.append(ids.shape) or embed(self, ids)
    )
    vectors = np.zeros((3, tiny.dimension), np.float32)
    tiny.label_probabilities(
        [vectors, None], ["a good film", "the food was bad and slow", "bad"], ["negative", "positive"]
    )
    assert len(calls) == 1
    assert calls[0][0] == 6
