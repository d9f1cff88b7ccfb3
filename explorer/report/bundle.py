"""A bundle to share: every reading of some prompts as CSV tables, one HTML page that works offline, and `report.json`, which says
what was read, with what, and the command that makes each table again."""

import html
import json
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from importlib.metadata import version
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pandas as pd

import explorer
from explorer.analysis.clusters import Clusters
from explorer.analysis.compare.differences import differences
from explorer.analysis.compare.groups import Comparison
from explorer.analysis.compare.matching import alike_in_words
from explorer.analysis.map.fit import VocabularyMap
from explorer.analysis.neighbors import NearestNeighbors
from explorer.analysis.nulls import SIGNIFICANT_AT
from explorer.errors import ExplorerError
from explorer.evaluation.neutral_texts import where
from explorer.figures import (
    accuracy_curve,
    clusters_figure,
    comparison_figure,
    label_heatmap,
    map_figure,
    norm_figure,
    redundancy_heatmap,
    similarity_figure,
)
from explorer.files import csv_bytes
from explorer.prompt import SoftPrompt
from explorer.report.html import Part, html_page
from explorer.report.tables import card_in_words, conclusions, list_prompts, neighbor_table, readings
from explorer.session import Session
from explorer.wording import count

if TYPE_CHECKING:
    from explorer.evaluation.decoder_reading import DecoderReading

PAGE, RECORD = "report.html", "report.json"
LIBRARIES = ("numpy", "pandas", "scipy", "faiss-cpu", "plotly", "tokenizers", "safetensors")
"""what the figures of a bundle depend on"""
MOST_PAIRED = 12
"""prompts that are matched two by two"""


@dataclass(frozen=True)
class Recipe:
    """What makes a table again: a command of the shell, in terms that know no flags."""

    command: str
    """its name"""
    settings: tuple[str, ...]
    """fields of `session.Settings` that it depends on"""
    output: Literal["csv", "json", "folder"]
    file: str
    """what it writes, where that is a file or folder"""
    key: str | None = None
    """the entry of its JSON that holds the rows"""


Line = Callable[[Recipe], str]
"""writes a recipe as a line for the shell"""


@dataclass(frozen=True, eq=False)
class Table:
    """One CSV file of a bundle and where it comes from."""

    file: str
    frame: pd.DataFrame
    says: str
    recipe: Recipe

    @property
    def content(self) -> bytes:
        """The file, the same bytes as the command line's."""
        return csv_bytes(self.frame)


