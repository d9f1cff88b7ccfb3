"""How prompts were trained: accuracy on the dev set, and what training did to their length."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from explorer.analysis.norms import Norms
from explorer.figures.style import LOG_TICKS, NEUTRAL, looks, plain, styled, token_axis
from explorer.prompt import SoftPrompt


def accuracy_curve(prompts: Sequence[SoftPrompt], groups: Mapping[str, str] | None = None) -> go.Figure:
    """Accuracy on the dev set by training step, one line a prompt, the step that was kept marked; the loss
    where no accuracy was recorded, as in runs of transformers' Trainer.

    groups: what each prompt is colored by (its initialization, say), by its name; by default every prompt has
    its own color.
    """
    figure = go.Figure()
    group_of = dict(groups or {prompt.name: prompt.name for prompt in prompts})
    look, listed = looks(group_of.values()), set()
    accuracies = any(e.dev_accuracy is not None for prompt in prompts for e in prompt.origin.history)
    form = ":.1%" if accuracies else ":.3f"
    for prompt in prompts:
        values = [(e.step, e.dev_accuracy if accuracies else e.loss) for e in prompt.origin.history]
        measured = [(step, value) for step, value in values if value is not None]
        if not measured:
            continue
        group, (steps, heights) = group_of[prompt.name], zip(*measured, strict=True)
        figure.add_scatter(
            x=steps,
            y=heights,
            mode="lines+markers",
            name=plain(group),
            legendgroup=group,
            showlegend=group not in listed,
            line={"color": look[group].color, "width": 2, "dash": look[group].dash},
            marker={
                "symbol": look[group].symbol,
                "size": [11 if step == prompt.origin.step else 4 for step in steps],
                "opacity": 1,
            },
            hovertemplate=f"{plain(prompt.name)}<br>step %{{x}}: %{{y{form}}}<extra></extra>",
        )
        listed.add(group)
    figure.update_xaxes(title="Training step (large mark: the one that was kept)")
    if not accuracies:
        figure.update_yaxes(title="Training loss", rangemode="tozero")
        return styled(figure, "Loss during training (no accuracy is recorded)", 360, legend=True)
    _chance_line(figure, prompts)
    figure.update_yaxes(title="Accuracy on the dev set", tickformat=".0%")
    return styled(figure, "Accuracy during training", 360, legend=True)


def mark_step(figure: go.Figure, step: int) -> go.Figure:
    """Mark a training step on an accuracy curve; the same figure."""
    figure.add_vline(x=step, line={"color": NEUTRAL, "width": 2})
    return figure


def _chance_line(figure: go.Figure, prompts: Sequence[SoftPrompt]) -> None:
    """One over the number of class labels, where all prompts have as many."""
    counts = {len(prompt.origin.labels or ()) for prompt in prompts}
    if len(counts) == 1 and (count := counts.pop()) > 1:
        text = f"guessing evenly among {count} labels"
        figure.add_hline(y=1 / count, line={"color": NEUTRAL, "dash": "dot", "width": 1})
        figure.add_annotation(
            x=1,
            xref="paper",
            y=1 / count,
            text=text,
            showarrow=False,
            xanchor="right",
            yanchor="bottom",
            font={"size": 11, "color": NEUTRAL},
        )


def norm_figure(norms: Sequence[Norms]) -> go.Figure:
    """Length of every prompt token over the vocabulary's median, on a log axis; hollow marks are the lengths
    before training.
    """
    figure, look = go.Figure(), looks(reading.prompt for reading in norms)
    for reading in norms:
        style = look[reading.prompt]
        positions = list(range(len(reading.norm)))
        if reading.initial_norm is not None:
            figure.add_scatter(
                x=positions,
                y=reading.initial_norm * _per_length(reading),
                mode="markers",
                showlegend=False,
                marker={"symbol": f"{style.symbol}-open", "size": 8, "color": style.color},
                hovertemplate="token %{x} before training: %{y:.2f} × the median row<extra></extra>",
            )
        figure.add_scatter(
            x=positions,
            y=reading.ratio,
            mode="markers",
            name=plain(reading.prompt),
            marker={"symbol": style.symbol, "size": 9, "color": style.color},
            customdata=[plain(source) or "not recorded" for source in reading.sources],
            hovertemplate="token %{x}, began as %{customdata}<br>%{y:.2f} × the median row<extra></extra>",
        )
    _typical_line(figure)
    token_axis(figure, max(len(reading.norm) for reading in norms))
    figure.update_yaxes(title="Norm ÷ median row", type="log", tickvals=LOG_TICKS, tickformat="~r")
    return styled(figure, "How long the tokens are beside words", 340, legend=True)


def norm_boxes(norms: Sequence[Norms], groups: Mapping[str, str]) -> go.Figure:
    """The same lengths by group, every token a point; `groups` names the group of each prompt."""
    figure, look = go.Figure(), looks(groups[reading.prompt] for reading in norms)
    for group, style in look.items():
        members = [reading for reading in norms if groups[reading.prompt] == group]
        figure.add_box(
            y=[ratio for reading in members for ratio in reading.ratio],
            text=[
                f"{plain(reading.prompt)}, token {position}"
                for reading in members
                for position in range(len(reading.ratio))
            ],
            name=plain(group),
            boxpoints="all",
            pointpos=0,
            jitter=0.5,
            marker={"color": style.color, "symbol": style.symbol, "size": 5, "opacity": 0.6},
            line={"width": 1.5},
            hovertemplate="%{text}<br>%{y:.2f} × the median row<extra></extra>",
        )
    _typical_line(figure)
    figure.update_yaxes(title="Norm ÷ median row", type="log", tickvals=LOG_TICKS, tickformat="~r")
    return styled(figure, "Norm of the prompt tokens", 340)


def _per_length(reading: Norms) -> float:
    """What turns a norm into a ratio; nan where every token is zero."""
    known = np.flatnonzero(reading.norm > 0)
    return float(reading.ratio[known[0]] / reading.norm[known[0]]) if len(known) else float("nan")


def _typical_line(figure: go.Figure) -> None:
    figure.add_hline(y=1, line={"color": NEUTRAL, "dash": "dot", "width": 1})


def length_figure(prompts: Sequence[SoftPrompt]) -> go.Figure:
    """Accuracy on the dev set by prompt length, one line an initialization: means over seeds, each prompt a
    small mark.
    """
    figure = go.Figure()
    known = [prompt for prompt in prompts if prompt.origin.dev_accuracy is not None]
    look = looks(prompt.origin.initialization or "unknown" for prompt in known)
    for group, style in look.items():
        members = [
            (prompt.length, prompt.origin.dev_accuracy)
            for prompt in known
            if (prompt.origin.initialization or "unknown") == group
        ]
        lengths = sorted({length for length, _ in members})
        means = [
            float(np.mean([accuracy for length, accuracy in members if length == one])) for one in lengths
        ]
        figure.add_scatter(
            x=lengths,
            y=means,
            mode="lines+markers",
            name=plain(group),
            line={"color": style.color, "width": 2, "dash": style.dash},
            marker={"symbol": style.symbol, "size": 10},
            hovertemplate=f"{plain(group)}, %{{x}} tokens: %{{y:.1%}}<extra></extra>",
        )
        length, accuracy = zip(*members, strict=True)
        small = {"symbol": style.symbol, "size": 5, "color": style.color, "opacity": 0.6}
        figure.add_scatter(
            x=length, y=accuracy, mode="markers", showlegend=False, marker=small, hoverinfo="skip"
        )
    figure.update_xaxes(title="Prompt length (tokens)", type="log", tickvals=LOG_TICKS[12:])
    figure.update_yaxes(title="Accuracy on the dev set", tickformat=".0%")
    return styled(figure, "Does a longer prompt do better?", 360, legend=True)
