"""Groups of words as they are drawn on the map, and names that cover neither stars nor each other."""

import re

import numpy as np
import planted
import plotly.graph_objects as go
import pytest

from explorer.analysis.map.fit import VocabularyMap
from explorer.analysis.map.outlines import NEAR, drawn_groups
from explorer.analysis.map.place import Placement
from explorer.analysis.map.regions import inside
from explorer.figures import center, map_figure, view_buttons, whole, with_regions
from explorer.figures.map import around
from explorer.figures.map_names import LETTER, LINE, STAR, VIEW, Name, label_names, write_names

PIECES = ("▁good", "▁great", "▁fine", "▁far", "▁red", "▁blue", "▁green")
PLACES = np.array([[0, 0], [0.3, 0], [0, 0.3], [9, 9], [5, 5], [5.2, 5], [5, 5.3]], np.float32)


@pytest.fixture(scope="module")
def planted_words():
    """Seven words at known places among others that are spread over the map."""
    others = np.random.default_rng(0).uniform(0, 10, (200, 2)).astype(np.float32)
    names = (*PIECES, *(f"▁other{number}" for number in range(len(others))))
    vocabulary = planted.from_rows(np.random.default_rng(1).standard_normal((len(names), 4)), names)
    return VocabularyMap(
        np.arange(len(names)), np.concatenate([PLACES, others]), vocabulary.fingerprint, 5, 0.1, 0
    ), vocabulary


def _placed(prompt: str, *groups: tuple[str, ...]) -> Placement:
    count = len(groups)
    xy = np.tile(np.float32([[0.1, 0.1]]), (count, 1))
    return Placement(
        prompt, "prompt", ("good",) * count, np.arange(count), xy, np.ones(count, np.float32), groups
    )


def test_an_outline_goes_round_the_words_that_lie_together(planted_words):
    drawn, vocabulary = planted_words
    (group,) = drawn_groups([_placed("a", ("good", "great", "fine", "far"), ())], drawn, vocabulary)
    assert set(group.words) == {"good", "great", "fine"}, "a word on another island is not gone round"
    assert (group.prompts, group.tokens) == (("a",), 1)
    assert inside(PLACES[:4], group.outline).tolist() == [True, True, True, False]
    assert np.ptp(group.outline, axis=0).max() < 3 * NEAR * 10


def test_groups_that_share_words_are_one_and_the_larger_comes_first(planted_words):
    drawn, vocabulary = planted_words
    first, second = (
        _placed("a", ("good", "great"), ("red", "blue", "green")),
        _placed("b", ("great", "good", "fine")),
    )
    larger, smaller = drawn_groups([first, second], drawn, vocabulary)
    assert (set(larger.words), larger.prompts, larger.tokens) == ({"good", "great", "fine"}, ("a", "b"), 2)
    assert (set(smaller.words), smaller.prompts, smaller.tokens) == ({"red", "blue", "green"}, ("a",), 1)


def test_words_that_lie_apart_have_no_outline(planted_words):
    drawn, vocabulary = planted_words
    assert drawn_groups([_placed("a", ("good", "far"), ("unknown", "words"), ())], drawn, vocabulary) == []


def test_the_map_draws_outlines_below_the_points_with_their_words_beside(planted_words):
    drawn, vocabulary = planted_words
    figure = map_figure(drawn, vocabulary, [_placed("a", ("good", "great", "fine"))])
    (shape,) = figure.layout.shapes
    assert (shape.layer, shape.name) == ("below", "group")
    assert "good, great, fine" in [_text(note) for note in figure.layout.annotations]


def _text(note: go.layout.Annotation) -> str:
    return re.sub("<[^>]*>", "", note.text)


