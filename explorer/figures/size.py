"""Does the gap between prompts and whole models close as the model grows (Lester et al. 2021, Figure 1)?"""

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from explorer.figures.style import looks, plain, styled


def size_figure(measured: pd.DataFrame) -> go.Figure:
    """Test accuracy by size of the model, one panel a task, one line a method: means over seeds, each run a
    small mark.

    measured: one row per run: model, parameters, task, method, test (0…1).
    """
    tasks = list(dict.fromkeys(measured["task"]))
    figure = make_subplots(
        1,
        len(tasks),
        shared_yaxes=True,
        subplot_titles=[plain(task) for task in tasks],
        horizontal_spacing=0.03,
    )
    look = looks(measured["method"])
    sizes = measured.groupby("parameters")["model"].first()
    for column, task in enumerate(tasks, start=1):
        for method, part in measured[measured["task"] == task].groupby("method", sort=False):
            style, mean = look[method], part.groupby("parameters")["test"].mean()
            line = {"color": style.color, "width": 2, "dash": style.dash}
            said = f"{plain(method)}, %{{text}}: %{{y:.1%}}<extra></extra>"
            figure.add_scatter(
                x=mean.index,
                y=mean,
                text=sizes[mean.index],
                mode="lines+markers",
                name=plain(method),
                legendgroup=method,
                showlegend=column == 1,
                line=line,
                marker={"symbol": style.symbol, "size": 10},
                hovertemplate=said,
                row=1,
                col=column,
            )
            small = {"symbol": style.symbol, "size": 5, "color": style.color, "opacity": 0.6}
            figure.add_scatter(
                x=part["parameters"],
                y=part["test"],
                mode="markers",
                marker=small,
                showlegend=False,
                hoverinfo="skip",
                row=1,
                col=column,
            )
    names = [plain(name).removesuffix("-t5") for name in sizes]
    figure.update_xaxes(type="log", tickvals=sizes.index, ticktext=names, title="Model")
    figure.update_yaxes(title="Accuracy on the test texts", tickformat=".0%", col=1)
    return styled(figure, "Does a larger model close the gap?", 420, legend=True)
