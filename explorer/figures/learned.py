"""What a prompt learned: its gain taken apart, the words that decide, the layers where the answer appears."""

import plotly.graph_objects as go

from explorer.evaluation.cues import ALONG, Cues, TextCues
from explorer.evaluation.gain import Gain
from explorer.evaluation.layers import Layers
from explorer.figures.style import (
    BLUES,
    COLORS,
    DASHES,
    NEUTRAL,
    PATTERNS,
    plain,
    styled,
    without_common_folder,
)

TERMS = 8
"""terms of a label that are drawn"""


def gain_figure(result: Gain) -> go.Figure:
    """Accuracy without a prompt, what its prior adds, what discrimination adds, one bar a prompt."""
    frame = result.to_frame()
    names = without_common_folder([plain(name) for name in frame["prompt"]])
    figure = go.Figure()
    for number, (column, title) in enumerate(
        (("no_prompt", "no prompt"), ("prior", "prior"), ("discrimination", "discrimination"))
    ):
        interval = None
        if column != "no_prompt":
            value = frame[column]
            interval = {
                "type": "data",
                "symmetric": False,
                "array": frame[f"{column}_high"] - value,
                "arrayminus": value - frame[f"{column}_low"],
            }
        figure.add_bar(
            y=names,
            x=frame[column],
            name=title,
            orientation="h",
            error_x=interval,
            marker={"color": (NEUTRAL, *COLORS)[number], "pattern": {"shape": PATTERNS[number]}},
        )
    figure.update_layout(barmode="relative")
    figure.update_xaxes(title="accuracy")
    figure.update_yaxes(autorange="reversed")
    return styled(figure, "What the gain is made of", 160 + 36 * len(frame), legend=True)


def cues_figure(result: Cues, prompt: str | None = None, label: str | None = None) -> go.Figure:
    """Effects of the terms that one label's score leans on, with the prompt and without; a filled mark is a
    cue.
    """
    prompt, label = prompt or result.prompts[0], label or result.labels[0]
    frame = result.to_frame()
    frame = frame[(frame["prompt"] == prompt) & (frame["label"] == label)].head(TERMS)
    terms, figure = [plain(term) for term in frame["term"]], go.Figure()
    for number, (column, title) in enumerate(
        (("effect", "with the prompt"), ("effect_no_prompt", "without"))
    ):
        figure.add_bar(
            y=terms,
            x=frame[column],
            name=title,
            orientation="h",
            marker={"color": (COLORS[0], NEUTRAL)[number], "pattern": {"shape": PATTERNS[number]}},
            text=["" if kind == ALONG or number else kind for kind in frame["kind"]],
        )
    figure.update_xaxes(title="effect (nats)")
    figure.update_yaxes(autorange="reversed")
    return styled(figure, f"What speaks for {plain(label)}", 160 + 40 * max(1, len(frame)), legend=True)


def text_cues_figure(result: TextCues, prompt: int = 0) -> go.Figure:
    """What deleting each word does, in the text's order: words that speak for the answer above zero."""
    places = [f"{place + 1} {plain(result.text[slice(*span)])}" for place, span in enumerate(result.spans)]
    figure = go.Figure()
    for number, (values, title) in enumerate(
        ((result.deletion[prompt], "with the prompt"), (result.deletion_no_prompt[prompt], "without"))
    ):
        figure.add_bar(
            x=places,
            y=-values,
            name=title,
            marker={"color": (COLORS[0], NEUTRAL)[number], "pattern": {"shape": PATTERNS[number]}},
        )
    figure.update_yaxes(title="score lost (nats)")
    return styled(figure, f"What speaks for {plain(result.answers[prompt])}", 320, legend=True)


def lens_figure(result: Layers) -> go.Figure:
    """Accuracy (agreement with the final answer, where labels are not known) after every layer, with the
    prompt and without.
    """
    frame = result.to_frame()
    column = "agreement" if result.gold is None else "accuracy"
    names = [f"{part} {layer}" for part, layer in result.names]
    figure = go.Figure()
    for number, (end, title) in enumerate((("", "with the prompt"), ("_no_prompt", "without"))):
        figure.add_scatter(
            x=names,
            y=frame[f"{column}{end}"],
            mode="lines+markers",
            name=title,
            line={"color": (COLORS[0], NEUTRAL)[number], "dash": DASHES[number]},
        )
    figure.update_yaxes(title=column, range=[0, 1.02])
    return styled(figure, "The answer after every layer", 340, legend=True)


def knock_out_figure(result: Layers) -> go.Figure:
    """Change of the answer's score where the prompt is hidden from a layer on."""
    frame = result.to_frame().dropna(subset=["knock_out"])
    figure = go.Figure()
    figure.add_scatter(
        x=[f"{row.part} {row.layer}" for row in frame.itertuples()],
        y=frame["knock_out"],
        mode="lines+markers",
        line={"color": COLORS[1]},
    )
    figure.update_yaxes(title="change of score (nats)")
    return styled(figure, "The prompt hidden from a layer on", 300)


def layer_attention_heatmap(result: Layers) -> go.Figure:
    """Attention to each prompt token, by layer."""
    figure = go.Figure(
        go.Heatmap(
            z=result.attention,
            y=[f"{part} {layer}" for part, layer in result.names],
            x=list(range(result.attention.shape[1])),
            colorscale=BLUES,
            colorbar={"title": {"text": "attention"}},
        )
    )
    figure.update_xaxes(title="prompt token")
    figure.update_yaxes(autorange="reversed")
    return styled(figure, "Who reads the prompt, and where", 140 + 26 * len(result.names))
