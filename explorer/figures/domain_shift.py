"""What becomes of accuracy in other domains."""

import pandas as pd
import plotly.graph_objects as go

from explorer.figures.style import looks, plain, styled


def shift_figure(summary: pd.DataFrame) -> go.Figure:
    """Mean accuracy of every group on the source and each target, one column a domain; the bar is ± a
    standard deviation over seeds.

    summary: as `DomainShift.summary` gives it, the source first.
    """
    figure, look = go.Figure(), looks(summary["initialization"])
    groups = list(summary.groupby(["method", "initialization"], sort=False))
    for place, ((method, init), part) in enumerate(groups):
        name = plain(method if method == init else f"{method}: {init}")
        offset = (place - (len(groups) - 1) / 2) * min(0.14, 0.8 / len(groups))
        figure.add_scatter(
            x=[number + offset for number in range(len(part))],
            y=part["accuracy"],
            error_y={"type": "data", "array": part["deviation"].fillna(0)},
            mode="markers",
            name=name,
            marker={"color": look[init].color, "symbol": look[init].symbol, "size": 11},
            customdata=part[["runs", "drop"]].assign(domain=[plain(domain) for domain in part["target"]]),
            hovertemplate=(
                f"{name} on %{{customdata[2]}}: %{{y:.1%}}<br>runs: %{{customdata[0]}}, drop "
                "%{customdata[1]:.1%}<extra></extra>"
            ),
        )
    domains = [plain(domain, 30) for domain in dict.fromkeys(summary["target"])]
    figure.update_xaxes(
        tickvals=list(range(len(domains))),
        ticktext=[f"{domains[0]} (source)", *domains[1:]],
        range=[-0.6, len(domains) - 0.4],
        showgrid=False,
    )
    figure.update_yaxes(title="Accuracy (mean ± deviation over seeds)", tickformat=".0%")
    return styled(figure, "What is left in other domains", 420, legend=True)
