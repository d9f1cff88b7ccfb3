"""The map: the vocabulary behind, prompts, labels and their neighbors in front. For looking, never for evidence."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from explorer.analysis.map.fit import VocabularyMap
from explorer.analysis.map.place import Placement
from explorer.analysis.map.regions import central_extent, landmarks
from explorer.analysis.neighbors import NearestNeighbors
from explorer.figures.style import COLORS, NEUTRAL, Look, looks, plain, readable, styled
from explorer.vocabulary import Vocabulary

SMALLEST, LARGEST = 5, 30
"""pixels across of the tokens with the least and the most weight"""
FAINTEST, FULLY_TRUSTED = 0.35, 0.5
"""opacity of a token none of whose neighbors is near on the map, and the trust from which on tokens are opaque"""
MOST_NAMED, WORDS_NAMED = 12, 3
"""tokens whose group is written beside them, and how many of its words; all groups are told when hovered"""
VIEW, LETTER, LINE = (900, 560), 6.2, 19
"""pixels: of the drawn area, about; across of a letter and of a line of names"""
MARGIN = 0.06
"""of the first view, around what it shows"""
Trajectory = tuple[np.ndarray, np.ndarray]
"""steps [S] and places [S, P, 2], as `place_trajectory` gives them"""


def map_figure(
    vocabulary_map: VocabularyMap,
    vocabulary: Vocabulary,
    placements: Sequence[Placement],
    trajectories: Mapping[str, Trajectory] | None = None,
    groups: Mapping[str, str] | None = None,
    neighbors: Sequence[NearestNeighbors] = (),
    name_vocabulary: bool = False,
    weights: Mapping[str, np.ndarray] | None = None,
    told: bool = False,
    also: Sequence[np.ndarray] = (),
) -> go.Figure:
    """Prompt tokens (filled), the same before training (hollow), class labels (stars) and neighbors (dots) over the vocabulary.

    trajectories: by prompt name, drawn as lines. groups: what each prompt is colored by, by its name; by default itself.
    name_vocabulary: hover text for every piece, which doubles the figure's size. weights: [P] by prompt name, 0 or more: the area of a token grows
    with its share of the largest. told: words that tell the regions. A token that lies among words that belong together (`Placement.groups`) has a ring
    and says them when hovered; the first few have them written beside. The less of its neighborhood a place keeps (trust), the fainter the token; the
    first view leaves out far islands without tokens, unless they hold one of `also`, places [Q, 2] each. A point's customdata is its token id, or
    kind, prompt and position.
    """
    group_of = {placement.prompt: (groups or {}).get(placement.prompt, placement.prompt) for placement in placements if placement.kind != "label"}
    look = looks(group_of.values())
    figure = go.Figure(_cloud(vocabulary_map, vocabulary, name_vocabulary))
    for found in neighbors:
        figure.add_trace(_neighbor_points(found, vocabulary_map, vocabulary, look[group_of[found.prompt]]))
        figure.data[-1].legendgroup = group_of[found.prompt]
    for prompt, (steps, xy) in (trajectories or {}).items():
        figure.add_trace(_paths(prompt, steps, xy, look[group_of[prompt]]))
        figure.data[-1].legendgroup = group_of[prompt]
    listed: set[str] = set()
    named = max(1, MOST_NAMED // max(1, sum(any(placement.groups) for placement in placements)))
    for placement in sorted(placements, key=lambda placement: ("initial", "prompt", "label").index(placement.kind)):
        group = group_of.get(placement.prompt, "class labels")
        weight = (weights or {}).get(placement.prompt) if placement.kind == "prompt" else None
        points = _points(placement, group, look.get(group), weight)
        figure.add_trace(points)
        if placement.kind != "initial" and group not in listed:
            listed.add(group)
            mark = {"symbol": points.marker.symbol, "color": points.marker.color, "size": 11}  # a token's own mark may be faint
            figure.add_scattergl(x=[None], y=[None], mode="markers", name=plain(group), marker=mark, legendgroup=group, showlegend=True)
        _name_groups(figure, placement, group, look.get(group), named)
        if placement.kind == "label":
            _name(figure, placement, np.ptp(vocabulary_map.xy, axis=0))
    if told:
        tell_regions(figure, vocabulary_map, vocabulary)
    shown = [*(placement.xy for placement in placements), *(xy.reshape(-1, 2) for _, xy in (trajectories or {}).values()), *also]
    leave_out_what_overlaps(figure, *first_view(figure, vocabulary_map, shown))
    figure.update_layout(dragmode="pan")
    return styled(figure, "Prompt tokens among the words of the model", 640, legend=True)


def _cloud(vocabulary_map: VocabularyMap, vocabulary: Vocabulary, named: bool) -> go.Scattergl:
    ids = vocabulary_map.token_ids
    return go.Scattergl(
        x=vocabulary_map.xy[:, 0].astype(np.float32),
        y=vocabulary_map.xy[:, 1].astype(np.float32),
        mode="markers",
        name=f"vocabulary ({len(ids):,} pieces)",
        marker={"color": NEUTRAL, "size": 3, "opacity": 0.35},
        selected={"marker": {"color": COLORS[1], "size": 9, "opacity": 1}},
        unselected={"marker": {"opacity": 0.35}},
        customdata=ids.astype(np.int32),
        text=[plain(readable(vocabulary.pieces[token_id]), 30) for token_id in ids] if named else None,
        hovertemplate="%{text}<extra></extra>" if named else None,
        hoverinfo=None if named else "skip",  # else an unnamed piece under a token would take its hover and click
    )


def _neighbor_points(found: NearestNeighbors, vocabulary_map: VocabularyMap, vocabulary: Vocabulary, look: Look) -> go.Scattergl:
    """Every vocabulary row that is a neighbor of one of the prompt's tokens, if it is on the map."""
    ids = np.intersect1d(found.token_ids, vocabulary_map.token_ids)
    xy = vocabulary_map.xy[np.searchsorted(vocabulary_map.token_ids, ids)]
    return go.Scattergl(
        x=xy[:, 0],
        y=xy[:, 1],
        mode="markers",
        name=f"neighbors of {plain(found.prompt)}",
        showlegend=False,
        marker={"color": look.color, "size": 5, "opacity": 0.65},
        unselected={"marker": {"opacity": 0.65}},
        customdata=ids.astype(np.int32),
        text=[plain(readable(vocabulary.pieces[token_id]), 30) for token_id in ids],
        hovertemplate="%{text}<br>a neighbor<extra></extra>",
    )


