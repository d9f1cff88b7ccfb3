"""What prompts answer together: accuracy of members and of their vote, and who agrees with whom."""

import plotly.graph_objects as go

from explorer.evaluation.ensemble import Ensemble
from explorer.figures.style import (
    COLORS,
    NEUTRAL,
    PALE_BLUES,
    name_cells,
    plain,
    styled,
    without_common_folder,
)

LOOKS = {
    "member": (COLORS[0], "circle"),
    "average": (NEUTRAL, "square"),
    "best": (COLORS[2], "triangle-up"),
    "ensemble": (COLORS[1], "diamond"),
}
"""color and symbol of each kind of row"""


def ensemble_figure(result: Ensemble) -> go.Figure:
    """Accuracy of every member, of their average, of the best one and of both votes, with 95 % intervals over
    the texts.
    """
    frame, figure = result.to_frame(), go.Figure()
    for kind, (color, symbol) in LOOKS.items():
        part = frame[frame["kind"] == kind]
        figure.add_scatter(
            x=part["accuracy"],
            y=[plain(name, 48) for name in part["prompt"]],
            error_x={
                "type": "data",
                "symmetric": False,
                "array": part["high"] - part["accuracy"],
                "arrayminus": part["accuracy"] - part["low"],
            },
            mode="markers",
            name=kind,
            marker={"color": color, "symbol": symbol, "size": 11},
            hovertemplate="%{y}: %{x:.1%}<extra></extra>",
        )
    vote = frame.loc[frame["kind"] == "ensemble", "accuracy"].iloc[0]
    figure.add_vline(x=vote, line={"color": COLORS[1], "dash": "dot", "width": 1})
    figure.update_yaxes(
        categoryorder="array", categoryarray=[plain(name, 48) for name in reversed(frame["prompt"].tolist())]
    )
    figure.update_xaxes(title=f"Accuracy on {len(result.task)} texts, 95 % interval", tickformat=".0%")
    return styled(figure, "Is the vote better than its members?", 130 + 27 * len(frame), legend=True)


def agreement_heatmap(result: Ensemble) -> go.Figure:
    """Share of texts on which two members answer alike, 0…1; the diagonal is left out."""
    shown = result.agreement.copy()
    for place in range(len(shown)):
        shown[place, place] = None
    labels = [plain(name, 40) for name in without_common_folder(result.members)]
    figure = go.Figure(
        go.Heatmap(
            z=shown,
            colorscale=PALE_BLUES,
            zmax=1,
            texttemplate="%{z:.0%}" if len(labels) <= 10 else None,
            colorbar={"title": {"text": "alike"}, "thickness": 12, "tickformat": ".0%"},
            customdata=[labels] * len(labels),
            text=[[label] * len(labels) for label in labels],
            hovertemplate="%{text}<br>%{customdata}: %{z:.1%}<extra></extra>",
        )
    )
    name_cells(figure, labels)
    return styled(figure, "How often two members answer alike", max(300, 150 + 28 * len(labels)))
