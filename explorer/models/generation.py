"""Greedy generation: the likeliest piece, one after the other, with keys and values kept from step to
step.
"""

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from explorer.models.network import Attended, Network


def greedy(
    network: "Network", encoded: "list[Attended]", mask: torch.Tensor, longest: int
) -> list[list[int]]:
    """Pieces of each row up to the first that ends a text, that one included, and at most `longest`.

    encoded, mask [R, L]: what `Network.encode` gave and was given. Of equally likely pieces the first is
    taken.
    """
    ends = torch.tensor(network.architecture.ends, device=mask.device)
    padding = network.hidden(mask == 0)[:, None, None]
    piece = torch.full((len(mask), 1), network.architecture.start, device=mask.device)
    written, ended = [], torch.zeros(len(mask), dtype=torch.bool, device=mask.device)
    kept: list[Attended | None] = [None] * len(encoded)
    for step in range(longest):
        piece = _next(network, piece, step, kept, encoded, padding)
        written.append(piece)
        ended |= torch.isin(piece[:, 0], ends)
        if bool(ended.all()):
            break
    rows = torch.cat(written, dim=1).tolist()
    return [cut(row, network.architecture.ends) for row in rows]


def _next(
    network: "Network",
    piece: torch.Tensor,
    step: int,
    kept: "list[Attended | None]",
    encoded: "list[Attended]",
    padding: torch.Tensor,
) -> torch.Tensor:
    """The likeliest piece [R, 1] after `piece` [R, 1], number `step` of the decoder's input; its keys and
    values join `kept`.
    """
    y = network.embed(piece)
    seen = network.hidden(torch.zeros(1, 1, 1, step + 1, dtype=torch.bool, device=piece.device))
    biases = network.decoder.biases(1, step + 1, seen)
    for layer, (attention, across, feed_forward) in enumerate(network.decoder.layers):
        y = y.to(attention.out.device)
        own, before = attention.keys_and_values(attention.norm(y)), kept[layer]
        kept[layer] = attended = (
            own
            if before is None
            else (torch.cat([before[0], own[0]], dim=2), torch.cat([before[1], own[1]], dim=2))
        )
        y = attention(y, biases[layer], attended)
        y = feed_forward(across(y, padding.to(y.device), encoded[layer]))
    return network.logits(y)[:, -1].float().argmax(dim=-1, keepdim=True).to(piece.device)


def cut(row: list[int], ends: tuple[int, ...]) -> list[int]:
    """The pieces up to the first that ends a text, that one included."""
    place = next((place for place, piece in enumerate(row) if piece in ends), len(row))
    return row[: place + 1]