def bundle(session: Session, given: Sequence[str], line: Line, decoder: bool = True) -> dict[str, bytes]:
    """The files of a bundle by name.

    given: what each prompt is called in the shell: a path or a bundled name. line: how a recipe is typed there. decoder: ask the frozen model's decoder
    too; where the model cannot be loaded, that is told and left out. Raises what the readings raise.
    """
    progress = session.progress
    progress(f"reading {count(len(session.prompts), 'prompt')}")
    tables = _tables(session, given)
    decoder = decoder and _runs(session)
    tables += _decoder_tables(session) if decoder else []
    progress("placing them on the map")
    places = session.map()
    tables.append(
        Table(
            "map.csv",
            places.to_frame(),
            "places on the map, and the words that a token lies among where that is significant",
            Recipe("map", ("nulls", "seed", "labels"), "csv", "map.csv"),
        )
    )
    comparison = None
    if len(session.prompts) > 1:
        progress("setting them side by side")
        comparison = session.compare()
        tables += _comparison_tables(session, comparison)
    progress("drawing")
    near = session.neighbors() if session.settings.metric == "cosine" else ()
    figures: list[Part] = [_bold(places.conclusion), map_figure(places.map, session.vocabulary, places.placements, neighbors=near, told=True)]
    if comparison is not None:
        figures.append(_bold(comparison.conclusion))
        figures += [comparison_figure(comparison, measure) for measure in dict.fromkeys(comparison.summary()["measure"])]
    record = _record(session, given, places.map, tables, line)
    files = {table.file: table.content for table in tables}
    files[RECORD] = (json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8", "backslashreplace")
    files[PAGE] = _page(session, figures, tables, record, decoder).encode("utf-8", "backslashreplace")
    return files


ALL = Recipe("report", ("k", "metric", "nulls", "seed", "labels"), "folder", "report")
"""makes the whole bundle again"""

KINDS = {
    "neighbors": ("nearest pieces", Recipe("neighbors", ("k", "metric", "nulls", "seed"), "csv", "neighbors.csv")),
    "clusters": ("does a token lie among words that belong together?", Recipe("clusters", ("k", "nulls", "seed"), "csv", "clusters.csv")),
    "whole-prompts": ("does the whole prompt hold more such groups than chance?", Recipe("clusters", ("k", "nulls", "seed"), "json", "", "prompts")),
    "decomposition": ("each token as a sum of few words", Recipe("decompose", ("nulls", "seed"), "csv", "decomposition.csv")),
    "redundancy": ("do tokens repeat each other?", Recipe("clusters", ("k", "nulls", "seed"), "json", "", "redundancy")),
    "norms": ("length of every token beside the vocabulary's", ALL),
    "labels": ("similarity and rank of class labels", Recipe("labels", ("nulls", "seed", "labels"), "csv", "labels.csv")),
    "persistence": ("did tokens stay the label they began as?", Recipe("labels", ("nulls", "seed", "labels"), "json", "", "persistence")),
    "dispersion": ("over how many tokens is label similarity spread?", Recipe("labels", ("nulls", "seed", "labels"), "json", "", "dispersion")),
}
"""of the readings of the vectors: what each table says, and what makes it again"""


def _tables(session: Session, given: Sequence[str]) -> list[Table]:
    """What every prompt was read to be, the rows of all prompts in one table of each kind."""
    listed = list_prompts((Path(text), prompt) for text, prompt in zip(given, session.prompts, strict=True))
    tables = [Table("prompts.csv", listed, "the prompts and where they come from", ALL)]
    return tables + [Table(f"{name}.csv", frame, *KINDS[name]) for name, frame in readings(session).items()]


def _runs(session: Session) -> bool:
    """Whether the frozen model can be loaded; if not, why is told."""
    try:
        _ = session.model
    except ExplorerError as error:
        session.progress(f"left out: what the decoder makes of the prompts ({error})")
        return False
    return True


def _decoder_tables(session: Session) -> list[Table]:
    """What the decoder makes of the prompts and, where there are labels, how likely it begins with those."""
    takes = ("k", "seed", "labels")
    tables = [
        Table("decoder.csv", session.decode().to_frame(), "first pieces that the decoder writes more often", Recipe("decode", takes, "csv", "decoder.csv"))
    ]
    if session.all_labels:
        mass = session.label_mass()
        tables += [
            Table("label-mass.csv", mass.prompt_frame(), "how likely the decoder begins with labels of each task", ALL),
            Table("label-mass-tasks.csv", mass.to_frame(), "own labels against those of other tasks, prompts permuted", ALL),
        ]
    return tables


def _comparison_tables(session: Session, comparison: Comparison) -> list[Table]:
    """Prompts by initialization, and every two of them where they are few."""
    takes = ("k", "nulls", "seed")
    tables = [
        Table("comparison.csv", comparison.to_frame(), "one row a prompt, by initialization", Recipe("compare", takes, "csv", "comparison.csv")),
        Table("comparison-means.csv", comparison.summary(), "means of each initialization, 95 % intervals", Recipe("compare", takes, "json", "", "summary")),
        Table("comparison-tests.csv", differences(comparison), "initialization against initialization", Recipe("compare", takes, "json", "", "tests")),
    ]
    if len(session.prompts) <= MOST_PAIRED:
        tables.append(Table("pairs.csv", session.pairs(), "prompt against prompt", Recipe("compare", takes, "json", "", "pairs")))
    return tables


def _record(session: Session, given: Sequence[str], vocabulary_map: VocabularyMap, tables: Sequence[Table], line: Line) -> dict:
    """What is in `report.json`."""
    vocabulary, settings = session.vocabulary, session.settings
    chosen = {name: getattr(settings, name) for name in ("k", "metric", "nulls", "seed", "labels")}
    return {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": line(ALL),
        "versions": {"explorer": explorer.__version__, "python": platform.python_version(), **{name: version(name) for name in LIBRARIES}},
        "settings": {**chosen, "model": session.model_name},
        "model": {
            "name": vocabulary.name,
            "fingerprint": vocabulary.fingerprint,
            "rows": len(vocabulary),
            "searched": len(vocabulary.searchable_ids),
            "dimension": vocabulary.dimension,
        },
        "map": {"n_neighbors": vocabulary_map.n_neighbors, "min_dist": vocabulary_map.min_dist, "seed": vocabulary_map.seed},
        "prompts": [_prompt_record(session.only(prompt.name), text) for prompt, text in zip(session.prompts, given, strict=True)],
        "tables": [
            {
                "file": table.file,
                "says": table.says,
                "rows": len(table.frame),
                "columns": list(table.frame.columns),
                "command": line(table.recipe),
                "key": table.recipe.key,
            }
            for table in tables
        ],
    }


def _prompt_record(session: Session, given: str) -> dict:
    (prompt,), vocabulary = session.prompts, session.vocabulary
    return {
        "name": prompt.name,
        "given": given,
        "fingerprint": blake2b(prompt.vectors.data, digest_size=8).hexdigest(),
        "length": prompt.length,
        "base_model": prompt.origin.base_model,
        "base_fingerprint": prompt.origin.base_fingerprint,
        "read_with_its_own_model": prompt.origin.base_fingerprint in (None, vocabulary.fingerprint),
        "warnings": list(prompt.origin.warnings),
        "conclusion": conclusions(session),
    }


def _page(session: Session, figures: Sequence[Part], tables: Sequence[Table], record: dict, decoder: bool) -> str:
    """The HTML page: all prompts together, then each by itself, then what was made with what."""
    settings, model, made = record["settings"], record["model"], record["made"][:16].replace("T", " ")
    told = (
        f"Read with {model['name']} ({model['searched']:,} pieces of width {model['dimension']:,}); k = {settings['k']}, metric {settings['metric']}, "
        f"{settings['nulls']:,} random vectors of each null, seed {settings['seed']}. Soft Prompt Explorer {record['versions']['explorer']}, {made} UTC."
    )
    contents = "".join(f'<li><a href="#p{number}">{html.escape(prompt.name)}</a></li>' for number, prompt in enumerate(session.prompts))
    parts: list[Part] = [
        f"<h1>What these soft prompts lie near to</h1><p>{html.escape(told)}</p>",
        "<p>Every vector has nearest words. Only <em>significant</em> tokens are nearer to a word, or to a group of words, than vectors drawn "
        f"from the vocabulary's own Gaussian (q ≤ {SIGNIFICANT_AT}). Near is not equal, and a prompt that reads well need not work by what it reads as. "
        "The map is for looking.</p>",
        f'<ul>{contents}<li><a href="#tables">Tables and commands</a></li></ul><h2>Together</h2>',
        *_pairs_html(session),
        *figures,
    ]
    if not decoder:
        parts.append("<p>What the decoder makes of the prompts was left out.</p>")
    elif session.all_labels:
        parts.append(f"<h3>Class labels and the decoder</h3>{_bold(session.label_mass().conclusion)}")
    for number, prompt in enumerate(session.prompts):
        parts += _section(number, session.only(prompt.name))
        parts += [_decoder_html(session.decode()[number])] if decoder else []
    lines = [entry["command"] for entry in record["tables"]]
    rows = "".join(
        f'<tr><td><a href="{table.file}">{table.file}</a></td><td>{html.escape(table.says)}</td><td>{len(table.frame):,}</td>'
        f"<td><code>{html.escape(command)}</code>{f' (entry {table.recipe.key})' if table.recipe.key else ''}</td></tr>"
        for table, command in zip(tables, lines, strict=True)
    )
    head = "<tr><th>File</th><th>What</th><th>Rows</th><th>Made again by</th></tr>"
    parts.append(f'<h2 id="tables">Tables and commands</h2><div class="table"><table>{head}{rows}</table></div>')
    return html_page("Soft prompts", parts)


def _bold(sentence: str) -> str:
    """A conclusion as the page shows it, first under its title."""
    return f"<p><b>{html.escape(sentence)}</b></p>"


def _pairs_html(session: Session) -> list[Part]:
    """Which prompts are alike, where every two of them are compared."""
    return [_bold(alike_in_words(session.pairs()))] if 1 < len(session.prompts) <= MOST_PAIRED else []


def _section(number: int, session: Session) -> list[Part]:
    """One prompt: its card, neighbors, clusters, labels, norms, training."""
    (prompt,), found, clusters = session.prompts, session.neighbors()[0], session.clusters()[0]
    said = {name: _bold(sentence) for name, sentence in conclusions(session).items()}
    card = "".join(f"<tr><th>{html.escape(name)}</th><td>{html.escape(word)}</td></tr>" for name, word in card_in_words(prompt).items() if name != "path")
    parts: list[Part] = [f'<h2 id="p{number}">{html.escape(prompt.name)}</h2><div class="table"><table>{card}</table></div><h3>Neighbors</h3>']
    parts += [
        said["neighbors"],
        _neighbors_html(prompt, found, clusters),
        similarity_figure(found, found.null),
        "<h3>Clusters</h3>",
        said["clusters"],
        clusters_figure(clusters),
    ]
    if prompt.length > 1:
        repeated = session.redundancy()[0]
        parts += [_bold(repeated.conclusion), redundancy_heatmap(repeated)]
    parts += ["<h3>Sums of words</h3>", said["decomposition"]]
    if session.settings.labels or prompt.origin.labels:
        parts += ["<h3>Class labels</h3>", said["labels"], label_heatmap(session.labels()[0])]
    parts += ["<h3>Norms and training</h3>", said["norms"], said.get("training", ""), norm_figure(session.norms())]
    if any(one.dev_accuracy is not None for one in prompt.origin.history):
        parts.append(accuracy_curve([prompt]))
    return parts


def _decoder_html(found: "DecoderReading") -> str:
    """What the decoder makes of one prompt: the conclusion, then the pieces of each reading."""
    rows = "".join(
        f"<tr><td>{html.escape(where(text))}</td><td>{html.escape(', '.join(words))}</td><td>{divergence:.3f}</td></tr>"
        for text, words, divergence in zip(found.texts, found.words(), found.divergence, strict=True)
    )
    head = "<tr><th>Prompt</th><th>First pieces, more often than without it</th><th>Divergence (nats)</th></tr>"
    return f'<h3>What the decoder makes of it</h3><p><b>{html.escape(found.conclusion)}</b></p><div class="table"><table>{head}{rows}</table></div>'


def _digits(score: float) -> str:
    """Three decimals; a dash where there is no neighbor."""
    return "–" if isnan(score) else f"{score:.3f}"


def _neighbors_html(prompt: SoftPrompt, found: NearestNeighbors, clusters: Clusters) -> str:
    """One row a token: where it began, its neighbors, how near the nearest is, what is significant."""
    table = neighbor_table(prompt, found)
    near = table["q"] <= SIGNIFICANT_AT if "q" in table else [False] * len(table)
    in_groups = [f"among {', '.join(words)} ({kind})" if kind else "" for words, kind in zip(clusters.groups, clusters.kind, strict=True)]
    ranks = [column for column in table if column.isdigit()]
    rows = "".join(
        f"<tr><td>{row.position}</td><td>{html.escape(row.source)}</td><td>{html.escape(', '.join(filter(None, words)))}</td><td>{_digits(row.first)}</td>"
        f"<td>{html.escape('; '.join(told for told in ('near' if is_near else '', lies_in) if told) or '–')}</td></tr>"
        for row, words, is_near, lies_in in zip(table.itertuples(), table[ranks].to_numpy(), near, in_groups, strict=True)
    )
    head = f"<tr><th>Token</th><th>Began as</th><th>Neighbors</th><th>Nearest ({found.metric})</th><th>Significant</th></tr>"
    return f'<div class="table"><table>{head}{rows}</table></div>'
