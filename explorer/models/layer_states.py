"""Inside a model: label scores after every layer, attention to the prompt, and the prompt hidden from a layer
on.

The states after every layer are computed once; what hides the prompt from layer l on starts from the state
before that layer.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import signature
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch.nn.functional import embedding, pad

from explorer.errors import ModelError
from explorer.models.causal_network import CausalNetwork, aligned
from explorer.models.network import Attended, Network

if TYPE_CHECKING:
    from explorer.models.frozen import FrozenModel

Layer = tuple[str, int]
"""part of the model, `encoder` or `decoder`, and layer, from 1"""
CLOSE = 1e-2
"""how far the last state may be from the model's own answer; more means that its layers are put together in
another way
"""


class Layered(Protocol):
    """What can be asked of a model's layers. R rows of inputs [R, L, H] with a mask [R, L]; targets: the
    pieces of C labels.
    """

    layers: tuple[Layer, ...]

    def lens(
        self, embeds: torch.Tensor, mask: torch.Tensor, targets: Sequence[Sequence[int]]
    ) -> torch.Tensor:
        """log p of each label read after every layer, [layers, R, C]; the last is the model's answer."""

    def knocked_out(
        self,
        embeds: torch.Tensor,
        mask: torch.Tensor,
        targets: Sequence[Sequence[int]],
        length: int,
        depths: Sequence[int],
    ) -> torch.Tensor:
        """log p of each label where from a layer on nothing attends to the first `length` positions, [D, R,
        C]. depths: 0 is from the first layer on, len(layers) hides nothing.
        """

    def attention(self, embeds: torch.Tensor, mask: torch.Tensor, length: int) -> torch.Tensor:
        """Attention to each of the first `length` positions from those behind them, mean over heads and
        positions, [layers, R, length].
        """


def layered(model: "FrozenModel") -> Layered:
    """The layers of a model. Raises ModelError where they cannot be read."""
    if isinstance(model.network, Network):
        return LayeredT5(model.network)
    if isinstance(model.network, CausalNetwork):
        return LayeredDecoder(model.network)
    raise ModelError(
        f"{model.name}: its layers are spread over devices or of a kind that transformers alone "
        "runs; expected a T5 on one device or a decoder-only model"
    )


def passes(
    model: "FrozenModel", prompts: Sequence[Any], ids: Sequence[list[int]], answer: int
) -> Iterator[tuple[Any, torch.Tensor, torch.Tensor]]:
    """Rows [R] (prompt n, text b is n·B + b), input embeddings and mask of every prompt before every text;
    the model is held while a pass is read.
    """
    for rows, embeds, mask in model._passes(prompts, ids, answer):
        with model._inference():
            yield rows, embeds, mask


@dataclass(frozen=True)
class _Targets:
    """Pieces of labels, scored together: their first pieces share a position."""

    pieces: torch.Tensor
    """[C, U], padded with 0"""
    lengths: tuple[int, ...]

    @classmethod
    def of(cls, targets: Sequence[Sequence[int]], device: torch.device) -> "_Targets":
        rows = [torch.tensor(list(one), device=device) for one in targets]
        return cls(torch.nn.utils.rnn.pad_sequence(rows, batch_first=True), tuple(map(len, rows)))

    def places(self) -> list[tuple[int, int]]:
        """Label and position of every state that is needed: the first one once, then those behind each
        label's pieces.
        """
        return [(0, 0)] + [(c, u) for c, length in enumerate(self.lengths) for u in range(1, length)]

    def scores(self, logits: torch.Tensor) -> torch.Tensor:
        """[R, C] from logits [R, places, V]."""
        log_p = torch.log_softmax(logits.float(), dim=-1)
        number = {place: n for n, place in enumerate(self.places())}
        found = [
            sum(log_p[:, number[0, 0] if u == 0 else number[c, u], self.pieces[c, u]] for u in range(length))
            for c, length in enumerate(self.lengths)
        ]
        return torch.stack([torch.as_tensor(one) for one in found], dim=1)


