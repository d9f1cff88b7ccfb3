"""Tables as the pages show them, each with its download: the same bytes as the command line writes."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st
from pandas.io.formats.style import Styler

from explorer.dashboard import focus
from explorer.dashboard.limits import MOST_ROWS
from explorer.dashboard.markdown import slug
from explorer.prompt import SoftPrompt
from explorer.system.files import csv_bytes
from explorer.words.wording import count

_number, _text = st.column_config.NumberColumn, st.column_config.TextColumn

COLUMNS = {
    "prompt": _text("Prompt"),
    "name": _text("Prompt", pinned=True),
    "path": _text("Path"),
    "task": _text("Task", width=100),
    "initialization": _text("Initialization", width=110),
    "base_model": _text("Base model"),
    "format": _text("Format"),
    "seed": _number("Seed", format="%d", width=55),
    "length": _number("Tokens", format="%d", help="Prompt length P", width=65),
    "dimension": _number("Width", format="%d", help="Embedding size H", width=70),
    "step": _number("Step", format="%d", help="Training step of these vectors", width=70),
    "dev_accuracy": st.column_config.ProgressColumn(
        "Dev accuracy",
        format="%.1f%%",
        min_value=0,
        max_value=100,
        width=120,
        help="Share right on the dev set",
    ),
    "without_prompt": _number(
        "No prompt", format="%.1f%%", help="Share right on the dev set without a prompt", width=80
    ),
    "gain": _number(
        "Gain",
        format="%+.1f%%",
        help="What the prompt adds: dev accuracy minus that without a prompt, in points",
        width=70,
    ),
    "norm": _number("Norm", format="%.1f", help="Median Euclidean length of its tokens", width=60),
    "error": _text("Why it cannot be read", width="large"),
    "position": _number("Token", format="%d", pinned=True, help="Position in the prompt, from 0", width=60),
    "source": _text("Began as", help="What the token was initialized from"),
    "rank": _number("Rank", format="localized", width=80),
    "frequency_rank": _number(
        "Frequency rank",
        format="localized",
        help="1 is the most frequent; tokenizers number pieces by frequency",
    ),
    "token_id": _number("Id", format="%d", help="Row of the vocabulary", width=80),
    "piece": _text("Piece", help="As the tokenizer writes it; ▁ stands for a space"),
    "token": _text("Text"),
    "similarity": _number("Similarity", format="%.3f"),
    "metric": _text("Metric", width=80),
    "first": _number("Nearest", format="%.3f", help="Score of the nearest piece", width=70),
    "percentile": _number(
        "Percentile", format="%.1f", help="Share of random vectors that are below", width=80
    ),
    "statistic": _number(
        "Nearness",
        format="%.3f",
        help=(
            "To a group of five words that belong together, in the whitened space; higher is more of a group"
        ),
    ),
    "group_words": _text("Group", width="large", help="The five words nearest in the whitened space"),
    "group_variants": _number(
        "Same word",
        format="%.0f%%",
        help="Share of the group's pairs that are variants of one word or share a stem",
    ),
    "p_rows": _number(
        "p, words", format="%.2f", help="Against random words of the vocabulary: the upper anchor", width=75
    ),
    "p_mixtures": _number(
        "p, mixtures", format="%.2f", help="Against convex combinations of three random words", width=80
    ),
    "p_isotropic": _number("p, directions", format="%.3f", help="Against random directions", width=85),
    "p_initial": _number(
        "p, start",
        format="%.2f",
        help="Against this prompt's own tokens before training, which are few",
        width=70,
    ),
    "hub": st.column_config.CheckboxColumn(
        "Hub", help="Near to much of the vocabulary, so that it says little", width=55
    ),
    "margin": _number(
        "Margin", format="%.4f", help="From rank k to rank k + 1: how sure the last neighbor is", width=70
    ),
    "p": _number(
        "p",
        format="%.3f",
        help="Against vectors drawn from the vocabulary's Gaussian; smaller is more surprising",
        width=70,
    ),
    "q": _number(
        "q", format="%.3f", help="p after Benjamini–Hochberg over the tokens of the prompt", width=70
    ),
    "coherence": _number(
        "Coherence", format="%.3f", help="Mean cosine among the k nearest pieces; a description, no verdict"
    ),
    "coherence_merged": _number(
        "Merged", format="%.3f", help="Coherence with case and space variants left out"
    ),
    "variant_share": _number(
        "Variants",
        format="%.0f%%",
        help="Share of neighbor pairs that are variants of one word or share a stem",
    ),
    "significant": st.column_config.CheckboxColumn("Significant", help="q ≤ 0.05", width=85),
    "neighbors": _text("Neighbors", width=330),
    "label": _text("Label"),
    "initial_rank": _number(
        "Rank before", format="localized", help="Rank of its label before training; 1 is nearest"
    ),
    "initial_p": _number("p before", format="%.3f", help="The same p before training", width=80),
    "p_words": _number("p, words", format="%.3f", help="Against words about as frequent", width=80),
    "p_labels": _number("p, other labels", format="%.3f", help="Against labels of other tasks", width=100),
    "group_a": _text("Group"),
    "group_b": _text("against"),
    "n_a": _number("n", format="%d", width=50),
    "n_b": _number("n", format="%d", width=50),
    "difference": _number("Difference", format="%.3f", help="Mean of the first minus mean of the second"),
    "effect": _number(
        "Effect",
        format="%.2f",
        help="Cliff's delta, −1…1: how often one of the first is larger, minus how often smaller",
    ),
    "least_p": _number("Smallest p", format="%.3f", help="The smallest p that so few prompts allow"),
    "prompt_a": _text("Prompt"),
    "prompt_b": _text("against"),
    "mean_token_cosine": _number("Mean token", format="%.3f", help="Cosine of the mean tokens"),
    "mean_pairwise_cosine": _number("All pairs", format="%.3f", help="Mean cosine of all pairs of tokens"),
    "matched_cosine": _number("Matched", format="%.3f", help="Mean cosine of tokens matched one to one"),
    "p_mean": _number("p, mean token", format="%.3f", help="Against means of as many random words"),
    "drift": _number("Cosine to start", format="%.3f", help="1 means unchanged direction"),
    "ratio": _number("Norm ratio", format="%.2f", help="Norm over the vocabulary's median norm"),
    "group": _text("Group"),
    "measure": _text("Measure"),
    "n": _number("n", format="%d", help="Prompts that have the measure", width=60),
    "mean": _number("Mean", format="%.3f"),
    "low": _number("Low", format="%.3f", help="95 % interval (t); none for one prompt"),
    "high": _number("High", format="%.3f", help="95 % interval (t); none for one prompt"),
    "trust": st.column_config.ProgressColumn(
        "Trust",
        format="%.0f%%",
        min_value=0,
        max_value=100,
        help="Share of its true neighbors that are near it on the map too",
    ),
    "x": _number("x", format="%.2f", width=70),
    "y": _number("y", format="%.2f", width=70),
    "kind": _text("Kind"),
    "significant_share": _number("Significant", format="%.0f%%", help="Share of tokens with q ≤ 0.05"),
    "label_persistence": _number(
        "Labels kept", format="%.0f%%", help="Share of label tokens whose own label is still nearest"
    ),
    "own_label_rank": _number(
        "Own label's rank", format="localized", help="Median rank at label tokens; 1 is nearest"
    ),
    "dispersion": _number("Spread", format="%.2f", help="0: label similarity in one token, 1: in all alike"),
    "norm_ratio": _number("Norm ratio", format="%.2f", help="Median norm over the vocabulary's"),
    "drift_cosine": _number(
        "Cosine to start", format="%.3f", help="Mean over tokens; 1 means unchanged direction"
    ),
    "generated": _text("Generated text"),
    "nearest": _text("Nearest word"),
    "leave_one_out": _number(
        "Leave one out", format="%.4f", help="Nats the answer loses when the token is masked"
    ),
    "gate": _number("Gate", format="%.4f", help="|slope| of a factor on the token, nats"),
    "integrated_gradients": _number("Integrated gradients", format="%.4f", help="Nats, signed"),
    "completeness_error": _number(
        "Error of the last", format="percent", help="Share that integrated gradients miss: they do not hold"
    ),
    "reading": _text("In the prompt's place", width=215),
    "accuracy": _number("Accuracy", format="%.3f", help="Share right"),
    "macro_f1": _number("Macro F1", format="%.3f", help="Mean over labels, 0…1"),
    "calibration_error": _number("Calibration error", format="%.3f", help="0…1, lower is better"),
    "agreement": _number("Agreement", format="%.3f", help="Share of texts answered as by the soft prompt"),
    "kl": _number("KL", format="%.3f", help="KL(soft ‖ stand-in) over the labels, nats"),
    "difference_low": _number("Diff. low", format="%.3f"),
    "difference_high": _number("Diff. high", format="%.3f"),
    "flips": _number("Flips", format="%d", help="Answers that change"),
    "text": _text("Text of the example", width="large"),
    "soft": _text("Soft prompt's answer"),
}


TINT, DARKEST = "58, 111, 216", 0.6
"""red, green, blue of a tinted cell, which fits light and dark pages, and the opacity of the strongest"""
SHARES = (
    "dev_accuracy",
    "without_prompt",
    "gain",
    "trust",
    "variant_share",
    "significant_share",
    "label_persistence",
    "group_variants",
)
"""columns shown as percentages; files hold 0…1"""


def heading(
    title: str,
    frame: pd.DataFrame,
    *file: object,
    also: Mapping[str, tuple[pd.DataFrame, Sequence[object]]] | None = None,
) -> None:
    """The title of a table and, beside it, its download, named after what it holds; also: other tables of the
    same menu and what they are named after.
    """
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(title, anchor=False, width="content")
        name = slug(*file)
        if not also:
            _download("CSV", frame, name)
            return
        with st.popover("CSV", icon=":material/download:", type="tertiary", key=f"csv-menu-{name}"):
            _download("This table", frame, name)
            for what, (other, named) in also.items():
                _download(what, other, slug(*named))


def _download(label: str, frame: pd.DataFrame, name: str) -> None:
    icon = ":material/download:"
    st.download_button(
        label,
        lambda: csv_bytes(frame),
        f"{name}.csv",
        "text/csv",
        on_click="ignore",
        icon=icon,
        type="tertiary",
        key=f"csv-{name}",
    )


def show(
    frame: pd.DataFrame,
    key: str,
    columns: Sequence[str] | None = None,
    more: Mapping[str, Any] | None = None,
    rest: Sequence[str] = (),
    shade: Mapping[str, Sequence[float]] | None = None,
    **given: Any,
) -> Any:
    """A frame with names and digits for people; `columns` says which and in what order, `more` how those not
    in COLUMNS look, `rest` which come when more are asked for, `shade` how strongly cells of a column are
    tinted, 0…1 each.

    given: what else st.dataframe takes: height and row_height in pixels, selection. Returns what it returns.
    """
    asked = f"more-{key.partition('-table')[0]}"
    if rest and st.session_state.get(asked):
        columns = [*(columns or ()), *rest]
    if len(frame) > MOST_ROWS:
        st.caption(
            f"The first {MOST_ROWS:,} of {len(frame):,} rows; the CSV has them all, and in the shell "
            "`python -m explorer report` writes every table."
        )
        frame = frame.head(MOST_ROWS)
    known = {name: COLUMNS[name] for name in frame.columns if name in COLUMNS}
    frame = frame.assign(**{name: 100 * frame[name] for name in SHARES if name in frame})
    said = f"Table of {count(len(frame), 'row')}: {', '.join(map(str, columns or frame.columns))}."
    drawn = st.dataframe(
        _shaded(frame, shade) if shade else frame,
        hide_index=True,
        column_order=columns,
        column_config={**known, **(more or {})},
        key=key,
        placeholder="–",
        alt=said,
        **given,
    )
    if rest:
        st.toggle("More columns", key=asked, persist_state="session")
    return drawn


def _shaded(frame: pd.DataFrame, shade: Mapping[str, Sequence[float]]) -> Styler:
    """The frame with tinted cells."""
    tint = {
        column: [f"background-color: rgba({TINT}, {DARKEST * share:.2f})" for share in shares]
        for column, shares in shade.items()
    }
    return frame.style.apply(lambda column: tint[str(column.name)][: len(column)], subset=list(tint))


def tokens(
    frame: pd.DataFrame,
    key: str,
    prompt: SoftPrompt,
    columns: Sequence[str] | None = None,
    more: Mapping[str, Any] | None = None,
    **size: Any,
) -> None:
    """As `show`, for a frame with a column `position` of a prompt's tokens: those in focus are marked,
    choosing a row puts another into focus.
    """
    positions = frame["position"].tolist()
    token = focus.position(prompt)
    marked = [row for row, position in enumerate(positions) if position == token][:1]
    key = f"{key}-{prompt.name}-{token}"  # a table of another selection is another table

    def chosen() -> None:
        rows = st.session_state[key]["selection"]["rows"]
        focus.choose(prompt.name, positions[rows[0]] if rows else None)

    selection: dict[str, Any] = {
        "on_select": chosen,
        "selection_mode": "single-row",
        "selection_default": {"selection": {"rows": marked}},
    }
    show(frame, key, columns, more, **selection, **size)


def leading(
    frame: pd.DataFrame,
    key: str,
    visible: Collection[str],
    more: Mapping[str, Any] | None = None,
    **size: Any,
) -> None:
    """As `show`, for a frame with the columns `prompt` and `position`: choosing a row puts its token into
    focus, if its prompt is one of `visible`.
    """
    rows = list(zip(frame["prompt"], frame["position"].tolist(), strict=True))

    def chosen() -> None:
        asked = st.session_state[key]["selection"]["rows"]
        if asked and rows[asked[0]][0] in visible:
            focus.choose(*rows[asked[0]])

    show(frame, key, None, more, on_select=chosen, selection_mode="single-row", **size)
