"""Where the tokens lie among the words of the model, and how they got there."""

import numpy as np
import pandas as pd
import streamlit as st

from explorer.dashboard import cached, charts, choice, focus, live, tables
from explorer.dashboard.access import read_only
from explorer.dashboard.markdown import model_name, safe
from explorer.dashboard.panels import selection
from explorer.figures import map_figure, point_at, readable

LONGEST = 2000  # characters of a text
DOTS = 10  # neighbors of a token that are drawn, whatever k is below the map

st.title("Map", anchor=False)
st.markdown("Where the tokens lie among the words. **UMAP is for looking, not for evidence**: it keeps neighborhoods, not distances.")
chosen, vocabulary = choice.readable()
opened = focus.opened(chosen)
focus.panel(opened, vocabulary, "map")
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

vocabulary_map = cached.vocabulary_map(vocabulary)
asked = [opened for opened in chosen if opened.prompt.origin.labels] if text.strip() else []
rests = {opened.name: live.attribution(opened, vocabulary, text.strip(), opened.prompt.origin.labels) for opened in asked}
trained = [opened for opened in chosen if opened.prompt.trajectory is not None]
labels = tuple(dict.fromkeys(label for opened in chosen for label in opened.prompt.origin.labels or ()))
placements = [cached.placement(opened, vocabulary) for opened in chosen]
placements += [cached.placement(opened, vocabulary, before_training=True) for opened in trained if before]
placements += [cached.label_placement(labels, vocabulary)] if labels else []
figure = map_figure(
    vocabulary_map,
    vocabulary,
    placements,
    trajectories={opened.name: cached.trajectory(opened, vocabulary) for opened in trained} if paths else None,
    groups={opened.name: opened.prompt.origin.initialization or "not recorded" for opened in chosen} if by == "initialization" else None,
    neighbors=[cached.neighbors(opened, vocabulary, DOTS, "cosine") for opened in chosen] if near else (),
    name_vocabulary=named,
    weights={name: np.abs(one.leave_one_out) for name, one in rests.items()},
    told=told,
)
if (token := charts.arrow("map", opened)) is not None:
    point_at(figure, placements[chosen.index(opened)].xy[token], f"token {token}")
figure.update_layout(dragmode="lasso" if drag == "draws a region" else "pan")
points, outlines = charts.selectable(figure, "map")
if rests:
    moved = {name: np.abs(one.leave_one_out).argmax() for name, one in rests.items()}
    answered = "; ".join(f"{name}: {one.answer} ({one.deletion[0]:.0%}), most moved by token {moved[name]}" for name, one in rests.items())
    st.caption(safe(f"Answers: {answered}. ") + "A token's area is what the answer's log-probability changes when it is masked, by the largest of its prompt.")
if (before or paths) and len(trained) < len(chosen):
    st.caption(safe(f"No saved training steps: {', '.join(opened.name for opened in chosen if opened not in trained)}."))
frame = pd.concat([placement.to_frame() for placement in placements], ignore_index=True)
tokens = frame[frame["kind"] == "prompt"]
st.caption(
    f"UMAP of {len(vocabulary_map.token_ids):,} pieces of {model_name(vocabulary.name)} (cosine, {vocabulary_map.n_neighbors} neighbors, minimum distance "
    f"{vocabulary_map.min_dist}, seed {vocabulary_map.seed}), fitted once per model; tokens are placed where their nearest pieces lie most densely. Trust "
    f"is the share of a token's nearest pieces that are also near it on the map: {tokens['trust'].mean():.0%} on average here, {tokens['trust'].min():.0%} at "
    "worst; the less, the fainter a token is drawn. Gray: vocabulary. Stars: class labels. Italics: frequent words. Scroll to zoom and to see far islands."
)

selection.region(outlines, frame, vocabulary_map, vocabulary)
if not outlines:
    selection.table(points, {opened.name: opened for opened in chosen}, vocabulary)

tables.heading("Places on the map", frame, *(opened.name for opened in chosen[:3]), "map")
readable_names = [name if kind == "label" else readable(name) for name, kind in zip(frame["name"], frame["kind"], strict=True)]
tables.show(frame.assign(name=readable_names), "map-table", ["prompt", "kind", "position", "name", "x", "y", "trust"], more={"name": "Nearest piece or label"})
st.caption("Coordinates have no unit; every number elsewhere is computed in the original space. Trust per token: higher is better.")
