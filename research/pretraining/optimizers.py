"""Muon for the matrices, AdamW for embeddings and scales, and a cap on the size of each matrix.

Muon (Jordan et al. 2024) learns several times as much from a token here as AdamW, but left alone it doubles
queries and keys within 1,500 steps: attention saturates, and no prompt can steer the model, however good its
losses. The cap prevents that.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from transformers import T5ForConditionalGeneration

QUERY_KEY_CAP, CAP = 1.15, 1.5
"""largest root mean square of a matrix, in units of that at initialization"""


@dataclass(frozen=True)
class Optimizers:
    """The two optimizers of a model and the caps of its matrices, stepped together."""

    muon: "torch.optim.Muon"
    """parameter groups: matrices, queries"""
    adamw: "torch.optim.AdamW"
    """parameter groups: scales and biases, embedding table"""
    caps: "list[tuple[torch.Tensor, float]]"
    """(matrix, largest root mean square)"""
    rates: tuple[float, ...]
    """full learning rate of each parameter group"""

    def step(self, factor: float) -> None:
        """One step of both at `factor` times their full rates; gradients are cleared."""
        groups = [*self.muon.param_groups, *self.adamw.param_groups]
        for group, rate in zip(groups, self.rates, strict=True):
            group["lr"] = rate * factor
        for optimizer in (self.muon, self.adamw):
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        _shrink(self.caps)

    def state_dict(self) -> list[dict]:
        """States of Muon and AdamW, in this order."""
        return [self.muon.state_dict(), self.adamw.state_dict()]

    def load_state_dict(self, states: list[dict]) -> None:
        """Go on from `state_dict`."""
        for optimizer, state in zip((self.muon, self.adamw), states, strict=True):
            optimizer.load_state_dict(state)


def optimizers(model: "T5ForConditionalGeneration", matrix_rate: float, embedding_rate: float) -> Optimizers:
    """Optimizers of a T5.

    T5 folds the 1/√d of attention into the query weights, which are therefore √d smaller than others, while
    Muon's steps are as large as its rate: their rate is 1/√d of the others', so that attention does not
    saturate.
    """
    import torch

    matrices, queries, scales = [], [], []
    for name, parameter in model.named_parameters():
        if parameter is model.shared.weight:
            continue
        if parameter.ndim == 2 and "relative_attention_bias" not in name:
            (queries if name.endswith("Attention.q.weight") else matrices).append(parameter)
        else:
            scales.append(parameter)
    query_rate = matrix_rate / math.sqrt(model.config.d_kv)
    groups = [{"params": matrices, "lr": matrix_rate}, {"params": queries, "lr": query_rate}]
    muon = torch.optim.Muon(
        groups,
        lr=matrix_rate,
        momentum=0.95,
        nesterov=True,
        weight_decay=0.01,
        adjust_lr_fn="match_rms_adamw",
    )
    groups = [
        {"params": scales, "lr": embedding_rate},
        {"params": [model.shared.weight], "lr": embedding_rate},
    ]
    adamw = torch.optim.AdamW(groups, lr=embedding_rate, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
    return Optimizers(muon, adamw, caps(model), (matrix_rate, query_rate, embedding_rate, embedding_rate))


def caps(model: "T5ForConditionalGeneration") -> "list[tuple[torch.Tensor, float]]":
    """(matrix, largest root mean square) of every matrix of attention and feed-forward.

    The root mean square at T5's initialization times 1.15 for queries and keys, 1.5 for the others.
    """
    width, key, inner = model.config.d_model, model.config.d_kv, model.config.d_ff
    initial = {"q": (width * key) ** -0.5, "k": width**-0.5, "v": width**-0.5, "o": width**-0.5}
    initial |= {"wi_0": width**-0.5, "wi_1": width**-0.5, "wo": inner**-0.5}
    kinds = [
        (parameter, name.split(".")[-2])
        for name, parameter in model.named_parameters()
        if parameter.ndim == 2
    ]
    return [
        (matrix, initial[kind] * (QUERY_KEY_CAP if kind in "qk" else CAP))
        for matrix, kind in kinds
        if kind in initial
    ]


def _shrink(capped: "list[tuple[torch.Tensor, float]]") -> None:
    import torch

    with torch.no_grad():
        for matrix, largest in capped:
            matrix.mul_((largest / matrix.square().mean().sqrt()).clamp(max=1.0))
