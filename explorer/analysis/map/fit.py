"""The map: UMAP of the searchable vocabulary, fitted once per model. For looking, never for evidence.

Two prompts on one map are comparable; two maps are not. `placement` puts prompts on it. umap is imported by
`fit_map` only.
"""

import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from explorer.analysis.map.layout import lay_out
from explorer.analysis.vectors import ROWS_PER_BLOCK, unit
from explorer.errors import ExplorerError
from explorer.vocabulary import Vocabulary

Progress = Callable[[str], None]

LARGEST_COMPARED = 2**23
"""values of a vocabulary whose rows are all compared in full; in larger ones candidates are sought among
principal components
"""
LAYOUT = 2
"""which layout kept maps were made with; another one makes them anew"""
KEPT_WIDTH, CANDIDATES = 3, 8
"""the share of the width that candidates are sought in, 1 / 3, and how many there are to a neighbor"""
LARGEST_WHOLE = 2**28
"""values of a vocabulary that is mapped as it is (1 GiB); larger ones are reduced first"""
COMPONENTS = 128
"""principal components that such a one is reduced to"""

FITTING = threading.RLock()
"""numba's default threading layer crashes when two threads run UMAP at once; also, a map is never fitted
twice side by side
"""


@dataclass(frozen=True, eq=False, repr=False)
class VocabularyMap:
    """Places of the searchable vocabulary rows in the plane. Rows of one direction share the place of the
    lowest id.

    Raises ExplorerError when the arrays do not belong together.
    """

    token_ids: np.ndarray
    """[M] int64, ascending"""
    xy: np.ndarray
    """[M, 2] float32; distances on the map have no unit"""
    fingerprint: str
    """of the vocabulary"""
    n_neighbors: int
    min_dist: float
    seed: int

    def __post_init__(self) -> None:
        token_ids, xy = self.token_ids, self.xy
        if (
            token_ids.ndim != 1
            or token_ids.dtype.kind not in "iu"
            or len(token_ids) < 1
            or xy.shape != (len(token_ids), 2)
        ):
            raise ExplorerError(
                f"a map with ids of shape {token_ids.shape} and places of shape {xy.shape}; expected "
                "[M] integers and [M, 2]"
            )
        if xy.dtype.kind != "f" or not np.isfinite(xy).all():
            raise ExplorerError("a map with places that are no finite numbers; fit it again")

    def __repr__(self) -> str:
        """One line: rows and settings."""
        return (
            f"<VocabularyMap of {len(self.token_ids):,} rows: {self.n_neighbors} neighbors, minimal "
            f"distance {self.min_dist:g}, seed {self.seed}>"
        )

    def belongs_to(self, vocabulary: Vocabulary) -> bool:
        """Whether this is a map of that vocabulary's searchable rows."""
        return self.fingerprint == vocabulary.fingerprint and bool(
            self.token_ids.min() >= 0
            and self.token_ids.max() < len(vocabulary)
            and vocabulary.searchable[self.token_ids].all()
        )


def fit_map(
    vocabulary: Vocabulary,
    n_neighbors: int = 15,
    min_dist: float = 0.1,
    seed: int = 0,
    progress: Progress | None = None,
) -> VocabularyMap:
    """UMAP (cosine) of the searchable rows, from their nearest neighbors (see `nearest_among`); the same seed
    gives the same map.

    n_neighbors: fewer when the vocabulary is smaller. Some seconds for 16,000 rows. Duplicate directions are
    dropped, since UMAP is not deterministic with them. Raises ExplorerError for fewer than four distinct rows
    or settings out of range. Source: McInnes, Healy and Melville 2018.
    """
    if n_neighbors < 2 or not 0 <= min_dist <= 1 or seed < 0:
        raise ExplorerError(
            f"found n_neighbors {n_neighbors}, min_dist {min_dist}, seed {seed}; expected at least 2, "
            "0 to 1, and 0 or more"
        )
    tell = progress or (lambda message: None)
    token_ids = _distinct(vocabulary)
    if len(token_ids) < 4:
        raise ExplorerError(
            f"{vocabulary.name}: {len(token_ids)} different rows stand for text; expected at least 4 "
            "to draw a map"
        )
    neighbors = min(n_neighbors, len(token_ids) - 1)
    if len(token_ids) * vocabulary.dimension > LARGEST_WHOLE:
        tell(
            f"map of {vocabulary.name}: {len(token_ids):,} rows of width {vocabulary.dimension:,} are "
            f"taken to {COMPONENTS} principal components first"
        )
        rows = principal(vocabulary, token_ids, COMPONENTS)
    else:
        rows = unit(vocabulary.embedding[token_ids])
    with FITTING:
        tell(f"map of {vocabulary.name}: the {neighbors} nearest of each of {len(rows):,} rows")
        distances, found = nearest_among(rows, neighbors)
        distances[found == np.arange(len(rows))[:, None]] = (
            0  # to itself; else UMAP takes the rounding for the nearest distance
        )
        tell("fitting UMAP (some seconds for 16,000 rows; once per model, then it is kept)")
        xy = _umap(rows, found, distances, min_dist, seed)
        tell("the map is ready")
    return VocabularyMap(token_ids, xy, vocabulary.fingerprint, neighbors, min_dist, seed)


