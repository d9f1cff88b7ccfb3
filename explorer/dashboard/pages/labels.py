"""How near are the tokens to the class labels, and did a token that began as a label stay one?"""

from math import isnan

import streamlit as st

from explorer.analysis.labels import in_words
from explorer.dashboard import cache, charts, choice, controls, focus, tables, uploads
from explorer.dashboard.markdown import safe
from explorer.dashboard.panels import how
from explorer.figures import label_heatmap, persistence_figure

TOLD = 6  # label tokens told in words; more are in the table

st.title("Class labels", anchor=False)
session = choice.session()
prompt = focus.prompt(session)
focus.panel(session, "labels")
own = prompt.origin.labels or ()
told = "Empty: the labels the prompt was trained for. Labels of another task are a good control."
typed = controls.labels(
    "Labels, with commas",
    key="labels",
    placeholder=", ".join(own) or "negative, positive",
    help=told,
    linked=True,
)
labels = typed or own
if not labels:
    st.info("This prompt records no class labels; type them above.", icon=":material/label:")
    st.stop()

others = tuple(dict.fromkeys(label for one in uploads.prompts() for label in one.origin.labels or ()))
alike = [
    one
    for one in choice.with_peers(session).prompts
    if (one.origin.task, one.length) == (prompt.origin.task, prompt.length)
]
readings = cache.reading(
    "Comparing with the class labels", choice.also(session.only(prompt.name), alike).labels, labels, others
)
reading = readings[prompt.name]
st.markdown(f"**{safe(reading.conclusion)}**")
for initialization in dict.fromkeys(one.origin.initialization for one in alike):
    st.markdown(
        "- "
        + safe(
            in_words(
                [readings[one.name] for one in alike if one.origin.initialization == initialization],
                initialization,
            )
        )
    )
charts.tokens(label_heatmap(reading), "heatmap", prompt)
rows = len(session.vocabulary.searchable_ids)
spread = (
    "" if isnan(reading.dispersion) else f"{reading.dispersion:.2f} (0: all in one token, 1: the same in all)"
)
before = "" if isnan(reading.initial_dispersion) else f"; before training {reading.initial_dispersion:.2f}"
kept = reading.persistence_frame()
tables.heading("Tokens that began as a class label", kept, prompt.name, "persistence", "cosine")
if kept.empty:
    st.caption(
        "None of these tokens was initialized from one of the labels, or the checkpoint does not record it."
    )
else:
    turned = kept if reading.drift is None else kept.assign(drift=reading.drift[kept["position"].to_numpy()])
    tables.tokens(
        turned,
        "persistence-table",
        prompt,
        ["position", "label", "initial_rank", "rank", "p", "drift"],
        rest=["initial_p", "p_words", "p_labels"],
    )
    story, picture = st.columns(2, gap="large", vertical_alignment="center")
    for one in reading.persistence[:TOLD]:
        nearest = reading.labels[reading.similarity[one.position].argmax()]
        before = "" if one.initial_rank is None else f"it began at rank {one.initial_rank:,}; now "
        other = "no other label is nearer" if nearest == one.label else f"the label “{nearest}” is nearer"
        now = (
            "it is zero and no label has a rank"
            if one.rank is None
            else f"its label ranks {one.rank:,} among all pieces, and {other}"
        )
        story.markdown(safe(f"Token {one.position}, “{one.label}”: {before}{now}."))
    charts.show(persistence_figure(reading), "persistence", picture)
frame = reading.to_frame()
tables.heading("Every token and label", frame, prompt.name, "labels", "cosine")
tables.tokens(frame, "labels-table", prompt, ["position", "label", "similarity", "rank", "p"], height=318)
how.computed(
    f"Cosine to the mean of a label's pieces, for {safe(prompt.name)}. Rank 1: nearer than each of "
    f"the {rows:,} pieces; ranks up to 100 are written in where "
    "there is room. Tokens with an orange frame were initialized from that label. Spread of label "
    f"similarity over the tokens: {spread or 'none, no token is on the side of a label'}{before}.",
    "Of the tokens that began as a label, p is the share of the prompt's tokens that are at least as "
    f"near to it (smallest possible: {1 / prompt.length:.2f}). "
    "“Words” compares with 100 pieces about as frequent, “other labels” with the labels of all other "
    "prompts here. A token that still ranks its label first "
    "was not moved away by training; whether it learned the label is another question.",
    f"Every token and label: p against {reading.draws:,} vectors drawn from the vocabulary's "
    "Gaussian, for each token and label alone.",
)
