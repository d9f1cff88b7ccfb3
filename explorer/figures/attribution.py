"""Which prompt tokens an answer rests on."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import plotly.graph_objects as go

from explorer.evaluation.attribution import Attribution
from explorer.figures.style import COLORS, NEUTRAL, plain, styled

Measure = Literal["leave_one_out", "gate", "integrated_gradients"]
MEASURES: dict[Measure, str] = {
    "leave_one_out": "Nats lost when the token is masked",
    "gate": "Slope of a gate on the token, nats",
    "integrated_gradients": "Integrated gradients, nats",
}


def attribution_figure(
    result: Attribution, names: Sequence[str], measure: Measure = "leave_one_out"
) -> go.Figure:
    """One bar a prompt token, named by `names` [P]; above zero it speaks for the answer."""
    values = getattr(result, measure)
    against = values < 0
    figure = go.Figure(
        go.Bar(
            x=[f"{position} {plain(name)}" for position, name in enumerate(names)],
            y=values,
            marker={
                "color": np.where(against, COLORS[1], COLORS[0]),
                "pattern": {"shape": np.where(against, "/", "")},
            },
            hovertemplate="token %{x}: %{y:.4f}<extra></extra>",
        )
    )
    figure.update_xaxes(title="Prompt token (position and nearest word)", tickangle=45)
    doubt = "" if result.holds or measure != "integrated_gradients" else " (they do not hold)"
    figure.update_yaxes(title=MEASURES[measure] + doubt)
    return styled(figure, f"What the answer “{plain(result.answer)}” rests on", 380)


def deletion_figure(result: Attribution) -> go.Figure:
    """Probability of the answer while tokens are taken away and while they are added, in the order of
    leave-one-out.
    """
    figure = go.Figure()
    share = np.linspace(0, 1, len(result.deletion))
    for name, values, color, dash in (
        ("taken away", result.deletion, COLORS[1], "solid"),
        ("added", result.insertion, COLORS[0], "dash"),
    ):
        figure.add_scatter(
            x=share,
            y=values,
            name=name,
            mode="lines",
            line={"color": color, "dash": dash},
            hovertemplate="%{x:.0%}: %{y:.2f}<extra></extra>",
        )
    figure.add_hline(
        y=float(result.deletion_null.mean()),
        line={"color": NEUTRAL, "dash": "dot"},
        annotation={"text": "mean of random orders, taken away"},
    )
    figure.update_xaxes(title="Share of the prompt's tokens", tickformat=".0%")
    figure.update_yaxes(title="Probability of the answer", range=[0, 1.02])
    return styled(figure, "Tokens taken away or added, those that matter first", 340, legend=True)
