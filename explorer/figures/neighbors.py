"""How near prompt tokens are to their neighbors, beside the null."""

import numpy as np
import plotly.graph_objects as go

from explorer.analysis.neighbors import NearestNeighbors
from explorer.figures.style import COLORS, NEUTRAL, null_band, styled, token_axis, words

METRIC_AXES = {
    "cosine": "Cosine to the neighbors",
    "whitened": "Whitened cosine to the neighbors",
    "dot": "Dot product with the neighbors",
    "csls": "CSLS to the neighbors",
    "l2": "Distance to the neighbors",
}


def similarity_figure(neighbors: NearestNeighbors, null: np.ndarray | None = None) -> go.Figure:
    """How near each prompt token's first neighbor is (mark) and its k-th (end of the line).

    null: [M] the same for first neighbors of random vectors, drawn as a band; None where none is comparable.
    """
    first, last = neighbors.similarity[:, 0], neighbors.similarity[:, -1]
    positions = np.arange(len(first))
    gaps = np.full(len(first), np.nan, np.float32)
    figure = go.Figure()
    figure.add_scatter(
        x=np.repeat(positions, 3),
        y=np.column_stack([first, last, gaps]).ravel(),
        mode="lines",
        line={"color": NEUTRAL, "width": 2},
        hoverinfo="skip",
        showlegend=False,
    )
    figure.add_scatter(
        x=positions,
        y=first,
        mode="markers",
        marker={"color": COLORS[0], "size": 10},
        customdata=[words(row) for row in neighbors.pieces],
        hovertemplate="token %{x}: %{y:.3f}<br>%{customdata}<extra></extra>",
        showlegend=False,
    )
    if null is not None:
        null_band(figure, null, "nearest piece of random vectors, central 95 %")
    token_axis(figure, len(first))
    figure.update_yaxes(title=METRIC_AXES[neighbors.metric])
    title = f"From the nearest piece (mark) to number {neighbors.token_ids.shape[1]} (end of the line)"
    return styled(figure, title, 340, legend=null is not None)
