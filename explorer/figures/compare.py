"""Groups of prompts side by side, one measure a figure."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from explorer.analysis.compare.groups import Comparison
from explorer.figures.style import (
    DIVERGING,
    LOG_TICKS,
    NEUTRAL,
    looks,
    name_cells,
    plain,
    styled,
    without_common_folder,
)

MEASURE_TITLES = {
    "dev_accuracy": ("Accuracy on the dev set", "share right", ".1%"),
    "coherence": ("Coherence of neighbors (a description)", "mean cosine", ".2f"),
    "significant_share": ("Tokens among words that belong together (q ≤ 0.05)", "share of tokens", ".0%"),
    "label_persistence": ("Label tokens that stayed their label", "share of label tokens", ".0%"),
    "own_label_rank": ("Rank of their own label at label tokens", "median rank, 1 is nearest", ",.0f"),
    "dispersion": ("Spread of label similarity over tokens", "0 one token … 1 all", ".2f"),
    "norm_ratio": ("Norm of prompt tokens", "× the median vocabulary row", ".1f"),
    "drift_cosine": ("Cosine to the initial vectors", "1 means unchanged direction", ".2f"),
}
"""measure: title, axis, number format"""
OF_ONE = ("significant_share", "label_persistence", "dispersion")
"""measures drawn over the whole of 0…1"""


def comparison_figure(comparison: Comparison, measure: str) -> go.Figure:
    """Every prompt a mark, its group a row; below the marks the group's mean with its 95 % bootstrap
    interval.
    """
    frame, summary = comparison.to_frame(), comparison.summary()
    summary = summary[summary["measure"] == measure]
    title, axis, number = MEASURE_TITLES.get(measure, (plain(measure), "", ".3f"))
    groups = list(dict.fromkeys(frame["group"]))
    figure, look = go.Figure(), looks(groups)
    for place, group in enumerate(groups):
        members = frame[frame["group"] == group]
        values = members[measure].to_numpy(np.float64)
        figure.add_scatter(
            x=values,
            y=np.full(len(values), place - 0.13),
            mode="markers",
            marker={"color": look[group].color, "symbol": look[group].symbol, "size": 10, "opacity": 0.8},
            customdata=[plain(name) for name in members["prompt"]],
            hovertemplate=f"%{{customdata}}: %{{x:{number}}}<extra></extra>",
        )
    mean, low, high = (
        summary.set_index("group").reindex(groups)[name].to_numpy(np.float64)
        for name in ("mean", "low", "high")
    )
    figure.add_scatter(
        x=mean,
        y=np.arange(len(groups)) + 0.2,
        mode="markers",
        marker={"symbol": "line-ns-open", "size": 14, "color": NEUTRAL, "line": {"width": 3}},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": high - mean,
            "arrayminus": mean - low,
            "color": NEUTRAL,
            "thickness": 1.5,
            "width": 5,
        },
        hovertemplate=f"mean %{{x:{number}}}<extra></extra>",
    )
    if not np.isfinite(mean).any():
        figure.add_annotation(
            x=0.5, xref="paper", y=0.5, yref="paper", text="not recorded for these prompts", showarrow=False
        )
    figure.update_yaxes(
        tickvals=list(range(len(groups))),
        ticktext=[plain(group, 24) for group in groups],
        range=[len(groups) - 0.4, -0.6],
        showgrid=False,
    )
    figure.update_xaxes(title=axis, tickformat=number, nticks=6, showgrid=True)
    if measure == "own_label_rank":
        farthest = np.nanmax(frame[measure].to_numpy(np.float64), initial=5)
        figure.update_xaxes(type="log", tickvals=LOG_TICKS[12:], range=[-0.05, np.log10(farthest) + 0.1])
    if measure in OF_ONE:
        figure.update_xaxes(range=[-0.05, 1.05])
    return styled(figure, title, 110 + 44 * len(groups))


def likeness_heatmap(similarity: np.ndarray, names: Sequence[str]) -> go.Figure:
    """Cosine of the mean tokens of every two prompts [N, N], −1…1; the diagonal is left out."""
    shown = similarity.astype(np.float32)
    np.fill_diagonal(shown, np.nan)
    figure = go.Figure(
        go.Heatmap(
            z=shown,
            colorscale=DIVERGING,
            zmid=0,
            zmin=-1,
            zmax=1,
            colorbar={"title": {"text": "cosine"}, "thickness": 12, "tickformat": ".1f"},
            customdata=[[plain(name) for name in names]] * len(names),
            text=[[plain(name)] * len(names) for name in names],
            hovertemplate="%{text}<br>%{customdata}: %{z:.2f}<extra></extra>",
        )
    )
    name_cells(figure, [plain(name, 40) for name in without_common_folder(names)])
    figure.update_xaxes(tickangle=60, tickfont={"size": 10})
    figure.update_yaxes(tickfont={"size": 10})
    return styled(figure, "How alike the mean tokens of all prompts are", max(320, 120 + 19 * len(names)))
