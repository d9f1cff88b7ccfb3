"""Where prompts lie on the map of the vocabulary: placed from their exact nearest rows, without umap."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import pandas as pd

from explorer.analysis.map.fit import VocabularyMap
from explorer.analysis.search import search
from explorer.analysis.vectors import cosine_index, directionless, exact_search, unit
from explorer.errors import ExplorerError, PromptError
from explorer.prompt import SoftPrompt, Vectors
from explorer.results import Result
from explorer.vocabulary import Vocabulary
from explorer.words.arguments import as_list
from explorer.words.wording import count, zeros_said

SAME_DIRECTION = 1e-6
"""cosine distance at which a vector counts as a row itself and is given that row's place"""
QUERIES_AT_ONCE = 64
"""vectors whose distances to all of the map are in memory together"""
REACH, SHIFTS = 0.3, 10
"""how far a neighbor's pull reaches, in the map's unit (UMAP lets points lie 0.1 apart), and the steps of
mean shift
"""


@dataclass(frozen=True, eq=False, repr=False)
class Places:
    """Where vectors come to lie on a map."""

    xy: np.ndarray
    """[Q, 2] float32; nan for a vector of zeros, which lies nowhere"""
    trust: np.ndarray
    """[Q] float32, 0…1, higher is better: the share of a vector's nearest rows that are also its nearest on
    the map; nan for zeros
    """


def place(vectors: Vectors, vocabulary: Vocabulary, vocabulary_map: VocabularyMap) -> Places:
    """Places of new vectors [Q, H], or of a prompt: where their exact nearest rows, weighted by UMAP's fuzzy
    memberships, lie most densely.

    Their mean would lie in the void where they are on several islands. `benchmarks/map.py` prints how many of
    its true neighbors a token is put near to, beside `umap.transform`. A vector in the direction of a row
    gets that row's place, as in UMAP's own transform. Distances and trust use `n_neighbors` rows. Raises
    PromptError when the widths differ and ExplorerError for a map of another vocabulary.
    """
    vectors = np.asarray(vectors, np.float32)
    vocabulary.check_width(vectors, "vectors")
    if not vocabulary_map.belongs_to(vocabulary):
        raise ExplorerError(
            f"the map belongs to another vocabulary than {vocabulary.name}; load or fit the map of this one"
        )
    distances, found = _nearest_on_map(unit(vectors), vocabulary, vocabulary_map)
    weights = memberships(distances)
    hit = distances[:, 0] <= SAME_DIRECTION
    weights[hit] = np.eye(1, weights.shape[1])
    xy = _densest(vocabulary_map.xy[found].astype(np.float64), weights).astype(np.float32)
    trust, zero = _trust(xy, found, vocabulary_map.xy), directionless(vectors)
    xy[zero], trust[zero] = np.nan, np.nan
    return Places(xy, trust)


def _nearest_on_map(
    vectors: np.ndarray, vocabulary: Vocabulary, vocabulary_map: VocabularyMap
) -> tuple[np.ndarray, np.ndarray]:
    """Cosine distances [Q, k] of unit vectors to the nearest rows on the map, 0…2, ascending, and the map's
    numbers [Q, k] of these; exact.
    """
    ids, searchable = vocabulary_map.token_ids, vocabulary.searchable_ids
    k, index = min(vocabulary_map.n_neighbors, len(ids)), cosine_index(vocabulary)
    off_map = len(searchable) - len(ids)  # duplicates of rows that are on it
    cosine, found = exact_search(index, vectors, min(k + off_map, len(searchable)))
    number = np.full(len(searchable), -1, np.int64)
    number[np.searchsorted(searchable, ids)] = np.arange(len(ids))
    numbers = number[found]
    kept = np.argsort(numbers < 0, axis=1, kind="stable")[:, :k]
    return (1 - np.take_along_axis(cosine, kept, 1)).clip(0, 2), np.take_along_axis(numbers, kept, 1)


