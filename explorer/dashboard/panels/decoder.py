"""What the frozen decoder makes of the prompts, as the Playground shows it."""

import pandas as pd
import streamlit as st

from explorer.dashboard import cache, tables
from explorer.dashboard.markdown import safe
from explorer.dashboard.text_sets import cut
from explorer.evaluation.neutral_texts import NEUTRAL, where
from explorer.session import Session

LONGEST, MOST = 300, 8
"""characters of the field, texts in it"""


def show(session: Session) -> None:
    """The first pieces that the decoder writes more often with each prompt than without, and how likely class
    labels are among them.
    """
    typed = st.text_area(
        "Texts behind the prompt, one a line", "\n".join(NEUTRAL), max_chars=LONGEST, height=120, key="behind"
    )
    texts = tuple(line.strip() for line in typed.splitlines() if line.strip())[:MOST]
    if not texts:
        st.warning("There is no text; type at least one line.", icon=":material/edit:")
        return
    found = cache.reading("Asking the decoder", session.decode, texts)
    cut(session, texts)
    frame = found.to_frame()
    tables.heading("First pieces", frame, "decoder")
    rows = [
        (one.prompt, where(text), ", ".join(words), divergence)
        for one in found
        for text, words, divergence in zip(one.texts, one.words(), one.divergence, strict=True)
    ]
    if len(found) == 1:
        st.markdown(f"**{safe(found[0].conclusion)}**")
    more = {
        "first pieces": st.column_config.TextColumn("Begins more often with", width="large"),
        "read": st.column_config.TextColumn("Read"),
    }
    more["divergence"] = st.column_config.NumberColumn("Divergence", format="%.2f")
    tables.show(
        pd.DataFrame(rows, columns=["prompt", "read", "first pieces", "divergence"]),
        "decoder-table",
        more=more,
    )
    st.caption(
        "Pieces that the decoder writes first, more often with the prompt than without: alone, in a "
        "gap (<extra_id_0>, which a T5 fills), and before texts, "
        "whose figures are averaged. Ranked by √p · (log p − log q). Divergence: KL from no prompt, in nats."
    )
    if session.verbalizes:
        _meanings(session)
    if session.all_labels:
        _labels(session, texts)


def _meanings(session: Session) -> None:
    """What a language model takes each token for, with its controls."""
    found = cache.reading("Asking the model what tokens mean", session.verbalize)
    tables.heading("What the model takes tokens for", found.to_frame(), "verbalization")
    for one in found:
        st.markdown(f"**{safe(f'{one.prompt}: {one.conclusion}')}**")
    rows = [
        (
            one.prompt,
            position,
            ", ".join(words[:3]),
            one.divergence[position],
            one.p[position],
            one.q[position],
        )
        for one in found
        for position, words in enumerate(one.words())
    ]
    frame = pd.DataFrame(rows, columns=["prompt", "position", "taken for", "divergence", "p", "q"])
    more = {
        "taken for": st.column_config.TextColumn("Taken for", width="large"),
        "divergence": st.column_config.NumberColumn("Divergence", format="%.2f"),
    }
    tables.show(frame, "verbalization-table", more=more)
    st.caption(
        "Each token stands in a sentence that repeats words (cat -> cat, river -> river, …), and the "
        "model writes the next word. Divergence: KL from its mean "
        "answer to random vectors, in nats; p and q: against other random vectors of the "
        "vocabulary's Gaussian. Real words in the same place show whether the "
        "sentence works with this model."
    )
    for one in found:
        st.markdown(
            f"{safe(one.prompt)}, asked as a whole: *{safe(one.said) or '(nothing)'}*; without it: "
            f"*{safe(one.said_without) or '(nothing)'}*"
        )


def _labels(session: Session, texts: tuple[str, ...]) -> None:
    """How likely the decoder begins with class labels, of a prompt's own task and of others."""
    found = cache.reading("Asking the decoder", session.label_mass, texts)
    st.markdown(f"**{safe(found.conclusion)}**")
    frame = found.to_frame()
    tables.heading("Class labels among first pieces", frame, "label-mass")
    shown = frame.assign(text=[where(text) for text in frame["text"]]).rename(
        columns={"without_prompt": "bare"}
    )  # a probability, no share of texts
    names = {"text": "Read", "labels": "Labels", "prompts": "Prompts"}
    figures = {"own": "Own labels", "others": "Other tasks'", "bare": "No prompt"}
    more = {name: st.column_config.TextColumn(title) for name, title in names.items()}
    more |= {name: st.column_config.NumberColumn(title, format="%.3f") for name, title in figures.items()}
    more["p"] = st.column_config.NumberColumn(
        "p",
        format="%.4f",
        help="Share of ways to exchange the prompts' tasks that give as large a difference",
    )
    tables.show(shown, "label-mass-table", more=more)
