"""Do several prompts together do better than one?"""

import streamlit as st

from explorer.dashboard import charts, choice, live, tables, texts
from explorer.dashboard.markdown import count, safe
from explorer.evaluation.ensemble import fleiss_kappa
from explorer.figures import agreement_heatmap, ensemble_figure

MOST = 15  # members, a few seconds on two cores

st.title("Ensemble", anchor=False)
st.markdown("Several prompts, one frozen model, one batch. **Is their vote better than each alone?**")
chosen, vocabulary = choice.readable()
everyone = choice.peers(chosen, vocabulary)
scope = st.segmented_control("Members", ["same task", "chosen only"], default="same task", required=True, key="scope", bind="query-params")
labels = chosen[0].prompt.origin.labels
members = tuple(opened for opened in (everyone if scope == "same task" else chosen) if opened.prompt.origin.labels == labels)[:MOST]
if not labels:
    st.info("The first chosen prompt records no class labels, so there is nothing to vote on.", icon=":material/label_off:")
    st.stop()
if len(members) < 2:
    st.info("One prompt is no ensemble: choose at least two of one task in the sidebar.", icon=":material/how_to_vote:")
    st.stop()
task = texts.labelled(labels)
result = live.votes(members, vocabulary, task, labels)

frame = result.to_frame()
rows = frame.set_index("prompt")
vote, mean = rows.loc["majority vote"], rows.loc["mean probability"]
average, best = (frame[frame["kind"] == kind].iloc[0] for kind in ("average", "best"))
gap = f"difference from the vote {average.difference:+.1%}, 95 % interval {average.difference_low:+.1%} to {average.difference_high:+.1%}"
for column, (title, value, help_) in zip(
    st.columns(4),
    (
        ("Majority vote", f"{vote.accuracy:.1%}", f"{count(len(members), 'prompt')}, {len(task)} texts; 95 % interval {vote.low:.0%} to {vote.high:.0%}"),
        ("Mean probability", f"{mean.accuracy:.1%}", f"95 % interval {mean.low:.0%} to {mean.high:.0%}"),
        ("Members on average", f"{average.accuracy:.1%}", gap),
        ("Best member", f"{best.accuracy:.1%}", f"{best['prompt']}; chosen by hindsight on these very texts, so it flatters"),
    ),
    strict=True,
):
    column.metric(title, value, help=help_)
kappa = fleiss_kappa(result.votes)
st.markdown(
    f"Not all members agree on **{result.disagreement:.0%}** of the texts (Fleiss’ kappa {kappa:.2f}: 1 is full agreement, 0 is chance); "
    f"**{result.tied:.0%}** are tied. An ensemble can only gain where its members disagree."
)
charts.show(ensemble_figure(result), "members")
charts.show(agreement_heatmap(result), "agreement")
tables.heading("Members and votes", frame, "ensemble", chosen[0].prompt.origin.task or "prompts")
shown = ["prompt", "accuracy", "low", "high", "macro_f1", "calibration_error", "difference", "difference_low", "difference_high"]
tables.show(frame, "members-table", shown)
st.caption(
    f"{len(task)} texts. A tie goes to the label with the larger sum over members of log p(label | text). Calibration error: mean gap between confidence "
    "and accuracy over ten bins, lower is better; a majority vote's confidence is its share of votes. Difference: from the majority vote, paired bootstrap."
)
if st.button("Time one batch against separate passes", icon=":material/timer:", key="time") or st.session_state.get("timed") == (members, task.name):
    st.session_state.timed = (members, task.name)
    times = live.pass_times(members, vocabulary, task.texts[:1], labels)
    several = live.pass_times(members, vocabulary, task.texts[:16], labels)
    st.markdown(
        f"One text: **{1000 * times.together:.0f} ms** in one batch of {len(members)}, {1000 * times.apart:.0f} ms in {len(members)} passes "
        f"({times.ratio:.1f} times as long). Sixteen texts: {1000 * several.together:.0f} ms against {1000 * several.apart:.0f} ms ({several.ratio:.1f} times)."
    )
    st.caption("Medians of five rounds by turns, on this server while others may use it.")
answers = result.texts_frame()
tables.heading("Every text", answers, "ensemble", "texts")
votes = st.column_config.NumberColumn("Right votes", format="%d", help=f"of {len(members)}")
tables.show(answers, "texts-table", more={"majority": "Majority vote", "mean_probability": "Mean probability", "votes": votes}, height=300)
st.caption(safe(f"Members: {', '.join(opened.name for opened in members)}."))
