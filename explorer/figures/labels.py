"""How near prompt tokens are to the class labels, and what became of tokens that began as one."""

import numpy as np
import plotly.graph_objects as go

from explorer.analysis.labels import LabelReading
from explorer.figures.style import (
    COLORS,
    DIVERGING,
    LOG_TICKS,
    choosable_cells,
    looks,
    plain,
    styled,
    token_axis,
)

SHOWN_RANK = 100
"""ranks up to this are written into the heat map"""


def label_heatmap(reading: LabelReading) -> go.Figure:
    """Cosine of every prompt token (columns) to every class label (rows); tokens that were initialized from a
    label have a frame, and in prompts of up to 40 tokens ranks up to 100 are written in.
    """
    length = len(reading.similarity)
    roomy = length <= 40
    limit = max(float(np.abs(reading.similarity).max()), 0.05)
    ranks = [["" if rank == 0 or rank > SHOWN_RANK else f"{rank}" for rank in row] for row in reading.rank.T]
    figure = go.Figure(
        go.Heatmap(
            z=reading.similarity.T,
            y=[plain(label) for label in reading.labels],
            text=ranks if roomy else None,
            texttemplate="%{text}" if roomy else None,
            textfont={"size": 12},
            colorscale=DIVERGING,
            zmin=-limit,
            zmax=limit,
            xgap=2 if roomy else 0,
            ygap=2,
            colorbar={"title": {"text": "Cosine"}, "thickness": 12, "tickformat": ".2f"},
            hoverinfo="skip",
        )
    )
    choosable_cells(
        figure,
        [[_told(reading, token, label) for token in range(length)] for label in range(len(reading.labels))],
    )
    for one in reading.persistence:
        row = reading.labels.index(one.label)
        frame = {"x0": one.position - 0.5, "x1": one.position + 0.5, "y0": row - 0.5, "y1": row + 0.5}
        figure.add_shape(type="rect", **frame, line={"color": COLORS[4], "width": 3 if roomy else 1.5})
    token_axis(figure, length)
    figure.update_xaxes(showgrid=False)
    figure.update_yaxes(showgrid=False, range=[len(reading.labels) - 0.5, -0.5], type="category")
    title = f"Cosine to each class label{'; numbers are its rank among all pieces' if roomy else ''}"
    return styled(figure, title, 150 + 46 * len(reading.labels))


def _told(reading: LabelReading, token: int, label: int) -> str:
    """What a cell says when it is hovered."""
    similarity, rank, p = (values[token, label] for values in (reading.similarity, reading.rank, reading.p))
    return (
        f"token {token}, "
        f"{plain(reading.labels[label])}<br>"
        f"{f'cosine {similarity:.3f}, rank {rank:,}, p {p:.3f}' if rank else 'zeros: no rank'}"
    )


def persistence_figure(reading: LabelReading) -> go.Figure:
    """Rank of its own label before and after training, for each token initialized from a label; up is
    nearer.
    """
    figure, look, listed = go.Figure(), looks(reading.labels), set()
    for one in reading.persistence:
        if one.rank is None:
            continue
        style = look[one.label]
        ranks = [one.rank] if one.initial_rank is None else [one.initial_rank, one.rank]
        figure.add_scatter(
            x=["before", "after"][-len(ranks) :],
            y=ranks,
            mode="lines+markers",
            name=plain(one.label),
            legendgroup=one.label,
            showlegend=one.label not in listed,
            line={"color": style.color, "dash": style.dash},
            marker={"symbol": style.symbol, "size": 11},
            hovertemplate=f"token {one.position}, {plain(one.label)}: rank %{{y:,}} %{{x}} training"
            "<extra></extra>",
        )
        listed.add(one.label)
    figure.update_xaxes(range=[-0.25, 1.25])
    figure.update_yaxes(
        title="Rank of its own label",
        type="log",
        autorange="reversed",
        tickvals=LOG_TICKS[12:],
        tickformat=",",
    )
    return styled(figure, "Did they stay what they began as?", 300 + 10 * len(listed), legend=True)
