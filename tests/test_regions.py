"""Regions on the map: what lies within an outline, and the words and ranks of it."""

import numpy as np
import planted
import pytest

from explorer.analysis.map import regions
from explorer.analysis.map.fit import VocabularyMap
from explorer.analysis.map.regions import central_extent, inside, landmarks, pieces_inside

SQUARE = np.array([[0, 0], [2, 0], [2, 2], [0, 2]], float)


def test_a_square_holds_what_lies_within_it():
    points = np.array([[1, 1], [0.01, 1.99], [3, 1], [-1, 1], [1, 3], [1, -1]])
    assert inside(points, SQUARE).tolist() == [True, True, False, False, False, False]


@pytest.mark.parametrize("corners", [3, 7, 60])
def test_a_regular_outline_agrees_with_its_half_planes(corners):
    angles = 2 * np.pi * np.arange(corners) / corners + 0.3
    outline = np.column_stack([np.cos(angles), np.sin(angles)])
    points = np.random.default_rng(corners).uniform(-1.2, 1.2, (2000, 2))
    edge = np.roll(outline, -1, axis=0) - outline
    along = points[:, None] - outline
    left = edge[:, 0] * along[..., 1] - edge[:, 1] * along[..., 0] > 0
    np.testing.assert_array_equal(inside(points, outline), left.all(axis=1))


def test_neither_the_first_corner_nor_the_direction_matters():
    generator = np.random.default_rng(1)
    angles = np.sort(generator.uniform(0, 2 * np.pi, 15))
    outline = generator.uniform(0.3, 1, (15, 1)) * np.column_stack([np.cos(angles), np.sin(angles)])
    points = generator.uniform(-1, 1, (500, 2))
    there = inside(points, outline)
    assert 0 < there.sum() < 500
    np.testing.assert_array_equal(inside(points, np.roll(outline, 4, axis=0)), there)
    np.testing.assert_array_equal(inside(points, outline[::-1]), there)
    np.testing.assert_array_equal(inside(points * [3, -2] + 7, outline * [3, -2] + 7), there)


def test_a_hollow_outline_leaves_its_bay_out():
    horseshoe = np.array([[0, 0], [3, 0], [3, 3], [2, 3], [2, 1], [1, 1], [1, 3], [0, 3]], float)
    assert inside(np.array([[0.5, 2], [2.5, 2], [1.5, 2], [1.5, 0.5]]), horseshoe).tolist() == [
        True,
        True,
        False,
        True,
    ]


def test_what_is_gone_round_twice_is_outside():
    crossed = np.array([[0, 0], [2, 2], [2, 0], [0, 2]], float)  # two triangles that meet in the middle
    assert inside(np.array([[0.2, 1], [1.8, 1], [1, 0.2], [1, 1.8]]), crossed).tolist() == [
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize("outline", [np.zeros((0, 2)), SQUARE[:2], np.zeros((5, 2))])
def test_less_than_a_triangle_holds_nothing(outline):
    assert not inside(np.array([[0, 0], [1, 1]]), outline).any()


def test_landmarks_are_frequent_whole_words_that_keep_their_distance():
    pieces = ("▁with", "▁the", "▁from", "ing", "▁Film", "▁film", "▁good", "▁1990s", "▁movie")
    vocabulary = planted.from_rows(np.random.default_rng(0).standard_normal((9, 4)), pieces)
    xy = np.array([[0, 0], [5, 5], [0.5, 0], [3, 3], [4, 4], [10, 0], [10, 10], [7, 7], [5, 5]], np.float32)
    drawn = VocabularyMap(np.arange(9), xy, vocabulary.fingerprint, 5, 0.1, 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(regions, "central_extent", lambda xy: (xy.min(axis=0), xy.max(axis=0)))
        assert landmarks(drawn, vocabulary).tolist() == [0, 5, 6, 8]  # ▁from is too near to ▁with
        assert landmarks(drawn, vocabulary, most=2).tolist() == [0, 5]
    low, high = central_extent(np.concatenate([np.zeros((99, 2)), [[50, 50]]]))
    assert (high < 50).all()
    assert (low == 0).all()


def test_words_of_a_region_come_with_their_frequency_ranks():
    vocabulary = planted.vocabulary(rows=40, special=5)
    ids = vocabulary.searchable_ids[::2]
    xy = np.column_stack([np.arange(len(ids)), np.zeros(len(ids))]).astype(np.float32)
    drawn = VocabularyMap(ids, xy, vocabulary.fingerprint, 15, 0.1, 0)
    frame = pieces_inside(drawn, vocabulary, np.array([[1.5, -1], [4.5, -1], [4.5, 1], [1.5, 1]]))
    assert frame["token_id"].tolist() == [4, 6, 8]
    assert frame["piece"].tolist() == ["▁word4", "▁word6", "▁word8"]
    assert frame["frequency_rank"].tolist() == [5, 7, 9]
    assert frame["x"].tolist() == [2, 3, 4]
