"""Do several prompts together do better than one?"""

import streamlit as st

from explorer.dashboard import cache, charts, choice, tables, text_sets
from explorer.dashboard.markdown import safe
from explorer.dashboard.panels import how
from explorer.evaluation.ensemble import fleiss_kappa
from explorer.figures import agreement_heatmap, ensemble_figure
from explorer.words.wording import count

MOST = 15  # members, a few seconds on two cores

st.title("Ensemble", anchor=False)
session = choice.session()
scope = st.segmented_control(
    "Members",
    ["same task", "chosen only"],
    default="same task",
    required=True,
    key="scope",
    bind="query-params",
)
labels = session.prompts[0].origin.labels
offered = choice.with_peers(session) if scope == "same task" else session
members = offered.only(*[prompt.name for prompt in offered.prompts if prompt.origin.labels == labels][:MOST])
number = count(len(members.prompts), "prompt")
if not labels:
    st.info(
        "The first chosen prompt records no class labels, so there is nothing to vote on.",
        icon=":material/label_off:",
    )
    st.stop()
if len(members.prompts) < 2:
    st.info(
        "An ensemble needs at least two prompts of one task: choose more in the sidebar.",
        icon=":material/how_to_vote:",
    )
    st.stop()
task = text_sets.labelled(labels)
result = text_sets.taken(
    members,
    "ensemble",
    [task],
    lambda: cache.counted("Every prompt answers every text", task, members.ensemble, task),
)
st.markdown(f"**{safe(result.conclusion)}**")
text_sets.kept(members, "ensemble", task)

frame = result.to_frame()
rows = frame.set_index("prompt")
vote, mean = rows.loc["majority vote"], rows.loc["mean probability"]
average, best = (frame[frame["kind"] == kind].iloc[0] for kind in ("average", "best"))
gap = (
    f"difference from the vote {average.difference:+.1%}, 95 % interval {average.difference_low:+.1%} "
    f"to {average.difference_high:+.1%}"
)
for column, (title, value, help_) in zip(
    st.columns(4),
    (
        (
            "Majority vote",
            f"{vote.accuracy:.1%}",
            f"{number}, {count(len(task), 'text')}; 95 % interval {vote.low:.0%} to {vote.high:.0%}",
        ),
        ("Mean probability", f"{mean.accuracy:.1%}", f"95 % interval {mean.low:.0%} to {mean.high:.0%}"),
        ("Members on average", f"{average.accuracy:.1%}", gap),
        (
            "Best member",
            f"{best.accuracy:.1%}",
            f"{safe(best['prompt'])}; picked after the fact on these very texts, so it is too high",
        ),
    ),
    strict=True,
):
    column.metric(title, value, help=help_)
kappa = fleiss_kappa(result.votes)
st.markdown(
    f"The members disagree on **{result.disagreement:.0%}** of the texts (Fleiss’ kappa {kappa:.2f}: "
    "1 is full agreement, 0 is chance); "
    f"**{result.tied:.0%}** are tied. An ensemble can only gain where its members disagree."
)
charts.show(ensemble_figure(result), "members")
charts.show(agreement_heatmap(result), "agreement")
tables.heading("Members and votes", frame, "ensemble", session.prompts[0].origin.task or "prompts")
few, rest = (
    ["prompt", "accuracy", "low", "high", "difference", "calibration_error"],
    ["macro_f1", "difference_low", "difference_high"],
)
tables.show(frame, "members-table", few, rest=rest, height=min(38 + 35 * len(frame), 318))
if st.button(
    "Time one batch against separate passes", icon=":material/timer:", key="time"
) or st.session_state.get("timed") == (members.prompts, task.name):
    st.session_state.timed = (members.prompts, task.name)
    times, several = (
        cache.reading(
            "Timing one batch against separate passes", cache.pass_times, members, task.texts[:most]
        )
        for most in (1, 16)
    )
    st.markdown(
        f"One text: **{1000 * times.together:.0f} ms** in one batch of {len(members.prompts)}, "
        f"{1000 * times.apart:.0f} ms in {len(members.prompts)} passes "
        f"({times.ratio:.1f} times as long). Sixteen texts: {1000 * several.together:.0f} ms against "
        f"{1000 * several.apart:.0f} ms ({several.ratio:.1f} times)."
    )
    st.caption("Medians of five alternating rounds, on this server while others may use it.")
answers = result.texts_frame()
tables.heading("Every text", answers, "ensemble", "texts")
votes = st.column_config.NumberColumn("Right votes", format="%d", help=f"of {len(members.prompts)}")
tables.show(
    answers,
    "texts-table",
    more={"majority": "Majority vote", "mean_probability": "Mean probability", "votes": votes},
    height=300,
)
how.computed(
    f"{count(len(task), 'text')}. Several prompts, one frozen model, one batch: every text goes "
    "through the model once with every prompt. A tie goes to the "
    "label with the larger sum over members of log p(label | text). An ensemble can only gain where "
    "its members disagree. Difference: from the majority "
    "vote, paired bootstrap over the texts.",
    "Calibration error: mean gap between confidence and accuracy over ten bins, lower is better (of "
    "the majority vote: its share of votes). Fleiss’ kappa: "
    "agreement of the members beyond chance.",
)
st.caption(safe(f"Members: {', '.join(prompt.name for prompt in members.prompts)}."))
