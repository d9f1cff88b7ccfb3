"""Does the gap to tuning the whole model close as the model grows? (Lester et al. 2021, Figure 1), as the
page Compare shows it.
"""

import pandas as pd
import streamlit as st

from explorer.dashboard import cache, charts, tables, uploads
from explorer.dashboard.markdown import safe
from explorer.figures import size_figure
from explorer.session import Session


def show(session: Session) -> None:
    """What was measured of the bundled models, and what records say of prompts of this task on other
    models.
    """
    recorded = of_this_task(session)
    measured = cache.study_table("sizes.csv")
    if measured is not None and cache.bundled(session.vocabulary):
        charts.show(size_figure(measured), "sizes")
        st.caption(
            "Measured on test texts: class-label prompts and whole models tuned on the same texts, "
            "on the bundled models. `checkpoints/README.md` has more."
        )
    elif recorded["base_model"].nunique() < 2:
        st.info(
            safe(
                f"All prompts of {session.prompts[0].origin.task or 'this kind'} here are of one "
                "model: there is no size to compare."
            )
        )
        return
    tables.heading("By model, as recorded", recorded, "sizes")
    tables.show(
        recorded,
        "sizes-table",
        more={"base_model": "Base model", "prompts": st.column_config.NumberColumn("Prompts", format="%d")},
    )
    st.caption(
        "Prompts of this task and length here, whatever their model: means of accuracy on dev, "
        "without a prompt, and of the gain."
    )


def of_this_task(session: Session) -> pd.DataFrame:
    """One row per base model and initialization of the first prompt's task and length: prompts, dev_accuracy,
    without_prompt, gain (means, 0…1).
    """
    first = session.prompts[0]
    alike = [
        p
        for p in uploads.prompts()
        if not p.origin.read_as and (p.origin.task, p.length) == (first.origin.task, first.length)
    ]
    keys, measures = ["base_model", "initialization"], ["dev_accuracy", "without_prompt", "gain"]
    rows = [
        (
            *(getattr(prompt.origin, name) or "not recorded" for name in keys),
            *(getattr(prompt.origin, name) for name in measures),
        )
        for prompt in alike
    ]
    grouped = (
        pd.DataFrame(rows, columns=[*keys, *measures])
        .astype(dict.fromkeys(measures, float))
        .groupby(keys, sort=False)
    )
    return grouped[measures].mean().assign(prompts=grouped.size()).reset_index()
