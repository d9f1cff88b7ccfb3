"""Norms by hand, and how each reading changes when a prompt is scaled or turned."""

import numpy as np
import planted
import pytest

from explorer.analysis.norms import read_norms
from explorer.errors import PromptError
from explorer.prompt import RowSource


def test_norms_stand_beside_the_searchable_rows():
    embedding = np.zeros((11, 4))
    embedding[:, 0] = [*range(1, 11), 1000]
    vocabulary = planted.from_rows(embedding, special=1)
    norms = read_norms(planted.prompt([[5, 0, 0, 0], [0, 11, 0, 0], [0, 0, 0.5, 0]]), vocabulary)
    np.testing.assert_allclose(norms.norm, [5, 11, 0.5])
    np.testing.assert_allclose(norms.ratio, np.array([5, 11, 0.5]) / 5.5)
    np.testing.assert_allclose(norms.percentile, [50, 100, 0])
    assert norms.components == 1
    np.testing.assert_allclose(norms.outside, [0, 1, 1], atol=1e-6)
    np.testing.assert_allclose(norms.nearest_distance_ratio, [0, np.sqrt(122), np.sqrt(1.25)], rtol=1e-6)


def test_rows_lie_inside_their_own_span_and_random_directions_do_not():
    generator = np.random.default_rng(0)
    vocabulary = planted.from_rows(generator.standard_normal((2000, 8)) @ generator.standard_normal((8, 40)))
    rows = read_norms(planted.prompt(vocabulary.embedding[:200]), vocabulary)
    energy = (vocabulary.embedding.astype(float) ** 2).sum(axis=1)
    every = read_norms(planted.prompt(vocabulary.embedding), vocabulary)
    assert (every.outside * energy).sum() / energy.sum() <= 0.1
    assert rows.components <= 8
    isotropic = read_norms(planted.prompt(generator.standard_normal((2000, 40))), vocabulary)
    np.testing.assert_allclose(isotropic.outside.mean(), (40 - isotropic.components) / 40, atol=0.01)


def test_scaling_changes_lengths_but_not_directions():
    vocabulary = planted.vocabulary()
    vectors = np.random.default_rng(1).standard_normal((5, 16))
    one, three = (
        read_norms(planted.prompt(vectors), vocabulary),
        read_norms(planted.prompt(3 * vectors), vocabulary),
    )
    np.testing.assert_allclose(three.norm, 3 * one.norm, rtol=1e-6)
    np.testing.assert_allclose(three.ratio, 3 * one.ratio, rtol=1e-6)
    np.testing.assert_allclose(three.outside, one.outside, atol=1e-6)


def test_drift_from_the_initial_vectors():
    vocabulary = planted.vocabulary(width=4)
    initial = np.array([[1, 0, 0, 0], [0, 2, 0, 0], [0, 0, 1, 0]], np.float32)
    final = np.array([[3, 0, 0, 0], [2, 0, 0, 0], [0, 0, -1, 0]], np.float32)
    norms = read_norms(
        planted.trained(initial, final, (RowSource(label="yes"), RowSource(piece="▁no"), RowSource())),
        vocabulary,
    )
    np.testing.assert_allclose(norms.initial_norm, [1, 2, 1])
    np.testing.assert_allclose(norms.drift_cosine, [1, 0, -1], atol=1e-6)
    np.testing.assert_allclose(norms.drift_distance, [2, np.sqrt(8), 2])
    assert norms.to_frame()["source"].tolist() == ["label yes", "▁no", "random"]


def test_what_was_not_saved_is_unknown():
    norms = read_norms(planted.prompt(np.ones((2, 16))), planted.vocabulary())
    assert norms.initial_norm is norms.drift_cosine is norms.drift_distance is None
    frame = norms.to_frame()
    expected = [
        "prompt",
        "position",
        "source",
        "norm",
        "ratio",
        "percentile",
        "outside",
        "initial_norm",
        "drift_cosine",
        "drift_distance",
    ]
    assert list(frame.columns)[:10] == expected
    assert frame["drift_cosine"].isna().all()
    assert frame["source"].tolist() == ["", ""]


def test_a_zero_vector_and_a_vocabulary_of_one_row():
    vocabulary = planted.vocabulary(rows=6, special=5)
    norms = read_norms(planted.prompt([[0.0] * 16, [1.0] * 16]), vocabulary)
    assert np.isnan(norms.outside).tolist() == [True, False]
    assert np.isnan(norms.nearest_distance_ratio).all()


def test_another_width_is_refused():
    with pytest.raises(PromptError, match="vectors of width 3"):
        read_norms(planted.prompt(np.ones((2, 3))), planted.vocabulary())


@pytest.mark.parametrize("scale", [1e30, 1e36])
def test_rows_that_single_precision_cannot_square_are_measured_by_their_proportions(scale):
    """Products of such rows are infinite in single precision, and an eigenvalue of that is none."""
    small = planted.vocabulary(200, 12)
    large = planted.from_rows(small.embedding.astype(np.float64) * scale, special=5)
    tokens = np.random.default_rng(2).standard_normal((4, 12))
    expected, found = (
        read_norms(planted.prompt(tokens * factor), table) for factor, table in ((1, small), (scale, large))
    )
    np.testing.assert_allclose(found.ratio, expected.ratio, rtol=1e-5)
    np.testing.assert_allclose(found.outside, expected.outside, atol=1e-4)
    np.testing.assert_array_equal(found.percentile, expected.percentile)
    assert np.isnan(found.nearest_distance_ratio).all()
    assert not np.isnan(expected.nearest_distance_ratio).any()
