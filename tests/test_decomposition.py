"""Sparse decomposition: weights of 0 or more, energy that never falls, planted combinations found, chance
beside it.
"""

import numpy as np
import planted
import pytest
from scipy.optimize import nnls

from explorer.analysis.decomposition import decompose, pursue, rebuilt
from explorer.analysis.nulls import gaussian_vectors
from explorer.analysis.search import search
from explorer.analysis.vectors import unit
from explorer.errors import ExplorerError, PromptError


def test_a_combination_of_words_is_found_with_its_weights():
    vocabulary = planted.vocabulary(rows=300, width=32)
    wanted, weights = [7, 50, 123], np.array([3.0, 2.0, 1.0])
    ids, found, energy = pursue((weights @ vocabulary.embedding[wanted])[None], vocabulary, 3)
    assert sorted(ids[0]) == wanted
    np.testing.assert_allclose([found[0, ids[0].tolist().index(word)] for word in wanted], weights, atol=1e-4)
    np.testing.assert_allclose(energy[0, -1], 1, atol=1e-6)


def test_weights_are_not_negative_and_energy_never_falls():
    vocabulary = planted.vocabulary(rows=300, width=32)
    ids, weights, energy = pursue(np.random.default_rng(0).standard_normal((40, 32)), vocabulary, 8)
    assert (weights[ids >= 0] >= 0).all()
    assert (np.diff(energy, axis=1) >= -1e-9).all()
    assert ((energy > 0) & (energy <= 1)).all()
    assert all(len(set(row[row >= 0])) == (row >= 0).sum() for row in ids), "no word twice"


def test_a_word_that_plain_least_squares_would_subtract_has_no_weight():
    """The token is b + c; a lies between them and is taken first, but then it takes away."""
    rows = np.array([[1, 1, 1], [1, 0, 0.1], [0, 1, 0.1]], np.float32)
    vector = np.array([1, 1, 0], np.float64)
    assert np.linalg.lstsq(rows.T.astype(np.float64), vector, rcond=None)[0][0] < -0.1
    ids, weights, energy = pursue(vector[None], planted.from_rows(rows), 3)
    assert ids[0, 0] == 0
    assert sorted(ids[0]) == [0, 1, 2]
    expected, rest = nnls(rows.T.astype(np.float64), vector)
    np.testing.assert_allclose(weights[0], expected[ids[0]], atol=1e-6)
    np.testing.assert_allclose(energy[0, -1], 1 - rest**2 / 2, atol=1e-6)


def test_the_first_word_is_the_nearest_and_its_energy_the_squared_cosine():
    vocabulary = planted.vocabulary()
    vectors = np.random.default_rng(1).standard_normal((10, 16)).astype(np.float32)
    ids, _, energy = pursue(vectors, vocabulary, 1)
    nearest, cosine = search(vectors, vocabulary, 1)
    assert (ids == nearest).all()
    np.testing.assert_allclose(energy, cosine**2, atol=1e-6)


def test_planted_unrelated_words_are_found_better_than_by_neighbors(vocabulary):
    generator, rows = np.random.default_rng(0), vocabulary.searchable_ids
    words = generator.choice(rows, (100, 3))
    mean = unit(unit(vocabulary.embedding[words.ravel()]).reshape(100, 3, -1).sum(axis=1))
    noise = gaussian_vectors(vocabulary, 100, seed=5)
    noise = unit(noise - (noise * mean).sum(axis=1, keepdims=True) * mean)
    for cosine, least in ((0.7, 0.85), (0.5, 0.2)):
        vectors = cosine * mean + np.sqrt(1 - cosine**2) * noise
        recall = np.mean(
            [
                np.isin(true, found).mean()
                for true, found in zip(words, pursue(vectors, vocabulary, 5)[0], strict=True)
            ]
        )
        nearest = np.mean(
            [
                np.isin(true, found).mean()
                for true, found in zip(words, search(vectors, vocabulary, 5)[0], strict=True)
            ]
        )
        assert recall >= least
        assert recall > nearest


def test_chance_beside_it(vocabulary):
    result = decompose(planted.prompt(gaussian_vectors(vocabulary, 200, seed=9)), vocabulary, nulls=500)
    assert 0.02 <= (result.p[:, -1] <= 0.05).mean() <= 0.09
    np.testing.assert_allclose(result.null_energy[:, -1].mean(), 0.34, atol=0.02)
    words = decompose(planted.prompt(vocabulary.embedding[500:510]), vocabulary, nulls=500)
    np.testing.assert_allclose(words.energy[:, 0], 1, atol=1e-5)
    assert words.p.max() < 0.01
    assert "10 of 10 tokens lie above" in words.conclusion


def test_vectors_made_anew_from_their_words():
    vocabulary = planted.vocabulary(rows=300, width=32)
    vectors = np.random.default_rng(3).standard_normal((5, 32)).astype(np.float32)
    made = rebuilt(vectors, vocabulary, (1, 5, 20))
    errors = [np.linalg.norm(vectors - made[words]) for words in (1, 5, 20)]
    assert errors[0] > errors[1] > errors[2]
    energy = pursue(vectors, vocabulary, 5)[2][:, -1]
    np.testing.assert_allclose(
        1 - (np.linalg.norm(vectors - made[5], axis=1) / np.linalg.norm(vectors, axis=1)) ** 2,
        energy,
        atol=1e-5,
    )


def test_zeros_and_short_vocabularies():
    vocabulary = planted.vocabulary(rows=8, special=5)
    result = decompose(planted.prompt(np.stack([np.zeros(16), np.ones(16)])), vocabulary, words=5, nulls=20)
    assert result.token_ids.shape == (2, 3)
    assert (result.token_ids[0] == -1).all()
    assert np.isnan(result.energy[0]).all()
    assert result.to_frame()["position"].unique().tolist() == [1]
    assert (
        "nothing to decompose"
        in decompose(planted.prompt(np.zeros((2, 16))), vocabulary, nulls=20).conclusion
    )


def test_the_frame_and_what_bad_calls_say():
    vocabulary = planted.vocabulary()
    frame = decompose(planted.prompt(np.ones((2, 16))), vocabulary, words=3, nulls=20).to_frame()
    assert {"prompt", "position", "rank", "token_id", "piece", "weight", "energy", "p"} <= set(frame.columns)
    with pytest.raises(ExplorerError, match="found 0 words; expected 1 to 50"):
        decompose(planted.prompt(np.ones((2, 16))), vocabulary, words=0)
    with pytest.raises(PromptError, match="vectors of width 3"):
        decompose(planted.prompt(np.ones((2, 3))), vocabulary)
