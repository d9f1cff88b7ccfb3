"""A bundle to share: every reading of some prompts as CSV tables, one HTML page that works offline, and `report.json`, which says
what was read, with what, and the command that makes each table again."""

import html
import json
import platform
import shlex
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

import explorer
from explorer.analysis.comparison import compare
from explorer.analysis.differences import differences
from explorer.analysis.matching import pairs
from explorer.analysis.neighbors import Metric
from explorer.analysis.nulls import CALLED_AT
from explorer.analysis.placement import place_labels, place_prompt
from explorer.analysis.projection import VocabularyMap, load_map
from explorer.errors import ExplorerError
from explorer.figures import (
    Part,
    accuracy_curve,
    coherence_figure,
    comparison_figure,
    html_page,
    label_heatmap,
    map_figure,
    norm_figure,
    readable,
    redundancy_heatmap,
    similarity_figure,
)
from explorer.prompt import SoftPrompt
from explorer.report import PromptReport, card_in_words, list_prompts, safe_csv
from explorer.vocabulary import Vocabulary

PAGE, RECORD = "report.html", "report.json"
LIBRARIES = ("numpy", "pandas", "scipy", "faiss-cpu", "plotly", "tokenizers", "safetensors")
"""what the figures of a bundle depend on"""
MOST_PAIRED = 12
"""prompts that are matched two by two"""
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Settings:
    """What the readings of a bundle were made with."""

    k: int = 10
    metric: Metric = "cosine"
    """of the neighbor table; all else is cosine"""
    nulls: int = 1000
    seed: int = 0
    labels: tuple[str, ...] | None = None
    """class labels; None: those the prompts record"""
    model: str | None = None
    """as it was typed; None: the prompts' own base model"""


@dataclass(frozen=True, eq=False)
class Table:
    """One CSV file of a bundle and where it comes from."""

    file: str
    frame: pd.DataFrame
    says: str
    command: str
    """makes the same rows again"""
    key: str | None = None
    """the entry of the command's JSON that holds them; None where it writes CSV"""

    @property
    def content(self) -> bytes:
        """The file, the same bytes as the command line's."""
        return safe_csv(self.frame).encode("utf-8", "backslashreplace")


