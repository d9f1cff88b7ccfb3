"""Prompt tokens on the map, saved step by saved step."""

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go

from explorer.analysis.map.fit import VocabularyMap
from explorer.analysis.map.regions import central_extent
from explorer.figures.map import Trajectory, around, lay_picture, show_view
from explorer.figures.map_names import landmark_names, write_names
from explorer.figures.style import looks, plain, styled
from explorer.vocabulary import Vocabulary

PICTURE = 1400, 800
"""pixels of the vocabulary's picture"""
STEP_MS, MOVE_MS = 700, 450
"""milliseconds a step is shown, and of these spent moving"""


def journey_figure(
    vocabulary_map: VocabularyMap,
    vocabulary: Vocabulary,
    trajectories: Mapping[str, Trajectory],
    marked: tuple[str, int] | None = None,
) -> go.Figure:
    """The tokens of prompts where they were at each saved step, with a slider, play and pause; at first the
    last step.

    The vocabulary is a picture behind them: Plotly moves only marks that it draws as SVG, and its WebGL
    points would lie above those. trajectories: by prompt name. A prompt that has no vectors of a step stands
    where it was last. marked: name and position of a token to draw larger.
    """
    steps = sorted({int(step) for own, _ in trajectories.values() for step in own})
    look = looks(trajectories)
    figure = go.Figure(
        [_tokens(name, trajectories[name], steps[-1], look[name], marked) for name in trajectories]
    )
    figure.frames = [
        go.Frame(
            name=str(step),
            data=[_tokens(name, trajectories[name], step, look[name], marked) for name in trajectories],
        )
        for step in steps
    ]
    _controls(figure, steps)
    low, high = around(
        [*central_extent(vocabulary_map.xy), *(places.reshape(-1, 2) for _, places in trajectories.values())]
    )
    show_view(figure, (low, high))
    lay_picture(figure, vocabulary_map.xy, (low, high), PICTURE)
    write_names(figure, landmark_names(vocabulary_map, vocabulary), low, high, np.zeros((0, 2)))
    styled(figure, "Where the tokens were at each saved step", 640, legend=True)
    return figure.update_layout(margin={"b": 90}, legend={"y": 1.0, "yref": "paper", "yanchor": "bottom"})


def _tokens(name: str, trajectory: Trajectory, step: int, look, marked: tuple[str, int] | None) -> go.Scatter:
    """One prompt's tokens at the last of its saved steps up to this one; before its first, where it began."""
    own, places = trajectory
    xy = places[max(int(np.searchsorted(own, step, side="right")) - 1, 0)]
    sizes = [19 if (name, token) == marked else 10 for token in range(len(xy))]
    return go.Scatter(
        x=xy[:, 0],
        y=xy[:, 1],
        mode="markers",
        name=plain(name),
        marker={"color": look.color, "symbol": look.symbol, "size": sizes, "opacity": 0.9},
        hovertemplate=f"token %{{pointNumber}} of {plain(name)}<extra></extra>",
    )


def _controls(figure: go.Figure, steps: list[int]) -> None:
    """Play, pause, and a slider of the steps, below the map."""
    moving = {
        "frame": {"duration": STEP_MS, "redraw": False},
        "transition": {"duration": MOVE_MS},
        "fromcurrent": True,
    }
    at_once = {"frame": {"duration": 0, "redraw": False}, "mode": "immediate", "transition": {"duration": 0}}
    buttons = [
        {
            "label": "Play",
            "method": "animate",
            "args": [[str(step) for step in steps], moving | {"fromcurrent": False}],
        },
        {"label": "Pause", "method": "animate", "args": [[None], at_once]},
    ]
    slider = [{"label": str(step), "method": "animate", "args": [[str(step)], at_once]} for step in steps]
    figure.update_layout(
        updatemenus=[
            {"type": "buttons", "direction": "left", "buttons": buttons, "showactive": False} | _at(0, -0.03)
        ],
        sliders=[
            {
                "steps": slider,
                "active": len(steps) - 1,
                "currentvalue": {"prefix": "training step "},
                "len": 0.78,
                "pad": {"t": 10},
            }
            | _at(0.22, 0.02)
        ],
    )


def _at(x: float, y: float) -> dict[str, object]:
    """The upper left corner of a control, in parts of the plot."""
    return {"x": x, "y": y, "xanchor": "left", "yanchor": "top"}