class LayeredT5:
    """DecoderLens over the encoder (Langedijk et al. 2024), the logit lens over the decoder."""

    def __init__(self, network: Network):
        self.network = network
        self.deep = len(network.encoder.layers)
        self.layers = tuple(
            [("encoder", n + 1) for n in range(self.deep)]
            + [("decoder", n + 1) for n in range(len(network.decoder.layers))]
        )

    def lens(
        self, embeds: torch.Tensor, mask: torch.Tensor, targets: Sequence[Sequence[int]]
    ) -> torch.Tensor:
        wanted, padding = _Targets.of(targets, mask.device), [mask] * len(self.network.decoder.layers)
        states = self._encoder_states(embeds.to(self.network.dtype), 0, self._bias(mask))
        found = [self._answer(state, padding, wanted)[-1:] for state in states[:-1]]
        last = self._answer(states[-1], padding, wanted)
        return torch.cat([*found, last[-1:], last])

    def knocked_out(
        self,
        embeds: torch.Tensor,
        mask: torch.Tensor,
        targets: Sequence[Sequence[int]],
        length: int,
        depths: Sequence[int],
    ) -> torch.Tensor:
        wanted, hidden = _Targets.of(targets, mask.device), mask.clone()
        hidden[:, :length] = 0
        start = embeds.to(self.network.dtype)
        states, bias = [start, *self._encoder_states(start, 0, self._bias(mask))], self._bias(hidden)
        found, above = [], len(self.network.decoder.layers)
        for depth in depths:
            if depth < self.deep:
                state, seen = self._encoder_states(states[depth], depth, bias)[-1], [hidden] * above
            else:
                state = states[-1]
                seen = [hidden if layer >= depth - self.deep else mask for layer in range(above)]
            found.append(self._answer(state, seen, wanted)[-1])
        return torch.stack(found)

    def attention(self, embeds: torch.Tensor, mask: torch.Tensor, length: int) -> torch.Tensor:
        network = self.network
        x, bias = embeds.to(network.dtype), self._bias(mask)
        texts = mask[:, None, length:, None].float()
        found = []
        for (layer, feed_forward), extra in zip(network.encoder.layers, bias, strict=True):
            weights = layer.weights(x, extra)[:, :, length:, :length] * texts
            found.append((weights.sum(dim=2) / texts.sum(dim=2).clamp(min=1)).mean(dim=1))
            x = feed_forward(layer(x, extra))
        first = torch.full((len(x), 1), network.architecture.start, device=x.device)
        y, encoded = network.embed(first), network.attended(network.encoder.norm(x))
        padding = network.hidden(mask == 0)[:, None, None]
        own = network.decoder.biases(
            1, 1, network.hidden(torch.zeros(1, 1, 1, 1, dtype=torch.bool, device=x.device))
        )
        for (layer, across, feed_forward), extra, attended in zip(
            network.decoder.layers, own, encoded, strict=True
        ):
            y = layer(y, extra)
            found.append(across.weights(y, padding, attended)[:, :, 0, :length].mean(dim=1))
            y = feed_forward(across(y, padding, attended))
        return torch.stack(found).float()

    def _bias(self, mask: torch.Tensor) -> list[torch.Tensor]:
        return self.network.encoder.biases(
            mask.shape[1], mask.shape[1], self.network.hidden(mask == 0)[:, None, None]
        )

    def _encoder_states(
        self, x: torch.Tensor, start: int, bias: Sequence[torch.Tensor]
    ) -> list[torch.Tensor]:
        """The states [R, L, H] after each encoder layer from `start` on."""
        states = []
        for (attention, feed_forward), extra in zip(
            self.network.encoder.layers[start:], bias[start:], strict=True
        ):
            x = feed_forward(attention(x, extra))
            states.append(x)
        return states

    def _answer(self, state: torch.Tensor, seen: Sequence[torch.Tensor], wanted: _Targets) -> torch.Tensor:
        """Label scores [decoder layers, R, C] from an encoder state [R, L, H]. seen: the mask [R, L] of each
        decoder layer's look at it.
        """
        network, rows, labels = self.network, len(state), len(wanted.lengths)
        before = pad(wanted.pieces[:, :-1], (1, 0), value=network.architecture.start)
        count = before.shape[1]
        y = embedding(before, network.embedding).repeat(rows, 1, 1)  # [R·C, U, H]
        later = torch.ones(count, count, dtype=torch.bool, device=y.device).triu(1)
        biases = network.decoder.biases(count, count, network.hidden(later)[None, None])
        encoded = network.attended(network.encoder.norm(state))
        places = torch.tensor(wanted.places(), device=y.device)
        found = []
        for (attention, across, feed_forward), bias, (key, value), mask in zip(
            network.decoder.layers, biases, encoded, seen, strict=True
        ):
            y = attention(y, bias)
            padding = network.hidden(mask == 0)[:, None, None].repeat_interleave(labels, dim=0)
            each: Attended = key.repeat_interleave(labels, dim=0), value.repeat_interleave(labels, dim=0)
            y = feed_forward(across(y, padding, each))
            needed = y.view(rows, labels, count, -1)[:, places[:, 0], places[:, 1]]
            found.append(needed)
        return torch.stack([wanted.scores(network.logits(needed)) for needed in found])