def bundle(
    prompts: Sequence[SoftPrompt], given: Sequence[str], vocabulary: Vocabulary, settings: Settings, progress: Progress = lambda message: None
) -> dict[str, bytes]:
    """The files of a bundle by name.

    given: what each prompt is called on the command line: a path or a bundled name. Raises what the readings raise, and
    ExplorerError for no prompt or two of one name.
    """
    names = [prompt.name for prompt in prompts]
    if not prompts or len(set(names)) < len(names):
        raise ExplorerError(f"found the prompts {', '.join(names) or '(none)'}; expected at least one, each of a name of its own")
    reports = []
    for prompt in prompts:
        progress(f"reading {prompt.name}")
        chosen = settings.labels or prompt.origin.labels
        reports.append(PromptReport.of(prompt, vocabulary, settings.k, settings.metric, chosen, settings.nulls, settings.seed))
    progress("placing them on the map")
    vocabulary_map = load_map(vocabulary, progress=progress)
    labels = settings.labels or tuple(dict.fromkeys(label for prompt in prompts for label in prompt.origin.labels or ()))
    placements = [place_prompt(prompt, vocabulary, vocabulary_map) for prompt in prompts]
    placements += [place_labels(labels, vocabulary, vocabulary_map)] if labels else []
    tables = _tables(reports, given, settings)
    where = pd.concat([placement.to_frame() for placement in placements], ignore_index=True)
    tables.append(Table("map.csv", where, "places on the map", _command("map", given, settings, ("labels",), "--csv", "map.csv")))
    comparison = None
    if len(prompts) > 1:
        progress("setting them side by side")
        comparison = compare(prompts, vocabulary, k=settings.k, nulls=settings.nulls, seed=settings.seed)
        tables += _comparison_tables(comparison, prompts, given, vocabulary, settings)
    progress("drawing")
    near = [report.neighbors for report in reports] if settings.metric == "cosine" else ()
    figures = [map_figure(vocabulary_map, vocabulary, placements, neighbors=near, told=True)]
    if comparison is not None:
        figures += [comparison_figure(comparison, measure) for measure in dict.fromkeys(comparison.summary()["measure"])]
    record = _record(prompts, given, vocabulary, vocabulary_map, settings, tables)
    files = {table.file: table.content for table in tables}
    files[RECORD] = (json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8", "backslashreplace")
    files[PAGE] = _page(reports, figures, tables, record).encode("utf-8", "backslashreplace")
    return files


def _tables(reports: Sequence[PromptReport], given: Sequence[str], settings: Settings) -> list[Table]:
    """What every prompt was read to be, the rows of all prompts in one table of each kind."""
    listed = list_prompts((Path(text), report.prompt) for text, report in zip(given, reports, strict=True))
    again = _command("report", given, settings, ("k", "metric", "nulls", "seed", "labels"), "--out", "report")
    clusters = _command("clusters", given, settings, ("k", "nulls", "seed"))
    kinds = {
        "neighbors": ("nearest pieces", _command("neighbors", given, settings, ("k", "metric", "nulls", "seed"), "--csv", "neighbors.csv"), None),
        "coherence": ("do a token's neighbors belong together?", f"{clusters} --csv coherence.csv", None),
        "redundancy": ("do tokens repeat each other?", f"{clusters} --json", "redundancy"),
        "norms": ("length of every token beside the vocabulary's", again, None),
    }
    labels = _command("labels", given, settings, ("nulls", "seed", "labels"))
    kinds |= {
        "labels": ("similarity and rank of class labels", f"{labels} --csv labels.csv", None),
        "persistence": ("did tokens stay the label they began as?", f"{labels} --json", "persistence"),
        "dispersion": ("over how many tokens is label similarity spread?", f"{labels} --json", "dispersion"),
    }
    tables = [Table("prompts.csv", listed, "the prompts and where they come from", again)]
    frames = [report.frames() for report in reports]
    for name, (says, command, key) in kinds.items():
        if found := [one[name] for one in frames if name in one]:
            tables.append(Table(f"{name}.csv", pd.concat(found, ignore_index=True), says, command, key))
    return tables


def _comparison_tables(comparison, prompts, given, vocabulary, settings) -> list[Table]:
    """Prompts by initialization, and every two of them where they are few."""
    command = _command("compare", given, settings, ("k", "nulls", "seed"))
    tables = [
        Table("comparison.csv", comparison.to_frame(), "one row a prompt, by initialization", f"{command} --csv comparison.csv"),
        Table("comparison-means.csv", comparison.summary(), "means of each initialization, 95 % intervals", f"{command} --json", "summary"),
        Table("comparison-tests.csv", differences(comparison), "initialization against initialization", f"{command} --json", "tests"),
    ]
    if len(prompts) <= MOST_PAIRED:
        tables.append(Table("pairs.csv", pairs(prompts, vocabulary, seed=settings.seed), "prompt against prompt", f"{command} --json", "pairs"))
    return tables


def _command(name: str, given: Sequence[str], settings: Settings, takes: Sequence[str], *more: str) -> str:
    """A line for the shell with the settings that the command takes."""
    options = {name: (f"--{name}", str(getattr(settings, name))) for name in ("metric", "nulls", "seed")}
    options |= {"k": ("-k", str(settings.k)), "labels": ("--labels", ",".join(settings.labels)) if settings.labels else ()}
    asked = [word for option in takes for word in options[option]]
    model = ["--model", settings.model] if settings.model else []
    return shlex.join(["python", "-m", "explorer", name, *given, *asked, *model, *more])


def _record(prompts, given, vocabulary: Vocabulary, vocabulary_map: VocabularyMap, settings: Settings, tables: Sequence[Table]) -> dict:
    """What is in `report.json`."""
    return {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": _command("report", given, settings, ("k", "metric", "nulls", "seed", "labels"), "--out", "report"),
        "versions": {"explorer": explorer.__version__, "python": platform.python_version(), **{name: version(name) for name in LIBRARIES}},
        "settings": asdict(settings),
        "model": {
            "name": vocabulary.name,
            "fingerprint": vocabulary.fingerprint,
            "rows": len(vocabulary),
            "searched": len(vocabulary.searchable_ids),
            "dimension": vocabulary.dimension,
        },
        "map": {"n_neighbors": vocabulary_map.n_neighbors, "min_dist": vocabulary_map.min_dist, "seed": vocabulary_map.seed},
        "prompts": [
            {
                "name": prompt.name,
                "given": text,
                "fingerprint": blake2b(np.ascontiguousarray(prompt.vectors), digest_size=8).hexdigest(),
                "length": prompt.length,
                "base_model": prompt.origin.base_model,
                "base_fingerprint": prompt.origin.base_fingerprint,
                "read_with_its_own_model": prompt.origin.base_fingerprint in (None, vocabulary.fingerprint),
                "warnings": list(prompt.origin.warnings),
            }
            for prompt, text in zip(prompts, given, strict=True)
        ],
        "tables": [
            {"file": table.file, "says": table.says, "rows": len(table.frame), "columns": list(table.frame.columns), "command": table.command, "key": table.key}
            for table in tables
        ],
    }


def _page(reports: Sequence[PromptReport], figures: Sequence[Part], tables: Sequence[Table], record: dict) -> str:
    """The HTML page: all prompts together, then each by itself, then what was made with what."""
    settings, model, made = record["settings"], record["model"], record["made"][:16].replace("T", " ")
    told = (
        f"Read with {model['name']} ({model['searched']:,} pieces of width {model['dimension']:,}); k = {settings['k']}, metric {settings['metric']}, "
        f"{settings['nulls']:,} random vectors of each null, seed {settings['seed']}. Soft Prompt Explorer {record['versions']['explorer']}, {made} UTC."
    )
    contents = "".join(f'<li><a href="#p{number}">{html.escape(report.prompt.name)}</a></li>' for number, report in enumerate(reports))
    parts: list[Part] = [
        f"<h1>What these soft prompts lie near to</h1><p>{html.escape(told)}</p>",
        "<p>Every vector has nearest words: only tokens that are <em>called</em> are nearer, or have more coherent neighbors, than vectors drawn from the "
        f"vocabulary's own Gaussian (q ≤ {CALLED_AT}). Near is not equal, and a prompt that reads well need not work by what it reads as. "
        "The map is for looking.</p>",
        f'<ul>{contents}<li><a href="#tables">Tables and commands</a></li></ul><h2>Together</h2>',
        *figures,
    ]
    for number, report in enumerate(reports):
        parts += _section(number, report)
    rows = "".join(
        f'<tr><td><a href="{table.file}">{table.file}</a></td><td>{html.escape(table.says)}</td><td>{len(table.frame):,}</td>'
        f"<td><code>{html.escape(table.command)}</code>{f' (entry {table.key})' if table.key else ''}</td></tr>"
        for table in tables
    )
    head = "<tr><th>File</th><th>What</th><th>Rows</th><th>Made again by</th></tr>"
    parts.append(f'<h2 id="tables">Tables and commands</h2><div class="table"><table>{head}{rows}</table></div>')
    return html_page("Soft prompts", parts)


def _section(number: int, report: PromptReport) -> list[Part]:
    """One prompt: its card, neighbors, clusters, labels, norms, training."""
    prompt, found = report.prompt, report.neighbors
    card = "".join(f"<tr><th>{html.escape(name)}</th><td>{html.escape(word)}</td></tr>" for name, word in card_in_words(prompt).items() if name != "path")
    parts: list[Part] = [f'<h2 id="p{number}">{html.escape(prompt.name)}</h2><div class="table"><table>{card}</table></div><h3>Neighbors</h3>']
    parts += [_neighbor_table(report), similarity_figure(found, found.null), "<h3>Clusters</h3>", coherence_figure(report.coherence, found.pieces)]
    if prompt.length > 1:
        parts.append(redundancy_heatmap(report.redundancy))
    if report.labels is not None:
        parts += ["<h3>Class labels</h3>", label_heatmap(report.labels)]
    parts += ["<h3>Norms and training</h3>", norm_figure([report.norms])]
    if any(one.dev_accuracy is not None for one in prompt.origin.history):
        parts.append(accuracy_curve([prompt]))
    return parts


def _neighbor_table(report: PromptReport) -> str:
    """One row a token: where it began, how near its nearest piece is, whether that or its coherence is called, its neighbors."""
    found, rows = report.neighbors, report.prompt.origin.rows or ()
    sources = [readable(row.piece) if row.piece else str(row) for row in rows] or [""] * report.prompt.length
    nearest = found.q[:, 0] <= CALLED_AT if found.null is not None else np.zeros(report.prompt.length, bool)
    coherent = report.coherence.called
    rows = "".join(
        f"<tr><td>{position}</td><td>{html.escape(sources[position])}</td><td>{found.similarity[position, 0]:.3f}</td>"
        f"<td>{' and '.join(word for word, called in (('near', nearest[position]), ('coherent', coherent[position])) if called) or '–'}</td>"
        f"<td>{html.escape(', '.join(map(readable, found.pieces[position])))}</td></tr>"
        for position in range(report.prompt.length)
    )
    head = f"<tr><th>Token</th><th>Began as</th><th>Nearest ({found.metric})</th><th>Called</th><th>Neighbors</th></tr>"
    return f'<div class="table"><table>{head}{rows}</table></div>'
