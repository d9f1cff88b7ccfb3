"""The map: UMAP of the searchable vocabulary, fitted once per model, on which prompts are placed. For looking, never for evidence.

Two prompts on one map are comparable; two maps are not. umap is imported by `fit_map` only: placing needs none of it.
"""

import contextlib
import hashlib
import os
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from explorer.analysis.hubness import cosine_index, unit
from explorer.analysis.nulls import ROWS_PER_BLOCK
from explorer.errors import ExplorerError, PromptError
from explorer.prompt import SoftPrompt
from explorer.vocabulary import Vocabulary

Progress = Callable[[str], None]

MAP_FILE = "map.npz"
"""a map shipped with a model lies in its folder under this name"""
SAME_DIRECTION = 1e-6
"""cosine distance at which a vector counts as a row itself and is given that row's place"""

LARGEST_WHOLE = 2**28
"""values of a vocabulary that is mapped as it is (1 GiB); larger ones are reduced first"""
COMPONENTS = 128
"""principal components that a larger one is reduced to"""

_umap_lock = threading.RLock()
"""numba's default threading layer crashes when two threads run UMAP at once; also, a map is never fitted twice side by side"""


@dataclass(frozen=True, eq=False)
class VocabularyMap:
    """Places of the searchable vocabulary rows in the plane. Rows of one direction share the place of the lowest id.

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
        if token_ids.ndim != 1 or token_ids.dtype.kind not in "iu" or len(token_ids) < 1 or xy.shape != (len(token_ids), 2):
            raise ExplorerError(f"a map with ids of shape {token_ids.shape} and places of shape {xy.shape}; expected [M] integers and [M, 2]")
        if xy.dtype.kind != "f" or not np.isfinite(xy).all():
            raise ExplorerError("a map with places that are no finite numbers; fit it again")

    def save(self, path: Path) -> None:
        """Write the map as an .npz file that appears whole or not at all. Raises ExplorerError when it cannot be written."""
        partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                np.savez_compressed(
                    file,
                    token_ids=self.token_ids.astype(np.int64),
                    xy=self.xy.astype(np.float32),
                    fingerprint=np.array(self.fingerprint),
                    settings=np.array([self.n_neighbors, self.min_dist, self.seed], np.float64),
                )
            os.replace(partial, path)
        except OSError as error:
            raise ExplorerError(f"{path}: the map cannot be written ({error.strerror or error}); choose another place") from error
        finally:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)

    @classmethod
    def read(cls, path: Path) -> "VocabularyMap":
        """Read a map that `save` wrote; nothing in the file is executed. Raises ExplorerError when it is damaged or no map."""
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:  # given a path, NumPy leaves damaged files open
                n_neighbors, min_dist, seed = (float(value) for value in stored["settings"])
                return cls(stored["token_ids"], stored["xy"], str(stored["fingerprint"]), int(n_neighbors), min_dist, int(seed))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
            raise ExplorerError(f"{path}: cannot be read as a map ({error}); delete it and the map is fitted again") from error

    def belongs_to(self, vocabulary: Vocabulary) -> bool:
        """Whether this is a map of that vocabulary's searchable rows."""
        return self.fingerprint == vocabulary.fingerprint and bool(
            self.token_ids.min() >= 0 and self.token_ids.max() < len(vocabulary) and vocabulary.searchable[self.token_ids].all()
        )


