"""Layers: where in the model the answer appears, and where it reads the prompt.

The lens reads label scores after every layer, with the prompt and without. Knock-out hides the prompt from a
layer on (Geva et al. 2023): its change of the answer's score is the causal reading, attention the
description.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from explorer.errors import DataError, PromptError
from explorer.evaluation.bootstrap import interval, resamples
from explorer.evaluation.progress import counted
from explorer.evaluation.scorer import centered, text_order
from explorer.evaluation.verdict import verdict
from explorer.prompt import SoftPrompt
from explorer.results import Result
from explorer.texts.tasks import check_labels
from explorer.words.wording import count

if TYPE_CHECKING:
    from explorer.models.frozen import FrozenModel

KNOCKED_TEXTS, DEPTHS = 50, 8
"""texts that the prompt is hidden from, depths from which on it is; at most"""
READ_AT = 0.1
"""the prompt has been read where hiding it changes less than this share of what hiding it everywhere does"""


@dataclass(frozen=True, eq=False, repr=False)
class Layers(Result):
    """What a model's layers make of B texts over C labels, with a prompt and without one."""

    prompt: str
    labels: tuple[str, ...]
    gold: np.ndarray | None
    """[B] index of each text's label; None where they are not known"""
    names: tuple[tuple[str, int], ...]
    """[L] part (`encoder` or `decoder`) and layer, from 1; the last is the answer"""
    scores: np.ndarray
    """[2, L, B, C] log p(label) read after each layer: with the prompt, without"""
    depths: tuple[int, ...]
    """[D] layers, from 0, from which on the prompt was hidden"""
    knock_out: np.ndarray
    """[D, K] change of the answer's centered score on K texts when the prompt is hidden from there on, in
    nats
    """
    attention: np.ndarray
    """[L, P] attention to each prompt token, mean over heads, text positions and texts"""
    seed: int = 0

    def to_frame(self) -> pd.DataFrame:
        """One row per layer: prompt, layer, part, accuracy (nan without labels), agreement with the final
        answer, log_probability of that answer in nats, the same without a prompt, knock_out: mean change of
        the answer's centered score, in nats, when the prompt is hidden from that layer on (nan where that was
        not tried); then attention to the prompt, the sum over its tokens.
        """
        hidden = dict(zip(self.depths, self.knock_out.mean(axis=1), strict=True))
        columns: dict[str, object] = {}
        for row, end in ((0, ""), (1, "_no_prompt")):
            answers, final = self.scores[row].argmax(axis=2), self.scores[row, -1].argmax(axis=1)
            said = self.scores[row][:, np.arange(len(final)), final]
            right = np.nan if self.gold is None else (answers == self.gold).mean(axis=1)
            columns |= {
                f"accuracy{end}": right,
                f"agreement{end}": (answers == final).mean(axis=1),
                f"log_probability{end}": said.mean(axis=1),
            }
        return pd.DataFrame(
            {
                "prompt": self.prompt,
                "layer": [layer for _, layer in self.names],
                "part": [part for part, _ in self.names],
                **columns,
                "knock_out": [hidden.get(number, np.nan) for number in range(len(self.names))],
                "attention": self.attention.sum(axis=1),
            }
        )

    def attention_frame(self) -> pd.DataFrame:
        """One row per layer and prompt token: prompt, layer, part, position, attention (0 to 1)."""
        return pd.DataFrame(
            [
                (self.prompt, layer, part, position, value)
                for (part, layer), row in zip(self.names, self.attention, strict=True)
                for position, value in enumerate(row.tolist())
            ],
            columns=["prompt", "layer", "part", "position", "attention"],
        )

    def held_back(self) -> tuple[float, float, float, str] | None:
        """How much more accurate an earlier layer is than the model's own answer without the prompt:
        difference, its 95 % interval, the layer. None without labels. The layer is chosen on one half of the
        texts and compared on the other, and the other way round.
        """
        if self.gold is None or len(set(self.half.tolist())) < 2:
            return None
        right = (self.scores[1].argmax(axis=2) == self.gold).astype(np.float64)  # [L, B]
        gain, chosen = np.empty(right.shape[1]), 0
        for side in (0, 1):
            chosen = int(right[:-1, self.half != side].mean(axis=1).argmax()) if len(right) > 1 else 0
            gain[self.half == side] = (right[chosen] - right[-1])[self.half == side]
        best = int(right[:-1].mean(axis=1).argmax()) if len(right) > 1 else chosen
        return (
            float(gain.mean()),
            *interval(gain, resamples(self.seed, len(gain))),
            _called(self.names[best]),
        )

    @property
    def half(self) -> np.ndarray:
        """[B] 0 or 1, by each text's place."""
        return np.arange(self.scores.shape[2]) % 2

    @property
    def conclusion(self) -> str:
        """Whether the prompt makes the model say what it has, or adds, and in which layers it is read."""
        return f"{self._answers()} {self._read()}"

    def _answers(self) -> str:
        frame = self.to_frame()
        if self.gold is None or (held := self.held_back()) is None:
            settled = next(
                name for name, row in zip(self.names, frame.itertuples(), strict=True) if row.agreement >= 0.9
            )
            return f"Nine of ten answers stand after {_called(settled)}."
        last, texts = frame.iloc[-1], len(self.gold)
        with_it, bare = (self.scores[row, -1].argmax(axis=1) == self.gold for row in (0, 1))
        gain = with_it.astype(np.float64) - bare
        figures = f"{last.accuracy_no_prompt:.2f} → {last.accuracy:.2f}"
        if verdict(*interval(gain, resamples(self.seed, texts)), texts) != "more":
            return f"The prompt is not shown to help on these texts (accuracy {figures})."
        if verdict(held[1], held[2], texts) == "more" and held[0] >= gain.mean() / 2:
            return (
                f"It elicits what the model has: without the prompt {held[3]} is {100 * held[0]:.0f} points "
                f"more accurate than the model's own answer (accuracy with the prompt {figures})."
            )
        most = frame.accuracy_no_prompt.max()
        return (
            f"It adds: without the prompt no layer is nearly as accurate (at best {most:.2f}; accuracy with "
            f"the prompt {figures})."
        )

    def _read(self) -> str:
        """Where the prompt is read: up to the last depth from which on hiding it still matters."""
        means, total = self.knock_out.mean(axis=1), abs(float(self.knock_out[0].mean()))
        if total < READ_AT:
            return "Hiding the prompt hardly changes the answers."
        read = [n for n, value in enumerate(means) if abs(value) >= READ_AT * total]
        said = f"Hiding the prompt from all layers changes the answer's score by {means[0]:+.1f} nats"
        if read[-1] + 1 == len(self.depths):
            return f"{said}; the last layers still read it."
        until, rest = self.names[self.depths[read[-1] + 1]], means[read[-1] + 1]
        return f"{said}; from {_called(until)} on it is hardly read any more ({rest:+.1f})."


