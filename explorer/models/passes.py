"""How rows of unlike length go through a model: padded and masked, those of like length together."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from explorer.models.placement import POSITIONS_PER_ROW

if TYPE_CHECKING:
    import torch


def attention_mask(lengths: "torch.Tensor", longest: int) -> "torch.Tensor":
    """1 where a row of `lengths` [R] has an entry, 0 where it is padded at the right: [R, longest] int64."""
    import torch

    return (torch.arange(longest, device=lengths.device) < lengths[:, None]).long()


def split_by_length(
    lengths: np.ndarray, rows: int = 64, positions: int = 64 * POSITIONS_PER_ROW
) -> Iterator[np.ndarray]:
    """Row numbers in passes of like length: each has at most `rows` rows and, padded, `positions` positions
    (or one row).

    lengths: [R] int64. Rows of like length together waste little on padding, which is masked and changes no
    result.
    """
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        count = max(1, min(rows, positions // max(1, int(lengths[order[start]]))))
        yield order[start : start + count]
        start += count


def cut(row: list[int], ends: tuple[int, ...]) -> list[int]:
    """The pieces up to the first that ends a text, that one included."""
    place = next((place for place, piece in enumerate(row) if piece in ends), len(row))
    return row[: place + 1]


def greedy_behind(
    network: Any, encoded: Any, mask: "torch.Tensor", front: "torch.Tensor", longest: int
) -> list[list[int]]:
    """What a T5 writes behind vectors [D, H] before the decoder's input: pieces of each row up to the first
    that ends a text, at most `longest`.
    """
    import torch

    front = front.expand(len(mask), -1, -1)
    written = torch.zeros(len(mask), 1, dtype=torch.long, device=mask.device)  # the last is filler
    for _ in range(longest):
        piece = network.target_logits(encoded, mask, written, front=front)[:, -1:].float().argmax(dim=-1)
        written = torch.cat([written[:, :-1], piece.to(mask.device), written[:, :1]], dim=1)
    return [cut(row[:-1], network.architecture.ends) for row in written.tolist()]