def fit_map(
    vocabulary: Vocabulary, n_neighbors: int = 15, min_dist: float = 0.1, seed: int = 0, progress: Progress | None = None
) -> VocabularyMap:
    """UMAP (cosine) of the searchable rows, from their exact nearest neighbors; the same seed gives the same map.

    n_neighbors: fewer when the vocabulary is smaller. About a minute for 16,000 rows. Duplicate directions are dropped, since
    UMAP is not deterministic with them. Raises ExplorerError for fewer than four distinct rows or settings out of range.
    Source: McInnes, Healy and Melville 2018.
    """
    if n_neighbors < 2 or not 0 <= min_dist <= 1 or seed < 0:
        raise ExplorerError(f"found n_neighbors {n_neighbors}, min_dist {min_dist}, seed {seed}; expected at least 2, 0 to 1, and 0 or more")
    tell = progress or (lambda message: None)
    token_ids = _distinct(vocabulary)
    if len(token_ids) < 4:
        raise ExplorerError(f"{vocabulary.name}: {len(token_ids)} different rows stand for text; expected at least 4 to draw a map")
    neighbors = min(n_neighbors, len(token_ids) - 1)
    if len(token_ids) * vocabulary.dimension > LARGEST_WHOLE:
        tell(f"map of {vocabulary.name}: {len(token_ids):,} rows of width {vocabulary.dimension:,} are taken to {COMPONENTS} principal components first")
        rows = _principal(vocabulary, token_ids, COMPONENTS)
    else:
        rows = unit(vocabulary.embedding[token_ids])
    with _umap_lock:
        tell(f"map of {vocabulary.name}: the {neighbors} nearest of each of {len(rows):,} rows")
        distances, found = _nearest(rows, rows, neighbors)
        tell("fitting UMAP (about a minute for 16,000 rows; once per model, then it is kept)")
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


def _principal(vocabulary: Vocabulary, token_ids: np.ndarray, components: int) -> np.ndarray:
    """The rows at length 1, reduced to their first principal directions (uncentered, as cosine is) and scaled to length 1 again:
    [M, components] float32. Works block by block.
    """
    moment = np.zeros((vocabulary.dimension, vocabulary.dimension))
    for block in _blocks(token_ids):
        rows = unit(vocabulary.embedding[block])
        moment += rows.T @ rows  # a block in single precision, their sum in double
    directions = np.linalg.eigh(moment)[1][:, : -components - 1 : -1].astype(np.float32)
    return np.concatenate([unit(unit(vocabulary.embedding[block]) @ directions) for block in _blocks(token_ids)])


def _blocks(token_ids: np.ndarray) -> Iterator[np.ndarray]:
    return (token_ids[start : start + ROWS_PER_BLOCK] for start in range(0, len(token_ids), ROWS_PER_BLOCK))


def _umap(rows: np.ndarray, found: np.ndarray, distances: np.ndarray, min_dist: float, seed: int) -> np.ndarray:
    """UMAP's layout [M, 2] float32 of unit rows with known neighbors [M, n] and cosine distances."""
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Tensorflow not installed", ImportWarning)
        warnings.filterwarnings("ignore", r"precomputed_knn\[2\]", UserWarning)  # the search index is for transform, which is not used
        warnings.filterwarnings("ignore", "Spectral initiali[sz]ation failed", UserWarning)  # it then starts at random, seeded
        warnings.filterwarnings("ignore", category=DeprecationWarning)  # numba's and scikit-learn's own, from inside umap
        warnings.filterwarnings("ignore", category=FutureWarning)
        from umap import UMAP

        fit = UMAP(
            n_neighbors=found.shape[1],
            min_dist=min_dist,
            metric="cosine",
            random_state=seed,
            n_jobs=1,
            precomputed_knn=(found.astype(np.int32), distances.astype(np.float32)),
            init="spectral" if len(rows) > 50 else "random",  # too few rows for UMAP's eigenvector solver
        )
        return np.ascontiguousarray(fit.fit_transform(rows), np.float32)


