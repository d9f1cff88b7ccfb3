"""UMAP's last step: stochastic gradient descent that lays a graph of neighbors out in the plane.

The steps are those of McInnes, Healy and Melville 2018 (§3.2, algorithm 5). What differs from umap-learn's
own loop is how they are computed: both forces are looked up in tables over the squared distance, and the
draws that push a point away are taken from one place of that point, so that none waits for the one before.
`benchmarks/map.py` prints time and quality beside umap-learn.
"""

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import spmatrix

EPOCHS = 400
PUSHES = 5
"""random points that each step along an edge pushes away from"""
FARTHEST = 4.0
"""a step's longest part along one axis, before the learning rate"""
SMALLEST_POWER, LARGEST_POWER, BINS_A_POWER = -24, 20, 7
"""the tables' range of squared distances as powers of two, and the binary digits of a bin within a power:
forces within 0.8 %
"""


def lay_out(
    graph: "spmatrix", start: np.ndarray, a: float, b: float, seed: int, epochs: int = EPOCHS
) -> np.ndarray:
    """Places [N, 2] float32 of a graph's points; the same seed gives the same places.

    graph: [N, N] symmetric, weights above 0. start: [N, 2]. a, b: of the curve 1 / (1 + a d^2b) that
    memberships in the plane follow. An edge is followed in that share of the epochs which its weight is of
    the largest; the learning rate falls from 1 to 0.
    """
    edges = graph.tocoo()
    rate = (edges.data / edges.data.max()).astype(np.float32)
    followed = rate * epochs >= 1
    xy = np.array(start, np.float32, order="C")
    _compiled()(xy, edges.row[followed], edges.col[followed], rate[followed], *forces(a, b), epochs, seed)
    return xy


@cache
def _compiled() -> Callable[..., None]:
    from numba import njit

    return njit(fastmath=True)(_descend)


def forces(a: float, b: float) -> tuple[np.ndarray, np.ndarray]:
    """What the difference of two points is multiplied by, pulling along an edge and pushing apart, in every
    bin of squared distance.
    """
    count = (LARGEST_POWER - SMALLEST_POWER) << BINS_A_POWER
    first = (127 + SMALLEST_POWER) << BINS_A_POWER
    middles = (
        (np.arange(first, first + count, dtype=np.int32) << (23 - BINS_A_POWER)) + (1 << (22 - BINS_A_POWER))
    ).view(np.float32)
    squared = middles.astype(np.float64)
    power = squared**b
    return (-2 * a * b * power / (squared * (1 + a * power))).astype(np.float32), (
        2 * b / ((0.001 + squared) * (1 + a * power))
    ).astype(np.float32)


def _descend(
    xy: np.ndarray,
    heads: np.ndarray,
    tails: np.ndarray,
    rate: np.ndarray,
    pull: np.ndarray,
    push: np.ndarray,
    epochs: int,
    seed: int,
) -> None:
    """Move the points [N, 2] in place. The bin of a squared distance is the head of its own bits: exponent
    and first digits of the mantissa.
    """
    shift: Any = 23 - BINS_A_POWER  # numba types it
    first, last = (127 + SMALLEST_POWER) << BINS_A_POWER, len(pull) - 1
    far, near = np.float32(FARTHEST), np.float32(-FARTHEST)
    points, state = np.uint64(len(xy)), np.uint64(2 * seed + 1)
    for epoch in range(epochs):
        step = np.float32(1 - epoch / epochs)
        for edge in range(len(heads)):
            if np.int64(np.float32(epoch + 1) * rate[edge]) == np.int64(np.float32(epoch) * rate[edge]):
                continue
            head, tail = heads[edge], tails[edge]
            x, y = xy[head, 0], xy[head, 1]
            dx, dy = x - xy[tail, 0], y - xy[tail, 1]
            force = pull[min(max((np.float32(dx * dx + dy * dy).view(np.int32) >> shift) - first, 0), last)]
            across, up = step * min(far, max(near, force * dx)), step * min(far, max(near, force * dy))
            x, y = x + across, y + up
            xy[tail, 0] -= across
            xy[tail, 1] -= up
            across, up = np.float32(0), np.float32(0)
            for _ in range(PUSHES):
                state = state * np.uint64(6364136223846793005) + np.uint64(
                    1442695040888963407
                )  # Knuth's linear congruential generator
                other = np.int64(((state >> np.uint64(33)) * points) >> np.uint64(31))
                if other == head:
                    continue
                dx, dy = x - xy[other, 0], y - xy[other, 1]
                force = push[
                    min(max((np.float32(dx * dx + dy * dy).view(np.int32) >> shift) - first, 0), last)
                ]
                across += min(far, max(near, force * dx))
                up += min(far, max(near, force * dy))
            xy[head, 0], xy[head, 1] = x + step * across, y + step * up
