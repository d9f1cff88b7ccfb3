"""Vectors: rows of length 1, and exact FAISS indexes over the vocabulary's rows that never hold a second copy
of a large table.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np

from explorer.cached import cached
from explorer.vocabulary import Vocabulary

if TYPE_CHECKING:
    import faiss

    Index = TypeVar("Index", bound=faiss.IndexFlat)

ROWS_PER_BLOCK = 1024
"""rows of the vocabulary that are worked on at once, so that memory stays bounded"""
SOON_DONE = 2**32
"""products of two numbers that one core takes about a tenth of a second for"""
MANY, STRETCH, PRODUCTS_AT_ONCE = 64, 64, 2**23
"""queries from which on `rough_search` does it its own way; rows of an index that are looked through
together; products in memory at once
"""
SMALLEST_ENERGY = 1e-9
"""of a direction, in units of the mean: directions that no row has are not blown up beyond what single
precision holds
"""
LARGEST_SQUARED = 1e15
"""beyond it single precision cannot hold sums of squares"""


Space = Literal["cosine", "whitened"]
"""where directions are compared: as they are, or whitened"""


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1, zero rows left as they are: [N, H] float32. Norms are taken in double
    precision.
    """
    norms = np.sqrt(np.einsum("nh,nh->n", vectors, vectors, dtype=np.float64))
    norms = np.where(norms > 0, norms, 1)[:, None]
    if (norms > 1e-30).all() and (norms < 1e30).all():  # else single precision cannot hold the norms
        norms = norms.astype(np.float32)
    return (vectors / norms).astype(np.float32, copy=False)


def directionless(vectors: np.ndarray) -> np.ndarray:
    """[N] bool: vectors [N, H] of zeros. They are as near to everything, so they have no nearest rows and no
    label ranks at them.
    """
    return np.logical_not(np.asarray(vectors).any(axis=1))


def cosine_index(vocabulary: Vocabulary) -> "faiss.IndexFlatIP":
    """The searchable rows at length 1, in the order of their ids, built once."""
    return cached(vocabulary, "cosine index", lambda: _cosine_index(vocabulary))


def _cosine_index(vocabulary: Vocabulary) -> "faiss.IndexFlatIP":
    import faiss

    return filled(
        faiss.IndexFlatIP(vocabulary.dimension),
        vocabulary.embedding,
        vocabulary.searchable_ids,
        lambda rows, _: unit(rows),
    )