def _nearest(vectors: np.ndarray, rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Cosine distances [Q, k] of unit vectors to their nearest unit rows, 0…2, ascending, and the rows' numbers [Q, k]."""
    import faiss

    index = faiss.IndexFlatIP(rows.shape[1])
    index.add(np.ascontiguousarray(rows))
    cosine, found = index.search(np.ascontiguousarray(vectors), k)
    return (1 - cosine).clip(0, 2), found


def load_map(vocabulary: Vocabulary, progress: Progress | None = None) -> VocabularyMap:
    """The map of a vocabulary: shipped in the model's folder, else kept in the user's cache, else fitted now and kept.

    A map of another vocabulary and a damaged file are passed over, which `progress` is told. The cache lies in
    `$XDG_CACHE_HOME/soft-prompt-explorer/maps`, or below `~/.cache`; where it cannot be written the map is not kept.
    """
    cached = _cache_file(vocabulary)
    with _umap_lock:
        for path in (None if vocabulary.path is None else vocabulary.path / MAP_FILE, cached):
            if path is not None and path.is_file():
                try:
                    known = VocabularyMap.read(path)
                except ExplorerError as error:
                    reason = str(error)
                else:
                    if known.belongs_to(vocabulary):
                        return known
                    reason = f"{path}: a map of another vocabulary"
                if progress is not None:
                    progress(f"passed over: {reason}")
        fitted = fit_map(vocabulary, progress=progress)
        if cached is not None:
            try:
                fitted.save(cached)
            except ExplorerError as error:
                if progress is not None:
                    progress(f"the map is not kept: {error}")
        return fitted


def _cache_file(vocabulary: Vocabulary) -> Path | None:
    """Where this vocabulary's map is kept; None for a user without a home."""
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:
        return None
    return cache / "soft-prompt-explorer" / "maps" / f"{vocabulary.fingerprint}-cosine-15-0.1-0.npz"


@dataclass(frozen=True, eq=False)
class Places:
    """Where vectors come to lie on a map."""

    xy: np.ndarray
    """[Q, 2] float32"""
    trust: np.ndarray
    """[Q] float32, 0…1, higher is better: the share of a vector's nearest rows that are also its nearest on the map"""


def place(vectors: np.ndarray, vocabulary: Vocabulary, vocabulary_map: VocabularyMap) -> Places:
    """Places of new vectors [Q, H]: the mean of their exact nearest rows' places, weighted by UMAP's fuzzy memberships.

    A vector in the direction of a row gets that row's place, as in UMAP's own transform. Distances and trust use
    `n_neighbors` rows. Raises PromptError when the widths differ and ExplorerError for a map of another vocabulary.
    """
    vocabulary.check_width(vectors, "vectors")
    if not vocabulary_map.belongs_to(vocabulary):
        raise ExplorerError(f"the map belongs to another vocabulary than {vocabulary.name}; load or fit the map of this one")
    distances, found = _nearest_on_map(unit(np.asarray(vectors, np.float32)), vocabulary, vocabulary_map)
    weights = _memberships(distances)
    hit = distances[:, 0] <= SAME_DIRECTION
    weights[hit] = np.eye(1, weights.shape[1])
    weights /= weights.sum(axis=1, keepdims=True)
    xy = np.einsum("qk,qkd->qd", weights, vocabulary_map.xy[found].astype(np.float64)).astype(np.float32)
    return Places(xy, _trust(xy, found, vocabulary_map.xy))


def _nearest_on_map(vectors: np.ndarray, vocabulary: Vocabulary, vocabulary_map: VocabularyMap) -> tuple[np.ndarray, np.ndarray]:
    """As `_nearest` among the rows that are on the map; numbers count the map's rows."""
    ids, searchable = vocabulary_map.token_ids, vocabulary.searchable_ids
    k, index = min(vocabulary_map.n_neighbors, len(ids)), cosine_index(vocabulary)
    off_map = len(searchable) - len(ids)  # duplicates of rows that are on it
    cosine, found = index.search(np.ascontiguousarray(vectors), min(k + off_map, len(searchable)))
    number = np.full(len(searchable), -1, np.int64)
    number[np.searchsorted(searchable, ids)] = np.arange(len(ids))
    numbers = number[found]
    kept = np.argsort(numbers < 0, axis=1, kind="stable")[:, :k]
    return (1 - np.take_along_axis(cosine, kept, 1)).clip(0, 2), np.take_along_axis(numbers, kept, 1)


def _memberships(distances: np.ndarray) -> np.ndarray:
    """UMAP's fuzzy memberships of each vector's k nearest rows, from ascending distances [Q, k]: [Q, k] float64, the first is 1.

    w = exp(−(d − ρ) / σ), ρ the distance to the nearest, σ such that they sum to log2(k) (`smooth_knn_dist` of McInnes et al.).
    """
    distances = distances.astype(np.float64)
    beyond, k = distances - distances[:, :1], distances.shape[1]
    low, high = np.full(len(distances), 1e-3) * distances.mean(axis=1) + 1e-12, np.full(len(distances), 1e3)
    for _ in range(64):  # halving in logarithms: σ spans many orders of magnitude
        middle = np.sqrt(low * high)
        enough = np.exp(-beyond / middle[:, None]).sum(axis=1) > np.log2(k)
        high, low = np.where(enough, middle, high), np.where(enough, low, middle)
    return np.exp(-beyond / np.sqrt(low * high)[:, None])


def _trust(xy: np.ndarray, found: np.ndarray, map_xy: np.ndarray) -> np.ndarray:
    """Share of the rows `found` [Q, k] among the k rows nearest to xy [Q, 2] on the map: [Q] float32."""
    import faiss

    index = faiss.IndexFlatL2(2)
    center = map_xy.mean(axis=0)  # FAISS subtracts squares: the smaller the coordinates the better
    index.add(np.ascontiguousarray(map_xy - center))
    _, nearest = index.search(np.ascontiguousarray(xy - center), found.shape[1])
    return np.array([np.isin(true, drawn).mean() for true, drawn in zip(found, nearest, strict=True)], np.float32)


@dataclass(frozen=True, eq=False)
class Placement:
    """A prompt, its initial vectors or class labels on the map."""

    prompt: str
    """name; empty for labels"""
    kind: Literal["prompt", "label", "initial"]
    names: tuple[str, ...]
    """[Q] what each point is called: its nearest piece, or the label"""
    positions: np.ndarray
    """[Q] int64, from 0"""
    xy: np.ndarray
    """[Q, 2] float32"""
    trust: np.ndarray
    """[Q] float32, 0…1, see Places"""

    def to_frame(self) -> pd.DataFrame:
        """One row per point: prompt, kind, position, name, x, y, trust."""
        return pd.DataFrame(
            {
                "prompt": self.prompt,
                "kind": self.kind,
                "position": self.positions,
                "name": list(self.names),
                "x": self.xy[:, 0],
                "y": self.xy[:, 1],
                "trust": self.trust,
            }
        )


def place_prompt(prompt: SoftPrompt, vocabulary: Vocabulary, vocabulary_map: VocabularyMap) -> Placement:
    """The tokens of a prompt on the map, each named by its nearest piece (cosine). Raises as `place` does."""
    from explorer.analysis.neighbors import search

    vocabulary.check_width(prompt.vectors, prompt.name)
    places = place(prompt.vectors, vocabulary, vocabulary_map)
    nearest, _ = search(prompt.vectors, vocabulary, 1)
    names = tuple(vocabulary.pieces[token_id] for token_id in nearest[:, 0])
    return Placement(prompt.name, "prompt", names, np.arange(prompt.length), places.xy, places.trust)


def place_labels(labels: Sequence[str], vocabulary: Vocabulary, vocabulary_map: VocabularyMap) -> Placement:
    """Class labels on the map, each the mean of its pieces. Raises PromptError for a label without a piece, and as `place`."""
    if not labels:
        raise PromptError("no labels to place on the map; expected at least one")
    places = place(np.stack([vocabulary.text_vector(label) for label in labels]), vocabulary, vocabulary_map)
    return Placement("", "label", tuple(labels), np.arange(len(labels)), places.xy, places.trust)


def place_trajectory(prompt: SoftPrompt, vocabulary: Vocabulary, vocabulary_map: VocabularyMap) -> tuple[np.ndarray, np.ndarray]:
    """Where a prompt's tokens were at its saved training steps: steps [S] int64 and places [S, P, 2] float32.

    Raises PromptError for a prompt without a trajectory, and as `place`.
    """
    if prompt.trajectory is None:
        raise PromptError(f"{prompt.name} has no saved trajectory; expected trajectory.safetensors beside its weights")
    count, length, _ = prompt.trajectory.vectors.shape
    places = place(prompt.trajectory.vectors.reshape(count * length, -1), vocabulary, vocabulary_map)
    return prompt.trajectory.steps, places.xy.reshape(count, length, 2)
