"""The map: the vocabulary behind, prompts, labels and their neighbors in front. For looking, never for
evidence.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from explorer.analysis.map.fit import VocabularyMap
from explorer.analysis.map.outlines import DrawnGroup, drawn_groups
from explorer.analysis.map.place import Placement
from explorer.analysis.map.regions import central_extent
from explorer.analysis.neighbors import NearestNeighbors
from explorer.figures.map_names import (
    HALO,
    VIEW,
    group_names,
    inked,
    label_names,
    landmark_names,
    write_names,
)
from explorer.figures.style import CLEAR, COLORS, NEUTRAL, Look, looks, plain, readable, styled
from explorer.vocabulary import Vocabulary

SMALLEST, LARGEST = 5, 30
"""pixels across of the tokens with the least and the most weight"""
FAINTEST, FULLY_TRUSTED = 0.35, 0.5
"""opacity of a token none of whose neighbors is near on the map, and the trust from which on tokens are
opaque
"""
MOST_NAMED = 16
"""groups whose words are written beside them; all are told when hovered"""
FAINT, SHARP, DOT = 0.35, 2, 2
"""opacity of a word; of a picture of the words, the pixels to one of the screen and those across a word"""
MARGIN = 0.03
"""of a view, around what it shows"""
BUTTONS = "#747a84"
"""of buttons' names: read on light and on dark ground"""
DRAGS = {"Move": "pan", "Lasso": "lasso"}
"""what dragging does"""
View = tuple[np.ndarray, np.ndarray]
"""the lower left and the upper right corner [2] of what is seen of a map"""
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
    view: View | None = None,
    pixels: tuple[int, int] = VIEW,
) -> go.Figure:
    """Prompt tokens (filled), the same before training (hollow), class labels (stars) and neighbors (dots)
    over the vocabulary.

    trajectories: by prompt name, drawn as lines. groups: what each prompt is colored by, by its name; by
    default itself. name_vocabulary: hover text for every piece, which doubles the figure's size. weights: [P]
    by prompt name, 0 or more: the area of a token grows with its share of the largest. told: words that tell
    the regions. A token that lies among words that belong together (`Placement.groups`) has a ring and says
    them when hovered; where these words lie together on the map too, an outline is drawn around them, and the
    first few have them written beside. The less of its neighborhood a place keeps (trust), the fainter the
    token. view: what is seen at first; by default all but far islands without tokens, unless they hold one of
    `also`, places [Q, 2] each. pixels: about how large it is drawn, for which names are placed. A point's
    customdata is its token id, or kind, prompt and position.
    """
    group_of = {
        placement.prompt: (groups or {}).get(placement.prompt, placement.prompt)
        for placement in placements
        if placement.kind != "label"
    }
    look = looks(group_of.values())
    figure = go.Figure(_cloud(vocabulary_map, vocabulary, name_vocabulary))
    for found in neighbors:
        figure.add_trace(_neighbor_points(found, vocabulary_map, vocabulary, look[group_of[found.prompt]]))
        figure.data[-1].legendgroup = group_of[found.prompt]
    for prompt, (steps, xy) in (trajectories or {}).items():
        figure.add_trace(_paths(prompt, steps, xy, look[group_of[prompt]]))
        figure.data[-1].legendgroup = group_of[prompt]
    listed: set[str] = set()
    for placement in sorted(
        placements, key=lambda placement: ("initial", "prompt", "label").index(placement.kind)
    ):
        group = group_of.get(placement.prompt, "class labels")
        weight = (weights or {}).get(placement.prompt) if placement.kind == "prompt" else None
        points = _points(placement, group, look.get(group), weight)
        figure.add_trace(points)
        if placement.kind != "initial" and group not in listed:
            listed.add(group)
            mark = {
                "symbol": points.marker.symbol,
                "color": points.marker.color,
                "size": 11,
            }  # a token's own mark may be faint
            figure.add_scattergl(
                x=[None],
                y=[None],
                mode="markers",
                name=plain(group),
                marker=mark,
                legendgroup=group,
                showlegend=True,
            )
        _ring_grouped(figure, placement, group, look.get(group))
    outlined = drawn_groups(placements, vocabulary_map, vocabulary)
    figure.layout.shapes = [
        _outline(one, {look[group_of[prompt]].color for prompt in one.prompts}) for one in outlined
    ]
    if view is None:
        shown = [
            *(placement.xy for placement in placements),
            *(xy.reshape(-1, 2) for _, xy in (trajectories or {}).values()),
            *also,
        ]
        view = around([*central_extent(vocabulary_map.xy), *shown])
    show_view(figure, view)
    labels = [placement for placement in placements if placement.kind == "label"]
    names = [name for placement in labels for name in label_names(placement)] + group_names(
        outlined, MOST_NAMED
    )
    names += landmark_names(vocabulary_map, vocabulary) if told else []
    write_names(
        figure,
        names,
        *view,
        np.concatenate([np.zeros((0, 2)), *(placement.xy for placement in labels)]),
        pixels,
    )
    figure.update_layout(dragmode="pan", uirevision="map", selectionrevision="map")
    return styled(figure, "Prompt tokens among the words of the model", 640, legend=True)


