"""Laws of nulls: the Gaussian has the vocabulary's moments, p is uniform under its own null, and the
correction is scipy's.
"""

import numpy as np
import planted
import pytest
from scipy.stats import false_discovery_control, kstest

from explorer.analysis.nulls import benjamini_hochberg, gaussian_vectors, null_vectors, p_values, percentiles
from explorer.choices import NULLS
from explorer.errors import ExplorerError


def test_the_null_has_the_mean_and_covariance_of_the_searchable_rows():
    generator = np.random.default_rng(0)
    mixed = generator.standard_normal((300, 6)) @ generator.standard_normal((6, 6)) + 3
    vocabulary = planted.from_rows(np.concatenate([mixed, np.full((5, 6), 100)]), special=5)
    drawn = gaussian_vectors(vocabulary, 200_000, 1)
    rows = vocabulary.embedding[:300]
    np.testing.assert_allclose(drawn.mean(axis=0), rows.mean(axis=0), atol=0.05)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(rows.T), atol=0.25)


def test_the_null_depends_on_its_seed_alone():
    vocabulary = planted.vocabulary()
    np.testing.assert_array_equal(gaussian_vectors(vocabulary, 50, 3), gaussian_vectors(vocabulary, 50, 3))
    assert not np.array_equal(gaussian_vectors(vocabulary, 50, 3), gaussian_vectors(vocabulary, 50, 4))


def test_fewer_rows_than_dimensions_still_span_their_own_space():
    vocabulary = planted.vocabulary(rows=9, width=16, special=2)
    drawn, rows = gaussian_vectors(vocabulary, 500, 0), vocabulary.embedding[:7]
    centered = (rows - rows.mean(axis=0)).astype(np.float64)
    _, _, directions = np.linalg.svd(centered, full_matrices=False)
    moved = drawn - rows.mean(axis=0)
    np.testing.assert_allclose(moved @ directions[:6].T @ directions[:6], moved, atol=1e-4)


def test_the_null_is_not_what_the_bare_seed_draws():
    """A prompt drawn with the seed of its null would be found in it."""
    embedding = np.random.default_rng(0).standard_normal((400, 16))
    drawn = gaussian_vectors(planted.from_rows(embedding), 400, 0)
    assert abs(np.corrcoef(drawn.ravel(), embedding.ravel())[0, 1]) < 0.05


def test_no_draws_is_refused():
    with pytest.raises(ExplorerError, match="found 0 null draws; expected at least 1"):
        gaussian_vectors(planted.vocabulary(), 0, 0)
    with pytest.raises(ExplorerError, match="found the seed -1; expected 0 or more"):
        gaussian_vectors(planted.vocabulary(), 5, -1)


def test_p_counts_the_null_at_least_as_extreme():
    null = np.array([1.0, 2.0, 2.0, 3.0])
    np.testing.assert_allclose(p_values(np.array([0.0, 2.0, 2.5, 4.0]), null), [1, 4 / 5, 2 / 5, 1 / 5])
    np.testing.assert_allclose(
        p_values(np.array([0.0, 2.0, 2.5, 4.0]), null, larger_is_extreme=False), [1 / 5, 4 / 5, 4 / 5, 1]
    )
    assert np.isnan(p_values(np.array([np.nan]), null)).all()


def test_p_is_uniform_under_its_own_null():
    generator = np.random.default_rng(0)
    p = np.array(
        [p_values(generator.standard_normal(1), generator.standard_normal(199))[0] for _ in range(4000)]
    )
    assert kstest(p, "uniform").statistic < 0.03
    assert abs((p <= 0.05).mean() - 0.05) < 0.012


@pytest.mark.parametrize("shape", [1, 2, 20, 333])
def test_benjamini_hochberg_is_that_of_scipy(shape):
    p = np.random.default_rng(shape).uniform(size=shape) ** 2
    p[: shape // 4] = p[0]
    np.testing.assert_allclose(benjamini_hochberg(p), false_discovery_control(p))


def test_benjamini_hochberg_leaves_nan_out():
    p = np.array([0.01, np.nan, 0.5, 0.03])
    np.testing.assert_allclose(benjamini_hochberg(p)[[0, 2, 3]], false_discovery_control(p[[0, 2, 3]]))
    assert np.isnan(benjamini_hochberg(p)[1])


def test_every_null_is_what_its_name_says():
    vocabulary, _ = planted.clustered()
    rows = vocabulary.embedding[vocabulary.searchable_ids]
    drawn = {name: null_vectors(vocabulary, name, 2000, 0) for name in NULLS}
    assert all(
        vectors.shape == (2000, vocabulary.dimension) and vectors.dtype == np.float32
        for vectors in drawn.values()
    )
    np.testing.assert_array_equal(drawn["gaussian"], gaussian_vectors(vocabulary, 2000, 0))
    known = {row.tobytes() for row in rows}
    assert all(vector.tobytes() in known for vector in drawn["rows"])
    assert len({vector.tobytes() for vector in drawn["rows"]}) > 800, "drawn from all of them"
    assert abs(drawn["isotropic"].mean()) < 0.02
    np.testing.assert_allclose(np.cov(drawn["isotropic"].T), np.eye(vocabulary.dimension), atol=0.15)
    assert (np.linalg.norm(drawn["mixtures"], axis=1) <= np.linalg.norm(rows, axis=1).max()).all()
    np.testing.assert_allclose(drawn["mixtures"].mean(axis=0), rows.mean(axis=0), atol=0.15)
    for name in NULLS:
        np.testing.assert_array_equal(drawn[name], null_vectors(vocabulary, name, 2000, 0))
        assert not np.array_equal(drawn[name], null_vectors(vocabulary, name, 2000, 1))


def test_what_bad_nulls_say():
    vocabulary = planted.vocabulary()
    with pytest.raises(
        ExplorerError,
        match="found the null 'tea leaves'; expected one of gaussian, isotropic, rows, mixtures",
    ):
        null_vectors(vocabulary, "tea leaves", 10, 0)
    for name in NULLS:
        with pytest.raises(ExplorerError, match="found 0 null draws; expected at least 1"):
            null_vectors(vocabulary, name, 0, 0)


def test_percentiles_count_what_lies_below_and_half_of_ties():
    null = np.array([1.0, 2.0, 2.0, 3.0])
    np.testing.assert_array_equal(
        percentiles(np.array([0.0, 2.0, 2.5, 9.0, np.nan]), null), [0, 50, 75, 100, np.nan]
    )
