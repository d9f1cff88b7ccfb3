"""What an answer rests on, as the Playground shows it."""

import streamlit as st

from explorer.dashboard import cached, charts, live, tables
from explorer.dashboard.cached import Opened
from explorer.dashboard.markdown import safe
from explorer.figures import attribution_figure, deletion_figure, readable
from explorer.figures.attribution import MEASURES
from explorer.vocabulary import Vocabulary

NAMES = {"leave_one_out": "leave one out", "gate": "gate gradient", "integrated_gradients": "integrated gradients"}


def show(members: tuple[Opened, ...], vocabulary: Vocabulary, text: str, labels: tuple[str, ...], number: int) -> None:
    """Attribution of one prompt's answer on a text; `number` tells sets of labels on one page apart."""
    left, right = st.columns(2)
    names = [opened.name for opened in members]
    name = left.selectbox("Prompt", names, key=f"attributed-{number}")
    measure = right.segmented_control("Measure", list(MEASURES), default="leave_one_out", required=True, format_func=NAMES.get, key=f"measure-{number}")
    opened = members[names.index(name)]
    result = live.attribution(opened, vocabulary, text, labels)
    nearest = [readable(row[0]) for row in cached.neighbors(opened, vocabulary, 1, "cosine").pieces]
    charts.show(attribution_figure(result, nearest, measure), f"attribution-bars-{number}")
    worse = round((result.deletion_area < result.deletion_null).mean() * 100)
    st.caption(
        f"For the answer “{safe(result.answer)}”. Leave one out: the token is hidden from attention. Gate: |slope| of a factor on the token. Integrated "
        f"gradients from the mean word of the vocabulary: they add up to the whole change but for {result.completeness:.1%}. Taking tokens away in the order "
        f"of leave-one-out hurts the answer faster than {worse} of 100 random orders (p {result.deletion_p:.3f}); adding them: p {result.insertion_p:.3f}."
    )
    charts.show(deletion_figure(result), f"deletion-{number}")
    frame = result.to_frame()
    tables.heading("Attribution", frame, opened.name, "attribution")
    tables.show(frame.assign(nearest=nearest), f"attribution-table-{number}", ["position", "nearest", "leave_one_out", "gate", "integrated_gradients"])
