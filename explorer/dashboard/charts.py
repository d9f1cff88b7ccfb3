"""Figures as the pages show them: with what they show in words for those who do not see them."""

from collections.abc import Mapping, Sequence

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from explorer.dashboard import focus
from explorer.dashboard.markdown import slug
from explorer.figures import Figure, alternative_text, mark_token
from explorer.prompt import SoftPrompt

CONFIG = {"displaylogo": False, "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"]}
PICTURES = ("png", "svg")
"""formats that the camera above a chart downloads"""
CAMERA = "The camera above every chart downloads it in this format"
MAP = {"displaylogo": False, "modeBarButtonsToRemove": ["select2d", "autoScale2d"], "scrollZoom": True}


def show(figure: Figure, key: str, place: DeltaGenerator | None = None, buttons: bool = True) -> None:
    """Draw a figure on the page, or in a place on it such as a column; buttons: those that appear above it."""
    config = CONFIG if buttons else CONFIG | {"displayModeBar": False}
    (place or st).plotly_chart(figure, key=key, config=config | _camera(figure), alt=alternative_text(figure))


def sidebar() -> None:
    """In which format the camera above every chart downloads it."""
    st.selectbox("Pictures", PICTURES, format_func=str.upper, key="picture", persist_state="session", help=CAMERA)


def _camera(figure: Figure) -> dict[str, dict[str, object]]:
    """The picture that the camera makes, called what the figure says."""
    return {
        "toImageButtonOptions": {"format": st.session_state.get("picture", PICTURES[0]), "filename": slug(figure.layout.title.text or "figure"), "scale": 2}
    }


def tokens(figure: Figure, key: str, prompt: SoftPrompt, down: bool = False, place: DeltaGenerator | None = None) -> None:
    """Draw a figure whose horizontal axis is a prompt's tokens: the one in focus is marked, a click puts another into focus.

    down: tokens run down the other axis too.
    """
    said = alternative_text(figure)
    if (position := focus.position(prompt)) is not None:
        mark_token(figure, position, down)
    (place or st).plotly_chart(
        figure,
        key=key,
        on_select=lambda: _clicked(key, prompt.name),
        selection_mode="points",
        config=CONFIG | _camera(figure),
        alt=f"{said} A click chooses a token.",
    )


def _clicked(key: str, name: str) -> None:
    points = st.session_state[key]["selection"]["points"]
    if points:
        focus.choose(name, round(points[0]["x"]))


def selectable(figure: Figure, key: str) -> tuple[list[dict], list[np.ndarray]]:
    """Draw a map whose points can be chosen by a click or by a line drawn round them: the points, and the outlines [C, 2].

    A click on a prompt token puts it into focus.
    """
    said = f"{alternative_text(figure)} A click chooses a point, a line drawn with the lasso a region."
    event = st.plotly_chart(figure, key=key, on_select=lambda: _chosen(key), selection_mode=("points", "lasso"), config=MAP | _camera(figure), alt=said)
    chosen = event["selection"]
    return chosen["points"], [np.column_stack([drawn["x"], drawn["y"]]) for drawn in chosen["lasso"]]


def arrow(key: str, prompt: SoftPrompt) -> int | None:
    """The token that an arrow on a map points at: the one in focus, unless it was chosen by a click on this very map. That one is marked
    already, and with another arrow the map would be another chart, without its zoom and what was chosen in it.
    """
    kept = st.session_state.get(f"{key} kept", (None, None))
    token = focus.position(prompt)
    now = (prompt.name, token)
    pointed = kept[1] if key in st.session_state and kept[0] == now else now
    st.session_state[f"{key} kept"] = now, pointed
    return pointed[1] if pointed is not None and pointed[0] == prompt.name else None


def _chosen(key: str) -> None:
    if (token := _token(key)) is not None:
        _, pointed = st.session_state.get(f"{key} kept", (None, None))
        st.session_state[f"{key} kept"] = token, pointed
        focus.choose(*token)


def _token(key: str) -> tuple[str, int] | None:
    """Prompt and position of the one token that is chosen on a map."""
    chosen = st.session_state.get(key, {"selection": {"points": []}})["selection"]
    data = chosen["points"][0].get("customdata") if len(chosen["points"]) == 1 and not chosen.get("lasso") else None
    if isinstance(data, Mapping):
        data = list(data.values())
    return (str(data[1]), int(data[2])) if isinstance(data, Sequence) and len(data) > 2 and data[0] == "prompt" else None
