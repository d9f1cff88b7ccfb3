"""What a visitor sees of a map: the part in view, what dragging does, the region drawn on it, the point
chosen. It holds until the visitor changes it.

To Streamlit a chart that changes is a new chart, at its first view and without its region. So the browser
tells what is in view after every zoom, and the figure is drawn with that, but only when it changes for
another reason or the page is opened anew: until then the chart on the screen is left alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st

from explorer.dashboard import focus
from explorer.dashboard.charts import camera
from explorer.figures import Figure, alternative_text, with_regions

MAP = {
    "displaylogo": False,
    "modeBarButtonsToRemove": ["select2d", "autoScale2d", "resetScale2d", "lasso2d", "pan2d"],
    "scrollZoom": True,
}
"""views and dragging have buttons with names (figures.view_buttons)"""
Token = tuple[str, int]
"""prompt and position"""

_WATCH = """
let tell, plot, known, timer;
const seen = () => {
    const {xaxis, yaxis, dragmode} = plot._fullLayout;
    return {x: [...xaxis.range], y: [...yaxis.range], drag: dragmode};
};
const later = (more) => {
    clearTimeout(timer);
    const from = plot;
    timer = setTimeout(() => {
        if (plot !== from || !plot.isConnected) return;
        const now = JSON.stringify(seen());
        if (now === known && !more) return;
        known = now;
        tell("seen", {...seen(), ...more});
        plot.dataset.told = now;
    }, 150);
};
const tintButtons = (key) => {  // plotly makes the button that is on white, on a dark page too
    if (document.getElementById("map-buttons")) return;
    const style = document.createElement("style");
    style.id = "map-buttons";
    style.textContent = `.st-key-${key} .updatemenu-item-rect[style*="rgb(244, 250, 255)"] { fill: rgba(86, 180, 233, 0.25) !important; }`;
    document.head.append(style);
};
export default function ({data, setStateValue}) {
    tell = setStateValue;
    tintButtons(data.key);
    const attach = () => {
        const found = document.querySelector(`.st-key-${data.key} .js-plotly-plot`);
        if (!found || !found.on || !found._fullLayout || found === plot) return;
        plot = found;
        known = JSON.stringify(seen());
        plot.on("plotly_relayout", () => later());
        plot.on("plotly_deselect", () => later({cleared: Date.now()}));
        plot.dataset.watched = "yes";
    };
    attach();
    const looking = setInterval(attach, 200);
    return () => clearInterval(looking);
}
"""
_watcher = st.components.v2.component("map_watcher", js=_WATCH)


@dataclass(frozen=True)
class Seen:
    """What a map was last drawn with."""

    content: tuple[object, ...]
    """what else the figure depends on"""
    view: tuple[np.ndarray, np.ndarray] | None
    """corners [2] of the part in view; None: the first view"""
    drag: str
    outlines: tuple[np.ndarray, ...]
    """[C, 2] each"""
    pointed: Token | None
    """the token that an arrow points at"""


def settle(key: str, content: tuple[object, ...], focused: Token | None) -> Seen:
    """What to draw a map with: as before where it shows the same, else with what the visitor sees now.

    An arrow points at the token in focus, unless it was chosen by a click on this very map: that one is
    marked already.
    """
    state = st.session_state
    last: Seen | None = state.get(f"{key} drawn")
    content = (*content, state.get(f"{key} revision", 0))
    if last is not None and key in state and last.content == content:
        clicked = last.pointed is None and focused in (None, state.get(f"{key} clicked"))
        if clicked or last.pointed == focused:
            return last
    now = state.get(f"{key} seen")
    view = (
        None
        if now is None
        else (np.array([now["x"][0], now["y"][0]], float), np.array([now["x"][1], now["y"][1]], float))
    )
    seen = Seen(content, view, "pan" if now is None else now["drag"], outlines(key), focused)
    state[f"{key} drawn"] = seen
    return seen


def move_to(key: str, low: np.ndarray, high: np.ndarray) -> None:
    """See another part of the map when it is drawn next."""
    drag = (st.session_state.get(f"{key} seen") or {"drag": "pan"})["drag"]
    st.session_state[f"{key} seen"] = {
        "x": [float(low[0]), float(high[0])],
        "y": [float(low[1]), float(high[1])],
        "drag": drag,
    }


def outlines(key: str) -> tuple[np.ndarray, ...]:
    """The regions drawn on a map, [C, 2] each."""
    return st.session_state.get(f"{key} outlines", ())


def point(key: str) -> object | None:
    """The customdata of the point chosen on a map."""
    return st.session_state.get(f"{key} point")


def latest(key: str) -> str | None:
    """What was chosen last: region, point, or what a page told `choose`."""
    return st.session_state.get(f"{key} latest")


def choose(key: str, what: str) -> None:
    """Tell what was chosen last; to be called from a callback or before it is asked for."""
    st.session_state[f"{key} latest"] = what


def forget_region(key: str) -> None:
    """Take the regions away."""
    st.session_state.pop(f"{key} outlines", None)
    _draw_anew(key)


def draw(figure: Figure, key: str, seen: Seen) -> None:
    """Draw a map whose points can be chosen by a click or by a line drawn round them. A click on a prompt
    token puts it into focus.
    """
    figure.update_layout(dragmode=seen.drag)
    with_regions(figure, seen.outlines)
    said = f"{alternative_text(figure)} A click chooses a point, a line drawn with the lasso a region."
    event = st.plotly_chart(
        figure,
        key=key,
        on_select=lambda: _chosen(key),
        selection_mode=("points", "lasso"),
        config=MAP | camera(figure),
        alt=said,
    )
    _take(key, event["selection"])
    _watch(key)


@st.fragment
def _watch(key: str) -> None:
    _watcher(key=f"{key}-watcher", data={"key": key}, on_seen_change=lambda: _heard(key))
    if st.session_state.pop(f"{key} cleared", False):
        st.rerun()


def _heard(key: str) -> None:
    """What the browser tells after a zoom, or when the choice was taken away with a double click."""
    told = dict(st.session_state[f"{key}-watcher"]["seen"])
    if told.pop("cleared", None) is not None:
        for name in ("outlines", "point"):
            st.session_state.pop(f"{key} {name}", None)
        st.session_state[f"{key} cleared"] = True
        _draw_anew(key)
    st.session_state[f"{key} seen"] = told


def _draw_anew(key: str) -> None:
    st.session_state[f"{key} revision"] = st.session_state.get(f"{key} revision", 0) + 1


def _chosen(key: str) -> None:
    """After a click or a lasso. A click takes the region off the chart, so the chart is drawn with it
    again.
    """
    chosen = st.session_state[key]["selection"]
    if not chosen["points"] and not chosen["lasso"]:
        st.session_state.pop(f"{key} outlines", None)
        st.session_state.pop(f"{key} point", None)
        return
    _take(key, chosen)
    choose(key, "region" if chosen["lasso"] else "point")
    if not chosen["lasso"] and outlines(key):
        _draw_anew(key)
    if (token := _token(point(key))) is not None and not chosen["lasso"]:
        st.session_state[f"{key} clicked"] = token
        focus.choose(*token)


def _take(key: str, chosen: Mapping[str, Sequence]) -> None:
    """Keep what is chosen on the chart."""
    if chosen["lasso"]:
        st.session_state[f"{key} outlines"] = tuple(
            np.column_stack([drawn["x"], drawn["y"]]) for drawn in chosen["lasso"]
        )
    elif len(chosen["points"]) > 0:
        st.session_state[f"{key} point"] = chosen["points"][0].get("customdata")


def _token(data: object) -> Token | None:
    """Prompt and position, where a point's customdata is that of a prompt token."""
    if isinstance(data, Mapping):
        data = list(data.values())
    return (
        (str(data[1]), int(data[2]))
        if isinstance(data, Sequence) and len(data) > 2 and data[0] == "prompt"
        else None
    )
