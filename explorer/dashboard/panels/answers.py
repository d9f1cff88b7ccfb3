"""What the model answers on one text, and on the same text changed, as the Playground shows it."""

import streamlit as st

from explorer.dashboard import cache, charts, tables, text_sets
from explorer.dashboard.markdown import safe
from explorer.evaluation.scoring import NO_PROMPT, Predictions
from explorer.figures import probability_bars
from explorer.session import Session
from explorer.words.wording import count

IN_A_ROW, MOST_CARDS = 4, 8


def show(session: Session, text: str, number: int) -> None:
    """Each prompt's answer beside that without a prompt; `number` tells sets of labels on one page apart."""
    found, seconds = cache.reading("Asking the frozen model", cache.answers, session, text)
    st.markdown(f"**{safe(found.conclusion)}**")
    text_sets.cut(session, [text])
    _cards(found)
    charts.show(probability_bars(found), f"bars-{number}")
    frame = found.to_frame()
    tables.heading("Answers", frame, "answers", *found.labels)
    shares = {f"p({label})": st.column_config.NumberColumn(label, format="%.1f%%") for label in found.labels}
    shown = frame.drop(columns="text").assign(**{name: 100 * frame[name] for name in shares})
    tables.show(shown, f"answers-{number}", more=shares | {"label": "Likeliest label"})
    st.caption(
        f"{count(len(session.prompts), 'prompt')} and the model without a prompt answered in one "
        f"batch in {seconds:.2f} s."
    )


def _cards(found: Predictions) -> None:
    """The likeliest label of each prompt, large, and what the model answers without one."""
    rows = [row for row, name in enumerate(found.prompts) if name != NO_PROMPT][:MOST_CARDS]
    bare = found.prompts.index(NO_PROMPT)
    alone, sure = found.labels[found.answers[bare, 0]], found.probabilities[bare, 0]
    for start in range(0, len(rows), IN_A_ROW):
        for column, row in zip(
            st.columns(min(IN_A_ROW, len(rows))), rows[start : start + IN_A_ROW], strict=False
        ):
            answer = found.answers[row, 0]
            same = "the same" if answer == found.answers[bare, 0] else "changed"
            with column.container(border=True, height="stretch"):
                st.metric(
                    safe(found.prompts[row]),
                    f"{found.labels[answer]} {found.probabilities[row, 0, answer]:.0%}",
                )
                st.markdown(f":small[{safe(f'Without a prompt: {alone} {sure.max():.0%} ({same})')}]")


def edited(session: Session, text: str, number: int, longest: int) -> None:
    """The same text changed by hand: both answers side by side, and who answers otherwise now."""
    st.subheader("What if a word were another?", anchor=False)
    with st.form(f"edit-{number}", border=False), st.container(horizontal=True, vertical_alignment="bottom"):
        key = f"edited-{number}" if number else "edited"
        other = st.text_area(
            "The text, changed", text, key=key, max_chars=longest, height=76, persist_state="session"
        )
        st.form_submit_button("Answer both", icon=":material/compare_arrows:")
    other = (other or "").strip()
    if not other or other == text:
        st.caption("Change a word above: the two answers stand side by side.")
        return
    before, after = (
        cache.reading("Asking the frozen model", cache.answers, session, one)[0] for one in (text, other)
    )
    changed = [
        name
        for name, one, two in zip(before.prompts, before.answers[:, 0], after.answers[:, 0], strict=True)
        if one != two
    ]
    prompts = [name for name in changed if name != NO_PROMPT]
    alone = (
        "so does the model without a prompt" if NO_PROMPT in changed else "without a prompt the answer stays"
    )
    st.markdown(
        f"**{len(prompts)} of {count(len(session.prompts), 'prompt')} "
        f"{'answers' if len(session.prompts) == 1 else 'answer'} otherwise now; {alone}.**"
    )
    left, right = st.columns(2, gap="medium")
    charts.show(probability_bars(before).update_layout(title_text="As asked"), f"before-{number}", left)
    charts.show(probability_bars(after).update_layout(title_text="As changed"), f"after-{number}", right)


def written(session: Session, text: str) -> None:
    """What the model writes with prompts that record no labels."""
    found = cache.reading("Asking the frozen model", cache.written, session, text)
    names = ", ".join(prompt.name for prompt in session.prompts)
    st.info(
        safe(
            f"{names}: no class labels are recorded. What the model writes stands below; name labels "
            "to rank them."
        ),
        icon=":material/label_off:",
    )
    for name, said in found.items():
        st.markdown(f"{safe(name)}: **{safe(said) or '(nothing)'}**")
