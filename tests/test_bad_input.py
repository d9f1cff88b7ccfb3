"""Vocabularies and prompts that nobody hopes for: every reading of vectors has a defined result, says so in a
sentence, and zeros have no neighbors.
"""

import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import planted
import pytest
from test_conclusions import is_one_sentence

from explorer.analysis.clusters import FEWEST_ROTATIONS, clusters
from explorer.analysis.compare.groups import compare
from explorer.analysis.decomposition import decompose
from explorer.analysis.labels import read_labels
from explorer.analysis.map.fit import VocabularyMap
from explorer.analysis.map.place import MapReading, place_prompt, place_trajectory
from explorer.analysis.neighbors import centered_neighbors, nearest_neighbors
from explorer.analysis.norms import read_norms
from explorer.analysis.nulls import MOST_DRAWS
from explorer.analysis.redundancy import Redundancy, redundancy
from explorer.analysis.trajectory import neighbor_changes
from explorer.choices import METRICS
from explorer.cli.output import records
from explorer.figures import (
    clusters_figure,
    label_heatmap,
    map_figure,
    norm_figure,
    redundancy_heatmap,
    similarity_figure,
)
from explorer.prompt import RowSource, SoftPrompt
from explorer.results import Readings, Result
from explorer.vocabulary import Vocabulary

WIDTH = 16
TOO_MANY = 10_000
"""neighbors, more than any of these vocabularies has"""


class Spoken(Vocabulary):
    """A vocabulary that cuts texts into words without a tokenizer."""

    def encode(self, text: str) -> list[int]:
        return [self.pieces.index(f"▁{word}") for word in text.split()]

    def label_ids(self, labels: Sequence[str], template: str | None = None) -> list[list[int]]:
        return [self.encode(label) for label in labels]


def spoken(rows: np.ndarray) -> Spoken:
    """Rows `▁word0` …"""
    return Spoken(
        np.asarray(rows, np.float32),
        tuple(f"▁word{n}" for n in range(len(rows))),
        np.ones(len(rows), bool),
        "planted",
    )


def some(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, WIDTH))


VOCABULARIES = {
    "fewer rows than dimensions": spoken(some(8)),
    "duplicate rows": spoken(np.repeat(some(20), 3, axis=0)),
    "one row again and again": spoken(np.repeat(some(1), 12, axis=0)),
    "one dominating direction": spoken(some(60) + 1000 * np.eye(WIDTH)[0]),
    "zero rows": spoken(np.concatenate([some(40), np.zeros((30, WIDTH))])),
    "zeros but for one": spoken(np.concatenate([some(1), np.zeros((9, WIDTH))])),
    "nothing but zeros": spoken(np.zeros((9, WIDTH))),
    "two rows": spoken(some(2)),
    "one row": spoken(some(1)),
}
PROMPTS = {
    "one token": some(1, 5),
    "identical tokens": np.repeat(some(1, 6), 7, axis=0),
    "zeros": np.zeros((3, WIDTH)),
    "one token of zeros": np.zeros((1, WIDTH)),
    "zeros among others": np.concatenate([some(3, 7), np.zeros((2, WIDTH))]),
    "far and near the smallest number": np.stack([1e-30 * np.ones(WIDTH), 1e15 * np.ones(WIDTH)]),
}
ZERO = {name: ~vectors.any(axis=1) for name, vectors in PROMPTS.items()}


def neighbors_by(metric: str) -> Callable[[SoftPrompt, Vocabulary], Result]:
    return lambda prompt, vocabulary: nearest_neighbors(prompt, vocabulary, TOO_MANY, metric, nulls=30)


def on_a_map(prompt: SoftPrompt, vocabulary: Vocabulary) -> MapReading:
    """Placed on a map that has one of several equal rows."""
    ids = np.unique(np.unique(vocabulary.embedding, axis=0, return_index=True)[1])
    drawn = VocabularyMap(ids, some(len(ids))[:, :2].astype(np.float32), vocabulary.fingerprint, 15, 0.1, 0)
    return MapReading(
        drawn,
        (place_prompt(prompt, vocabulary, drawn),),
        {prompt.name: place_trajectory(prompt, vocabulary, drawn)},
    )