def memberships(distances: np.ndarray) -> np.ndarray:
    """UMAP's fuzzy memberships of each vector's k nearest rows, from ascending distances [Q, k]: [Q, k]
    float64, the first is 1.

    w = exp(−(d − ρ) / σ), ρ the distance to the nearest, σ such that they sum to log2(k) (`smooth_knn_dist`
    of McInnes et al.).
    """
    distances = distances.astype(np.float64)
    beyond, k = distances - distances[:, :1], distances.shape[1]
    low, high = np.full(len(distances), 1e-3) * distances.mean(axis=1) + 1e-12, np.full(len(distances), 1e3)
    for _ in range(64):  # halving in logarithms: σ spans many orders of magnitude
        middle = np.sqrt(low * high)
        enough = np.exp(-beyond / middle[:, None]).sum(axis=1) > np.log2(k)
        high, low = np.where(enough, middle, high), np.where(enough, low, middle)
    return np.exp(-beyond / np.sqrt(low * high)[:, None])


def _densest(places: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The mode of weighted places [Q, k, 2] under the kernel 1 / (1 + (d / REACH)²): [Q, 2].

    From the densest of the places themselves by mean shift (Comaniciu and Meer 2002), each step of which
    climbs.
    """
    # not scikit-learn's MeanShift: it takes no weights, has a flat kernel and one set of points a call, not
    # one a query
    between = np.square(places[:, :, None] - places[:, None]).sum(axis=-1)
    density = np.einsum("qk,qck->qc", weights, 1 / (1 + between / REACH**2))
    xy = np.take_along_axis(places, density.argmax(axis=1)[:, None, None], 1)[:, 0]
    for _ in range(SHIFTS):
        pull = weights / (1 + np.square(xy[:, None] - places).sum(axis=-1) / REACH**2) ** 2
        xy = np.einsum("qk,qkd->qd", pull / pull.sum(axis=1, keepdims=True), places)
    return xy


def _trust(xy: np.ndarray, found: np.ndarray, map_xy: np.ndarray) -> np.ndarray:
    """Share of the rows `found` [Q, k] among the k rows nearest to xy [Q, 2] on the map: [Q] float32."""
    # not scipy's cKDTree: importing scipy.spatial alone takes several times as long
    nearest = np.empty_like(found)
    for start in range(0, len(xy), QUERIES_AT_ONCE):
        block = slice(start, start + QUERIES_AT_ONCE)
        nearest[block] = np.argpartition(
            np.square(xy[block, None] - map_xy).sum(axis=-1), found.shape[1] - 1
        )[:, : found.shape[1]]
    return np.array(
        [np.isin(true, drawn).mean() for true, drawn in zip(found, nearest, strict=True)], np.float32
    )


@dataclass(frozen=True, eq=False, repr=False)
class Placement(Result):
    """A prompt, its initial vectors or class labels on the map."""

    prompt: str
    """name; empty for labels"""
    kind: Literal["prompt", "label", "initial"]
    names: tuple[str, ...]
    """[Q] what each point is called: its nearest piece, or the label; empty for a token of zeros"""
    positions: np.ndarray
    """[Q] int64, from 0"""
    xy: np.ndarray
    """[Q, 2] float32"""
    trust: np.ndarray
    """[Q] float32, 0…1, see Places"""
    groups: tuple[tuple[str, ...], ...] = ()
    """[Q] the words that belong together and that a token lies among, where that is significant (see
    analysis.clusters), else none; empty for what was not tested
    """
    since: int | None = None
    """the saved step of `initial`, where training had begun by then; None where it is the beginning"""

    def group(self, point: int) -> str:
        """The words a point lies among, with commas; empty where that is not significant or was not
        tested.
        """
        return ", ".join(self.groups[point]) if self.groups else ""

    def to_frame(self) -> pd.DataFrame:
        """One row per point: prompt, kind, position, name, x, y, trust, group (words)."""
        return pd.DataFrame(
            {
                "prompt": self.prompt,
                "kind": self.kind,
                "position": self.positions,
                "name": list(self.names),
                "x": self.xy[:, 0],
                "y": self.xy[:, 1],
                "trust": self.trust,
                "group": [self.group(point) for point in range(len(self.xy))],
            }
        )


def place_prompt(prompt: SoftPrompt, vocabulary: Vocabulary, vocabulary_map: VocabularyMap) -> Placement:
    """The tokens of a prompt on the map, each named by its nearest piece (cosine). Raises as `place` does."""
    vocabulary.check_width(prompt.vectors, prompt.name)
    places = place(prompt.vectors, vocabulary, vocabulary_map)
    nearest, _ = search(prompt.vectors, vocabulary, 1)
    zero = directionless(prompt.vectors)
    names = tuple(
        "" if nowhere else vocabulary.pieces[token_id]
        for token_id, nowhere in zip(nearest[:, 0], zero, strict=True)
    )
    return Placement(prompt.name, "prompt", names, np.arange(prompt.length), places.xy, places.trust)


def place_initial(prompt: SoftPrompt, vocabulary: Vocabulary, vocabulary_map: VocabularyMap) -> Placement:
    """The tokens of a prompt as they were at its first saved step. Raises PromptError without saved steps,
    and as `place`.
    """
    placed = place_prompt(prompt.at(0), vocabulary, vocabulary_map)
    since = None if prompt.saved.from_start else int(prompt.saved.steps[0])
    return replace(placed, prompt=prompt.name, kind="initial", since=since)


def place_labels(
    labels: Sequence[str],
    vocabulary: Vocabulary,
    vocabulary_map: VocabularyMap,
    template: str | None = None,
) -> Placement:
    """Class labels on the map, each the mean of its pieces behind a template. Raises DataError for a string
    and for a label without a piece, and as `place`.
    """
    if not (labels := as_list(labels, "labels")):
        raise PromptError("no labels to place on the map; expected at least one")
    vectors = np.stack([vocabulary.text_vector(label, template) for label in labels])
    places = place(vectors, vocabulary, vocabulary_map)
    return Placement("", "label", labels, np.arange(len(labels)), places.xy, places.trust)


def place_trajectory(
    prompt: SoftPrompt, vocabulary: Vocabulary, vocabulary_map: VocabularyMap
) -> tuple[np.ndarray, np.ndarray]:
    """Where a prompt's tokens were at its saved training steps: steps [S] int64 and places [S, P, 2] float32.

    Raises PromptError for a prompt without a trajectory, and as `place`.
    """
    count, length, _ = prompt.saved.vectors.shape
    places = place(prompt.saved.vectors.reshape(count * length, -1), vocabulary, vocabulary_map)
    return prompt.saved.steps, places.xy.reshape(count, length, 2)


@dataclass(frozen=True, eq=False, repr=False)
class MapReading(Result):
    """Prompts and class labels on the map of the vocabulary."""

    map: VocabularyMap
    placements: tuple[Placement, ...]
    """every prompt, then the class labels"""
    paths: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    """by prompt: saved steps [S] and places [S, P, 2]; empty where no training paths were asked for"""

    @property
    def conclusion(self) -> str:
        """What to conclude, in one sentence: how far the places can be trusted, and how many tokens lie in a
        group that is no work of the map.
        """
        tokens = [placement for placement in self.placements if placement.kind == "prompt"]
        trust = np.concatenate([placement.trust for placement in tokens]) if tokens else np.zeros(0)
        if not len(trust) or np.isnan(trust).all():
            return "No token lies on the map."
        grouped = sum(
            bool(placement.group(point)) for placement in tokens for point in range(len(placement.xy))
        )
        kept = (
            f"the map keeps {np.nanmean(trust):.0%} of a token's nearest pieces near to it, so look at "
            "it, but do not take it for evidence"
        )
        without = zeros_said(int(np.isnan(trust).sum()), "no place")
        if not any(placement.groups for placement in tokens):
            return f"{kept[0].upper()}{kept[1:]}{without}."
        lie = (
            f"{grouped} of {count(len(trust), 'token')} "
            f"{'lies' if 1 in (grouped, len(trust)) else 'lie'} among words that belong together"
        )
        return f"{lie} (tested in the embedding space, not on the map); {kept}{without}."

    def to_frame(self) -> pd.DataFrame:
        """One row per point: prompt, kind, position, name, x, y, trust, group (words)."""
        return pd.concat([placement.to_frame() for placement in self.placements], ignore_index=True)
