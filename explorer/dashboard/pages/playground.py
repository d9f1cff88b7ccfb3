"""What does the frozen model answer with each prompt, and without one? And what when a word is changed?"""

import streamlit as st

from explorer.dashboard import cache, choice, controls, text_sets
from explorer.dashboard.markdown import safe
from explorer.dashboard.panels import answers, attribution, decoder, how, loaded, model_input

LONGEST = 2000  # characters of a text, so that one session cannot hold the model for long


def take_example() -> None:
    """Put the chosen example into the text field."""
    if (number := st.session_state.example) is not None:
        st.session_state.text = st.session_state.edited = cache.examples(st.session_state.domain).texts[
            number
        ]


st.title("Playground", anchor=False)
session = choice.session()
labels = session.prompts[0].origin.labels or ()
domains = text_sets.fitting(labels) or list(cache.domains())
if domains:
    left, right = st.columns([1, 3])
    domain = left.selectbox(
        "Examples", domains, key="domain", format_func=str.capitalize, persist_state="session"
    )
    task = cache.examples(domain)
    right.selectbox(
        "Take one",
        range(len(task)),
        index=None,
        key="example",
        placeholder=f"{len(task)} short texts about {domain}",
        format_func=lambda number: f"{task.answers[number]}: {task.texts[number]}",
        on_change=take_example,
    )
first = (
    cache.examples(domains[0]).texts[0] if cache.bundled(session.vocabulary) and domains else ""
)  # a model that ships answers at once
with st.form("ask", border=False), st.container(horizontal=True, vertical_alignment="bottom"):
    asked = st.text_area(
        "Text",
        first,
        key="text",
        max_chars=LONGEST,
        height=76,
        placeholder="Type a text, or take an example above",
        bind="query-params",
    )
    pressed = st.form_submit_button("Answer", icon=":material/play_arrow:")
asked = (asked or "").strip()
session = model_input.templated(session)
if not asked:
    if pressed:
        st.warning("The text is empty; type some words first.", icon=":material/edit:")
    st.stop()

sets = list(dict.fromkeys(prompt.origin.labels for prompt in session.prompts))
if len(sets) > 1:
    st.warning(
        "The chosen prompts were trained for different labels: each set of labels has its own answers.",
        icon=":material/label:",
    )
for number, known in enumerate(sets):
    members = session.only(*(prompt.name for prompt in session.prompts if prompt.origin.labels == known))
    named = known or ()
    if not known:
        answers.written(members, asked)
        named = controls.labels(
            "Class labels to rank, with commas", key="own_labels", placeholder="negative, positive"
        )
        if len(named) < 2:
            continue
    members = members.change(labels=named)
    if len(sets) > 1:
        st.subheader(safe(" / ".join(named)), anchor=False)
    answers.show(members, asked, number)
    answers.edited(members, asked, number, LONGEST)
    with st.expander(
        "Which prompt tokens does an answer rest on?", key=f"attribution-{number}", on_change="rerun"
    ) as opened:
        if opened.open:
            attribution.show(members, asked, number)
with st.expander("What does the model read?", key="fed", on_change="rerun") as fed_open:
    if fed_open.open:
        model_input.show(session, asked)
with st.expander("What does the decoder make of the prompts?", key="decoder", on_change="rerun") as read:
    if read.open:
        decoder.show(session)
how.computed(
    (
        "Probabilities: softmax over the labels alone of Σ log p of a label's pieces, so they add up to "
        "1 even where the model would write something else; the "
        "generated text is what it does write. “No prompt” is the same frozen model with the text alone. "
        "All prompts answer in one batch."
    ),
)
loaded.footer(session)
