"""Figures as the pages show them: with what they show in words for those who do not see them."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from explorer.figures import Figure, alternative_text

CONFIG = {"displaylogo": False, "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"]}


def show(figure: Figure, key: str, place: DeltaGenerator | None = None, buttons: bool = True) -> None:
    """Draw a figure on the page, or in a place on it such as a column; buttons: those that appear above it."""
    config = CONFIG if buttons else CONFIG | {"displayModeBar": False}
    (place or st).plotly_chart(figure, key=key, config=config, alt=alternative_text(figure))


def selectable(figure: Figure, key: str, modes: tuple[str, ...]) -> list[dict]:
    """Draw a figure whose points can be chosen by `modes` (`points`, `box`, `lasso`); the points that are."""
    config = CONFIG | {"scrollZoom": True, "modeBarButtonsToRemove": ["autoScale2d"]}
    event = st.plotly_chart(figure, key=key, on_select="rerun", selection_mode=modes, config=config, alt=alternative_text(figure))
    return event["selection"]["points"]