def _paths(prompt: str, steps: np.ndarray, xy: np.ndarray, look: Look) -> go.Scattergl:
    """One line a prompt token, from the first saved step to the last."""
    length = xy.shape[1]
    broken = np.concatenate([xy.transpose(1, 0, 2), np.full((length, 1, 2), np.nan, np.float32)], axis=1).reshape(-1, 2)
    return go.Scattergl(
        x=broken[:, 0],
        y=broken[:, 1],
        mode="lines",
        name=f"path of {plain(prompt)}",
        showlegend=False,
        line={"color": look.color, "width": 1},
        opacity=0.6,
        hoverinfo="skip",
    )


def _points(placement: Placement, group: str, look: Look | None, weight: np.ndarray | None = None) -> go.Scattergl:
    """The points of one placement, which tell their names on hover."""
    names = [plain(name if placement.kind == "label" else readable(name), 30) for name in placement.names]
    positions = [int(position) for position in placement.positions]
    own = placement.kind == "label"
    what = "class label" if own else f"token %{{customdata[2]}} of {plain(placement.prompt)}{' before training' if placement.kind == 'initial' else ''}"
    symbol, color = ("star", COLORS[4]) if own or look is None else (look.symbol, look.color)
    size = _sizes(weight, 15 if own else 11)
    opacity = 0.95 if own else FAINTEST + (1 - FAINTEST) * np.minimum(np.nan_to_num(placement.trust) / FULLY_TRUSTED, 1)
    return go.Scattergl(
        x=placement.xy[:, 0],
        y=placement.xy[:, 1],
        mode="markers",
        name=plain(group),
        legendgroup=group,
        showlegend=False,
        marker={"symbol": f"{symbol}-open" if placement.kind == "initial" else symbol, "color": color, "size": size, "opacity": opacity},
        selected={"marker": {"size": 19}},
        unselected={"marker": {"opacity": 0.6}},
        text=names,
        customdata=[(placement.kind, placement.prompt, position, round(float(trust), 2)) for position, trust in zip(positions, placement.trust, strict=True)],
        hovertext=[f"<br>among {plain(placement.group(row), 120)}" if placement.group(row) else "" for row in range(len(positions))],
        hovertemplate=f"{what}<br>%{{text}}<br>trust %{{customdata[3]}}%{{hovertext}}<extra></extra>",
    )


