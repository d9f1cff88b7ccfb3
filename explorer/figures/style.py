"""Colors, symbols and words that all figures share. Nothing is told by color alone."""

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from explorer.choices import INITIALIZATIONS
from explorer.words.pieces import readable

COLORS = ("#1F7FBF", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""after Okabe and Ito 2008, the blue a little lighter: told apart by color-blind readers, on light and on
dark ground
"""
SYMBOLS = ("circle", "diamond", "square", "triangle-up", "cross", "x")
PATTERNS = ("", "/", ".", "x", "-", "+")
"""fills of bars, in the order of COLORS"""
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
NEUTRAL = "#8a8f98"
"""a gray that is seen on light and on dark ground"""
CLEAR = "rgba(0,0,0,0)"
BLUES = ((0.0, "rgba(31,127,191,0.06)"), (1.0, "rgba(31,127,191,1)"))
"""from almost the page's own ground to blue"""
PALE_BLUES = ((0.0, "#dfe4ea"), (1.0, "#1A6FA8"))
"""from light gray to blue; opaque, for cells with text"""
DIVERGING = ((0.0, "#C1560B"), (0.5, "#dfe4ea"), (1.0, "#1A6FA8"))
"""vermilion below, light gray at the middle, blue above; opaque, so that Plotly finds a color for text on
it
"""
LOG_TICKS = tuple(digit * 10.0**power for power in range(-4, 7) for digit in (1, 2, 5))
"""marks of a logarithmic axis; Plotly's own leave out the power of ten"""


@dataclass(frozen=True)
class Look:
    """How one prompt or group is drawn everywhere in a figure."""

    color: str
    symbol: str
    dash: str


def looks(names: Iterable[str]) -> dict[str, Look]:
    """A color and a symbol for every name, in their order; initializations keep theirs from figure to
    figure.
    """
    distinct = list(dict.fromkeys(names))
    kept = {name: number for number, name in enumerate(sorted(INITIALIZATIONS)) if name in distinct}
    free = iter(
        number for number in range(len(distinct) + len(INITIALIZATIONS)) if number not in kept.values()
    )
    numbers = {name: kept[name] if name in kept else next(free) for name in distinct}
    return {name: _look(number) for name, number in numbers.items()}


def _look(number: int) -> Look:
    shifted = number + number // len(COLORS)  # past the last color, colors meet other symbols
    return Look(COLORS[number % len(COLORS)], SYMBOLS[shifted % len(SYMBOLS)], DASHES[shifted % len(DASHES)])


def plain(text: object, longest: int = 60) -> str:
    """Text from files as Plotly shows it letter by letter: Plotly reads labels as HTML."""
    text = " ".join(str(text).split())
    shown = html.escape(text if len(text) <= longest else f"{text[: longest - 1]}…", quote=False)
    return shown.replace("%{", "%&#123;")  # in a hover text Plotly would put a value there


def without_common_folder(names: Sequence[str]) -> list[str]:
    """Names as `task/name` without the task where all have the same: shorter ticks."""
    folders = {name.rpartition("/")[0] for name in names}
    return [name.rpartition("/")[2] for name in names] if len(folders) == 1 else list(names)


def name_cells(figure: go.Figure, names: Sequence[str]) -> None:
    """Write names at the rows and columns of a heat map of everything with everything, from the top down.

    Numbers stay the coordinates: Plotly orders axes of names its own way, and makes one row of equal ones.
    """
    ticks = {"tickvals": list(range(len(names))), "ticktext": list(names), "showgrid": False}
    figure.update_xaxes(ticks | {"range": [-0.5, len(names) - 0.5]})
    figure.update_yaxes(ticks | {"range": [len(names) - 0.5, -0.5]})


def words(pieces: Sequence[str], count: int = 6) -> str:
    """The first pieces of a row of neighbors, for hover text."""
    return plain(", ".join(readable(piece) for piece in pieces[:count]), 120)


def central(null: np.ndarray) -> tuple[float, float]:
    """Where the central 95 % of a null lie."""
    low, high = np.nanquantile(null, [0.025, 0.975])
    return float(low), float(high)


def styled(figure: go.Figure, title: str, height: int, legend: bool = False) -> go.Figure:
    """The frame every figure has: title, height, the legend below, where it can grow, and no ground of its
    own.
    """
    figure.update_layout(
        overwrite=True,  # several times as fast: Plotly merges what is given, key by key, with what is there
        title={
            "text": title,
            "x": 0,
            "xref": "container",
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            "pad": {"t": 6, "l": 2},
            "font": {"size": 16},
        },
        height=height,
        margin={"l": 10, "r": 10, "t": 48, "b": 10},
        showlegend=legend,
        legend={
            "orientation": "h",
            "x": 0,
            "y": 0,
            "yref": "container",
            "yanchor": "bottom",
            "itemsizing": "constant",
            "title": {"text": ""},
        },
        paper_bgcolor=CLEAR,
        plot_bgcolor=CLEAR,
        hoverlabel={"align": "left"},
        modebar={"bgcolor": CLEAR, "color": NEUTRAL, "activecolor": COLORS[0]},
    )
    for update in (figure.update_xaxes, figure.update_yaxes):
        update(overwrite=True, automargin=True, zeroline=False, gridcolor="rgba(138,143,152,0.2)")
    return figure


def token_axis(figure: go.Figure, length: int) -> None:
    """Prompt tokens from left to right, marked at whole positions."""
    step = next((step for step, longest in ((1, 12), (5, 60), (20, 240)) if length <= longest), 100)
    figure.update_xaxes(title="Prompt token (position)", dtick=step, tick0=0, range=[-0.7, length - 0.3])


def mark_token(figure: go.Figure, position: int, down: bool = False) -> go.Figure:
    """Mark a prompt token's place on the token axis with a band, and, where tokens run down the other axis
    too, there; the same figure.
    """
    band = {"fillcolor": COLORS[4], "opacity": 0.3, "line": {"width": 0}, "layer": "below"}
    figure.add_vrect(x0=position - 0.5, x1=position + 0.5, **band)
    if down:
        figure.add_hrect(y0=position - 0.5, y1=position + 0.5, **band)
    top = {
        "x": position,
        "y": 1,
        "yref": "paper",
        "yanchor": "bottom",
        "showarrow": False,
        "font": {"size": 11},
    }
    return figure.add_annotation(text=f"token {position}", **top)


def choosable_cells(figure: go.Figure, told: Sequence[Sequence[str]]) -> None:
    """Unseen marks on the cells of a heat map, its first trace, whose columns are tokens: Plotly reports
    clicks on marks only.

    told: [rows][columns] hover texts.
    """
    row, x = np.indices((len(told), len(told[0])))
    y = row if figure.data[0].y is None else np.asarray(figure.data[0].y)[row]
    marker = {"symbol": "square", "size": max(4.0, min(22.0, 600 / len(told[0]))), "opacity": 0}
    figure.add_scatter(
        x=x.ravel(),
        y=y.ravel(),
        mode="markers",
        marker=marker,
        selected={"marker": {"opacity": 0}},
        unselected={"marker": {"opacity": 0}},
        customdata=[text for row in told for text in row],
        hovertemplate="%{customdata}<extra></extra>",
        showlegend=False,
    )


def null_band(figure: go.Figure, null: np.ndarray, name: str) -> None:
    """A gray band across the figure where the central 95 % of a null lie, named in the legend."""
    low, high = central(null)
    figure.add_hrect(y0=low, y1=high, fillcolor=NEUTRAL, opacity=0.18, line_width=0, layer="below")
    figure.add_scatter(
        x=[None],
        y=[None],
        mode="markers",
        name=name,
        marker={"symbol": "square", "size": 14, "color": NEUTRAL, "opacity": 0.35},
    )


def alternative_text(figure: go.Figure) -> str:
    """What a figure shows, for those who do not see it: its title, its axes and the names of what is
    drawn.
    """
    layout, titles = figure.layout, [figure.layout.title.text or "Figure"]
    for direction, axis in (("horizontal", layout.xaxis), ("vertical", layout.yaxis)):
        if axis.title.text and axis.visible is not False:
            titles.append(f"{direction} axis: {axis.title.text}")
    named = list(
        dict.fromkeys(trace.name for trace in figure.data if trace.name and trace.showlegend is not False)
    )
    if layout.showlegend and named:
        titles.append(f"drawn are {', '.join(named[:12])}{' and more' if len(named) > 12 else ''}")
    return html.unescape(re.sub(r"<[^>]*>", " ", "; ".join(titles))) + "."