class LayeredDecoder:
    """The logit lens (nostalgebraist 2020): the state at the answer's position through the final norm and the
    head.
    """

    def __init__(self, network: CausalNetwork):
        self.network = network
        base = network.module.base_model
        count = network.module.config.get_text_config().num_hidden_layers
        stacks = [one for one in base.modules() if isinstance(one, torch.nn.ModuleList) and len(one) == count]
        if not stacks:
            raise ModelError(
                f"a {network.module.config.model_type} model: found no list of {count} layers; "
                "expected one, such as Llama's"
            )
        self.blocks = stacks[0]
        self.layers = tuple(("decoder", n + 1) for n in range(count))

    def lens(
        self, embeds: torch.Tensor, mask: torch.Tensor, targets: Sequence[Sequence[int]]
    ) -> torch.Tensor:
        return self._scores(embeds, mask, targets, lambda run: run.states[1:])

    def knocked_out(
        self,
        embeds: torch.Tensor,
        mask: torch.Tensor,
        targets: Sequence[Sequence[int]],
        length: int,
        depths: Sequence[int],
    ) -> torch.Tensor:
        return self._scores(
            embeds, mask, targets, lambda run: [run.again(depth, run.places < length) for depth in depths]
        )

    def attention(self, embeds: torch.Tensor, mask: torch.Tensor, length: int) -> torch.Tensor:
        moved, seen, places = aligned(embeds.to(self.network.dtype), mask)
        module, before = self.network.module, self.network.module.config._attn_implementation
        given: dict[str, Any] = {"position_ids": places} if self.network.takes_places else {}
        module.set_attn_implementation("eager")
        try:
            weights = module.base_model(
                inputs_embeds=moved,
                attention_mask=seen.long(),
                use_cache=False,
                output_attentions=True,
                **given,
            ).attentions
        finally:
            module.set_attn_implementation(before)
        start = (mask.shape[1] - mask.sum(dim=1)).tolist()  # rows end together
        return torch.stack(
            [
                torch.stack(
                    [
                        one[:, at + length :, at : at + length].mean(dim=(0, 1))
                        for one, at in zip(layer, start, strict=True)
                    ]
                )
                for layer in weights
            ]
        ).float()

    def _scores(
        self, embeds: torch.Tensor, mask: torch.Tensor, targets: Sequence[Sequence[int]], states: Any
    ) -> torch.Tensor:
        """Label scores [D, R, C] of the states that `states` takes from a run; labels of several pieces go
        through the model behind the text, those that begin alike once.
        """
        prefixes = dict.fromkeys([(), *(tuple(target[:-1]) for target in targets)])
        log_p: dict[tuple[int, ...], torch.Tensor] = {}
        for prefix in prefixes:
            run = _Run(self, embeds, mask, prefix)
            keep = max(1, len(prefix))
            found = torch.stack([run.head(state[:, -keep:]) for state in states(run)])
            log_p[prefix] = torch.log_softmax(found.float(), dim=-1)  # [D, R, keep, V]
        scores = []
        for target in map(tuple, targets):
            score = log_p[()][:, :, -1, target[0]]
            for place in range(1, len(target)):
                score = score + log_p[target[:-1]][:, :, place - len(target), target[place]]
            scores.append(score)
        return torch.stack(scores, dim=2)