def _name_groups(figure: go.Figure, placement: Placement, group: str, look: Look | None, most: int) -> None:
    """A ring around every token that lies among words that belong together, and these words beside the first `most`."""
    rows = [row for row in range(len(placement.xy)) if placement.group(row)]
    if not rows or look is None:
        return
    ring = {"symbol": "circle-open", "color": look.color, "size": 19, "line": {"width": 2}}
    x, y = placement.xy[rows].T
    name = f"in a group, {plain(placement.prompt)}"
    figure.add_scattergl(x=x, y=y, mode="markers", name=name, legendgroup=group, showlegend=False, marker=ring, hoverinfo="skip")
    for row in rows[:most]:
        words = plain(", ".join(placement.groups[row][:WORDS_NAMED]), 40)
        font = {"color": "white", "size": 11}
        x, y = placement.xy[row]
        look_of_text = {"font": font, "bgcolor": "rgba(58,64,74,0.75)", "borderpad": 1}
        figure.add_annotation(x=float(x), y=float(y), text=words, name="group", showarrow=False, yshift=18, **look_of_text)


def _sizes(weight: np.ndarray | None, usual: int) -> int | np.ndarray:
    """Diameters in pixels: the usual one, or [P] with areas by weight."""
    if weight is None or not weight.max() > 0:
        return usual
    return SMALLEST + (LARGEST - SMALLEST) * np.sqrt(weight / weight.max())


def first_view(figure: go.Figure, vocabulary_map: VocabularyMap, shown: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Set the axes to the middle of the map and whatever else is shown, places [Q, 2] each: the corners [2], [2] of the view."""
    corners = np.concatenate([np.stack(central_extent(vocabulary_map.xy)), *shown])
    low, high = np.nanmin(corners, axis=0), np.nanmax(corners, axis=0)
    low, high = low - MARGIN * (high - low), high + MARGIN * (high - low)
    figure.update_xaxes(visible=False, range=[low[0], high[0]])
    figure.update_yaxes(visible=False, range=[low[1], high[1]])
    return low, high


def leave_out_what_overlaps(figure: go.Figure, low: np.ndarray, high: np.ndarray) -> None:
    """Keep of the names those that are not written over a more important one, in a view between two corners [2]: labels, groups, landmarks."""
    pixels, kept = np.array(VIEW) / np.maximum(high - low, 1e-9), []
    boxes: list[tuple[np.ndarray, np.ndarray]] = []
    for note in sorted(figure.layout.annotations, key=lambda note: ("label", "group", "landmark").index(note.name)):
        center = np.array([note.x, note.y]) * pixels + (0, note.yshift or 0)
        half = np.array([LETTER * len(note.text.removeprefix("<i>").removesuffix("</i>")) + 6, LINE]) / 2
        if note.name == "label" or not any((np.abs(center - other) < half + half_other).all() for other, half_other in boxes):
            kept.append(note)
            boxes.append((center, half))
    figure.layout.annotations = kept


def tell_regions(figure: go.Figure, vocabulary_map: VocabularyMap, vocabulary: Vocabulary) -> None:
    """Frequent words at their places, as a map names towns."""
    for number in landmarks(vocabulary_map, vocabulary):
        x, y = vocabulary_map.xy[number]
        word = plain(readable(vocabulary.pieces[vocabulary_map.token_ids[number]]), 20)
        look = {"font": {"color": "white", "size": 11}, "bgcolor": "rgba(58,64,74,0.6)", "borderpad": 1}
        figure.add_annotation(x=float(x), y=float(y), text=f"<i>{word}</i>", name="landmark", showarrow=False, **look)


def _name(figure: go.Figure, labels: Placement, span: np.ndarray) -> None:
    """The labels' names beside their stars; names of stars that lie together stand above and below in turn."""
    for number, (name, (x, y)) in enumerate(zip(labels.names, labels.xy, strict=True)):
        near = (np.abs(labels.xy[:number] - labels.xy[number]) < span * (0.12, 0.05)).all(axis=1).sum()
        figure.add_annotation(
            x=x,
            y=y,
            text=plain(name, 30),
            name="label",
            showarrow=False,
            yshift=(18 + 17 * (near // 2)) * (1 if near % 2 == 0 else -1),
            font={"color": "white", "size": 12},
            bgcolor="rgba(58,64,74,0.85)",
            borderpad=2,
        )


def point_at(figure: go.Figure, xy: np.ndarray, text: str) -> go.Figure:
    """An arrow with a text to a place [2] on a map, none for what lies nowhere; the same figure."""
    if not np.isfinite(xy).all():
        return figure
    look = {"font": {"color": "white", "size": 12}, "bgcolor": "rgba(58,64,74,0.85)", "borderpad": 2}
    return figure.add_annotation(x=float(xy[0]), y=float(xy[1]), text=plain(text, 30), arrowhead=2, arrowcolor=NEUTRAL, ax=0, ay=-40, **look)