def _boxes(figure: go.Figure, low: np.ndarray, high: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Middles and half sizes [2] of all names, in pixels."""
    pixels, boxes = np.array(VIEW) / (high - low), []
    for note in figure.layout.annotations:
        shift = (note.ax or 0, -(note.ay or 0)) if note.showarrow else (note.xshift or 0, note.yshift or 0)
        boxes.append(
            (np.array([note.x, note.y]) * pixels + shift, np.array([LETTER * len(_text(note)), LINE - 1]) / 2)
        )
    return boxes


@pytest.mark.parametrize("seed", range(5))
def test_no_name_covers_a_star_or_another_name(seed):
    generator = np.random.default_rng(seed)
    stars = (0.5 + generator.normal(0, 0.04, (8, 2))).astype(np.float32)  # all in one place
    labels = Placement(
        "",
        "label",
        tuple(f"label {number}" for number in range(8)),
        np.arange(8),
        stars,
        np.ones(8, np.float32),
    )
    spots = generator.uniform(0.2, 0.8, (30, 2))
    names = [Name("landmark", "town", ((x, y, 0.0, 0.0),)) for x, y in spots] + label_names(labels)
    figure, low, high = go.Figure(), np.zeros(2), np.ones(2)
    write_names(figure, names, low, high, stars)
    assert [note.name for note in figure.layout.annotations].count("label") == 8, "labels are always written"
    boxes, pixels = _boxes(figure, low, high), np.array(VIEW)
    for number, (middle, half) in enumerate(boxes):
        assert not (np.abs(stars * pixels - middle) < half + STAR / 2 - 1).all(axis=1).any()
        for other, half_other in boxes[:number]:
            assert not (np.abs(middle - other) < half + half_other).all()


def test_names_have_a_halo_and_no_box(planted_words):
    drawn, vocabulary = planted_words
    labels = Placement("", "label", ("positive",), np.arange(1), np.float32([[4, 4]]), np.ones(1, np.float32))
    figure = map_figure(drawn, vocabulary, [_placed("a", ("good", "great", "fine")), labels], told=True)
    assert {note.name for note in figure.layout.annotations} >= {"label", "group"}
    for note in figure.layout.annotations:
        assert note.bgcolor is None
        assert "light-dark(" in note.font.shadow
        assert "color:light-dark(" in note.text, "the color of the page's own text"


def test_the_first_view_is_the_central_98_percent_and_a_button_shows_the_islands(planted_words):
    drawn, vocabulary = planted_words
    xy = drawn.xy.copy()
    xy[-1] = 500, 500
    drawn = VocabularyMap(drawn.token_ids, xy, drawn.fingerprint, 5, 0.1, 0)
    start, all_of_it = center(drawn), whole(drawn, [])
    assert start[1].max() < 12
    assert all_of_it[1].min() > 499
    figure = view_buttons(
        map_figure(drawn, vocabulary, [_placed("a", ())], view=start),
        {"Center": start, "Whole map": all_of_it},
    )
    assert tuple(figure.layout.xaxis.range) == (start[0][0], start[1][0])
    button = next(
        button for menu in figure.layout.updatemenus for button in menu.buttons if button.label == "Whole map"
    )
    assert button.args[0]["xaxis.range"][1] > 499
    assert {button.label for menu in figure.layout.updatemenus for button in menu.buttons} == {
        "Center",
        "Whole map",
        "Move",
        "Lasso",
    }


def test_a_region_is_a_line_and_covers_nothing():
    outline = np.array([[0, 0], [1, 0], [1, 1]])
    (selection,) = with_regions(go.Figure(), [outline]).layout.selections
    assert selection.path == "M0,0L1,0L1,1Z"
    figure = with_regions(go.Figure(), [])
    assert not figure.layout.selections
    assert figure.layout.activeselection.fillcolor == "rgba(0,0,0,0)"


def test_a_region_makes_no_point_larger(planted_words):
    drawn, vocabulary = planted_words
    cloud = map_figure(drawn, vocabulary, [_placed("a", ())]).data[0]
    assert cloud.selected.marker.size is None
    assert cloud.selected.marker.color is None


def test_a_view_keeps_a_margin_and_leaves_out_what_lies_nowhere():
    low, high = around([np.zeros(2), np.array([[1, 2], [np.nan, np.nan]])])
    assert (low < 0).all()
    assert (high > [1, 2]).all()