class _Run:
    """One pass through a decoder, with what every layer was given."""

    def __init__(self, of: LayeredDecoder, embeds: torch.Tensor, mask: torch.Tensor, behind: Sequence[int]):
        network, self.blocks = of.network, of.blocks
        self.network = network
        moved, seen, places = aligned(embeds.to(network.dtype), mask)
        if behind:
            more = torch.tensor(list(behind), device=mask.device).expand(len(mask), -1)
            moved = torch.cat([moved, network.embed(more)], dim=1)
            seen = torch.cat([seen, torch.ones_like(more, dtype=torch.bool)], dim=1)
            places = torch.cat(
                [places, places[:, -1:] + torch.arange(1, len(behind) + 1, device=mask.device)], dim=1
            )
        self.seen, self.places = seen, places
        self.given: list[dict[str, Any]] = []
        self.states: list[torch.Tensor] = []
        """[R, L, H] before each layer, then after the last"""
        places_given: dict[str, Any] = {"position_ids": places} if network.takes_places else {}
        with self._recorded():
            last = network.module.base_model(
                inputs_embeds=moved, attention_mask=seen.long(), use_cache=False, **places_given
            ).last_hidden_state
        self.norm = _final_norm(network.module.base_model)
        if not torch.allclose(
            self.norm(self.states[-1])[:, -1].float(), last[:, -1].float(), atol=CLOSE, rtol=CLOSE
        ):
            raise ModelError(
                f"a {network.module.config.model_type} model: what follows its last layer is no norm "
                "alone; its layers cannot be read"
            )

    @contextmanager
    def _recorded(self) -> Iterator[None]:
        names = list(signature(self.blocks[0].forward).parameters)

        def before(_: Any, arguments: tuple, named: dict) -> None:
            given = dict(zip(names, arguments, strict=False)) | named
            self.states.append(given.pop(names[0]))
            self.given.append(given)

        def after(_: Any, __: Any, output: Any) -> None:
            self.states.append(_state(output))

        handles = [block.register_forward_pre_hook(before, with_kwargs=True) for block in self.blocks]
        handles.append(self.blocks[-1].register_forward_hook(after))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def head(self, state: torch.Tensor) -> torch.Tensor:
        """Logits of a layer's states."""
        return self.network.logits(self.norm(state))

    def again(self, depth: int, hidden: torch.Tensor) -> torch.Tensor:
        """The last state where nothing attends to the places `hidden` [R, L] from layer `depth` on; a
        position still sees itself.
        """
        count = hidden.shape[1]
        later = torch.ones(count, count, dtype=torch.bool, device=hidden.device).triu(1)
        own = torch.eye(count, dtype=torch.bool, device=hidden.device)
        blocked = (later[None] | (hidden | ~self.seen)[:, None]) & ~own
        dtype = self.states[0].dtype
        mask = torch.zeros(blocked.shape, dtype=dtype, device=hidden.device)
        mask = mask.masked_fill(blocked, torch.finfo(dtype).min / 2)[:, None]
        state = self.states[depth]
        for block, given in zip(self.blocks[depth:], self.given[depth:], strict=True):
            state = _state(block(state, **{**given, "attention_mask": mask}))
        return state


def _state(output: Any) -> torch.Tensor:
    return output[0] if isinstance(output, tuple) else output


def _final_norm(base: torch.nn.Module) -> torch.nn.Module:
    """What a decoder's last state goes through: the norm that follows its layers; nothing where there is
    none.
    """
    for part in (base, getattr(base, "decoder", None)):
        for name in ("norm", "ln_f", "final_layer_norm", "final_layernorm", "norm_f"):
            if isinstance(found := getattr(part, name, None), torch.nn.Module):
                return found
    return torch.nn.Identity()
