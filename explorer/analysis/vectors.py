"""Vectors: rows of length 1, and exact FAISS indexes over the vocabulary's rows that never hold a second copy of a large table."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from explorer.analysis.memo import remembered
from explorer.vocabulary import Vocabulary

if TYPE_CHECKING:
    import faiss

    Index = TypeVar("Index", bound=faiss.IndexFlat)

ROWS_PER_BLOCK = 1024
"""rows of the vocabulary that are worked on at once, so that memory stays bounded"""


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1, zero rows left as they are: [N, H] float32. Norms are taken in double precision."""
    norms = np.sqrt(np.einsum("nh,nh->n", vectors, vectors, dtype=np.float64))
    norms = np.where(norms > 0, norms, 1)[:, None]
    if (norms > 1e-30).all() and (norms < 1e30).all():  # else single precision cannot hold the norms
        norms = norms.astype(np.float32)
    return (vectors / norms).astype(np.float32, copy=False)


def cosine_index(vocabulary: Vocabulary) -> "faiss.IndexFlatIP":
    """The searchable rows at length 1, in the order of their ids, built once."""
    return remembered(vocabulary, "cosine index", lambda: _cosine_index(vocabulary))


def _cosine_index(vocabulary: Vocabulary) -> "faiss.IndexFlatIP":
    import faiss

    return filled(faiss.IndexFlatIP(vocabulary.dimension), vocabulary.embedding, vocabulary.searchable_ids, lambda rows, _: unit(rows))


def filled(index: "Index", table: np.ndarray, rows: np.ndarray, change: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> "Index":
    """The index with the given rows of a table, changed in blocks: no second copy of a large table is ever in memory.

    `IndexFlat.add` would grow its storage by doubling. change: rows [R, H] and their ids [R] -> [R, d] float32, d the index's dimension.
    """
    import faiss

    faiss.cvar.distance_compute_blas_threshold = 1  # by default faiss 1.15 multiplies matrices only from 128,000 values on, several times as slow
    index.codes.resize(len(rows) * index.d * 4)
    storage = faiss.rev_swig_ptr(index.get_xb(), len(rows) * index.d).reshape(len(rows), index.d)
    for start in range(0, len(rows), ROWS_PER_BLOCK):
        ids = rows[start : start + ROWS_PER_BLOCK]
        storage[start : start + ROWS_PER_BLOCK] = change(table[ids], ids)
    index.ntotal = len(rows)
    return index


def rough_neighbors(vectors: np.ndarray, vocabulary: Vocabulary, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Cosines [M, k] and ids [M, k] of the searchable rows nearest to vectors [M, H] in single precision: near ties stand in any order."""
    ids = vocabulary.searchable_ids
    similarity, found = cosine_index(vocabulary).search(unit(vectors), min(k, len(ids)))
    return similarity, ids[found]
