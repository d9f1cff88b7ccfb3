"""Where the tokens lie among the words of the model, and how they got there."""

import numpy as np
import streamlit as st

from explorer.dashboard import cache, charts, choice, focus, tables, view
from explorer.dashboard.access import read_only
from explorer.dashboard.markdown import model_name, safe
from explorer.dashboard.panels import ask_model, selection
from explorer.figures import center, map_figure, map_legend, point_at, view_buttons, whole
from explorer.words.wording import count

DOTS = 10  # neighbors of a token that are drawn, whatever k is in the panel
HIGH, BUTTONS = (
    750,
    40,
)  # pixels of the map and of the panel beside it, and of the strip of buttons above the map

st.title("Map", anchor=False)
session = choice.session()
vocabulary, prompt = session.vocabulary, focus.prompt(session)
verdict = st.container()
with st.container(horizontal=True, gap="medium", vertical_alignment="center"):
    near = st.toggle("Neighbors", True, key="near", bind="query-params")
    before = st.toggle("Before training", key="before", bind="query-params")
    paths = st.toggle("Training paths", key="paths", bind="query-params")
    told = st.toggle("Landmarks", True, key="landmarks", bind="query-params")
    named = st.toggle(
        "All names",
        key="names",
        bind="query-params",
        help="Name and click every word of the vocabulary; the figure doubles in size",
    )
    text = "" if read_only() else ask_model.text()
left, right = st.columns([0.765, 0.235], gap="small")
panel = right.container(height=HIGH, border=True, key="map-panel")
with panel:
    legend = st.container()
    by = st.selectbox("Color by", ["prompt", "initialization"], key="color", bind="query-params")
    found = selection.search(vocabulary)
    waiting = st.container()  # what takes long is told here, where nothing under the cursor moves
with waiting:
    places = cache.reading("Placing the prompts on the map", session.map, paths, before)
    close = cache.reading("Searching the neighbors", session.change(k=DOTS).neighbors) if near else ()
    rests = ask_model.answers(session, text)
verdict.markdown(f"**{safe(places.conclusion)}**")

start, at = center(places.map), selection.place_of(found, places.map)
if at is not None:
    selection.keep_in_view(found, at, start)
position = focus.position(prompt)
content = (
    vocabulary.fingerprint,
    session.prompts,
    session.all_labels,
    near,
    before,
    paths,
    told,
    named,
    by,
    found,
    tuple(rests.values()),
)
seen = view.settle("map", content, None if position is None else (prompt.name, position))
figure = map_figure(
    places.map,
    vocabulary,
    places.placements,
    trajectories=places.paths,
    groups={one.name: one.origin.initialization or "not recorded" for one in session.prompts}
    if by == "initialization"
    else None,
    neighbors=close,
    name_vocabulary=named,
    weights={name: np.abs(one.leave_one_out) for name, one in rests.items()},
    told=told,
    view=seen.view or start,
)
if seen.pointed is not None:
    pointed = places.placements[[one.name for one in session.prompts].index(seen.pointed[0])]
    point_at(figure, pointed.xy[seen.pointed[1]], f"token {seen.pointed[1]}")
if at is not None and found is not None:
    point_at(figure, at, vocabulary.readable(vocabulary.pieces[found]))
charts.show(map_legend(figure), "map-legend", legend, buttons=False)
view_buttons(figure, {"Center": start, "Whole map": whole(places.map, places.placements)}, seen.drag)
figure.update_layout(
    height=HIGH, title_text="", showlegend=False, margin={"l": 0, "r": 0, "t": BUTTONS, "b": 0}
)
with left:
    view.draw(figure, "map", seen)
with panel:
    selection.details(session, found, places)

far = sum(
    int(((one.xy < start[0]) | (one.xy > start[1])).any(axis=1).sum())
    for one in places.placements
    if one.kind == "prompt"
)
untraced = [one.name for one in session.prompts if one.trajectory is None] if before or paths else []
said = [
    f"{count(far, 'token')} on far islands: press *Whole map*." if far else "",
    f"No saved training steps: {safe(', '.join(untraced))}." if untraced else "",
]
st.caption(
    " ".join(
        filter(
            None,
            [
                (
                    "UMAP is for looking, not for evidence: it keeps neighborhoods, not distances. "
                    "Scroll to zoom, drag to move."
                ),
                *said,
            ],
        )
    )
)
frame = places.to_frame()
with st.expander("How this is computed", icon=":material/functions:"):
    tokens = frame[frame["kind"] == "prompt"]
    st.markdown(
        f"UMAP of {len(places.map.token_ids):,} pieces of {model_name(vocabulary.name)} (cosine, "
        f"{places.map.n_neighbors} neighbors, minimum distance "
        f"{places.map.min_dist}, seed {places.map.seed}), fitted once per model. A token is placed "
        "where its nearest pieces lie most densely. *Trust* is the "
        "share of a token's nearest pieces that are also near it on the map: "
        f"{tokens['trust'].mean():.0%} on average here, {tokens['trust'].min():.0%} at "
        f"worst; low trust is drawn faint. Neighbors are the {DOTS} nearest pieces of every token, "
        "hollow marks and lines show where tokens began, or were at their first saved step, and went, "
        "landmarks are frequent words. A ring marks a token among words that belong together, tested "
        "in the original space (page Clusters); the "
        "outline goes round those of the words that lie together on the map too. Every number is "
        "computed in the original space."
    )
tables.heading("Places on the map", frame, *(one.name for one in session.prompts[:3]), "map")
readable_names = [
    name if kind == "label" else vocabulary.readable(name)
    for name, kind in zip(frame["name"], frame["kind"], strict=True)
]
columns = ["prompt", "kind", "position", "name", "group", "trust"]
tables.show(
    frame.assign(name=readable_names),
    "map-table",
    columns,
    more={"name": "Nearest piece or label", "group": "Lies among"},
    height=300,
)
