"""How rows of unlike length go through a model: padded and masked, those of like length together."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

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