def _cloud(vocabulary_map: VocabularyMap, vocabulary: Vocabulary, named: bool) -> go.Scattergl:
    ids = vocabulary_map.token_ids
    return go.Scattergl(
        x=vocabulary_map.xy[:, 0].astype(np.float32),
        y=vocabulary_map.xy[:, 1].astype(np.float32),
        mode="markers",
        name=f"vocabulary ({len(ids):,} pieces)",
        marker={"color": NEUTRAL, "size": 3, "opacity": FAINT},
        selected={"marker": {"opacity": 0.7}},  # a region covers nothing of what it selects
        unselected={"marker": {"opacity": FAINT}},
        customdata=ids.astype(np.int32),
        text=[plain(vocabulary.readable(vocabulary.pieces[token_id]), 30) for token_id in ids]
        if named
        else None,
        hovertemplate="%{text}<extra></extra>" if named else None,
        hoverinfo=None
        if named
        else "skip",  # else an unnamed piece under a token would take its hover and click
    )


def _neighbor_points(
    found: NearestNeighbors, vocabulary_map: VocabularyMap, vocabulary: Vocabulary, look: Look
) -> go.Scattergl:
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
        text=[plain(vocabulary.readable(vocabulary.pieces[token_id]), 30) for token_id in ids],
        hovertemplate="%{text}<br>a neighbor<extra></extra>",
    )


def _paths(prompt: str, steps: np.ndarray, xy: np.ndarray, look: Look) -> go.Scattergl:
    """One line a prompt token, from the first saved step to the last."""
    length = xy.shape[1]
    broken = np.concatenate(
        [xy.transpose(1, 0, 2), np.full((length, 1, 2), np.nan, np.float32)], axis=1
    ).reshape(-1, 2)
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


def _when(placement: Placement) -> str:
    """When its points were there: nothing of the end."""
    if placement.kind != "initial":
        return ""
    return " before training" if placement.since is None else f" at step {placement.since:,}"


def _points(
    placement: Placement, group: str, look: Look | None, weight: np.ndarray | None = None
) -> go.Scattergl:
    """The points of one placement, which tell their names on hover."""
    names = [plain(name if placement.kind == "label" else readable(name), 30) for name in placement.names]
    positions = [int(position) for position in placement.positions]
    own = placement.kind == "label"
    what = (
        "class label" if own else (f"token %{{customdata[2]}} of {plain(placement.prompt)}{_when(placement)}")
    )
    symbol, color = ("star", COLORS[4]) if own or look is None else (look.symbol, look.color)
    size = _sizes(weight, 15 if own else 11)
    opacity = (
        0.95
        if own
        else FAINTEST + (1 - FAINTEST) * np.minimum(np.nan_to_num(placement.trust) / FULLY_TRUSTED, 1)
    )
    return go.Scattergl(
        x=placement.xy[:, 0],
        y=placement.xy[:, 1],
        mode="markers",
        name=plain(group),
        legendgroup=group,
        showlegend=False,
        marker={
            "symbol": f"{symbol}-open" if placement.kind == "initial" else symbol,
            "color": color,
            "size": size,
            "opacity": opacity,
        }
        | ({"line": {"width": 0}} if weight is not None else {}),
        selected={"marker": {"opacity": 1} | ({} if own or weight is not None else {"size": 14})},
        unselected={"marker": {"opacity": 0.6}},
        text=names,
        customdata=[
            (placement.kind, placement.prompt, position, round(float(trust), 2))
            for position, trust in zip(positions, placement.trust, strict=True)
        ],
        hovertext=[
            f"<br>among {plain(placement.group(row), 120)}" if placement.group(row) else ""
            for row in range(len(positions))
        ],
        hovertemplate=f"{what}<br>%{{text}}<br>trust %{{customdata[3]}}%{{hovertext}}<extra></extra>",
    )


