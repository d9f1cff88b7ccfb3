"""Figures as the pages show them: with what they show in words for those who do not see them."""

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


def show(figure: Figure, key: str, place: DeltaGenerator | None = None, buttons: bool = True) -> None:
    """Draw a figure on the page, or in a place on it such as a column; buttons: those that appear above
    it.
    """
    config = CONFIG if buttons else CONFIG | {"displayModeBar": False}
    (place or st).plotly_chart(figure, key=key, config=config | camera(figure), alt=alternative_text(figure))


def sidebar() -> None:
    """In which format the camera above every chart downloads it."""
    st.selectbox(
        "Pictures", PICTURES, format_func=str.upper, key="picture", persist_state="session", help=CAMERA
    )


def camera(figure: Figure) -> dict[str, dict[str, object]]:
    """The picture that the camera makes, called what the figure says."""
    return {
        "toImageButtonOptions": {
            "format": st.session_state.get("picture", PICTURES[0]),
            "filename": slug(figure.layout.title.text or "figure"),
            "scale": 2,
        }
    }


def tokens(
    figure: Figure, key: str, prompt: SoftPrompt, down: bool = False, place: DeltaGenerator | None = None
) -> None:
    """Draw a figure whose horizontal axis is a prompt's tokens: the one in focus is marked, a click puts
    another into focus.

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
        config=CONFIG | camera(figure),
        alt=f"{said} A click chooses a token.",
    )


def _clicked(key: str, name: str) -> None:
    points = st.session_state[key]["selection"]["points"]
    if points:
        focus.choose(name, round(points[0]["x"]))