READINGS: dict[str, Callable[[SoftPrompt, Vocabulary], Result]] = {
    **{f"neighbors, {metric}": neighbors_by(metric) for metric in METRICS},
    "neighbors, variants merged": lambda prompt, vocabulary: nearest_neighbors(
        prompt, vocabulary, TOO_MANY, merge_variants=True, nulls=30
    ),
    "neighbors, special too": lambda prompt, vocabulary: nearest_neighbors(
        prompt, vocabulary, TOO_MANY, "whitened", include_special=True, nulls=30
    ),
    "neighbors, centered": lambda prompt, vocabulary: centered_neighbors(prompt, vocabulary, TOO_MANY),
    "clusters": lambda prompt, vocabulary: clusters(prompt, vocabulary, TOO_MANY, nulls=30),
    "decompose": lambda prompt, vocabulary: decompose(prompt, vocabulary, 5, nulls=30),
    "labels": lambda prompt, vocabulary: read_labels(prompt, vocabulary, ["word0"], nulls=30),
    "norms": read_norms,
    "redundancy": lambda prompt, vocabulary: redundancy(prompt, vocabulary, TOO_MANY, nulls=5),
    "changes": neighbor_changes,
    "map": on_a_map,
    "compare": lambda prompt, vocabulary: compare(
        [prompt, replace(prompt, name="again")], vocabulary, "prompt", TOO_MANY, nulls=30
    ),
}


def trained(kind: str) -> SoftPrompt:
    """The prompt of a kind, begun as a label and as something else."""
    vectors = PROMPTS[kind].astype(np.float32)
    return planted.trained(
        some(len(vectors), 8).astype(np.float32),
        vectors,
        (RowSource(label="word0"),) * len(vectors),
        labels=("word0",),
    )


@pytest.mark.parametrize("reading", READINGS)
def test_every_reading_is_defined(reading):
    """No crash, no warning, one sentence; p in 0…1 but for zeros, JSON that any program reads: for each kind of
    prompt on each kind of vocabulary.
    """
    for (words, vocabulary), kind in itertools.product(VOCABULARIES.items(), PROMPTS):
        try:
            found = READINGS[reading](trained(kind), vocabulary)
            frame = found.to_frame()
            json.dumps(records(frame), allow_nan=False)
        except Exception as error:
            error.add_note(f"{kind} on {words}")
            raise
        for column in frame.columns:
            if column in ("p", "q") and reading != "compare":
                known = frame[column].dropna()
                assert ((known > 0) & (known <= 1)).all(), (column, kind, words)
        if not isinstance(found, Redundancy):
            assert is_one_sentence(found.conclusion), (found.conclusion, kind, words)


@pytest.mark.parametrize("metric", METRICS)
def test_a_token_of_zeros_has_no_neighbors_but_by_distance(metric):
    vocabulary = VOCABULARIES["zero rows"]
    for kind in PROMPTS:
        found = READINGS[f"neighbors, {metric}"](trained(kind), vocabulary)
        assert found.token_ids.shape[1] == len(vocabulary), "k is clipped to the vocabulary"
        zero = ZERO[kind] & (metric != "l2")
        assert ((found.token_ids < 0) == zero[:, None]).all(), kind
        assert (np.isnan(found.similarity) == zero[:, None]).all(), kind
        assert found.to_frame()["position"].unique().tolist() == np.flatnonzero(~zero).tolist()
        assert ("zero" in found.conclusion) == zero.any(), kind
        similarity_figure(found, found.null)


