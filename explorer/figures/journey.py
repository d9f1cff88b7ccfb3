"""Prompt tokens on the map, saved step by saved step."""

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go

from explorer.analysis.projection import VocabularyMap
from explorer.figures.style import NEUTRAL, looks, plain, styled

Trajectory = tuple[np.ndarray, np.ndarray]
"""steps [S] and places [S, P, 2]"""
STEP_MS, MOVE_MS = 700, 450
"""milliseconds a step is shown, and of these spent moving"""


def journey_figure(vocabulary_map: VocabularyMap, trajectories: Mapping[str, Trajectory], marked: tuple[str, int] | None = None) -> go.Figure:
    """The tokens of prompts where they were at each saved step, with a slider, play and pause; at first the last step.

    trajectories: by prompt name. A prompt that has no vectors of a step stands where it was last. marked: name and position of a token to
    draw larger.
    """
    steps = sorted({int(step) for own, _ in trajectories.values() for step in own})
    look = looks(trajectories)
    x, y = vocabulary_map.xy.astype(np.float32).T
    cloud = go.Scattergl(
        x=x, y=y, mode="markers", marker={"color": NEUTRAL, "size": 3, "opacity": 0.35}, name=f"vocabulary ({len(x):,} pieces)", hoverinfo="skip"
    )
    figure = go.Figure([cloud, *(_tokens(name, trajectories[name], steps[-1], look[name], marked) for name in trajectories)])
    numbers = list(range(1, len(trajectories) + 1))
    figure.frames = [
        go.Frame(name=str(step), data=[_tokens(name, trajectories[name], step, look[name], marked) for name in trajectories], traces=numbers) for step in steps
    ]
    _controls(figure, steps)
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    styled(figure, "Where the tokens were at each saved step", 640, legend=True)
    return figure.update_layout(margin={"b": 90}, legend={"y": 1.0, "yanchor": "bottom"})


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
    moving = {"frame": {"duration": STEP_MS, "redraw": False}, "transition": {"duration": MOVE_MS}, "fromcurrent": True}
    at_once = {"frame": {"duration": 0, "redraw": False}, "mode": "immediate", "transition": {"duration": 0}}
    buttons = [
        {"label": "Play", "method": "animate", "args": [[str(step) for step in steps], moving | {"fromcurrent": False}]},
        {"label": "Pause", "method": "animate", "args": [[None], at_once]},
    ]
    slider = [{"label": str(step), "method": "animate", "args": [[str(step)], at_once]} for step in steps]
    figure.update_layout(
        updatemenus=[{"type": "buttons", "direction": "left", "buttons": buttons, "showactive": False} | _at(0, -0.03)],
        sliders=[{"steps": slider, "active": len(steps) - 1, "currentvalue": {"prefix": "training step "}, "len": 0.78, "pad": {"t": 10}} | _at(0.22, 0.02)],
    )


def _at(x: float, y: float) -> dict[str, object]:
    """The upper left corner of a control, in parts of the plot."""
    return {"x": x, "y": y, "xanchor": "left", "yanchor": "top"}
