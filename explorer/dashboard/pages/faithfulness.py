"""How much accuracy survives when a prompt is replaced by its nearest words?"""

import streamlit as st

from explorer.dashboard import cache, charts, choice, tables, text_sets, uploads
from explorer.dashboard.markdown import safe
from explorer.dashboard.panels import how
from explorer.figures import faithfulness_figure, interpolation_figure, reading_title
from explorer.words.wording import count

st.title("Faithfulness", anchor=False)
session = choice.session()
wayward = choice.of_its_model(session, (prompt for prompt in uploads.prompts() if prompt.origin.read_as))
names = list(dict.fromkeys(prompt.name for prompt in (*session.prompts, *wayward)))
asked = st.selectbox("Prompt put to the test", names, key="tested", bind="query-params", width=420)
one = choice.also(session, wayward).only(asked if asked in names else names[0])
(prompt,) = one.prompts
labels = prompt.origin.labels
if not labels:
    st.info("This prompt records no class labels, so there is nothing to rank.", icon=":material/label_off:")
    st.stop()
task = text_sets.labelled(labels)
result = text_sets.taken(
    one,
    "faithfulness",
    [task],
    lambda: cache.counted("Answering with every stand-in", task, one.faithfulness, task),
)[0]
st.markdown(f"**{safe(prompt.name)}: {safe(result.conclusion)}**")
text_sets.kept(one, "faithfulness", task)

frame = result.to_frame()
rows = frame.set_index("reading")
nearest = next(reading.words or () for reading in result.readings if reading.name == "cosine")
words_of_it = " ".join(map(one.vocabulary.readable, nearest))
st.markdown(f"**{safe(prompt.name)}** reads, by cosine: *{safe(words_of_it)}*")
if prompt.origin.read_as:
    st.info(
        "This prompt was trained to classify and, at the same time, pulled towards the sentence "
        f"“{safe(prompt.origin.read_as)}”. "
        "Its neighbors spell that sentence and say nothing about its task. Choose another prompt above.",
        icon=":material/signpost:",
    )
soft, words, none = (rows.loc[name] for name in ("soft", "cosine", "none"))
for column, (title, value, help_) in zip(
    st.columns(4),
    (
        (
            "Soft prompt",
            f"{soft.accuracy:.1%}",
            f"{count(len(task), 'text')}; 95 % interval {soft.low:.0%} to {soft.high:.0%}",
        ),
        ("Its nearest words", f"{words.accuracy:.1%}", f"95 % interval {words.low:.0%} to {words.high:.0%}"),
        (
            "Difference, paired",
            f"{words.difference:+.1%}",
            f"95 % interval {words.difference_low:+.1%} to {words.difference_high:+.1%}",
        ),
        ("No prompt", f"{none.accuracy:.1%}", f"95 % interval {none.low:.0%} to {none.high:.0%}"),
    ),
    strict=True,
):
    column.metric(title, value, help=help_)
charts.show(faithfulness_figure(result), "readings")
charts.show(interpolation_figure(result), "curve")
tables.heading("Every stand-in", frame, prompt.name, "faithfulness")
titled = frame.assign(reading=frame["reading"].map(reading_title))
few, rest = (
    ["reading", "accuracy", "low", "high", "difference", "flips"],
    ["agreement", "kl", "difference_low", "difference_high"],
)
tables.show(titled, "readings-table", few, rest=rest)
reading = st.selectbox(
    "Answers that change with", frame["reading"].iloc[1:], format_func=reading_title, key="flipped"
)
flips = result.flips_frame(reading)
tables.heading(f"{len(flips)} of {count(len(task), 'answer')} change", flips, prompt.name, "flips", reading)
tables.show(flips, "flips-table")
how.computed(
    "Every token is replaced by its nearest word, and the frozen model answers again. **A large "
    "drop** means that the words do not do what the vectors do: "
    "the table of neighbors does not explain this prompt's behavior, however sensible it reads. **No "
    "drop** says less: the reading is consistent with the "
    "behavior, and so is any other prompt that scores as high. Look at *no prompt* and *random "
    "words*: where they score as high, this task cannot tell. "
    "Wayward prompts show that a prompt can read as anything and still work (Khashabi et al. 2022).",
    f"{count(len(task), 'text')}. Agreement with the soft prompt's answers; KL(soft ‖ stand-in) over "
    "the labels in nats; low, high: 95 % bootstrap over the "
    "texts; the difference from the soft prompt is paired. Random words: the mean of "
    f"{rows.loc['random-words', 'draws']} draws, intervals over draws and "
    "texts.",
)
