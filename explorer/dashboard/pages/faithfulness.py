"""Do a prompt's nearest words do its job?"""

import streamlit as st

from explorer.dashboard import cached, charts, choice, live, tables, texts
from explorer.dashboard.markdown import safe
from explorer.figures import faithfulness_figure, interpolation_figure, readable, reading_title

st.title("Faithfulness", anchor=False)
st.markdown("Every token is replaced by its nearest word and the frozen model is run again. **Do the words do the prompt's job?**")
chosen, vocabulary = choice.readable()
wayward = [one for one in private.collection() if isinstance(one, cached.Opened) and one.prompt.origin.read_as and one.prompt.dimension == vocabulary.dimension]
offered = tuple(dict.fromkeys([*wayward, *chosen]))
names = [one.name for one in offered]
asked = st.selectbox("Prompt put to the test", names, key="tested", bind="query-params", width=420)
opened = offered[names.index(asked)] if asked in names else offered[0]
labels = opened.prompt.origin.labels
if not labels:
    st.info("This prompt records no class labels, so there is nothing to rank.", icon=":material/label_off:")
    st.stop()
task = texts.labelled(labels)
result = live.faithfulness(opened, vocabulary, task, labels)

frame = result.to_frame()
rows = frame.set_index("reading")
nearest = next(reading.words for reading in result.readings if reading.name == "cosine")
st.markdown(f"**{safe(opened.name)}** reads, by cosine: *{safe(' '.join(readable(piece) for piece in nearest))}*")
if opened.prompt.origin.read_as:
    st.info(
        f"This prompt was trained to classify and, at the same time, pulled towards the sentence “{safe(opened.prompt.origin.read_as)}”. "
        "Its table of neighbors is that sentence, and says nothing about its task. Choose another prompt above.",
        icon=":material/signpost:",
    )
soft, words, none = (rows.loc[name] for name in ("soft", "cosine", "none"))
for column, (title, value, help_) in zip(
    st.columns(4),
    (
        ("Soft prompt", f"{soft.accuracy:.1%}", f"{len(task)} texts; 95 % interval {soft.low:.0%} to {soft.high:.0%}"),
        ("Its nearest words", f"{words.accuracy:.1%}", f"95 % interval {words.low:.0%} to {words.high:.0%}"),
        ("Difference, paired", f"{words.difference:+.1%}", f"95 % interval {words.difference_low:+.1%} to {words.difference_high:+.1%}"),
        ("No prompt", f"{none.accuracy:.1%}", f"95 % interval {none.low:.0%} to {none.high:.0%}"),
    ),
    strict=True,
):
    column.metric(title, value, help=help_)
charts.show(faithfulness_figure(result), "readings")
st.markdown(
    "**What a large drop means.** The words do not carry what the vectors do: the table of neighbors is no account of this prompt's behavior, "
    "however sensible it reads. **What no drop means** is less: the reading is consistent with the behavior, and so is any other prompt that "
    "scores as much. Look at *no prompt* and *random words*: where they do as well, the task cannot tell. Wayward prompts show that a prompt "
    "can read as anything and still work (Khashabi et al. 2022)."
)
charts.show(interpolation_figure(result), "curve")
tables.heading("Every stand-in", frame, opened.name, "faithfulness")
titled = frame.assign(reading=frame["reading"].map(reading_title))
tables.show(titled, "readings-table", ["reading", "accuracy", "low", "high", "agreement", "kl", "difference", "difference_low", "difference_high", "flips"])
st.caption(
    f"{len(task)} texts. Agreement with the soft prompt's answers; KL(soft ‖ stand-in) over the labels in nats; low, high: 95 % bootstrap over the texts, "
    f"the difference from the soft prompt is paired. Random words: the mean of {rows.loc['random-words', 'draws']} draws."
)
reading = st.selectbox("Answers that change with", frame["reading"].iloc[1:], format_func=reading_title, key="flipped")
flips = result.flips_frame(reading)
tables.heading(f"{len(flips)} of {len(task)} answers change", flips, opened.name, "flips", reading)
tables.show(flips, "flips-table")
