"""Figures as the pages show them: with what they show in words for those who do not see them."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from explorer.dashboard import focus
from explorer.figures import Figure, alternative_text, mark_token
from explorer.prompt import SoftPrompt

CONFIG = {"displaylogo": False, "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"]}


def show(figure: Figure, key: str, place: DeltaGenerator | None = None, buttons: bool = True) -> None:
    """Draw a figure on the page, or in a place on it such as a column; buttons: those that appear above it."""
    config = CONFIG if buttons else CONFIG | {"displayModeBar": False}
    (place or st).plotly_chart(figure, key=key, config=config, alt=alternative_text(figure))


def tokens(figure: Figure, key: str, prompt: SoftPrompt, down: bool = False, place: DeltaGenerator | None = None) -> None:
    """Draw a figure whose horizontal axis is a prompt's tokens: the one in focus is marked, a click puts another into focus.

    down: tokens run down the other axis too.
    """
    said = alternative_text(figure)
    if (position := focus.position(prompt)) is not None:
        mark_token(figure, position, down)
    (place or st).plotly_chart(
        figure, key=key, on_select=lambda: _clicked(key, prompt.name), selection_mode="points", config=CONFIG, alt=f"{said} A click chooses a token."
    )


def _clicked(key: str, name: str) -> None:
    points = st.session_state[key]["selection"]["points"]
    if points:
        focus.choose(name, round(points[0]["x"]))
