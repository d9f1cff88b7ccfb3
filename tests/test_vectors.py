"""Whitening: the same energy in every direction, shrunk as Ledoit and Wolf say, invariant to rotation and
length.
"""

import numpy as np
import planted
import pytest

from explorer.analysis.search import search
from explorer.analysis.vectors import unit, whitening


def test_the_shrinkage_is_that_of_ledoit_and_wolf(vocabulary):
    from sklearn.covariance import ledoit_wolf_shrinkage

    for one in (
        planted.vocabulary(),
        planted.from_rows(np.random.default_rng(1).standard_normal((12, 32))),
        vocabulary,
    ):
        rows = one.embedding[one.searchable_ids].astype(np.float64)
        np.testing.assert_allclose(
            whitening(one).shrinkage, ledoit_wolf_shrinkage(rows, assume_centered=True), rtol=1e-6
        )


def test_every_direction_has_the_same_energy_afterwards():
    generator = np.random.default_rng(0)
    rows = generator.standard_normal((20_000, 12)) * np.geomspace(3, 1, 12) + 1
    white = rows @ whitening(planted.from_rows(rows)).matrix
    energy = np.linalg.eigvalsh(white.T @ white / len(rows))
    np.testing.assert_allclose(energy / energy.mean(), 1, atol=0.02)


def test_rotation_and_length_change_nothing():
    generator = np.random.default_rng(2)
    rows, queries = (
        generator.standard_normal((300, 16)) * np.geomspace(5, 0.5, 16),
        generator.standard_normal((9, 16)),
    )
    turn = np.linalg.qr(generator.standard_normal((16, 16)))[0]
    ids, scores = search(np.asarray(queries, np.float32), planted.from_rows(rows), 8, "whitened")
    turned, again = search(
        np.asarray(7 * queries @ turn, np.float32), planted.from_rows(rows @ turn), 8, "whitened"
    )
    assert (ids == turned).mean() > 0.98
    np.testing.assert_allclose(scores, again, atol=1e-4)


def test_a_vocabulary_row_is_its_own_first_neighbor(vocabulary):
    rows = vocabulary.searchable_ids[::40]
    ids, scores = search(vocabulary.embedding[rows], vocabulary, 1, "whitened")
    assert (ids[:, 0] == rows).all()
    np.testing.assert_allclose(scores, 1, atol=1e-5)


def test_on_an_isotropic_table_it_orders_as_cosine_does():
    rows = np.concatenate([np.eye(24), -np.eye(24)]) * 3.0
    vocabulary = planted.from_rows(rows)
    queries = np.random.default_rng(3).standard_normal((20, 24)).astype(np.float32)
    whitened, cosine = (search(queries, vocabulary, 5, metric) for metric in ("whitened", "cosine"))
    assert (whitened[0] == cosine[0]).all()
    np.testing.assert_allclose(whitened[1], cosine[1], atol=1e-5)


def test_whitened_search_is_brute_force():
    vocabulary = planted.vocabulary()
    queries = np.random.default_rng(4).standard_normal((11, 16)).astype(np.float32)
    white, ids = whitening(vocabulary), vocabulary.searchable_ids
    cosine = white(queries).astype(np.float64) @ unit(
        unit(vocabulary.embedding[ids]) @ white.matrix
    ).T.astype(np.float64)
    found, scores = search(queries, vocabulary, 6, "whitened")
    assert (found == ids[np.argsort(-cosine, axis=1)[:, :6]]).all()
    np.testing.assert_allclose(scores, -np.sort(-cosine, axis=1)[:, :6], atol=1e-6)


def test_the_best_of_many_queries_are_those_of_faiss():
    """Stretches that hold the k best, those of the last, shorter stretch, and the order of equal rows."""
    import faiss

    from explorer.analysis.vectors import MANY, STRETCH, rough_search

    generator = np.random.default_rng(3)
    rows = generator.normal(size=(40 * STRETCH + 17, 12)).astype(np.float32)
    index = faiss.IndexFlatIP(12)
    index.add(rows)
    queries = np.concatenate(
        [generator.normal(size=(3 * MANY, 12)), 5 * rows[-17:], 5 * rows[:STRETCH]]
    ).astype(np.float32)
    for k in (1, 5, 9):
        scores, places = rough_search(index, queries, k)
        expected = np.sort(queries @ rows.T, axis=1)[:, ::-1][:, :k]
        assert scores == pytest.approx(expected, rel=1e-5, abs=1e-5)
        assert (np.diff(scores, axis=1) <= 0).all()
        assert (places == index.search(queries, k)[1]).mean() > 0.999
    assert (
        rough_search(index, queries[: MANY - 1], 5)[1] == index.search(queries[: MANY - 1], 5)[1]
    ).all()  # few: FAISS itself