def _ring_grouped(figure: go.Figure, placement: Placement, group: str, look: Look | None) -> None:
    """A ring around every token that lies among words that belong together."""
    rows = [row for row in range(len(placement.xy)) if placement.group(row)]
    if not rows or look is None:
        return
    ring = {"symbol": "circle-open", "color": look.color, "size": 19, "line": {"width": 2}}
    x, y = placement.xy[rows].T
    name = f"in a group, {plain(placement.prompt)}"
    figure.add_scattergl(
        x=x,
        y=y,
        mode="markers",
        name=name,
        legendgroup=group,
        showlegend=False,
        marker=ring,
        hoverinfo="skip",
    )


def _outline(group: DrawnGroup, colors: set[str]) -> dict[str, Any]:
    """The outline of a group, below the points, in the color of its prompt; gray where it is that of
    several.
    """
    path = "M" + "L".join(f"{x:.4f},{y:.4f}" for x, y in group.outline) + "Z"
    color = colors.pop() if len(colors) == 1 else NEUTRAL
    return {
        "type": "path",
        "path": path,
        "layer": "below",
        "name": "group",
        "fillcolor": color,
        "opacity": 0.22,
        "line": {"color": color, "width": 1.5},
    }


def _sizes(weight: np.ndarray | None, usual: int) -> int | np.ndarray:
    """Diameters in pixels: the usual one, or [P] with areas by weight."""
    if weight is None or not weight.max() > 0:
        return usual
    return SMALLEST + (LARGEST - SMALLEST) * np.sqrt(weight / weight.max())


def around(shown: Sequence[np.ndarray]) -> View:
    """The view of places [2] or [Q, 2] each, with a margin."""
    corners = np.concatenate([np.atleast_2d(places) for places in shown])
    low, high = np.nanmin(corners, axis=0).astype(float), np.nanmax(corners, axis=0).astype(float)
    return low - MARGIN * (high - low), high + MARGIN * (high - low)


def show_view(figure: go.Figure, view: View) -> None:
    """Set the axes of a map, which are not drawn."""
    low, high = view
    figure.update_xaxes(visible=False, range=[float(low[0]), float(high[0])])
    figure.update_yaxes(visible=False, range=[float(low[1]), float(high[1])])


def sketched(figure: go.Figure, pixels: tuple[int, int] = VIEW) -> go.Figure:
    """A map to look at, drawn sooner where the browser has no graphics card: the words as a picture, the
    marks before it without WebGL; the same figure.

    pixels: about how large it is drawn. Zooming in shows that the words are a picture.
    """
    (left, right), (low, high) = figure.layout.xaxis.range, figure.layout.yaxis.range
    cloud, *marks = figure.data
    lay_picture(
        figure,
        np.column_stack([cloud.x, cloud.y]),
        (np.array([left, low]), np.array([right, high])),
        (SHARP * pixels[0], SHARP * pixels[1]),
    )
    key = go.Scatter(
        x=[None], y=[None], mode="markers", name=cloud.name, marker=cloud.marker.to_plotly_json()
    )
    figure.data = ()
    return figure.add_traces(
        [key, *(go.Scatter({**mark.to_plotly_json(), "type": "scatter"}) for mark in marks)]
    )


