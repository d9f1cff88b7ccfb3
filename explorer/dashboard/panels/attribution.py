"""What an answer rests on, as the Playground shows it."""

import streamlit as st

from explorer.dashboard import cache, charts, tables, text_sets
from explorer.dashboard.markdown import safe
from explorer.figures import attribution_figure, deletion_figure
from explorer.figures.attribution import MEASURES
from explorer.session import Session

NAMES = {
    "leave_one_out": "leave one out",
    "gate": "gate gradient",
    "integrated_gradients": "integrated gradients",
}


def show(session: Session, text: str, number: int) -> None:
    """Attribution of one prompt's answer on a text; `number` tells sets of labels on one page apart."""
    left, right = st.columns(2)
    name = left.selectbox("Prompt", [prompt.name for prompt in session.prompts], key=f"attributed-{number}")
    measure = right.segmented_control(
        "Measure",
        list(MEASURES),
        default="leave_one_out",
        required=True,
        format_func=lambda one: NAMES[one],
        key=f"measure-{number}",
    )
    one = session.only(name)
    result = cache.reading("Asking what the answer rests on", one.attribution, text)[0]
    nearest = [
        one.vocabulary.readable(row[0])
        for row in cache.reading("Searching the neighbors", one.neighbors)[0].pieces
    ]
    st.markdown(f"**{safe(result.conclusion)}**")
    text_sets.kept(one, "attribution", text)
    charts.show(attribution_figure(result, nearest, measure or "leave_one_out"), f"attribution-bars-{number}")
    st.caption(
        f"For the answer “{safe(result.answer)}”. Leave one out: the token is hidden from attention. "
        "Gate: |slope| of a factor on the token. Integrated "
        "gradients start at the vocabulary's mean word and add up to the whole change, up to "
        f"{result.completeness:.1%}. Removing tokens in the order "
        f"of leave-one-out, compared with {len(result.deletion_null)} random orders on masks that the "
        f"order was not made from: p {result.deletion_p:.3f}; "
        f"adding them: p {result.insertion_p:.3f}."
    )
    charts.show(deletion_figure(result), f"deletion-{number}")
    frame = result.to_frame()
    tables.heading("Attribution", frame, name, "attribution")
    tables.show(
        frame.assign(nearest=nearest),
        f"attribution-table-{number}",
        ["position", "nearest", "leave_one_out", "gate", "integrated_gradients"]
        + ["completeness_error"] * (not result.holds),
    )
