"""Where do the tokens lie in the vocabulary?"""

from dataclasses import replace
from typing import TYPE_CHECKING

from explorer.readings.clusters import GROUPS
from explorer.readings.made import On
from explorer.readings.reading import Parameter, Reading, Table, whole

if TYPE_CHECKING:
    import numpy as np

    from explorer.analysis.map.fit import VocabularyMap
    from explorer.analysis.map.place import MapReading, Placement
    from explorer.context import Progress
    from explorer.results import Readings
    from explorer.vocabulary import Vocabulary


def vocabulary_map(vocabulary: "Vocabulary", progress: "Progress") -> "VocabularyMap":
    """The map of a vocabulary: shipped, kept, or fitted now, which takes some minutes, once."""
    from explorer.analysis.map.store import load_map
    from explorer.cached import cached

    return cached(vocabulary, "map", lambda: load_map(vocabulary, progress))


def _placed(on: On) -> "Placement":
    from explorer.analysis.map.place import place_prompt

    return place_prompt(on.prompt, on.vocabulary, vocabulary_map(on.vocabulary, on.progress))


def _placed_before(on: On) -> "Placement":
    from explorer.analysis.map.place import place_initial

    return place_initial(on.prompt, on.vocabulary, vocabulary_map(on.vocabulary, on.progress))


def _path(on: On) -> "tuple[np.ndarray, np.ndarray]":
    from explorer.analysis.map.place import place_trajectory

    return place_trajectory(on.prompt, on.vocabulary, vocabulary_map(on.vocabulary, on.progress))


def _map(
    on: On, paths: bool, before_training: bool, labels: tuple[str, ...] | None, nulls: int, seed: int
) -> "MapReading":
    from explorer.analysis.map.place import MapReading, place_labels

    drawn = vocabulary_map(on.vocabulary, on.progress)
    groups = on.read(GROUPS, nulls=nulls, seed=seed)
    placed = [replace(place, groups=words) for place, words in zip(on.read(_PLACED), groups, strict=True)]
    trained = [prompt for prompt in on.prompts if prompt.trajectory is not None]
    if before_training:
        placed += [on.read(_PLACED_BEFORE, prompt)[0] for prompt in trained]
    if names := labels if labels is not None else on.recorded_labels:
        placed.append(place_labels(names, on.vocabulary, drawn, on.prompts[0].origin.template))
    along = {prompt.name: on.read(_PATH, prompt)[0] for prompt in trained * paths}
    return MapReading(drawn, tuple(placed), along)


_PLACED: "Reading[Readings[Placement]]" = Reading("place", "Where do the tokens lie on the map?", "", _placed)
_PLACED_BEFORE: "Reading[Readings[Placement]]" = Reading(
    "place before", "Where did the tokens begin on the map?", "", _placed_before
)
_PATH: "Reading[Readings]" = Reading("path", "How did the tokens move on the map?", "", _path)
MAP: "Reading[MapReading]" = Reading(
    name="map",
    question="Where do the tokens lie in the vocabulary?",
    about="""Draw prompts and labels on the UMAP map of the vocabulary.

    The map is for looking, never for evidence; it is fitted once per model and kept. A token that lies among
    words that belong together is named after them: the verdict of clusters, against random vectors.
    """,
    compute=_map,
    settings=("labels", "nulls", "seed"),
    parameters=(
        Parameter(
            "paths",
            "Draw on the page how the tokens moved while they were trained.",
            bool,
            default=False,
            typed="trajectory",
        ),
        Parameter("before_training", "Place where they began too.", bool, default=False, typed=""),
    ),
    each=False,
    tables=(
        Table(
            "map",
            "places on the map, and the words that a token lies among where that is significant",
            whole,
        ),
    ),
    remembered=False,
    figure="map_figure",
)