def _called(name: tuple[str, int]) -> str:
    return f"{name[0]} layer {name[1]}"


def layers(
    model: "FrozenModel",
    prompt: SoftPrompt,
    texts: Sequence[str],
    labels: Sequence[str],
    gold: np.ndarray | None = None,
    seed: int = 0,
    share: Callable[[float], None] | None = None,
    progress: Callable[[str], None] | None = None,
) -> Layers:
    """Read label scores after every layer, hide the prompt from some layers on, and collect attention to it.

    gold: [B] index of each text's label, where they are known. Raises DataError for no texts and fewer than
    two labels, PromptError for a prompt with vectors for a decoder, ModelError for a model whose layers
    cannot be read.
    """
    from explorer.models.layer_states import layered, passes

    labels, texts = check_labels(labels), tuple(texts)
    if not texts:
        raise DataError("no texts to read; expected at least one")
    if prompt.decoder_vectors is not None:
        raise PromptError(f"{prompt.name}: has vectors for a decoder, whose layers are not read here")
    inside, targets = layered(model), [model.label_ids(label) for label in labels]
    deep, longest = len(inside.layers), max(map(len, targets))
    ids = model.text_ids(texts)
    if progress is not None:
        progress(f"{prompt.name}: {count(len(texts), 'text')} through {count(deep, 'layer')}")
    order = sorted(text_order(texts, seed)[:KNOCKED_TEXTS].tolist())
    scores = np.empty((2, deep, len(texts), len(labels)), np.float32)
    with counted(2 * len(texts) + len(order), "reading layers", share) as done:
        for rows, embeds, mask in passes(model, [prompt.vectors, None], ids, longest):
            found = inside.lens(embeds, mask, targets).float().cpu().numpy()
            scores[rows // len(texts), :, rows % len(texts)] = found.transpose(1, 0, 2)
            done(len(rows))
        depths = tuple(
            dict.fromkeys(np.linspace(0, deep - 1, min(DEPTHS, deep)).round().astype(int).tolist())
        )
        hidden = np.empty((len(depths), len(order), len(labels)), np.float32)
        attention = np.zeros((deep, prompt.length))
        for rows, embeds, mask in passes(model, [prompt.vectors], [ids[b] for b in order], longest):
            given = inside.knocked_out(embeds, mask, targets, prompt.length, depths).float().cpu().numpy()
            seen = inside.attention(embeds, mask, prompt.length).sum(dim=1).cpu().numpy()
            hidden[:, rows] = given
            attention += seen / len(order)
            done(len(rows))
    before = centered(scores[0, -1, order])
    answer = before.argmax(axis=1)
    change = (centered(hidden) - before)[:, np.arange(len(order)), answer]
    return Layers(prompt.name, labels, gold, inside.layers, scores, depths, change, attention, seed)
