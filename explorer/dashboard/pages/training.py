"""How did the tokens move while they were trained, and which words did they pass? One slider moves the map,
the words and the curve together.
"""

import streamlit as st

from explorer.dashboard import cache, choice, focus, tables
from explorer.dashboard.markdown import safe
from explorer.dashboard.panels import how, journey
from explorer.words.wording import count

st.title("Training", anchor=False)
session = choice.session()
focus.panel(session, "training")
trained = [one.name for one in session.prompts if one.trajectory is not None]
if not trained:
    st.info(
        "The chosen prompts have no saved training steps (trajectory.safetensors, or folders of "
        "checkpoint_<step>).",
        icon=":material/timeline:",
    )
    st.stop()
if len(trained) < len(session.prompts):
    st.caption(
        safe(
            "No saved training steps: "
            f"{', '.join(one.name for one in session.prompts if one.name not in trained)}."
        )
    )

moved = session.only(*trained).change(labels=())
changes = cache.reading("Comparing nearest pieces", moved.changes)
for name, sentence in changes.conclusions.items():
    st.markdown(f"{safe(name)}: **{safe(sentence)}**")
journey.show(moved)

frame = changes.to_frame()
tables.heading(f"{count(len(frame), 'change')} of nearest piece", frame, "changes", *trained[:3])
if frame.empty:
    st.caption("Every token still has the nearest piece of its first saved step.")
else:
    shown = frame.assign(
        before=frame["before"].map(session.vocabulary.readable),
        after=frame["after"].map(session.vocabulary.readable),
    )
    names = {
        "before": st.column_config.TextColumn("Nearest before"),
        "after": st.column_config.TextColumn("Nearest now"),
    }
    tables.leading(shown, "changes", set(trained), names, height=min(38 + 35 * len(shown), 283))
    st.caption("Choose a row to put its token into focus.")
how.computed(
    "Nearest: cosine, at saved steps only; changes between two of them are not seen. Random vectors "
    "change their nearest piece easily because nothing is "
    "near to them: look at the similarity.",
    "Each token is drawn where it was at its last saved step before the one that the slider shows. "
    "UMAP keeps neighborhoods, not distances: a long way on "
    "the map need not be long in the original space.",
)
