"""Names on a map: text with a halo of the page's own color, put where it covers no star and no other name."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go

from explorer.analysis.map.fit import VocabularyMap
from explorer.analysis.map.outlines import DrawnGroup
from explorer.analysis.map.place import Placement
from explorer.analysis.map.regions import landmarks
from explorer.figures.style import NEUTRAL, plain
from explorer.vocabulary import Vocabulary

VIEW, LETTER, LINE, STAR = (680, 620), 6.4, 17, 16
"""pixels: of the drawn area, about; across of a letter, of a line of names, and of a star"""
HALO = ", ".join(["0 0 3px light-dark(#ffffff, #12161c)"] * 4)
"""CSS text-shadow: the page's ground, where the page is light and where it is dark; four times, so that dots
behind do not show through
"""
INK = "light-dark(#1f2430, #e7eaef)"
"""CSS color of names: that of the page's text; figures of Streamlit's theme are written in gray"""
WORDS = 3
"""of a group that are written"""
FAR = 30
"""pixels from which on a line leads from a name to its star"""
Kind = Literal["label", "group", "landmark"]
ORDER: tuple[Kind, ...] = ("label", "group", "landmark")
"""the most important first"""


@dataclass(frozen=True)
class Name:
    """A name and where it may be written."""

    kind: Kind
    text: str
    places: tuple[tuple[float, float, float, float], ...]
    """x and y on the map, and from there pixels to the right and up, to the middle of the text; the best
    first
    """


def label_names(labels: Placement) -> list[Name]:
    """Class labels beside their stars; farther away where that is taken."""
    ways = [
        (0.0, 1.0),
        (0.0, -1.0),
        (1.0, 0.0),
        (-1.0, 0.0),
        (0.7, 0.7),
        (-0.7, 0.7),
        (0.7, -0.7),
        (-0.7, -0.7),
    ]
    found = []
    for name, (x, y) in zip(labels.names, labels.xy, strict=True):
        text = plain(name, 30)
        half = LETTER * len(text) / 2 + 2
        around = [
            (right * (half + gap), up * (LINE / 2 + gap))
            for gap in (STAR / 2 + 1, 30.0, 60.0, 95.0)
            for right, up in ways
        ]
        found.append(Name("label", text, tuple((float(x), float(y), right, up) for right, up in around)))
    return found


def group_names(groups: Sequence[DrawnGroup], most: int) -> list[Name]:
    """The first words of the groups of most tokens, beside their outlines: above, below, to the right, to the
    left.
    """
    found = []
    for group in groups[:most]:
        text = plain(", ".join(group.words[:WORDS]), 44)
        (left, low), (right, high) = group.outline.min(axis=0), group.outline.max(axis=0)
        x, y, half = float((left + right) / 2), float((low + high) / 2), LETTER * len(text) / 2 + 4
        above, below = (x, float(high), 0.0, LINE / 2 + 1), (x, float(low), 0.0, -LINE / 2 - 1)
        found.append(
            Name("group", text, (above, below, (float(right), y, half, 0.0), (float(left), y, -half, 0.0)))
        )
    return found


def landmark_names(vocabulary_map: VocabularyMap, vocabulary: Vocabulary) -> list[Name]:
    """Frequent words at their places, as a map names towns."""
    found = []
    for number in landmarks(vocabulary_map, vocabulary):
        x, y = vocabulary_map.xy[number]
        word = plain(vocabulary.readable(vocabulary.pieces[vocabulary_map.token_ids[number]]), 20)
        found.append(Name("landmark", word, ((float(x), float(y), 0.0, 0.0),)))
    return found


def write_names(
    figure: go.Figure,
    names: Sequence[Name],
    low: np.ndarray,
    high: np.ndarray,
    stars: np.ndarray,
    drawn: tuple[int, int] = VIEW,
) -> None:
    """Write names in a view between two corners [2], drawn so many pixels wide and high; none over a star [S,
    2] or a more important name.

    A name for which no place is free is left out; that of a class label is then written where it covers
    least.
    """
    pixels = np.array(drawn) / np.maximum(high - low, 1e-9)
    edges = low * pixels, high * pixels
    written = list(figure.layout.annotations)
    taken = stars[np.isfinite(stars).all(axis=1)] * pixels
    halves = np.full_like(taken, STAR / 2)
    for name in sorted(names, key=lambda name: ORDER.index(name.kind)):
        half = np.array([LETTER * len(name.text) + 4, LINE]) / 2
        boxes = [np.array([x, y]) * pixels + (right, up) for x, y, right, up in name.places]
        covered = [_common(box, half, taken, halves) + _beyond(box, half, *edges) for box in boxes]
        best = next((number for number, area in enumerate(covered) if area == 0), None)
        if best is None and name.kind == "label":
            best = int(np.argmin(covered))
        if best is not None:
            written.append(_annotation(name, name.places[best]))
            taken, halves = np.vstack([taken, boxes[best]]), np.vstack([halves, half])
    figure.layout.annotations = written  # at once: Plotly checks all there are for each that is added


def inked(text: str) -> str:
    """Text, plain already, in the color of the page's own text on light and on dark ground."""
    return f'<span style="color:{INK}">{text}</span>'


def _common(box: np.ndarray, half: np.ndarray, others: np.ndarray, halves: np.ndarray) -> float:
    """The area that a box has in common with others [T, 2], from their middles and half sizes, pixels²."""
    return float(
        np.clip(np.minimum(half, halves) * 2, 0, half + halves - np.abs(box - others))
        .clip(0)
        .prod(axis=1)
        .sum()
    )


def _beyond(box: np.ndarray, half: np.ndarray, low: np.ndarray, high: np.ndarray) -> float:
    """The pixels by which a box stands out of the view, to all sides; none where it lies outside
    altogether.
    """
    out = np.maximum(low - box + half, 0) + np.maximum(box + half - high, 0)
    return float(out.sum()) if (out < 2 * half).all() else 0.0


def _annotation(name: Name, place: tuple[float, float, float, float]) -> dict[str, Any]:
    x, y, right, up = place
    font = {
        "size": 13 if name.kind == "label" else 11,
        "shadow": HALO,
        "weight": "bold" if name.kind == "label" else "normal",
    }
    text = inked(f"<i>{name.text}</i>" if name.kind == "landmark" else name.text)
    look = {
        "x": x,
        "y": y,
        "text": text,
        "name": name.kind,
        "font": font,
        "opacity": 0.75 if name.kind == "landmark" else 1,
        "borderpad": 0,
    }
    if name.kind == "label" and abs(up) > FAR:
        return look | {
            "showarrow": True,
            "arrowhead": 0,
            "arrowwidth": 1,
            "arrowcolor": NEUTRAL,
            "standoff": 8,
            "ax": right,
            "ay": -up,
        }
    return look | {"showarrow": False, "xshift": right, "yshift": up}
