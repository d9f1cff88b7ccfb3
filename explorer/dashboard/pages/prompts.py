"""What the chosen prompts learned and what they read as; then what is here, what cannot be read and why, training curves, norms."""

import pandas as pd
import streamlit as st

from explorer.dashboard import cache, charts, choice, tables, uploads
from explorer.dashboard.access import folders, read_only, without_paths
from explorer.dashboard.limits import LONGEST_CELL
from explorer.dashboard.markdown import model_name, safe
from explorer.dashboard.panels import download, findings
from explorer.figures import accuracy_curve, norm_figure
from explorer.report.tables import card_in_words, list_prompts
from explorer.wording import count

st.title("What did these prompts learn?", anchor=False)
found = uploads.collection()
if not found:
    uploads.opener()
    st.info("There are no prompts here yet. `python -m explorer train` makes some, or start the app with another folder of prompts.")
    st.stop()

chosen, session = choice.selected(), choice.fitting()
if session is not None:
    findings.cards(session)
    findings.small_map(session)
uploads.opener()

frame = list_prompts((one.path, one.error) if isinstance(one, cache.Broken) else (one.origin.path, one) for one in found)
if read_only():  # paths of the server are nobody's business
    frame = frame.drop(columns="path")
if not folders():
    told = [name for name in ("path", "base_model", "error") if name in frame]
    frame = frame.assign(**{name: frame[name].map(without_paths, na_action="ignore") for name in told})
whole, broken = frame[frame["error"].isna()], frame[frame["error"].notna()]
shown = ["name", "task", "initialization", "seed", "length", "dev_accuracy", "gain", "norm", "base_model", "step", "format"]
tables.heading(f"{count(len(whole), 'trained prompt')} to choose from", frame, "prompts")
tables.show(whole, "prompts-table", shown, height=min(38 + 35 * len(whole), 388))
st.caption(
    "Dev accuracy: share right on the task's dev set at the step shown, as recorded during training. Gain: what that is above the model without a "
    "prompt. Norm: median Euclidean length of a prompt's tokens."
)
if len(broken):
    st.warning(f"{count(len(broken), 'checkpoint')} cannot be read; the others are not affected.", icon=":material/broken_image:")
    tables.show(broken, "broken-table", ["name", "error"])

if chosen:
    with st.expander("What was read", icon=":material/badge:", expanded=any(one.name in uploads.names() for one in chosen)):
        cards = pd.DataFrame({safe(one.name): card_in_words(one) for one in chosen}).drop("path", errors="ignore")
        cut = cards.fillna("–").map(lambda cell: cell if len(cell) <= LONGEST_CELL else f"{cell[:LONGEST_CELL]}… (all: python -m explorer inspect)")
        st.table(cut.map(lambda cell: safe(without_paths(cell))))
if any(prompt.origin.history for prompt in chosen):
    charts.show(accuracy_curve(chosen), "curve")
elif chosen:
    st.caption("The chosen prompts record no training history.")

if session is not None:
    vocabulary, norms = session.vocabulary, cache.reading("Measuring norms", session.norms)
    tables.heading("Norms of the chosen prompts", norms.to_frame(), *(prompt.name for prompt in session.prompts[:3]), "norms")
    for name, sentence in norms.conclusions.items():
        st.markdown(f"{safe(name)}: **{safe(sentence)}**")
    charts.show(norm_figure(norms), "norms")
    st.caption(
        f"Length of a token over the median length of {model_name(vocabulary.name)}'s {len(vocabulary.searchable_ids):,} pieces (dotted line: 1). Hollow "
        "marks: before training, where that was saved. Cosine ignores length: a token many times as long as any word is not a word, however near it is."
    )
    download.section(session)
