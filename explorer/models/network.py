"""T5 as tuning needs it: from input embeddings to the logits of targets, differentiable.

transformers' own forward serves every use of a model; this one serves a single use, and what it leaves out makes it more than
twice as fast on a processor (`benchmarks/training.py`): all weights in one precision, cast once where they are frozen,
attention written as two products (the fused kernel's backward is slow there), one operation for each activation.
"""

from dataclasses import dataclass
from functools import partial

import torch
from torch.nn.functional import embedding, gelu, linear
from transformers.activations import NewGELUActivation

from explorer.errors import ModelError
from explorer.models.encoder_decoder import FrozenT5


@dataclass(frozen=True, eq=False)
class Norm:
    """T5's layer norm: no mean, no bias (Zhang and Sennrich 2019)."""

    weight: torch.Tensor
    """[H]"""
    epsilon: float

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        square = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32) ** 2 / x.shape[-1]
        return x * (square + self.epsilon).rsqrt().to(x.dtype) * self.weight


@dataclass(frozen=True, eq=False)
class Attention:
    """One attention layer with its norm; T5 does not scale the product of queries and keys."""

    norm: Norm
    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    out: torch.Tensor
    heads: int

    def _by_head(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """[R, L, H] to [R, heads, L, H / heads]."""
        return linear(x, weight).view(*x.shape[:2], self.heads, -1).transpose(1, 2)

    def keys_and_values(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Of what is attended to, [R, L, H]: each [R, heads, L, H / heads]."""
        return self._by_head(x, self.key), self._by_head(x, self.value)

    def __call__(self, x: torch.Tensor, bias: torch.Tensor, attended: tuple[torch.Tensor, torch.Tensor] | None = None) -> torch.Tensor:
        """x [R, L, H] plus what it attends to: itself, or `attended`. bias: added to the scores, [R or 1, heads or 1, L, L']."""
        normed = self.norm(x)
        key, value = self.keys_and_values(normed) if attended is None else attended
        shares = (self._by_head(normed, self.query) @ key.transpose(2, 3) + bias).softmax(dim=-1)
        return x + linear((shares @ value).transpose(1, 2).flatten(2), self.out)


@dataclass(frozen=True, eq=False)
class FeedForward:
    """One feed-forward layer with its norm, gated (T5 1.1 and later) or not (T5 1.0)."""

    norm: Norm
    into: tuple[torch.Tensor, ...]
    """one weight, or the gate's and the value's"""
    out: torch.Tensor
    activation: object

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        normed = self.norm(x)
        hidden = self.activation(linear(normed, self.into[0]))
        for weight in self.into[1:]:
            hidden = hidden * linear(normed, weight)
        return x + linear(hidden, self.out)


@dataclass(frozen=True, eq=False)
class Stack:
    """The layers of an encoder or a decoder."""

    layers: list[tuple]
    """(attention, feed-forward), or (attention, attention to the encoder, feed-forward)"""
    relative: list
    """per layer the function (L, L') -> position bias [1, heads, L, L'], or None where the layer takes the one before it"""
    norm: Norm

    def biases(self, length: int, mask: torch.Tensor) -> list[torch.Tensor]:
        """What each layer adds to its scores: position bias and `mask` [R or 1, 1, L or 1, L] (0, or very negative)."""
        found = []
        for relative in self.relative:
            found.append(found[-1] if relative is None else relative(length, length).to(mask.dtype) + mask.to(relative.device))
        return found


class Network:
    """A T5's weights in one precision, and its forward. Weights that are in that precision already are shared, not copied.

    Its functions may run in several threads at once.
    """

    def __init__(self, model: FrozenT5, dtype: torch.dtype):
        network = model.model
        if any(weight.is_meta for weight in network.parameters()):
            raise ModelError(f"{model.name}: some of its layers do not fit on this machine's GPUs; prompts are tuned on a model that does")
        self.dtype, self.start = dtype, network.config.decoder_start_token_id
        self.encoder, self.decoder = _stack(network.encoder, dtype), _stack(network.decoder, dtype)
        self.embedding = network.get_input_embeddings().weight.to(dtype)
        head = network.get_output_embeddings().weight
        self.head = self.embedding if head is network.get_input_embeddings().weight else head.to(dtype)
        # what T5 1.0 does, whose head is the embedding table; mT5 has no such setting
        self.scale = network.config.d_model**-0.5 if getattr(network.config, "scale_decoder_outputs", False) else 1.0

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """Input embeddings [R, L, H] of pieces [R, L]."""
        return embedding(ids, self.embedding)

    def encode(self, embeds: torch.Tensor, mask: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Keys and values of each decoder layer for inputs [R, L, H] with an attention mask [R, L] (1 or 0)."""
        x = embeds.to(self.dtype)
        biases = self.encoder.biases(x.shape[1], self._hidden(mask == 0)[:, None, None])
        for (attention, feed_forward), bias in zip(self.encoder.layers, biases, strict=True):
            x = feed_forward(attention(x.to(attention.out.device), bias))
        encoded = self.encoder.norm(x)
        return [across.keys_and_values(encoded.to(across.out.device)) for _, across, _ in self.decoder.layers]

    def target_logits(self, encoded: list[tuple[torch.Tensor, torch.Tensor]], mask: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Logits [R, U, V] of the pieces of targets [R, U] (any filler after a target's end), given those before them."""
        count = targets.shape[1]
        before = torch.cat([torch.full_like(targets[:, :1], self.start), targets[:, :-1]], dim=1)
        later = torch.ones(count, count, dtype=torch.bool, device=targets.device).triu(1)
        padding = self._hidden(mask == 0)[:, None, None]
        y = self.embed(before)
        biases = self.decoder.biases(count, self._hidden(later)[None, None])
        for (attention, across, feed_forward), bias, attended in zip(self.decoder.layers, biases, encoded, strict=True):
            y = attention(y.to(attention.out.device), bias)
            y = feed_forward(across(y, padding.to(y.device), attended))
        return linear((self.decoder.norm(y) * self.scale).to(self.head.device), self.head)

    def _hidden(self, places: torch.Tensor) -> torch.Tensor:
        """What is added to scores: very negative where `places` is true, else 0."""
        return torch.zeros(places.shape, dtype=self.dtype, device=places.device).masked_fill(places, torch.finfo(self.dtype).min / 2)


def _stack(stack: torch.nn.Module, dtype: torch.dtype) -> Stack:
    layers, relative = [], []
    for block in stack.block:
        inside = block.layer[0].SelfAttention
        relative.append(_Relative(inside) if inside.has_relative_attention_bias else None)
        across = [_attention(block.layer[1].EncDecAttention, block.layer[1].layer_norm, dtype)] if stack.is_decoder else []
        layers.append((_attention(inside, block.layer[0].layer_norm, dtype), *across, _feed_forward(block.layer[-1], dtype)))
    return Stack(layers, relative, _norm(stack.final_layer_norm, dtype))


class _Relative:
    """The position bias of a layer, as transformers reckons it."""

    def __init__(self, attention: torch.nn.Module):
        self.attention, self.device = attention, attention.relative_attention_bias.weight.device

    def __call__(self, queries: int, keys: int) -> torch.Tensor:
        return self.attention.compute_bias(queries, keys)


def _norm(norm: torch.nn.Module, dtype: torch.dtype) -> Norm:
    return Norm(norm.weight.to(dtype), norm.variance_epsilon)


def _attention(attention: torch.nn.Module, norm: torch.nn.Module, dtype: torch.dtype) -> Attention:
    weights = [getattr(attention, name).weight.to(dtype) for name in ("q", "k", "v", "o")]
    return Attention(_norm(norm, dtype), *weights, attention.n_heads)


def _feed_forward(layer: torch.nn.Module, dtype: torch.dtype) -> FeedForward:
    dense = layer.DenseReluDense
    into = (dense.wi_0, dense.wi_1) if hasattr(dense, "wi_0") else (dense.wi,)
    fused = partial(gelu, approximate="tanh")  # the same function in one operation instead of eight
    activation = fused if isinstance(dense.act, NewGELUActivation) else dense.act
    return FeedForward(_norm(layer.layer_norm, dtype), tuple(part.weight.to(dtype) for part in into), dense.wo.weight.to(dtype), activation)
