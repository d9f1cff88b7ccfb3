"""What is here: every prompt with its origin, what cannot be read and why, training curves, norms."""

import pandas as pd
import streamlit as st

from explorer.dashboard import cached, charts, choice, tables
from explorer.dashboard.access import read_only
from explorer.dashboard.markdown import count, model_name, safe
from explorer.figures import accuracy_curve, norm_figure
from explorer.report.tables import card_in_words, list_prompts

st.title("Prompts", anchor=False)
st.markdown(
    "A soft prompt is a row of vectors, trained to stand before the input of a frozen model. Choose some in the sidebar: the other "
    "pages show what they lie near to and what the model answers with them, beside what chance would give."
)
private.opener()
found = private.collection()
if not found:
    st.info("There are no prompts here yet. `python -m explorer train` makes some; `python -m explorer app --prompts DIR` opens others.")
    st.stop()

frame = list_prompts((one.path, one.prompt if isinstance(one, cached.Opened) else one.error) for one in found)
if read_only():  # where things lie on the server is nobody's business
    frame = frame.drop(columns="path").assign(error=frame["error"].map(cached.without_folder, na_action="ignore"))
whole, broken = frame[frame["error"].isna()], frame[frame["error"].notna()]
shown = ["name", "task", "initialization", "seed", "length", "dev_accuracy", "norm", "base_model", "step", "format"]
tables.heading(f"{count(len(whole), 'trained prompt')} to choose from", frame, "prompts")
tables.show(whole, "prompts-table", shown, height=min(38 + 35 * len(whole), 388))
st.caption("Dev accuracy: share right on the task's dev set at the step shown, as recorded in training. Norm: median Euclidean length of a prompt's tokens.")
if len(broken):
    st.warning(f"{count(len(broken), 'checkpoint')} cannot be read; the others are not affected.", icon=":material/broken_image:")
    tables.show(broken, "broken-table", ["name", "error"])

chosen = choice.selected()
if chosen:
    with st.expander("What was read", icon=":material/badge:", expanded=any(one.name in private.names() for one in chosen)):
        cards = pd.DataFrame({safe(one.name): card_in_words(one.prompt) for one in chosen}).drop("path")
        st.table(cards.fillna("–").map(safe))
if any(opened.prompt.origin.history for opened in chosen):
    charts.show(accuracy_curve([opened.prompt for opened in chosen]), "curve")
elif chosen:
    st.caption("The chosen prompts record no training history.")

if chosen:
    fitting, vocabulary = choice.readable()
    readings = [cached.norm_reading(opened, vocabulary) for opened in fitting]
    table = pd.concat([reading.to_frame() for reading in readings], ignore_index=True)
    tables.heading("Norms of the chosen prompts", table, *(opened.name for opened in fitting[:3]), "norms")
    charts.show(norm_figure(readings), "norms")
    st.caption(
        f"Length over the median length of {model_name(vocabulary.name)}'s {len(vocabulary.searchable_ids):,} pieces (dotted line: 1); hollow marks are "
        "the initial vectors, where they were saved. Cosine does not see length: a token many times as long as any word is no word."
    )
    sharing.section(fitting, vocabulary)
