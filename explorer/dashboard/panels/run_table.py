"""The run table: every prompt there is, with what it gained; a row's checkbox puts it into the choice that
all pages share.
"""

import pandas as pd
import streamlit as st

from explorer.dashboard import tables

FEW = ("name", "task", "initialization", "length", "dev_accuracy", "gain")
MORE = ("without_prompt", "seed", "step", "norm", "base_model", "format")
HIGHEST = 388
"""pixels of the table, about ten rows"""


def table(whole: pd.DataFrame) -> None:
    """The prompts, a row each as `list_prompts` gives them: those chosen first, then those of the task asked
    for.
    """
    tasks = list(whole["task"].dropna().unique())
    task = st.pills("Task", tasks, key="task", bind="query-params") if len(tasks) > 1 else None
    names = [name for name in st.session_state.get("prompts", ()) if name in set(whole["name"])]
    order = {name: place for place, name in enumerate(names)}
    shown = whole[whole["name"].isin(names) | (task is None) | (whole["task"] == task)]
    shown = shown.sort_values("name", key=lambda column: column.map(order).fillna(len(order)), kind="stable")
    listed = shown["name"].tolist()
    # another choice is another table: it begins with what is chosen
    key = f"prompts-table-{task}-{'|'.join(names)}"

    def take() -> None:
        st.session_state["prompts"] = [
            listed[row] for row in sorted(st.session_state[key]["selection"]["rows"])
        ]

    chosen = {"selection": {"rows": list(range(len(names)))}}
    tables.show(
        shown,
        key,
        FEW,
        rest=MORE,
        height=min(38 + 35 * len(shown), HIGHEST),
        on_select=take,
        selection_mode="multi-row",
        selection_default=chosen,
    )
