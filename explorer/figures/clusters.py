"""How much prompt tokens lie among words that belong together, beside the null, and overlap between
tokens.
"""

import numpy as np
import plotly.graph_objects as go

from explorer.analysis.clusters import Clusters
from explorer.analysis.redundancy import Redundancy
from explorer.figures.style import (
    BLUES,
    COLORS,
    NEUTRAL,
    choosable_cells,
    null_band,
    plain,
    styled,
    token_axis,
)

MOST_DRAWN = 200
"""tokens along one side of a heat map: a page with all pairs of 2,000 tokens would weigh tens of megabytes"""
MOST_CELLS = 40
"""tokens along one side of a heat map whose cells can be chosen"""


def clusters_figure(found: Clusters) -> go.Figure:
    """How much each token lies near a group of words, above the null's band; significant tokens have another
    symbol and color.
    """
    significant = found.significant
    figure = go.Figure()
    kinds = (
        ("significant (FDR 5 %)", significant, COLORS[1], "diamond", 12),
        ("not significant", ~significant, NEUTRAL, "circle-open", 10),
    )
    for name, mask, color, symbol, size in kinds:
        rows = np.flatnonzero(mask)
        figure.add_scatter(
            x=rows,
            y=found.statistic[rows],
            mode="markers",
            name=name,
            marker={"color": color, "symbol": symbol, "size": size, "line": {"width": 2, "color": color}},
            customdata=[(found.q[row], plain(", ".join(found.groups[row]), 120)) for row in rows],
            hovertemplate="token %{x}: %{y:.3f}, q %{customdata[0]:.3f}<br>%{customdata[1]}<extra></extra>",
        )
    null_band(figure, found.null, f"random vectors (M = {len(found.null):,}), central 95 %")
    token_axis(figure, len(significant))
    figure.update_yaxes(title="Nearness to a group of words")
    return styled(figure, "Does a token lie among words that belong together?", 360, legend=True)


def redundancy_heatmap(redundancy: Redundancy) -> go.Figure:
    """How many neighbors two prompt tokens share, Jaccard 0…1; the diagonal is left out. Of long prompts the
    first 200 tokens, which the title says.
    """
    length = len(redundancy.jaccard)
    shared = redundancy.jaccard[:MOST_DRAWN, :MOST_DRAWN].astype(np.float32)
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
        choosable_cells(
            figure,
            [
                [f"tokens {row} and {column}: {value:.2f}" for column, value in enumerate(line)]
                for row, line in enumerate(shared)
            ],
        )
    token_axis(figure, len(shared))
    figure.update_xaxes(showgrid=False)
    figure.update_yaxes(title="Prompt token (position)", showgrid=False, range=[len(shared) - 0.5, -0.5])
    cut = f" (the first {MOST_DRAWN} of {length:,})" if length > MOST_DRAWN else ""
    return styled(figure, f"Neighbors that two tokens of {plain(redundancy.prompt)} share{cut}", 420)