def lay_picture(figure: go.Figure, xy: np.ndarray, view: View, pixels: tuple[int, int]) -> None:
    """Lay a picture, of so many pixels, of points [N, 2] below a view of a map: gray, the denser the less
    transparent, for light and dark ground.
    """
    from PIL import Image

    (left, low), (right, high) = view
    across, up = pixels
    counts = np.histogram2d(xy[:, 1], xy[:, 0], (up // DOT, across // DOT), ((low, high), (left, right)))[0][
        ::-1
    ]
    dots = np.zeros((*counts.shape, 4), np.uint8)
    dots[..., :3] = [int(NEUTRAL[place : place + 2], 16) for place in (1, 3, 5)]
    dots[..., 3] = 255 * np.minimum(1 - (1 - FAINT) ** counts, 0.9)
    content = io.BytesIO()
    Image.fromarray(dots).resize(pixels, Image.Resampling.NEAREST).save(content, "PNG")
    source = f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"
    place = {
        "xref": "x",
        "yref": "y",
        "x": left,
        "y": high,
        "sizex": right - left,
        "sizey": high - low,
        "sizing": "stretch",
    }
    figure.add_layout_image(source=source, layer="below", **place)


def point_at(figure: go.Figure, xy: np.ndarray, text: str) -> go.Figure:
    """An arrow with a text to a place [2] on a map, none for what lies nowhere; the same figure."""
    if not np.isfinite(xy).all():
        return figure
    font = {"size": 13, "weight": "bold", "shadow": HALO}
    return figure.add_annotation(
        x=float(xy[0]),
        y=float(xy[1]),
        text=inked(plain(text, 30)),
        font=font,
        arrowhead=2,
        arrowcolor=NEUTRAL,
        ax=0,
        ay=-40,
        standoff=7,
    )


def whole(vocabulary_map: VocabularyMap, placements: Sequence[Placement]) -> View:
    """The view of the whole map, with its far islands."""
    return around([vocabulary_map.xy, *(placement.xy for placement in placements)])


def center(vocabulary_map: VocabularyMap) -> View:
    """The view of the central 98 % of the words."""
    return around(central_extent(vocabulary_map.xy))


def view_buttons(figure: go.Figure, views: Mapping[str, View], drag: str = "pan") -> go.Figure:
    """Buttons on a map for some views, by name, and for what dragging does, now `drag`; the same figure."""
    look = {
        "type": "buttons",
        "direction": "left",
        "showactive": False,
        "bgcolor": CLEAR,
        "bordercolor": "rgba(138,143,152,0.6)",
        "borderwidth": 1,
    }
    look |= {"font": {"size": 12, "color": BUTTONS}, "yanchor": "bottom", "y": 1, "pad": {"b": 6}}
    ranges = {
        name: {"xaxis.range": [low[0], high[0]], "yaxis.range": [low[1], high[1]]}
        for name, (low, high) in views.items()
    }
    seen = [{"label": name, "method": "relayout", "args": [args]} for name, args in ranges.items()]
    drags = [
        {"label": name, "method": "relayout", "args": [{"dragmode": mode}]} for name, mode in DRAGS.items()
    ]
    dragging = look | {
        "buttons": drags,
        "x": 0,
        "xanchor": "left",
        "pad": {"b": 6, "l": 165},
        "showactive": True,
        "active": list(DRAGS.values()).index(drag),
    }
    return figure.update_layout(updatemenus=[look | {"buttons": seen, "x": 0, "xanchor": "left"}, dragging])


def with_regions(figure: go.Figure, outlines: Sequence[np.ndarray]) -> go.Figure:
    """Regions [C, 2] each that were drawn on a map: lines, which cover nothing; the same figure."""
    line = {"color": COLORS[0], "width": 2, "dash": "solid"}
    paths = ["M" + "L".join(f"{x},{y}" for x, y in outline) + "Z" for outline in outlines]
    selections = [{"type": "path", "path": path, "xref": "x", "yref": "y", "line": line} for path in paths]
    return figure.update_layout(
        selections=selections, newselection={"line": line}, activeselection={"fillcolor": CLEAR, "opacity": 1}
    )


def map_legend(figure: go.Figure) -> go.Figure:
    """The legend of a map as a figure of its own: what the map's says, and its marks that no trace names."""
    entries = [
        (trace.name, trace.marker.symbol or "circle", trace.marker.color)
        for trace in figure.data
        if trace.showlegend
    ]
    marks = (
        [("ring: in a group of words", "circle-open", NEUTRAL)]
        if any(str(trace.name).startswith("in a group") for trace in figure.data)
        else []
    )
    entries += [
        *marks,
        ("small: nearest words", "circle", NEUTRAL),
        ("gray: all other words", "circle", NEUTRAL),
    ]
    legend = go.Figure()
    for row, (name, symbol, color) in enumerate(entries):
        size = {"small": 6, "gray:": 4}.get(name[:5], 11)
        legend.add_scatter(
            x=[0],
            y=[-row],
            mode="markers",
            marker={"symbol": symbol, "color": color, "size": size},
            hoverinfo="skip",
            name=name,
        )
        legend.add_annotation(
            x=0, y=-row, text=inked(name), showarrow=False, xanchor="left", xshift=12, font={"size": 13}
        )
    legend.update_xaxes(visible=False, range=[-0.04, 1], fixedrange=True)
    legend.update_yaxes(visible=False, range=[0.6 - len(entries), 0.6], fixedrange=True)
    styled(legend, "Legend", 24 * len(entries) + 4)
    return legend.update_layout(title=None, margin={"l": 0, "r": 0, "t": 2, "b": 2})
