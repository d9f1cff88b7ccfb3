"""T5's forward, from input embeddings to the logits of targets: what every T5 is scored, explained and tuned
with.

transformers serves every use of a model; this serves a single one. It starts without transformers' import,
and what it leaves out makes tuning more than twice as fast on a processor (`benchmarks/training.py`): all
weights in one precision, cast once where they are frozen, one operation for each activation. Attention is the
fused kernel, but two products where gradients are wanted: the kernel's backward is slow.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch.nn.functional import embedding, gelu, linear, relu, scaled_dot_product_attention, silu

from explorer.models.architecture import HEAD, SHARED, Architecture
from explorer.models.passes import cut

ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "relu": relu,
    "gelu": gelu,
    "gelu_new": partial(gelu, approximate="tanh"),
    "gelu_pytorch_tanh": partial(gelu, approximate="tanh"),
    "silu": silu,
    "swish": silu,
}
Attended = tuple[torch.Tensor, torch.Tensor]
"""keys and values, each [R, heads, L, H / heads]"""


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

    def keys_and_values(self, x: torch.Tensor) -> Attended:
        """Of what is attended to, [R, L, H]."""
        return self._by_head(x, self.key), self._by_head(x, self.value)

    def __call__(self, x: torch.Tensor, bias: torch.Tensor, attended: Attended | None = None) -> torch.Tensor:
        """x [R, L, H] plus what it attends to: itself, or `attended`. bias: added to the scores, [R or 1,
        heads or 1, L or 1, L'].
        """
        normed = self.norm(x)
        query, (key, value) = (
            self._by_head(normed, self.query),
            self.keys_and_values(normed) if attended is None else attended,
        )
        if torch.is_grad_enabled():
            mixed = (query @ key.transpose(2, 3) + bias).softmax(dim=-1) @ value
        else:
            mixed = scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=1.0)
        return x + linear(mixed.transpose(1, 2).flatten(2), self.out)

    def weights(self, x: torch.Tensor, bias: torch.Tensor, attended: Attended | None = None) -> torch.Tensor:
        """How much each position of x attends to each of itself, or of `attended`: [R, heads, L, L'], sums of
        1.
        """
        normed = self.norm(x)
        query = self._by_head(normed, self.query)
        key, _ = self.keys_and_values(normed) if attended is None else attended
        return (query @ key.transpose(2, 3) + bias).softmax(dim=-1)


@dataclass(frozen=True, eq=False)
class FeedForward:
    """One feed-forward layer with its norm, gated (T5 1.1 and later) or not (T5 1.0)."""

    norm: Norm
    into: tuple[torch.Tensor, ...]
    """one weight, or the gate's and the value's"""
    out: torch.Tensor
    activation: Callable[[torch.Tensor], torch.Tensor]

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        normed = self.norm(x)
        hidden = self.activation(linear(normed, self.into[0]))
        for weight in self.into[1:]:
            hidden = hidden * linear(normed, weight)
        return x + linear(hidden, self.out)


@dataclass(frozen=True, eq=False)
class Positions:
    """How much nearer or farther positions attend to each other, learned for buckets of distances (Raffel et
    al. 2020, §2.1).
    """

    table: torch.Tensor
    """[buckets, heads]"""
    both_ways: bool
    """whether later positions have buckets of their own: in the encoder"""
    longest: int

    def __call__(self, queries: int, keys: int) -> torch.Tensor:
        """The bias of the last `queries` of `keys` positions towards all of them, [1, heads, queries,
        keys].
        """
        places = torch.arange(keys, device=self.table.device)
        buckets = position_buckets(
            places[None, :] - places[keys - queries :, None], self.both_ways, len(self.table), self.longest
        )
        return embedding(buckets, self.table).permute(2, 0, 1)[None]


def position_buckets(distance: torch.Tensor, both_ways: bool, buckets: int, longest: int) -> torch.Tensor:
    """The bucket of each distance, key minus query, int64: one each for near ones, then logarithmic ones, the
    last from `longest` on.
    """
    side = torch.zeros_like(distance)
    if both_ways:
        buckets //= 2
        side, distance = (distance > 0).long() * buckets, distance.abs()
    else:
        distance = -distance.clamp(max=0)
    exact = buckets // 2
    far = exact + (torch.log(distance.float() / exact) / math.log(longest / exact) * (buckets - exact)).long()
    return side + torch.where(distance < exact, distance, far.clamp(max=buckets - 1))


@dataclass(frozen=True, eq=False)
class Stack:
    """The layers of an encoder or a decoder."""

    layers: list[tuple]
    """(attention, feed-forward), or (attention, attention to the encoder, feed-forward)"""
    positions: list[Positions | None]
    """of each layer; None where the layer takes the bias of the one before it"""
    norm: Norm

    def biases(self, queries: int, keys: int, mask: torch.Tensor) -> list[torch.Tensor]:
        """What each layer adds to its scores: position bias and `mask` [R or 1, 1, queries or 1, keys] (0, or
        very negative).
        """
        found: list[torch.Tensor] = []
        for positions in self.positions:
            if positions is None:
                found.append(found[-1])
            else:
                found.append(positions(queries, keys).to(mask.dtype) + mask.to(positions.table.device))
        return found


class Network:
    """A T5's weights in one precision, and its forward. Weights that are in that precision already are
    shared, not copied.

    Its functions may run in several threads at once.
    """

    def __init__(self, architecture: Architecture, tensors: Mapping[str, torch.Tensor], dtype: torch.dtype):
        """tensors: what `architecture.shapes()` names, and the head's where it is not the embedding table;
        frozen or not.
        """
        self.architecture, self.dtype = architecture, dtype
        self.tensors = {name: tensor.to(dtype) for name, tensor in tensors.items()}
        self.embedding = self.tensors[SHARED]
        """[V, H]"""
        self.head = self.tensors.get(HEAD, self.embedding)
        self.encoder, self.decoder = (self._stack(stack, layers) for stack, layers in architecture.stacks)
        self.scale = architecture.dimension**-0.5 if architecture.scaled else 1.0

    @property
    def tied(self) -> bool:
        """Whether the head is the embedding table."""
        return self.head is self.embedding

    @property
    def memory(self) -> int:
        """Bytes that the weights take, on all devices together."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.tensors.values())

    @property
    def device(self) -> torch.device:
        """Where the embedding table is."""
        return self.embedding.device

    @property
    def context(self) -> None:
        """A T5 tells any number of positions apart, the far ones roughly."""

    def cast(self, dtype: torch.dtype) -> "Network":
        """The same network in another precision."""
        return self if dtype == self.dtype else Network(self.architecture, self.tensors, dtype)

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """Input embeddings [R, L, H] of pieces [R, L]."""
        return embedding(ids, self.embedding)

    def encode(self, embeds: torch.Tensor, mask: torch.Tensor) -> list[Attended]:
        """Keys and values of each decoder layer for inputs [R, L, H] with an attention mask [R, L] (1 or
        0).
        """
        x = embeds.to(self.dtype)
        biases = self.encoder.biases(x.shape[1], x.shape[1], self.hidden(mask == 0)[:, None, None])
        for (attention, feed_forward), bias in zip(self.encoder.layers, biases, strict=True):
            x = feed_forward(attention(x.to(attention.out.device), bias))
        return self.attended(self.encoder.norm(x))

    def attended(self, encoded: torch.Tensor) -> list[Attended]:
        """Keys and values of each decoder layer for what the encoder gave [R, L, H]."""
        return [across.keys_and_values(encoded.to(across.out.device)) for _, across, _ in self.decoder.layers]

    def encode_after(
        self, fronts: torch.Tensor, which: torch.Tensor, embeds: torch.Tensor, mask: torch.Tensor
    ) -> list[Attended]:
        """The same for fronts[which] [R, P, H] before inputs [R, L, H] with a mask [R, P + L]; fronts [N, P,
        H] are those of N prompts.

        An encoder reads both ways: a prompt before another text is another prompt to it, so each row is
        encoded whole.
        """
        return self.encode(torch.cat([fronts[which], embeds], dim=1), mask)

    def target_logits(
        self,
        encoded: list[Attended],
        mask: torch.Tensor,
        targets: torch.Tensor,
        exact: bool = False,
        front: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Logits [R, U, V] of the pieces of targets [R, U] (any filler after a target's end), given those
        before them; exact: in float32; front: vectors [R, D, H] before the decoder's input.
        """
        before = torch.cat([torch.full_like(targets[:, :1], self.architecture.start), targets[:, :-1]], dim=1)
        y = self.embed(before)
        y = y if front is None else torch.cat([front.to(y.dtype), y], dim=1)
        count = y.shape[1]
        later = torch.ones(count, count, dtype=torch.bool, device=targets.device).triu(1)
        padding = self.hidden(mask == 0)[:, None, None]
        biases = self.decoder.biases(count, count, self.hidden(later)[None, None])
        for (attention, across, feed_forward), bias, attended in zip(
            self.decoder.layers, biases, encoded, strict=True
        ):
            y = attention(y.to(attention.out.device), bias)
            y = feed_forward(across(y, padding.to(y.device), attended))
        return self.logits(y[:, -targets.shape[1] :], exact)

    def logits(self, y: torch.Tensor, exact: bool = False) -> torch.Tensor:
        """Of the next piece [R, U, V], from the decoder's last layer [R, U, H]; exact: in float32."""
        y = (self.decoder.norm(y) * self.scale).to(self.head.device)
        return linear(y.float(), self.head.float()) if exact else linear(y, self.head)

    def generate(self, embeds: torch.Tensor, mask: torch.Tensor, longest: int) -> list[list[int]]:
        """Greedy continuations of inputs [R, L, H]: for each row the pieces up to eos, at most `longest`. Of
        equally likely pieces the first is taken; keys and values are kept from piece to piece.
        """
        encoded, ends = self.encode(embeds, mask), torch.tensor(self.architecture.ends, device=mask.device)
        padding = self.hidden(mask == 0)[:, None, None]
        piece = torch.full((len(mask), 1), self.architecture.start, device=mask.device)
        written, ended = [], torch.zeros(len(mask), dtype=torch.bool, device=mask.device)
        before: list[Attended | None] = [None] * len(encoded)
        for _ in range(longest):
            piece = self._next(piece, before, encoded, padding)
            written.append(piece)
            ended |= torch.isin(piece[:, 0], ends)
            if bool(ended.all()):
                break
        return [cut(row, self.architecture.ends) for row in torch.cat(written, dim=1).tolist()]

    def _next(
        self,
        piece: torch.Tensor,
        before: list[Attended | None],
        encoded: list[Attended],
        padding: torch.Tensor,
    ) -> torch.Tensor:
        """The likeliest piece [R, 1] after `piece` [R, 1]; its keys and values join those `before` it in each
        layer.
        """
        step = 0 if before[0] is None else before[0][0].shape[2]
        seen = self.hidden(torch.zeros(1, 1, 1, step + 1, dtype=torch.bool, device=piece.device))
        y, biases = self.embed(piece), self.decoder.biases(1, step + 1, seen)
        for layer, (attention, across, feed_forward) in enumerate(self.decoder.layers):
            y = y.to(attention.out.device)
            key, value = attention.keys_and_values(attention.norm(y))
            if (earlier := before[layer]) is not None:
                key, value = torch.cat([earlier[0], key], dim=2), torch.cat([earlier[1], value], dim=2)
            before[layer] = key, value
            y = attention(y, biases[layer], (key, value))
            y = feed_forward(across(y, padding.to(y.device), encoded[layer]))
        return self.logits(y)[:, -1].float().argmax(dim=-1, keepdim=True).to(piece.device)

    def hidden(self, places: torch.Tensor) -> torch.Tensor:
        """What is added to scores: very negative where `places` is true, else 0."""
        return torch.zeros(places.shape, dtype=self.dtype, device=places.device).masked_fill(
            places, torch.finfo(self.dtype).min / 2
        )

    def _stack(self, stack: str, count: int) -> Stack:
        layers, positions, sizes = [], [], self.architecture
        for layer in range(count):
            start = f"{stack}.block.{layer}.layer"
            across = [self._attention(f"{start}.1", "EncDecAttention")] if stack == "decoder" else []
            layers.append(
                (
                    self._attention(f"{start}.0", "SelfAttention"),
                    *across,
                    self._feed_forward(f"{start}.{1 + len(across)}"),
                )
            )
            table = (
                self.tensors[f"{start}.0.SelfAttention.relative_attention_bias.weight"]
                if sizes.biased(layer)
                else None
            )
            positions.append(
                None if table is None else Positions(table, stack == "encoder", sizes.longest_distance)
            )
        return Stack(layers, positions, self._norm(f"{stack}.final_layer_norm"))

    def _norm(self, name: str) -> Norm:
        return Norm(self.tensors[f"{name}.weight"], self.architecture.epsilon)

    def _attention(self, start: str, name: str) -> Attention:
        query, key, value, out = (self.tensors[f"{start}.{name}.{part}.weight"] for part in "qkvo")
        return Attention(self._norm(f"{start}.layer_norm"), query, key, value, out, self.architecture.heads)

    def _feed_forward(self, start: str) -> FeedForward:
        into = tuple(self.tensors[f"{start}.DenseReluDense.{part}.weight"] for part in self.architecture.into)
        out = self.tensors[f"{start}.DenseReluDense.wo.weight"]
        return FeedForward(
            self._norm(f"{start}.layer_norm"), into, out, ACTIVATIONS[self.architecture.activation]
        )