@pytest.mark.parametrize("kind", PROMPTS)
def test_a_token_of_zeros_has_no_group_no_rank_no_words_and_no_place(kind):
    vocabulary, prompt, zero = VOCABULARIES["duplicate rows"], trained(kind), ZERO[kind]
    group, labels, sums = (READINGS[name](prompt, vocabulary) for name in ("clusters", "labels", "decompose"))
    assert [not words for words in group.groups] == zero.tolist()
    for values in (
        group.statistic,
        group.p,
        group.q,
        group.coherence,
        group.percentile,
        group.group_variants,
        labels.p[:, 0],
        sums.energy[:, -1],
    ):
        assert (np.isnan(values) == zero).all()
    assert ((labels.rank[:, 0] == 0) == zero).all()
    assert labels.to_frame()["rank"].isna().tolist() == zero.tolist()
    assert [one.rank is None for one in labels.persistence] == zero.tolist()
    placed = on_a_map(prompt, vocabulary)
    assert (np.isnan(placed.placements[0].xy).all(axis=1) == zero).all()
    assert [not name for name in placed.placements[0].names] == zero.tolist()
    for text in (group.conclusion, labels.conclusion, placed.conclusion):
        assert not zero.any() or "zero" in text or "No token lies" in text
    clusters_figure(group)
    label_heatmap(labels)
    norm_figure(Readings([read_norms(prompt, vocabulary)]))
    range_ = map_figure(placed.map, vocabulary, placed.placements, placed.paths).layout.xaxis.range
    assert np.isfinite(range_).all()


OWN = ("position", "source", "initial_norm", "drift_cosine", "drift_distance", "p_initial")
"""columns about where a token stands and what it began as"""


def test_identical_tokens_read_alike():
    vocabulary, prompt = VOCABULARIES["duplicate rows"], trained("identical tokens")
    for name, reading in READINGS.items():
        if name not in ("redundancy", "map", "compare", "changes"):
            frame = reading(prompt, vocabulary).to_frame().drop(columns=[*OWN], errors="ignore")
            first, *others = np.split(np.arange(len(frame)), prompt.length)
            for rows in others:
                one, other = (frame.iloc[part].reset_index(drop=True) for part in (first, rows))
                pd.testing.assert_frame_equal(one, other, rtol=1e-5)


def test_equal_rows_stand_in_the_order_of_their_ids():
    vocabulary = VOCABULARIES["duplicate rows"]
    for metric in METRICS:
        ids = nearest_neighbors(
            planted.prompt(some(4, 3)), vocabulary, 60, metric, nulls=0
        ).token_ids.reshape(4, 20, 3)
        assert (np.diff(ids, axis=2) == 1).all(), metric


def test_one_dominating_direction_hides_no_word_from_the_whitened_space():
    """All rows are alike by cosine; in the whitened space a row is still nearest to itself, by far."""
    vocabulary = VOCABULARIES["one dominating direction"]
    prompt = planted.prompt(vocabulary.embedding[:10])
    raw, white = (
        nearest_neighbors(prompt, vocabulary, 2, metric, nulls=0) for metric in ("cosine", "whitened")
    )
    assert white.token_ids[:, 0].tolist() == list(range(10))
    assert raw.similarity[:, 1].min() > 0.999
    assert white.similarity[:, 1].max() < 0.9


LENGTH = 2000


def test_two_thousand_tokens_are_read_and_what_grows_with_their_square_is_capped():
    vocabulary = spoken(some(300))
    prompt = planted.prompt(some(LENGTH, 9), labels=("word0",))
    group = clusters(prompt, vocabulary)
    assert len(group.rotations) == FEWEST_ROTATIONS
    assert f"of {FEWEST_ROTATIONS} random prompts" in group.conclusion
    assert len(group.null) == MOST_DRAWS
    near = nearest_neighbors(prompt, vocabulary)
    assert len(near.null) == MOST_DRAWS
    labels = read_labels(prompt, vocabulary, ["word0", "word1"])
    assert labels.rank.shape == (LENGTH, 2)
    for found in (group, near, labels, decompose(prompt, vocabulary), read_norms(prompt, vocabulary)):
        assert is_one_sentence(found.conclusion)
        assert "2,000 tokens" in found.conclusion


def test_the_heat_map_of_two_thousand_tokens_shows_the_first_and_says_so():
    jaccard = np.random.default_rng(0).random((LENGTH, LENGTH))
    figure = redundancy_heatmap(Redundancy("long", 0, 0, 1, 0, 1, jaccard, 1, np.zeros(10)))
    assert figure.data[0].z.shape == (200, 200)
    assert "the first 200 of 2,000" in figure.layout.title.text
