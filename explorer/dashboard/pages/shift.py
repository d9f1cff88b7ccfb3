"""Does what a prompt learned hold in other domains?"""

import streamlit as st

from explorer.dashboard import cache, charts, choice, tables, text_sets
from explorer.dashboard.access import read_only
from explorer.dashboard.markdown import safe
from explorer.evaluation.domain_shift import DomainShift
from explorer.figures import shift_figure
from explorer.models.loading import DEFAULT_MODEL, model_folder
from explorer.words.wording import count

MOST = 15  # prompts, a few seconds on two cores
SUMMARY, REST = (
    ["method", "initialization", "target", "accuracy", "drop", "runs"],
    ["deviation", "drop_low", "drop_high", "over", "invalid_rate"],
)
MORE = {
    "method": st.column_config.TextColumn("Method"),
    "target": st.column_config.TextColumn("Domain"),
    "source": st.column_config.TextColumn("Source"),
    "runs": st.column_config.NumberColumn("Runs", format="%d", width=60),
    "deviation": st.column_config.NumberColumn(
        "± seeds", format="%.3f", help="Standard deviation over seeds; none for one"
    ),
    "macro_f1": st.column_config.NumberColumn("Macro F1", format="%.3f"),
    "invalid_rate": st.column_config.NumberColumn(
        "Invalid", format="%.3f", help="Share of generated texts that are no label"
    ),
    "drop": st.column_config.NumberColumn(
        "Drop", format="%.3f", help="Accuracy on the source minus accuracy here; positive is worse"
    ),
    "drop_low": st.column_config.NumberColumn(
        "Drop low",
        format="%.3f",
        help="95 % interval over seeds and the texts of both domains; of one seed over texts",
    ),
    "drop_high": st.column_config.NumberColumn(
        "Drop high",
        format="%.3f",
        help="95 % interval over seeds and the texts of both domains; of one seed over texts",
    ),
    "over": st.column_config.TextColumn("Interval over", help="One seed says nothing of others"),
    "drop_difference": st.column_config.NumberColumn(
        "Less drop",
        format="%.3f",
        help="Model tuning's drop minus prompt tuning's; positive: prompts lose less",
    ),
}

st.title("Domain shift", anchor=False)
session = choice.session()
labels = session.prompts[0].origin.labels or ()
domains = text_sets.fitting(labels)
if read_only():
    st.info(
        "This dashboard is read-only and runs no model. Below: what was measured with the bundled "
        "sentiment prompts.",
        icon=":material/lock:",
    )
elif len(domains) < 2:
    st.info(
        "The bundled examples have no second domain with this prompt's labels. For texts of your "
        "own: `python -m explorer shift`.",
        icon=":material/alt_route:",
    )
else:
    everyone = choice.with_peers(session)
    members = everyone.only(
        *[prompt.name for prompt in everyone.prompts if prompt.origin.labels == labels][:MOST]
    )
    left, right = st.columns([1, 2])
    source = left.selectbox(
        "Source: what it was tuned on", domains, format_func=str.capitalize, key="source", bind="query-params"
    )
    others = [domain for domain in domains if domain != source]
    targets = right.pills(
        "Targets", others, selection_mode="multi", default=others, format_func=str.capitalize, key="targets"
    )
    if not targets:
        st.info("Choose at least one target.", icon=":material/alt_route:")
        st.stop()
    asked = tuple(cache.examples(domain) for domain in (source, *targets))
    answered = text_sets.taken(
        members,
        "shift",
        asked,
        lambda: cache.reading(
            "Every prompt answers every domain", members.shift, asked, no_prompt=True, generate=False
        ),
    )
    result = DomainShift((source, *targets), answered.answered)
    summary, frame = result.summary(), result.to_frame()
    st.markdown(f"**{safe(result.conclusion)}**")
    text_sets.kept(members, "shift", *asked)
    charts.show(shift_figure(summary), "shift")
    tables.heading("Means over seeds", summary, "shift", source, "summary")
    tables.show(summary, "summary-table", SUMMARY, MORE, REST[:-1], height=min(38 + 35 * len(summary), 318))
    sizes = ", ".join(f"{domain} {len(cache.examples(domain))}" for domain in (source, *targets))
    st.caption(
        f"{count(len(members.prompts), 'prompt')} of this task and the bare model (no tuning). Texts: "
        f"{sizes}, written for this project; they are few, so the "
        "intervals are wide. Nothing is chosen on a target. A drop's interval is over seeds and "
        "texts; of one run over texts alone."
    )
    tables.heading("Every prompt", frame, "shift", source)
    tables.show(
        frame,
        "shift-table",
        ["prompt", "seed", "target", "n", "accuracy", "drop"],
        MORE,
        ["macro_f1"],
        height=min(38 + 35 * len(frame), 318),
    )

measured, differences = cache.study_table("shift-summary.csv"), cache.study_table("shift-differences.csv")
if measured is not None and session.vocabulary.path == model_folder(DEFAULT_MODEL):
    tables.heading("Measured on public review sets", measured, "shift-study", "summary")
    charts.show(shift_figure(measured), "study")
    tables.show(measured, "study-table", SUMMARY, MORE, REST, height=318)
    tables.heading("Prompt tuning minus model tuning", differences, "shift-study", "differences")
    tables.show(differences, "differences-table", more=MORE)
    st.caption(
        "The bundled sentiment prompts, and whole models tuned on the same film sentences, tested on "
        "product and Amazon reviews, whose texts may not be "
        "bundled. `checkpoints/README.md` gives the command. These intervals are over texts alone, "
        "so they are narrower than they should be."
    )
