"""Settings that several pages share; the address holds them."""

import streamlit as st

from explorer.choices import GROUPINGS, METRIC_CHOICES, METRICS, Grouping, MetricChoice
from explorer.dashboard.streamlit_internals import forget_in_address

LARGEST_K = 30
DIRECTION = dict.fromkeys(METRICS, "higher is closer") | {"l2": "a distance: smaller is closer"}


def from_address(key: str, smallest: int, largest: int) -> None:
    """Take out of the address what is no whole number in a widget's bounds, before the widget reads it."""
    if not all(
        value.isascii() and value.isdecimal() and smallest <= int(value[:12]) <= largest
        for value in st.query_params.get_all(key)
    ):
        forget_in_address(key)


def k(smallest: int = 1) -> int:
    """How many neighbors of each prompt token."""
    from_address("k", smallest, LARGEST_K)
    return st.number_input(
        "k, neighbors of a token", smallest, LARGEST_K, 10, key="k", bind="query-params", width=150
    )


def metric() -> MetricChoice:
    """How nearness is measured."""
    chosen = st.segmented_control(
        "Metric",
        METRIC_CHOICES,
        default="auto",
        required=True,
        key="metric",
        bind="query-params",
        help=(
            "Auto: whitened where the vocabulary's rows share a direction, else cosine. Whitened: "
            "cosine, with the same energy in every direction. CSLS: cosine, corrected for "
            "pieces near to everything. L2 and dot: length counts."
        ),
    )
    return chosen or "auto"


def labels(
    title: str, key: str, placeholder: str, help: str | None = None, linked: bool = False
) -> tuple[str, ...]:
    """Different labels typed with commas between them; linked: the address holds them."""
    typed = (
        st.text_input(
            title,
            max_chars=500,
            key=key,
            placeholder=placeholder,
            help=help,
            bind="query-params" if linked else None,
        )
        or ""
    )
    return tuple(dict.fromkeys(label.strip() for label in typed.split(",") if label.strip()))


def grouping() -> Grouping:
    """What puts prompts into one group."""
    return st.selectbox("Group by", GROUPINGS, key="by", bind="query-params", width=150)
