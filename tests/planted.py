"""Small vocabularies and prompts with planted truth, made in memory."""

import numpy as np

from explorer.analysis.map.fit import VocabularyMap
from explorer.analysis.map.store import kept_file, save_map
from explorer.prompt import Origin, RowSource, SoftPrompt, Trajectory
from explorer.vocabulary import Vocabulary


def vocabulary(rows: int = 400, width: int = 16, seed: int = 0, special: int = 5) -> Vocabulary:
    """Gaussian rows `▁word0` …; the last `special` are control pieces."""
    embedding = np.random.default_rng(seed).standard_normal((rows, width)).astype(np.float32)
    return from_rows(embedding, special=special)


def from_rows(embedding: np.ndarray, pieces: tuple[str, ...] | None = None, special: int = 0) -> Vocabulary:
    """A vocabulary of given rows; pieces that share no stem unless given."""
    rows = len(embedding)
    pieces = pieces or tuple(f"▁word{number}" for number in range(rows))
    return Vocabulary(np.asarray(embedding, np.float32), pieces, np.arange(rows) < rows - special, "planted")


def clustered(width: int = 32, clusters: int = 20, seed: int = 0) -> tuple[Vocabulary, np.ndarray]:
    """A vocabulary of 1,000 rows of which 10 · clusters lie in tight bundles, and the bundles' centers
    [clusters, H].
    """
    generator = np.random.default_rng(seed)
    centers = generator.standard_normal((clusters, width))
    bundles = np.repeat(centers, 10, axis=0) + 0.15 * generator.standard_normal((10 * clusters, width))
    loose = generator.standard_normal((1000 - len(bundles), width))
    return from_rows(np.concatenate([bundles, loose])), centers.astype(np.float32)


def prompt(vectors: np.ndarray, name: str = "planted/prompt", **origin: object) -> SoftPrompt:
    """A prompt of given vectors."""
    return SoftPrompt(np.asarray(vectors, np.float32), name, Origin("test", **origin))


def trained(
    initial: np.ndarray, final: np.ndarray, rows: tuple[RowSource, ...] | None = None, **origin: object
) -> SoftPrompt:
    """A prompt with a trajectory of two steps."""
    trajectory = Trajectory(np.stack([initial, final]), np.array([0, 100]))
    return SoftPrompt(
        np.asarray(final, np.float32),
        "planted/trained",
        Origin("test", rows=rows, step=100, **origin),
        trajectory,
    )


def plant_map(table: Vocabulary) -> None:
    """Keep a map of random places where the app looks for one."""
    ids = table.searchable_ids
    xy = np.random.default_rng(0).normal(size=(len(ids), 2)).astype(np.float32)
    save_map(VocabularyMap(ids, xy, table.fingerprint, 15, 0.1, 0), kept_file(table))
