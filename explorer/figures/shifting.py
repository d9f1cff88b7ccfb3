"""What becomes of accuracy in other domains."""

import plotly.graph_objects as go

from explorer.evaluation.domain_shift import DomainShift
from explorer.figures.style import looks, plain, styled


def shift_figure(result: DomainShift) -> go.Figure:
    """Mean accuracy of every group on the source and each target, one column a domain; the bar is ± a standard deviation over seeds."""
    summary, figure = result.summary(), go.Figure()
    groups = [f"{row.method}: {row.initialization}" if row.method != row.initialization else row.method for row in summary.itertuples()]
    summary = summary.assign(group=groups)
    look = looks(summary["initialization"])
    names = list(dict.fromkeys(groups))
    for place, (group, part) in enumerate(summary.groupby("group", sort=False)):
        style = look[part["initialization"].iloc[0]]
        offset = (place - (len(names) - 1) / 2) * min(0.16, 0.8 / len(names))
        figure.add_scatter(
            x=[number + offset for number in range(len(part))],
            y=part["accuracy"],
            error_y={"type": "data", "array": part["deviation"].fillna(0)},
            mode="markers",
            name=plain(group),
            marker={"color": style.color, "symbol": style.symbol, "size": 11},
            customdata=part[["runs", "drop", "target"]],
            hovertemplate=f"{plain(group)} on %{{customdata[2]}}: %{{y:.1%}}<br>runs: %{{customdata[0]}}, drop %{{customdata[1]:.1%}}<extra></extra>",
        )
    names = [plain(name, 30) for name in result.domains]
    figure.update_xaxes(tickvals=list(range(len(names))), ticktext=[f"{names[0]} (source)", *names[1:]], range=[-0.6, len(names) - 0.4], showgrid=False)
    figure.update_yaxes(title="Accuracy (mean ± deviation over seeds)", tickformat=".0%")
    return styled(figure, "What is left in other domains", 420, legend=True)
