"""Where the tokens lie among the words of the model, and how they got there."""

import numpy as np
import streamlit as st

from explorer.dashboard import cache, charts, choice, focus, tables
from explorer.dashboard.access import read_only
from explorer.dashboard.markdown import model_name, safe
from explorer.dashboard.panels import selection
from explorer.figures import map_figure, point_at
from explorer.pieces import readable

LONGEST = 2000  # characters of a text
DOTS = 10  # neighbors of a token that are drawn, whatever k is below the map

st.title("Map", anchor=False)
st.markdown("Where the tokens lie among the words. **UMAP is for looking, not for evidence**: it keeps neighborhoods, not distances.")
session = choice.session()
vocabulary, prompt = session.vocabulary, focus.prompt(session)
focus.panel(session, "map")
with st.container(horizontal=True, gap="large"):
    by = st.segmented_control("Color by", ["prompt", "initialization"], default="prompt", required=True, key="color", bind="query-params")
    drag = st.segmented_control("Dragging", ["moves the map", "draws a region"], default="moves the map", required=True, key="drag")
with st.container(horizontal=True, gap="medium"):
    near = st.toggle("Neighbors", True, key="near", bind="query-params", help=f"The {DOTS} nearest pieces of every token, as dots of its color")
    before = st.toggle("Before training", key="before", bind="query-params", help="Hollow marks where the tokens began")
    paths = st.toggle("Training paths", key="paths", bind="query-params", help="Lines through the saved training steps")
    told = st.toggle("Landmarks", True, key="landmarks", bind="query-params", help="Frequent words at their places")
    named = st.toggle("All names", key="names", bind="query-params", help="Name and click every word of the vocabulary; the figure doubles in size")

text = ""
if not read_only():
    with st.form("ask-map", border=False), st.container(horizontal=True, vertical_alignment="bottom"):
        text = st.text_input("Ask the model here", key="map-text", max_chars=LONGEST, placeholder="A text: tokens that its answer rests on grow")
        st.form_submit_button("Answer", icon=":material/play_arrow:")

places = cache.reading("Placing the prompts on the map", session.map, paths, before)
asked = [one.name for one in session.prompts if one.origin.labels] if text.strip() else []
rests = {name: cache.reading(safe(f"Asking what the answer of {name} rests on"), session.only(name).attribution, text.strip())[0] for name in asked}
st.markdown(f"**{safe(places.conclusion)}**")
figure = map_figure(
    places.map,
    vocabulary,
    places.placements,
    trajectories=places.paths,
    groups={one.name: one.origin.initialization or "not recorded" for one in session.prompts} if by == "initialization" else None,
    neighbors=cache.reading("Searching the neighbors", session.change(k=DOTS).neighbors) if near else (),
    name_vocabulary=named,
    weights={name: np.abs(one.leave_one_out) for name, one in rests.items()},
    told=told,
)
if (token := charts.arrow("map", prompt)) is not None:
    point_at(figure, places.placements[session.prompts.index(prompt)].xy[token], f"token {token}")
figure.update_layout(dragmode="lasso" if drag == "draws a region" else "pan")
points, outlines = charts.selectable(figure, "map")
if rests:
    moved = {name: np.abs(one.leave_one_out).argmax() for name, one in rests.items()}
    answered = "; ".join(f"{name}: {one.answer} ({one.deletion[0]:.0%}), most moved by token {moved[name]}" for name, one in rests.items())
    st.caption(safe(f"Answers: {answered}. ") + "The larger a token, the more its masking changes the answer's log-probability, within its prompt.")
untraced = [one.name for one in session.prompts if one.trajectory is None]
if (before or paths) and untraced:
    st.caption(safe(f"No saved training steps: {', '.join(untraced)}."))
frame = places.to_frame()
tokens = frame[frame["kind"] == "prompt"]
st.caption(
    f"UMAP of {len(places.map.token_ids):,} pieces of {model_name(vocabulary.name)} (cosine, {places.map.n_neighbors} neighbors, minimum distance "
    f"{places.map.min_dist}, seed {places.map.seed}), fitted once per model. A token is placed where its nearest pieces lie most densely. Trust is the "
    f"share of a token's nearest pieces that are also near it on the map: {tokens['trust'].mean():.0%} on average here, {tokens['trust'].min():.0%} at "
    "worst; low trust is drawn faint. Gray: vocabulary. Stars: class labels. Ring: a token among words that belong together "
    "(page Clusters), written beside the first few. Italics: frequent words. Scroll to zoom and to see far islands."
)

selection.region(outlines, frame, places.map, vocabulary)
if not outlines:
    selection.table(points, session)

tables.heading("Places on the map", frame, *(one.name for one in session.prompts[:3]), "map")
readable_names = [name if kind == "label" else readable(name) for name, kind in zip(frame["name"], frame["kind"], strict=True)]
tables.show(
    frame.assign(name=readable_names),
    "map-table",
    ["prompt", "kind", "position", "name", "group", "x", "y", "trust"],
    more={"name": "Nearest piece or label", "group": "Lies among"},
)
st.caption("Coordinates have no unit; every number elsewhere is computed in the original space. Trust per token: higher is better.")
