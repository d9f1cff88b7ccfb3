"""What the chosen prompts learned and what they read as; then what is here, what cannot be read and why,
training curves, norms.
"""

import pandas as pd
import streamlit as st

from explorer.dashboard import cache, charts, choice, tables, uploads
from explorer.dashboard.access import folders, read_only, without_paths
from explorer.dashboard.limits import LONGEST_CELL
from explorer.dashboard.markdown import safe
from explorer.dashboard.panels import download, findings, how, run_table, token_norms
from explorer.figures import accuracy_curve
from explorer.report.tables import card_in_words, list_prompts
from explorer.words.wording import count

st.title("What did these prompts learn?", anchor=False)
found = uploads.collection()
if not found:
    uploads.opener()
    st.info(
        "There are no prompts here yet. `python -m explorer train` makes some, or start the app with "
        "another folder of prompts."
    )
    st.stop()

chosen, session = choice.selected(), choice.fitting()
if session is not None:
    findings.cards(session)
    findings.small_map(session)

frame = list_prompts(
    (one.path, one.error) if isinstance(one, cache.Broken) else (one.origin.path, one) for one in found
)
if read_only():  # paths of the server are nobody's business
    frame = frame.drop(columns="path")
if not folders():
    told = [name for name in ("path", "base_model", "error") if name in frame]
    frame = frame.assign(**{name: frame[name].map(without_paths, na_action="ignore") for name in told})
whole, broken = frame[frame["error"].isna()], frame[frame["error"].notna()]
tables.heading(f"{count(len(whole), 'trained prompt')} to choose from", frame, "prompts")
run_table.table(whole)
if len(broken):
    st.warning(
        f"{count(len(broken), 'checkpoint')} cannot be read; the others are not affected.",
        icon=":material/broken_image:",
    )
    tables.show(broken, "broken-table", ["name", "error"])

uploads.opener()

if chosen:
    with st.expander(
        "What was read", icon=":material/badge:", expanded=any(one.name in uploads.names() for one in chosen)
    ):
        cards = pd.DataFrame({safe(one.name): card_in_words(one) for one in chosen}).drop(
            "path", errors="ignore"
        )
        cut = cards.fillna("–").map(
            lambda cell: (
                cell
                if len(cell) <= LONGEST_CELL
                else f"{cell[:LONGEST_CELL]}… (all: python -m explorer inspect)"
            )
        )
        st.table(cut.map(lambda cell: safe(without_paths(cell))))
if session is not None:
    accuracy, norm = st.tabs(
        ["Accuracy while training", "Norms of the tokens"], key="more", on_change="rerun", bind="query-params"
    )
    if accuracy.open:
        with accuracy:
            if any(prompt.origin.history for prompt in chosen):
                charts.show(accuracy_curve(chosen), "curve")
            else:
                st.caption("The chosen prompts record no training history.")
    if norm.open:
        with norm:
            token_norms.show(session)
    download.section(session)
how.computed(
    (
        "Accuracy on dev: share right on the task's dev texts at the step that was kept, as recorded "
        "during training; it was chosen on these texts, so it is a "
        "little too high. Gain: what that is above the same model without a prompt. Learned: a gain "
        "above what as many texts give by chance (normal, 2.5 %)."
    ),
    (
        "Among words that belong together: the cluster test in the whitened space (page Clusters), "
        "false-discovery rate 5 %. Reads as words: some token does, and "
        "the whole prompt lies nearer to such groups than random rotations of it. Norm: median Euclidean "
        "length of a prompt's tokens."
    ),
)
