"""What prompt tokens lie near to: similarity and coherence of their neighbors beside the null, and overlap between tokens."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from explorer.analysis.clusters import Coherence, Redundancy
from explorer.analysis.comparison import CALLED_AT
from explorer.analysis.neighbors import NearestNeighbors
from explorer.figures.style import BLUES, COLORS, NEUTRAL, choosable_cells, null_band, plain, styled, token_axis, words

MOST_CELLS = 40
"""tokens along one side of a heat map whose cells can be chosen"""
METRIC_AXES = {
    "cosine": "Cosine to the neighbors",
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


def coherence_figure(coherence: Coherence, neighbors: Sequence[Sequence[str]] | None = None) -> go.Figure:
    """Coherence of each prompt token's neighbors above the null's band; tokens that are called have another symbol and color.

    neighbors: [P, k] pieces, for the hover text.
    """
    called = coherence.q <= CALLED_AT
    hover = [words(row) for row in neighbors] if neighbors is not None else [""] * len(called)
    figure = go.Figure()
    kinds = (("called: q ≤ 0.05", called, COLORS[1], "diamond", 12), ("not called", ~called, NEUTRAL, "circle-open", 10))
    for name, mask, color, symbol, size in kinds:
        rows = np.flatnonzero(mask)
        figure.add_scatter(
            x=rows,
            y=coherence.coherence[rows],
            mode="markers",
            name=name,
            marker={"color": color, "symbol": symbol, "size": size, "line": {"width": 2, "color": color}},
            customdata=[(coherence.q[row], hover[row]) for row in rows],
            hovertemplate="token %{x}: coherence %{y:.3f}, q %{customdata[0]:.3f}<br>%{customdata[1]}<extra></extra>",
        )
    null_band(figure, coherence.null, f"random vectors (M = {len(coherence.null):,}), central 95 %")
    token_axis(figure, len(called))
    figure.update_yaxes(title="Mean cosine among them")
    return styled(figure, f"How much the {coherence.k} neighbors of a token resemble each other", 360, legend=True)


def redundancy_heatmap(redundancy: Redundancy) -> go.Figure:
    """How many neighbors two prompt tokens share, Jaccard 0…1; the diagonal is left out."""
    shared = redundancy.jaccard.astype(np.float32)
    np.fill_diagonal(shared, np.nan)
    highest = float(np.nanmax(shared)) if len(shared) > 1 else 0.0
    figure = go.Figure(
        go.Heatmap(
            z=shared,
            colorscale=BLUES,
            zmin=0,
            zmax=max(highest, 0.1),
            xgap=1 if len(shared) <= 40 else 0,
            ygap=1 if len(shared) <= 40 else 0,
            colorbar={"title": {"text": "Jaccard"}, "thickness": 12, "tickformat": ".2f"},
            hovertemplate="tokens %{y} and %{x}: %{z:.2f}<extra></extra>",
        )
    )
    if len(shared) <= MOST_CELLS:
        choosable_cells(figure, [[f"tokens {row} and {column}: {value:.2f}" for column, value in enumerate(line)] for row, line in enumerate(shared)])
    token_axis(figure, len(shared))
    figure.update_xaxes(showgrid=False)
    figure.update_yaxes(title="Prompt token (position)", showgrid=False, range=[len(shared) - 0.5, -0.5])
    return styled(figure, f"Neighbors that two tokens of {plain(redundancy.prompt)} share", 420)
