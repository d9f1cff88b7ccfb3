"""What the frozen model answers with each prompt."""

import plotly.graph_objects as go

from explorer.evaluation.scoring import Predictions
from explorer.figures.style import COLORS, PATTERNS, plain, styled


def probability_bars(predictions: Predictions, text: int = 0) -> go.Figure:
    """One bar a prompt, cut by the labels' probabilities on one text; each label has its color and its
    pattern.
    """
    figure = go.Figure()
    prompts = [plain(name, 40) for name in predictions.prompts]
    for column, label in enumerate(predictions.labels):
        share = predictions.probabilities[:, text, column]
        figure.add_bar(
            x=share,
            y=prompts,
            orientation="h",
            name=plain(label),
            marker={
                "color": COLORS[column % len(COLORS)],
                "pattern": {
                    "shape": PATTERNS[column % len(PATTERNS)],
                    "size": 6,
                    "solidity": 0.2,
                    "fillmode": "overlay",
                    "fgcolor": "rgba(255,255,255,0.5)",
                },
            },
            text=[f"{value:.0%}" if value >= 0.08 else "" for value in share],
            textposition="inside",
            insidetextanchor="middle",
            textangle=0,
            textfont={"color": "white" if column % len(COLORS) < 3 else "#1f2430", "size": 13},
            hovertemplate=f"%{{y}}<br>{plain(label)}: %{{x:.1%}}<extra></extra>",
        )
    figure.update_layout(barmode="stack", bargap=0.35)
    figure.update_xaxes(title="Probability of the label", tickformat=".0%", range=[0, 1.02], dtick=0.25)
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False)
    return styled(figure, "What the model answers", 140 + 44 * len(prompts), legend=True).update_layout(
        legend_traceorder="normal"
    )
