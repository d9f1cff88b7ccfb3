"""What chance would give in place of a prompt: as near to words, to other words, and what is to stay
stays.
"""

import numpy as np
import planted
import pytest

from explorer.analysis import surrogates
from explorer.analysis.nulls import gaussian_vectors, mean_row
from explorer.analysis.surrogates import flipped, mixed, other_words, parts
from explorer.analysis.vectors import unit

GENERATOR = np.random.default_rng


def test_a_token_is_its_word_and_a_rest(vocabulary):
    ids = vocabulary.searchable_ids[[5, 700, 9000]]
    noise = 0.02 * GENERATOR(0).standard_normal((3, vocabulary.dimension))
    found = parts(unit(vocabulary.embedding[ids]) + noise, vocabulary)
    np.testing.assert_array_equal(vocabulary.searchable_ids[found.places], ids)
    assert (found.shares > 0.7).all()
    assert (np.linalg.norm(found.rest, axis=1) < 0.45).all()
    far = parts(gaussian_vectors(vocabulary, 400, 9), vocabulary)
    assert (far.shares > 0).mean() < 0.04, "random vectors are near to no word"
    np.testing.assert_allclose(
        far.rest[far.shares == 0], unit(gaussian_vectors(vocabulary, 400, 9))[far.shares == 0], atol=1e-6
    )


def test_what_all_tokens_share_is_no_word_of_theirs():
    vocabulary = planted.vocabulary(width=32)
    tokens = 5 * vocabulary.embedding[7] + gaussian_vectors(vocabulary, 8, 3)
    assert (parts(tokens, vocabulary).places == 7).all()
    assert not (parts(tokens, vocabulary, offset=True).places == 7).any()


def test_other_words_are_about_as_frequent(vocabulary):
    tokens = vocabulary.embedding[vocabulary.searchable_ids[[3, 8000]]]
    found = parts(tokens, vocabulary)
    drawn = other_words(found, vocabulary, 40, GENERATOR(0))
    mean = unit(vocabulary.embedding[vocabulary.searchable_ids]).mean(axis=0)
    rows = (drawn / found.shares[None, :, None] + mean).reshape(-1, vocabulary.dimension)
    table = unit(vocabulary.embedding[vocabulary.searchable_ids])
    cosine = rows @ table.T
    np.testing.assert_allclose(cosine.max(axis=1), 1, atol=1e-3)
    places = cosine.argmax(axis=1).reshape(40, 2)
    assert places[:, 0].max() < 1000
    assert np.abs(places[:, 1] - 8000).max() <= 500
    assert len(np.unique(places)) > 60


@pytest.mark.parametrize("at_once", [128, 7])
def test_mixing_keeps_mean_and_covariance(at_once, monkeypatch):
    monkeypatch.setattr(surrogates, "TURNED_AT_ONCE", at_once)
    rest = GENERATOR(0).standard_normal((20, 30)) + 2
    for one in mixed(rest, 5, GENERATOR(1)):
        np.testing.assert_allclose(one.mean(axis=0), rest.mean(axis=0), atol=1e-5)
        np.testing.assert_allclose(one.T @ one, rest.T @ rest, atol=2e-3)
        assert np.abs(one - rest).max() > 0.5
    np.testing.assert_allclose(
        mixed(rest[:1], 3, GENERATOR(1)), np.repeat(rest[None, :1], 3, axis=0), rtol=1e-6
    )


def test_flipping_keeps_lengths_and_what_lies_along_the_mean():
    vocabulary = planted.from_rows(
        GENERATOR(0).standard_normal((300, 12)) * np.linspace(0.2, 2, 12) + np.linspace(0, 1, 12)
    )
    rest = GENERATOR(1).standard_normal((4, 12))
    drawn, mean = flipped(rest, vocabulary, 2000, GENERATOR(2)), unit(mean_row(vocabulary)[None])[0]
    np.testing.assert_allclose(
        np.linalg.norm(drawn, axis=2), np.broadcast_to(np.linalg.norm(rest, axis=1), (2000, 4)), rtol=1e-4
    )
    np.testing.assert_allclose(drawn @ mean, np.broadcast_to(rest @ mean, (2000, 4)), atol=1e-4)
    across = drawn - (drawn @ mean)[..., None] * mean
    np.testing.assert_allclose(across.mean(axis=0), 0, atol=0.15)
    gaussian = gaussian_vectors(vocabulary, 8000, 5).astype(np.float64)
    turned = flipped(gaussian, vocabulary, 1, GENERATOR(3))[0]
    before, after = (np.cov((vectors - np.outer(vectors @ mean, mean)).T) for vectors in (gaussian, turned))
    np.testing.assert_allclose(after, before, atol=0.2)


def test_no_word_is_drawn_twice_where_there_are_enough():
    vocabulary = planted.vocabulary(rows=60)
    found = parts(vocabulary.embedding[:30], vocabulary)
    drawn = other_words(found, vocabulary, 50, GENERATOR(0)) / found.shares.astype(np.float32)[None, :, None]
    assert all(len(np.unique(one.round(4), axis=0)) == 30 for one in drawn)
    assert np.isfinite(
        other_words(
            parts(np.repeat(vocabulary.embedding, 3, axis=0), vocabulary), vocabulary, 2, GENERATOR(0)
        )
    ).all(), "fewer than tokens"
