"""A vocabulary's map as it is kept: without pickles, in the model's folder or the user's cache; fitted where
it is nowhere.
"""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from explorer.analysis.map.fit import FITTING, LAYOUT, VocabularyMap, fit_map
from explorer.errors import ExplorerError, WriteError
from explorer.formats.numpy_arrays import list_npz
from explorer.formats.stored import first_line, load
from explorer.system.files import cache_folder, locked, written_whole
from explorer.vocabulary import Vocabulary

Progress = Callable[[str], None]

ARRAYS = ("token_ids", "xy", "fingerprint", "settings")
MAP_FILE = "map.npz"
"""a map shipped with a model lies in its folder under this name"""


def save_map(vocabulary_map: VocabularyMap, path: Path) -> None:
    """Write the map as an .npz file that appears whole or not at all. Raises WriteError when it cannot be
    written.
    """
    with written_whole(path) as partial, partial.open("wb") as file:
        np.savez_compressed(
            file,
            token_ids=vocabulary_map.token_ids.astype(np.int64),
            xy=vocabulary_map.xy.astype(np.float32),
            fingerprint=np.array(vocabulary_map.fingerprint),
            settings=np.array(
                [vocabulary_map.n_neighbors, vocabulary_map.min_dist, vocabulary_map.seed], np.float64
            ),
        )


def read_map(path: Path) -> VocabularyMap:
    """Read a map that `save_map` wrote; nothing in the file is executed. Raises ExplorerError when it is
    damaged or no map.
    """
    try:
        stored = {
            name: load(path, name, array) for name, array in list_npz(path).items() if name in ARRAYS
        }  # bounded before it is unpacked
        n_neighbors, min_dist, seed = (float(value) for value in stored["settings"])
        return VocabularyMap(
            stored["token_ids"],
            stored["xy"],
            str(stored["fingerprint"]),
            int(n_neighbors),
            min_dist,
            int(seed),
        )
    except (
        ExplorerError,
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        OverflowError,
        MemoryError,
    ) as error:
        raise ExplorerError(
            f"{path}: cannot be read as a map ({first_line(error)}); delete it and the map is fitted again"
        ) from error


def load_map(vocabulary: Vocabulary, progress: Progress | None = None) -> VocabularyMap:
    """The map of a vocabulary: shipped in the model's folder, else kept in the user's cache, else fitted now
    and kept.

    A map of another vocabulary and a damaged file are passed over, which `progress` is told. Where the cache
    (`kept_file`) cannot be written the map is not kept. What another process fits is waited for.
    """
    tell = progress or (lambda message: None)
    cached = kept_file(vocabulary)
    with FITTING, ExitStack() as stack:
        for path in (None if vocabulary.path is None else vocabulary.path / MAP_FILE, cached):
            if path is not None and (known := _known(path, vocabulary, tell)) is not None:
                return known
        if cached is not None:
            try:
                stack.enter_context(
                    locked(
                        cached.with_suffix(".lock"),
                        lambda holder: tell(f"waiting for {holder}, which fits the map of {vocabulary.name}"),
                    )
                )
            except WriteError as error:
                tell(f"the map is not kept: {error}")
                cached = None
        if (
            cached is not None and (known := _known(cached, vocabulary, lambda message: None)) is not None
        ):  # fitted by another process meanwhile
            return known
        fitted = fit_map(vocabulary, progress=progress)
        if cached is not None:
            try:
                save_map(fitted, cached)
            except ExplorerError as error:
                tell(f"the map is not kept: {error}")
        return fitted


def is_kept(vocabulary: Vocabulary) -> bool:
    """Whether the map of a vocabulary need not be fitted: it is shipped, or was kept."""
    places = [None if vocabulary.path is None else vocabulary.path / MAP_FILE, kept_file(vocabulary)]
    return any(
        _known(path, vocabulary, lambda message: None) is not None for path in places if path is not None
    )


def _known(path: Path, vocabulary: Vocabulary, tell: Progress) -> VocabularyMap | None:
    """The vocabulary's map that is kept in a file; None for no file, and for one that is passed over, which
    is told.
    """
    try:
        if not path.is_file():
            return None
        known = read_map(path)
    except (ExplorerError, OSError) as error:  # OSError: a folder that may not be looked into
        tell(f"passed over: {error}")
        return None
    if not known.belongs_to(vocabulary):
        tell(f"passed over: {path}: a map of another vocabulary")
        return None
    return known


def kept_file(vocabulary: Vocabulary) -> Path | None:
    """Where this vocabulary's map is kept; None for a user without a home."""
    cache = cache_folder()
    return (
        None if cache is None else cache / "maps" / f"{vocabulary.fingerprint}-cosine-15-0.1-0-{LAYOUT}.npz"
    )
