"""What does the frozen model answer with each prompt, and without one?"""

import streamlit as st

from explorer.dashboard import cache, charts, choice, controls, tables, texts
from explorer.dashboard.markdown import safe
from explorer.dashboard.panels import attribution, decoder, frozen
from explorer.figures import probability_bars
from explorer.wording import count

LONGEST = 2000  # characters of a text, so that one session cannot hold the model for long


def take_example() -> None:
    """Put the chosen example into the text field."""
    if (number := st.session_state.example) is not None:
        st.session_state.text = cache.examples(st.session_state.domain).texts[number]


def ask() -> None:
    """Remember what was asked, so that the answer stays while other things change."""
    st.session_state.asked = st.session_state.text.strip()


st.title("Playground", anchor=False)
st.markdown("What does the frozen model answer with each prompt, and without one?")
session = choice.session()

with st.expander("What does the decoder make of the prompts?", key="decoder", on_change="rerun") as read:
    if read.open:
        decoder.show(session)

if domains := cache.domains():
    left, right = st.columns([1, 3])
    domain = left.selectbox("Examples", domains, key="domain", format_func=str.capitalize)
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
with st.form("ask"):
    st.text_area("Text", key="text", max_chars=LONGEST, height=100, placeholder="Type a text, or take an example above")
    st.form_submit_button("Answer", type="primary", icon=":material/play_arrow:", on_click=ask)
if not st.session_state.get("asked"):
    if "asked" in st.session_state:
        st.warning("The text is empty; type some words first.", icon=":material/edit:")
    st.stop()

sets = list(dict.fromkeys(prompt.origin.labels for prompt in session.prompts))
if len(sets) > 1:
    st.warning("The chosen prompts were trained for different labels: each set of labels has its own answers.", icon=":material/label:")
for number, labels in enumerate(sets):
    members = [prompt.name for prompt in session.prompts if prompt.origin.labels == labels]
    if not labels:
        st.info(safe(f"{', '.join(members)}: no class labels are recorded. Name some to rank them."), icon=":material/label_off:")
        labels = controls.labels("Class labels, with commas", key="own_labels", placeholder="negative, positive")
        if len(labels) < 2:
            continue
    asked = session.only(*members).change(labels=labels)
    predictions, seconds = cache.reading("Asking the frozen model", cache.answers, asked, st.session_state.asked)
    if len(sets) > 1:
        st.subheader(safe(" / ".join(labels)), anchor=False)
    st.markdown(f"**{safe(predictions.conclusion)}**")
    texts.cut(asked, [st.session_state.asked])
    charts.show(probability_bars(predictions), f"bars-{number}")
    frame = predictions.to_frame()
    tables.heading("Answers", frame, "answers", *labels)
    shares = {f"p({label})": st.column_config.NumberColumn(label, format="%.1f%%") for label in labels}
    shown = frame.drop(columns="text").assign(**{name: 100 * frame[name] for name in shares})
    tables.show(shown, f"answers-{number}", more=shares | {"label": "Likeliest label"})
    st.caption(
        f"{count(len(members), 'prompt')} and the bare model answered in one batch in {seconds:.2f} s. Probabilities: softmax over the labels alone of "
        "Σ log p of a label's pieces, so they add up to 1 even where the model would write something else; the generated text is what it does "
        "write. “No prompt” is the same frozen model with the text alone."
    )
    with st.expander("Which prompt tokens does an answer rest on?", key=f"attribution-{number}", on_change="rerun") as opened:
        if opened.open:
            attribution.show(asked, st.session_state.asked, number)

frozen.footer(session)