def _distinct(vocabulary: Vocabulary) -> np.ndarray:
    """[M] int64 ids, ascending: of the searchable rows of one direction the first."""
    first: dict[bytes, int] = {}
    for block in _blocks(vocabulary.searchable_ids):
        for token_id, row in zip(block, unit(vocabulary.embedding[block]), strict=True):
            first.setdefault(hashlib.blake2b(row, digest_size=16).digest(), int(token_id))
    return np.array(list(first.values()), np.int64)


def principal(vocabulary: Vocabulary, token_ids: np.ndarray, components: int) -> np.ndarray:
    """The rows at length 1, reduced to their first principal directions (uncentered, as cosine is) and scaled
    to length 1 again: [M, components] float32. Works block by block.
    """
    moment = np.zeros((vocabulary.dimension, vocabulary.dimension))
    for block in _blocks(token_ids):
        rows = unit(vocabulary.embedding[block])
        moment += rows.T @ rows  # a block in single precision, their sum in double
    directions = np.linalg.eigh(moment)[1][:, : -components - 1 : -1].astype(np.float32)
    return np.concatenate(
        [unit(unit(vocabulary.embedding[block]) @ directions) for block in _blocks(token_ids)]
    )


def _blocks(token_ids: np.ndarray) -> Iterator[np.ndarray]:
    return (token_ids[start : start + ROWS_PER_BLOCK] for start in range(0, len(token_ids), ROWS_PER_BLOCK))


def _umap(
    rows: np.ndarray, found: np.ndarray, distances: np.ndarray, min_dist: float, seed: int
) -> np.ndarray:
    """UMAP's layout [M, 2] float32 of unit rows with known neighbors [M, n], themselves first, and cosine
    distances.
    """
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Tensorflow not installed", ImportWarning)
        warnings.filterwarnings(
            "ignore", r"precomputed_knn\[2\]", UserWarning
        )  # the search index is for transform, which is not used
        warnings.filterwarnings(
            "ignore", "Spectral initiali[sz]ation failed", UserWarning
        )  # it then starts at random, seeded
        warnings.filterwarnings(
            "ignore", category=DeprecationWarning
        )  # numba's and scikit-learn's own, from inside umap
        warnings.filterwarnings("ignore", category=FutureWarning)
        from umap import UMAP
        from umap.umap_ import find_ab_params

        begun = UMAP(
            n_neighbors=found.shape[1],
            metric="cosine",
            random_state=seed,
            n_jobs=1,
            n_epochs=0,  # the graph and where its points start
            precomputed_knn=(found.astype(np.int32), distances.astype(np.float32)),
            init="spectral" if len(rows) > 50 else "random",  # too few rows for UMAP's eigenvector solver
        ).fit(rows)
    a, b = find_ab_params(begun.spread, min_dist)
    return lay_out(begun.graph_, begun.embedding_, a, b, seed)


def nearest_among(rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Cosine distances [M, k] of unit rows [M, H] to their nearest among them, 0…2, ascending, and the
    numbers [M, k] of these.

    Exact; of large tables those of the candidates are, which are nearly always all (`benchmarks/map.py`
    prints what share).
    """
    import faiss

    rows = np.ascontiguousarray(rows)
    index: faiss.Index = faiss.IndexFlatIP(rows.shape[1])
    if rows.size > LARGEST_COMPARED:
        directions = np.linalg.eigh(rows.T @ rows)[1][:, : -1 - rows.shape[1] // KEPT_WIDTH : -1].T
        turn = faiss.LinearTransform(directions.shape[1], len(directions))
        faiss.copy_array_to_vector(directions.astype(np.float32).ravel(), turn.A)
        turn.is_trained = True
        index = refined = faiss.IndexRefineFlat(
            faiss.IndexPreTransform(turn, faiss.IndexFlatIP(len(directions)))
        )
        refined.k_factor = CANDIDATES
    index.add(rows)
    cosine, found = index.search(rows, k)
    return (1 - cosine).clip(0, 2), found
