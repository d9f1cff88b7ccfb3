"""The sections of a report's page: one prompt on one printed page, one prompt in detail, what the decoder
makes of it.
"""

import html
from math import isnan
from typing import TYPE_CHECKING

from explorer.analysis.clusters import Clusters
from explorer.analysis.compare.matching import alike_in_words
from explorer.analysis.neighbors import NearestNeighbors
from explorer.analysis.nulls import SIGNIFICANT_AT
from explorer.evaluation.neutral_texts import where
from explorer.figures import (
    accuracy_curve,
    clusters_figure,
    label_heatmap,
    norm_figure,
    redundancy_heatmap,
    similarity_figure,
)
from explorer.prompt import SoftPrompt
from explorer.readings.compare import MOST_PAIRED
from explorer.report.findings import Finding
from explorer.report.html import Html, Part, html_table
from explorer.report.tables import card_in_words, conclusions, neighbor_table, ranked_words, sources
from explorer.session import Session

if TYPE_CHECKING:
    from explorer.evaluation.decoder_reading import DecoderReading
    from explorer.evaluation.verbalization import Verbalization

MOST_TOLD = 25
"""tokens in the table of a verdict, which is to fit one printed page"""


def verdict(found: Finding, session: Session) -> str:
    """One prompt on one printed page: what it learned and reads as, every conclusion of its vectors, its
    tokens with their nearest words.
    """
    (prompt,), near, clusters = session.prompts, session.neighbors()[0], session.clusters()[0]
    measured = {
        "accuracy on dev": found.accuracy,
        "before training": found.start,
        "no prompt": found.without_prompt,
    }
    shares = ", ".join(f"{name} {share:.1%}" for name, share in measured.items() if share is not None)
    said = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in conclusions(session).values())
    words = ranked_words(near).iloc[:MOST_TOLD, :4]
    told = zip(
        sources(prompt),
        words.to_numpy(),
        near.similarity[:, 0],
        clusters.groups,
        clusters.significant,
        strict=False,
    )
    rows = [
        (
            position,
            source,
            ", ".join(filter(None, row)),
            _digits(similarity),
            ", ".join(group) if significant else "–",
        )
        for position, (source, row, similarity, group, significant) in enumerate(told)
    ]
    more = f"<p>The first {MOST_TOLD} of {prompt.length} tokens.</p>" if prompt.length > MOST_TOLD else ""
    head = ("Token", "Began as", "Nearest words", f"Nearest ({near.metric})", "Lies among")
    measures = html.escape(f"{shares}; " if shares else "")
    return (
        f'<section class="verdict"><h2>{html.escape(found.prompt)}</h2><p '
        f'class="said"><b>{html.escape(found.conclusion)}</b></p>'
        f"<p>{measures}{html.escape(found.grouped_in_words)}.</p><ul>{said}</ul>"
        f"{html_table(head, rows)}{more}</section>"
    )


def bold(sentence: str) -> str:
    """A conclusion as the page shows it, first under its title."""
    return f"<p><b>{html.escape(sentence)}</b></p>"


def pairs_html(session: Session) -> list[Part]:
    """Which prompts are alike, where every two of them are compared."""
    return [bold(alike_in_words(session.pairs()))] if 1 < len(session.prompts) <= MOST_PAIRED else []


def section(number: int, session: Session) -> list[Part]:
    """One prompt: its card, neighbors, clusters, labels, norms, training."""
    (prompt,), found, clusters = session.prompts, session.neighbors()[0], session.clusters()[0]
    said = {name: bold(sentence) for name, sentence in conclusions(session).items()}
    card = [
        (Html(f"<b>{html.escape(name)}</b>"), word)
        for name, word in card_in_words(prompt).items()
        if name != "path"
    ]
    parts: list[Part] = [
        f'<h2 id="p{number}">{html.escape(prompt.name)}</h2>{html_table((), card)}<h3>Neighbors</h3>'
    ]
    parts += [
        said["neighbors"],
        said.get("metrics", ""),
        _neighbors(prompt, found, clusters),
        similarity_figure(found, found.null),
        "<h3>Clusters</h3>",
        said["clusters"],
        clusters_figure(clusters),
    ]
    if prompt.length > 1:
        repeated = session.redundancy()[0]
        parts += [bold(repeated.conclusion), redundancy_heatmap(repeated)]
    parts += ["<h3>Sums of words</h3>", said["decomposition"]]
    if session.settings.labels or prompt.origin.labels:
        parts += ["<h3>Class labels</h3>", said["labels"], label_heatmap(session.labels()[0])]
    parts += [
        "<h3>Norms and training</h3>",
        said["norms"],
        said.get("training", ""),
        norm_figure(session.norms()),
    ]
    if any(one.dev_accuracy is not None or one.loss is not None for one in prompt.origin.history):
        parts.append(accuracy_curve([prompt]))
    return parts


def verbalization_html(found: "Verbalization") -> str:
    """What a language model takes the tokens of one prompt for: the conclusion, then the first words of each
    token.
    """
    head = ("position", "taken for", "divergence", "p", "q")
    columns = zip(found.words(), found.divergence, found.p, found.q, strict=True)
    rows = [
        (position, ", ".join(words[:3]), f"{divergence:.2f}", f"{p:.3f}", f"{q:.3f}")
        for position, (words, divergence, p, q) in enumerate(columns)
    ]
    whole = (
        f"<p>Asked what the whole prompt means: “{html.escape(found.said)}”; without the prompt: "
        f"“{html.escape(found.said_without)}”.</p>"
    )
    said = f"<h3>What the model takes its tokens for</h3><p><b>{html.escape(found.conclusion)}</b></p>"
    return f"{said}{html_table(head, rows)}{whole}"


def decoder_html(found: "DecoderReading") -> str:
    """What the decoder makes of one prompt: the conclusion, then the pieces of each reading."""
    columns = zip(found.texts, found.words(), found.divergence, strict=True)
    rows = [(where(text), ", ".join(words), f"{divergence:.3f}") for text, words, divergence in columns]
    head = ("Prompt", "First pieces, more often than without it", "Divergence (nats)")
    return f"<h3>What the decoder makes of it</h3>{bold(found.conclusion)}{html_table(head, rows)}"


def _digits(score: float) -> str:
    """Three decimals; a dash where there is no neighbor."""
    return "–" if isnan(score) else f"{score:.3f}"


def _neighbors(prompt: SoftPrompt, found: NearestNeighbors, clusters: Clusters) -> str:
    """One row a token: where it began, its neighbors, how near the nearest is, what is significant."""
    table = neighbor_table(prompt, found)
    near = table["q"] <= SIGNIFICANT_AT if "q" in table else [False] * len(table)
    in_groups = [
        f"among {', '.join(words)} ({kind})" if kind else ""
        for words, kind in zip(clusters.groups, clusters.kind, strict=True)
    ]
    ranks = [column for column in table if column.isdigit()]
    told = zip(table.itertuples(), table[ranks].to_numpy(), near, in_groups, strict=True)
    rows = [
        (
            row.position,
            row.source,
            ", ".join(filter(None, words)),
            _digits(row.first),
            "; ".join(filter(None, ("near" if is_near else "", lies_in))) or "–",
        )
        for row, words, is_near, lies_in in told
    ]
    head = ("Token", "Began as", "Neighbors", f"Nearest ({found.metric})", "Significant")
    return html_table(head, rows)
