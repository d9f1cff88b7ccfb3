"""What the model still does when a prompt is replaced by its reading."""

import plotly.graph_objects as go

from explorer.choices import METRICS
from explorer.evaluation.faithfulness import NORM_KEPT, SPARSE, TYPED, Faithfulness
from explorer.figures.style import COLORS, NEUTRAL, styled
from explorer.words.wording import count

TITLES = {
    "soft": "the soft prompt",
    "cosine": "nearest words (cosine)",
    "whitened": "nearest words (whitened)",
    "l2": "nearest words (l2)",
    "dot": "nearest words (dot)",
    "csls": "nearest words (CSLS)",
    "none": "no prompt",
    "random-words": "random words",
    "initial": "before training",
    "shuffled": "shuffled tokens",
    "mean": "mean token",
}
"""readings as people call them"""


def reading_title(name: str) -> str:
    """A reading as people call it."""
    if name.startswith(SPARSE):
        return f"sum of {count(int(name.removeprefix(SPARSE)), 'word')} a token"
    if name.startswith(TYPED):
        return f"typed words {name.removeprefix(TYPED)[1:]}"
    base = name.removesuffix(NORM_KEPT)
    return TITLES[base] + (", norm kept" if base != name else "")


def faithfulness_figure(result: Faithfulness) -> go.Figure:
    """Accuracy of every reading with its 95 % interval, and a line where the soft prompt is."""
    frame = result.to_frame()
    soft = frame["accuracy"].iloc[0]
    figure = go.Figure()
    words = frame["reading"].str.removesuffix(NORM_KEPT).isin(METRICS) | frame["reading"].str.startswith(
        SPARSE
    )
    own, others = frame["reading"].eq("soft"), ~words & frame["reading"].ne("soft")
    for name, rows, color, symbol in (
        ("itself", own, COLORS[1], "diamond"),
        ("words", words, COLORS[0], "circle"),
        ("neither", others, NEUTRAL, "square"),
    ):
        part = frame[rows]
        figure.add_scatter(
            x=part["accuracy"],
            y=[reading_title(reading) for reading in part["reading"]],
            error_x={
                "type": "data",
                "symmetric": False,
                "array": part["high"] - part["accuracy"],
                "arrayminus": part["accuracy"] - part["low"],
            },
            mode="markers",
            name=name,
            marker={"color": color, "symbol": symbol, "size": 11},
            customdata=part[["agreement", "kl"]],
            hovertemplate=(
                "%{y}: %{x:.1%}<br>agrees on %{customdata[0]:.0%}, KL %{customdata[1]:.3f} "
                "nats<extra></extra>"
            ),
        )
    figure.add_vline(x=soft, line={"color": COLORS[1], "dash": "dot", "width": 1})
    figure.update_yaxes(
        categoryorder="array",
        categoryarray=[reading_title(reading) for reading in reversed(frame["reading"].tolist())],
    )
    figure.update_xaxes(title=f"Accuracy on {len(result.task)} texts, 95 % interval", tickformat=".0%")
    return styled(figure, "What each stand-in still gets right", 120 + 27 * len(frame), legend=True)


def interpolation_figure(result: Faithfulness) -> go.Figure:
    """Accuracy and agreement on the way from the soft prompt to its nearest words."""
    curve = result.curve_frame()
    figure = go.Figure()
    for column, color, symbol, dash in (
        ("accuracy", COLORS[0], "circle", "solid"),
        ("agreement", COLORS[4], "square", "dash"),
    ):
        figure.add_scatter(
            x=curve["share"],
            y=curve[column],
            mode="lines+markers",
            name=column,
            line={"color": color, "dash": dash},
            marker={"symbol": symbol, "size": 8},
            hovertemplate=f"%{{x:.0%}} words: {column} %{{y:.1%}}<extra></extra>",
        )
    figure.update_xaxes(title="Share of the nearest words in the mixture", tickformat=".0%")
    figure.update_yaxes(title="Share of texts", tickformat=".0%")
    return styled(figure, "From the soft prompt to its nearest words (cosine)", 360, legend=True)
