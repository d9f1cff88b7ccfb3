"""Hubness against counting by hand, planted hubs, and CSLS taking them back out."""

import numpy as np
import planted
from scipy.stats import skew

from explorer.analysis.hubness import CSLS_SEED, k_occurrence, row_crowding
from explorer.analysis.nulls import gaussian_vectors
from explorer.analysis.search import search
from explorer.analysis.vectors import unit


def test_unit_rows_have_length_one_at_any_scale_and_zeros_stay():
    rows = (
        np.random.default_rng(0).standard_normal((6, 5)).astype(np.float32)
        * np.array([1e-30, 1e-3, 1, 1e3, 1e30, 0], np.float32)[:, None]
    )
    np.testing.assert_allclose(np.linalg.norm(unit(rows), axis=1), [1, 1, 1, 1, 1, 0], rtol=1e-6)


def test_k_occurrence_counts_neighbor_slots():
    vocabulary = planted.vocabulary(rows=6, special=1)
    hubness = k_occurrence(np.array([[0, 1], [0, 2], [0, 3], [0, 1]]), vocabulary)
    assert hubness.occurrence.tolist() == [4, 2, 1, 1, 0]
    assert (hubness.k, hubness.queries, hubness.expected) == (2, 4, 8 / 5)
    assert hubness.hubs.tolist() == [0]
    assert hubness.hub_share == 0.5
    assert hubness.anti_hub_share == 0.2
    np.testing.assert_allclose(hubness.skewness, skew([4, 2, 1, 1, 0]))


def test_even_neighbors_have_no_skewness():
    hubness = k_occurrence(np.arange(4)[:, None], planted.vocabulary(rows=4, special=0))
    assert np.isnan(hubness.skewness)
    assert len(hubness.hubs) == 0


def test_row_crowding_is_the_mean_cosine_to_the_ten_nearest_draws():
    vocabulary = planted.vocabulary()
    cosine = unit(vocabulary.embedding) @ unit(gaussian_vectors(vocabulary, 1000, CSLS_SEED)).T
    np.testing.assert_allclose(
        row_crowding(vocabulary), np.sort(cosine, axis=1)[:, -10:].mean(axis=1), atol=1e-5
    )


def test_csls_makes_hubs_rarer():
    """Rows near the mean direction of an off-center vocabulary are everybody's neighbors in cosine."""
    generator = np.random.default_rng(1)
    vocabulary = planted.from_rows(
        generator.standard_normal((800, 30)) * generator.uniform(0.3, 2, (800, 1)) + 0.4
    )
    queries = gaussian_vectors(vocabulary, 500, 7)
    cosine, csls = (
        k_occurrence(search(queries, vocabulary, 10, metric)[0], vocabulary) for metric in ("cosine", "csls")
    )
    assert csls.skewness < 0.8 * cosine.skewness
    assert csls.hub_share < cosine.hub_share