def filled(
    index: "Index",
    table: np.ndarray,
    rows: np.ndarray,
    change: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> "Index":
    """The index with the given rows of a table, changed in blocks: no second copy of a large table is ever in
    memory.

    `IndexFlat.add` would grow its storage by doubling. change: rows [R, H] and their ids [R] -> [R, d]
    float32, d the index's dimension.
    """
    import faiss

    faiss.cvar.distance_compute_blas_threshold = (
        1  # by default faiss 1.15 multiplies matrices only from 128,000 values on, several times as slow
    )
    index.codes.resize(len(rows) * index.d * 4)
    storage = faiss.rev_swig_ptr(index.get_xb(), len(rows) * index.d).reshape(len(rows), index.d)
    for start in range(0, len(rows), ROWS_PER_BLOCK):
        ids = rows[start : start + ROWS_PER_BLOCK]
        storage[start : start + ROWS_PER_BLOCK] = change(table[ids], ids)
    index.ntotal = len(rows)
    return index


@dataclass(frozen=True, eq=False, repr=False)
class Whitening:
    """A linear map after which the searchable rows have the same energy in every direction (Mu and Viswanath
    2018; Su et al. 2021).
    """

    matrix: np.ndarray
    """[H, H] float32, symmetric: the inverse root of the rows' shrunk second moment about the origin"""
    shrinkage: float
    """0…1, share of the isotropic part in that moment (Ledoit and Wolf 2004)"""

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        """Directions of vectors [N, H] in the whitened space: [N, H] float32 of length 1, zero rows left as
        they are.
        """
        return unit(unit(vectors) @ self.matrix)


def whitening(vocabulary: Vocabulary) -> Whitening:
    """The whitening of a vocabulary, computed once.

    W = ((1 − ρ) S + ρ μ I)^(−1/2) with S = EᵀE / V over the searchable rows E, μ the mean eigenvalue of S.
    About the origin, so that a token's length does not matter. ρ is the shrinkage that minimizes the expected
    squared error of the moment (Ledoit and Wolf 2004), which a table of fewer rows than dimensions needs; it
    is no choice of ours.
    """
    return cached(vocabulary, "whitening", lambda: _whitening(vocabulary), Whitening)


def second_moment(vocabulary: Vocabulary) -> np.ndarray:
    """S = EᵀE / V of the searchable rows E, about the origin: [H, H] float64, computed once."""
    return _both_moments(vocabulary)[0]


def _both_moments(vocabulary: Vocabulary) -> tuple[np.ndarray, float]:
    return cached(vocabulary, "moments", lambda: _moments(vocabulary), tuple[np.ndarray, float])


def _moments(vocabulary: Vocabulary) -> tuple[np.ndarray, float]:
    """The second moment [H, H], and the mean of ‖v‖⁴ over the searchable rows v."""
    rows, width = vocabulary.searchable_ids, vocabulary.dimension
    moment, fourth = np.zeros((width, width)), 0.0
    for start in range(0, len(rows), ROWS_PER_BLOCK):
        block = vocabulary.embedding[rows[start : start + ROWS_PER_BLOCK]].astype(np.float32)
        if np.abs(block).max() > LARGEST_SQUARED:
            block = block.astype(np.float64)
        moment += block.T @ block  # products in single precision, their sum in double
        fourth += float((np.einsum("rh,rh->r", block, block, dtype=np.float64) ** 2).sum())
    return moment / len(rows), fourth / len(rows)


def _whitening(vocabulary: Vocabulary) -> Whitening:
    rows, width = vocabulary.searchable_ids, vocabulary.dimension
    moment, fourth = _both_moments(vocabulary)
    mean, energy = np.trace(moment) / width, float((moment**2).sum())
    if not mean > 0:
        return Whitening(np.eye(width, dtype=np.float32), 1.0)
    apart = energy - width * mean**2  # ‖S − μI‖²
    noise = (fourth - energy) / len(rows)  # expected ‖S − Σ‖²
    shrinkage = float(np.clip(noise / apart, 0.0, 1.0)) if apart > 0 else 1.0
    values, directions = np.linalg.eigh((1 - shrinkage) * moment + shrinkage * mean * np.eye(width))
    values = values.clip(min=SMALLEST_ENERGY * mean)
    return Whitening(((directions / np.sqrt(values / mean)) @ directions.T).astype(np.float32), shrinkage)


def index_of(vocabulary: Vocabulary, space: Space) -> "faiss.IndexFlatIP":
    """The searchable rows as directions of a space, in the order of their ids, built once."""
    return (
        cosine_index(vocabulary)
        if space == "cosine"
        else cached(vocabulary, "whitened index", lambda: _whitened_index(vocabulary))
    )


def _whitened_index(vocabulary: Vocabulary) -> "faiss.IndexFlatIP":
    import faiss

    white = whitening(vocabulary)
    return filled(
        faiss.IndexFlatIP(vocabulary.dimension),
        vocabulary.embedding,
        vocabulary.searchable_ids,
        lambda rows, _: white(rows),
    )


def directions(vectors: np.ndarray, vocabulary: Vocabulary, space: Space) -> np.ndarray:
    """Vectors [N, H] as directions of a space: [N, H] float32 of length 1."""
    return unit(vectors) if space == "cosine" else whitening(vocabulary)(vectors)


def stored_rows(index: "faiss.IndexFlat") -> np.ndarray:
    """The rows that a flat index holds, without a copy: [R, d] float32."""
    import faiss

    return faiss.rev_swig_ptr(index.get_xb(), index.ntotal * index.d).reshape(index.ntotal, index.d)


def exact_search(index: "faiss.IndexFlat", queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores [M, k] and places [M, k] of the rows of an index nearest to queries [M, d], by FAISS; on one
    thread where that is soon done.

    Helpers for a few milliseconds of work keep each other waiting where several visitors of the dashboard ask
    at once: with two cores and ten visitors they took most of the time (`benchmarks/dashboard.py many`).
    """
    import faiss

    threads = faiss.omp_get_max_threads()
    if len(queries) * index.ntotal * index.d < SOON_DONE:
        faiss.omp_set_num_threads(1)
    try:
        return index.search(np.ascontiguousarray(queries), k)
    finally:
        faiss.omp_set_num_threads(threads)


def rough_search(index: "faiss.IndexFlat", queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k largest inner products [M, k] of queries [M, H] with the rows of an index of inner products,
    falling, and the rows' places [M, k].

    For thousands of queries most of FAISS's time goes into keeping the best of each; here a row of products
    is cut into stretches, and the k best are sought in the k stretches with the largest maxima alone, which
    must hold them (`benchmarks/search.py`: about three times as fast).
    """
    if len(queries) < MANY or index.ntotal < 4 * k * STRETCH:
        return exact_search(index, queries, k)
    rows, whole = stored_rows(index), index.ntotal // STRETCH * STRETCH
    at_once = max(MANY, PRODUCTS_AT_ONCE // index.ntotal)
    within, rest = np.arange(STRETCH), np.arange(whole, index.ntotal)
    best, places = np.empty((len(queries), k), np.float32), np.empty((len(queries), k), np.int64)
    for start in range(0, len(queries), at_once):
        block = slice(start, start + at_once)
        products = queries[block] @ rows.T
        largest = products[:, :whole].reshape(len(products), -1, STRETCH).max(axis=2)
        chosen = np.argpartition(largest, -k, axis=1)[:, -k:]
        near = (chosen[:, :, None] * STRETCH + within).reshape(len(products), -1)
        near = np.concatenate([near, np.broadcast_to(rest, (len(products), len(rest)))], axis=1)
        found = np.take_along_axis(products, near, axis=1)
        top = np.argpartition(found, -k, axis=1)[:, -k:]
        order = np.take_along_axis(
            top, np.argsort(-np.take_along_axis(found, top, axis=1), axis=1, kind="stable"), axis=1
        )
        best[block], places[block] = (
            np.take_along_axis(found, order, axis=1),
            np.take_along_axis(near, order, axis=1),
        )
    return best, places


def rough_neighbors(
    vectors: np.ndarray, vocabulary: Vocabulary, k: int, space: Space = "cosine"
) -> tuple[np.ndarray, np.ndarray]:
    """Cosines [M, k] in a space and ids [M, k] of the searchable rows nearest to vectors [M, H], in single
    precision: near ties stand in any order.
    """
    ids = vocabulary.searchable_ids
    similarity, found = rough_search(
        index_of(vocabulary, space), directions(vectors, vocabulary, space), min(k, len(ids))
    )
    return similarity, ids[found]
