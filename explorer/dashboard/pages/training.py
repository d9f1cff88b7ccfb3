"""How did the tokens move while they were trained, and which words did they pass?"""

import pandas as pd
import streamlit as st

from explorer.dashboard import cached, charts, choice, focus, tables
from explorer.dashboard.markdown import count, safe
from explorer.figures import accuracy_curve, journey_figure, readable

st.title("Training", anchor=False)
st.markdown("How did the tokens move while they were trained, and which words did they pass?")
chosen, vocabulary = choice.readable()
opened = focus.opened(chosen)
focus.panel(opened, vocabulary, "training")
trained = [one for one in chosen if one.prompt.trajectory is not None]
if not trained:
    st.info("The chosen prompts have no saved training steps (trajectory.safetensors, or folders of checkpoint_<step>).", icon=":material/timeline:")
    st.stop()
if len(trained) < len(chosen):
    st.caption(safe(f"No saved training steps: {', '.join(one.name for one in chosen if one not in trained)}."))

vocabulary_map = cached.vocabulary_map(vocabulary)
marked = (opened.name, focus.position(opened)) if focus.position(opened) is not None else None
charts.show(journey_figure(vocabulary_map, vocabulary, {one.name: cached.trajectory(one, vocabulary) for one in trained}, marked), "journey")
st.caption(
    "Press play, or move the slider to a saved step. A token stands where it was at its last saved step by then; larger marks: the token in focus. "
    "UMAP keeps neighborhoods, not distances: a long way on the map need not be long in the original space."
)
frame = pd.concat([cached.changes(one, vocabulary) for one in trained], ignore_index=True)
tables.heading(f"{count(len(frame), 'change')} of nearest piece", frame, "changes", *(one.name for one in trained[:3]))
if frame.empty:
    st.caption("No token has another nearest piece than at its first saved step.")
else:
    shown = frame.assign(before=frame["before"].map(readable), after=frame["after"].map(readable))
    rows = list(zip(frame["prompt"], frame["position"].tolist(), strict=True))

    def jump() -> None:
        """Put the chosen row's token into focus."""
        asked = st.session_state["changes"]["selection"]["rows"]
        if asked:
            focus.choose(*rows[asked[0]])

    names = {"before": st.column_config.TextColumn("Nearest before"), "after": st.column_config.TextColumn("Nearest now")}
    tables.show(shown, "changes", more=names, on_select=jump, selection_mode="single-row", height=min(38 + 35 * len(shown), 388))
    st.caption(
        "Cosine, at saved steps only: what happened between two of them is not seen. Random vectors change their nearest piece easily, for nothing is near "
        "to them; look at the similarity. Choose a row to put its token into focus."
    )
if any(one.prompt.origin.history for one in trained):
    charts.show(accuracy_curve([one.prompt for one in trained]), "curve")
