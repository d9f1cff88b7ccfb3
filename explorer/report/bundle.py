"""A bundle to share: every reading of some prompts as CSV tables, one HTML page that works offline, and
`report.json`, which says what was read, with what, and the command that makes each table again.
"""

import html
import json
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import pandas as pd

import explorer
from explorer.analysis.map.fit import VocabularyMap
from explorer.analysis.nulls import SIGNIFICANT_AT
from explorer.errors import ExplorerError
from explorer.figures import (
    comparison_figure,
    map_figure,
)
from explorer.readings import Reading, of_command
from explorer.readings.reading import Table as DeclaredTable
from explorer.report.findings import findings
from explorer.report.html import Html, Part, html_page, html_table
from explorer.report.sections import (
    bold,
    decoder_html,
    pairs_html,
    section,
    verbalization_html,
    verdict,
)
from explorer.report.tables import conclusions, list_prompts, reported
from explorer.session import Session
from explorer.system.files import csv_bytes
from explorer.words.wording import count

PAGE, RECORD = "report.html", "report.json"
LIBRARIES = ("numpy", "pandas", "scipy", "faiss-cpu", "plotly", "tokenizers", "safetensors")
"""what the figures of a bundle depend on"""


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

    given: what each prompt is called in the shell: a path or a bundled name. line: how a recipe is typed
    there. decoder: ask the frozen model's decoder too; where the model cannot be loaded, that is told and
    left out. Raises what the readings raise.
    """
    progress = session.progress
    progress(f"reading {count(len(session.prompts), 'prompt')}")
    listed = list_prompts((Path(text), prompt) for text, prompt in zip(given, session.prompts, strict=True))
    decoder = decoder and _runs(session)
    tables = [Table("prompts.csv", listed, "the prompts and where they come from", ALL)]
    tables += [
        Table(f"{table.name}.csv", frame, table.says, recipe(reading, table))
        for reading, table, frame in reported(session, decoder)
    ]
    places = session.map()
    comparison = session.compare() if len(session.prompts) > 1 else None
    progress("drawing")
    near = session.neighbors() if session.neighbors()[0].metric == "cosine" else ()
    figures: list[Part] = [
        bold(places.conclusion),
        map_figure(places.map, session.vocabulary, places.placements, neighbors=near, told=True),
    ]
    if comparison is not None:
        figures.append(bold(comparison.conclusion))
        figures += [
            comparison_figure(comparison, measure)
            for measure in dict.fromkeys(comparison.summary()["measure"])
        ]
    record = _record(session, given, places.map, tables, line)
    files = {table.file: table.content for table in tables}
    files[RECORD] = (json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode(
        "utf-8", "backslashreplace"
    )
    files[PAGE] = _page(session, figures, tables, record, decoder).encode("utf-8", "backslashreplace")
    return files


ALL = Recipe("report", ("k", "metric", "nulls", "seed", "labels", "template"), "folder", "report")
"""makes the whole bundle again"""


def recipe(reading: Reading, table: DeclaredTable) -> Recipe:
    """What makes a table of a reading again: its command, or the whole report."""
    if not reading.shown_by:
        return ALL
    main = of_command(reading.shown_by)[0]
    settings = tuple(
        name for name in ALL.settings if name in (*main.settings, *("template",) * ("model" in main.needs))
    )
    if table.key is not None and table is not main.tables[0]:
        return Recipe(main.name, settings, "json", "", table.key)
    if table is main.tables[0]:
        return Recipe(main.name, settings, "csv", f"{table.name}.csv")
    return ALL


def _runs(session: Session) -> bool:
    """Whether the frozen model can be loaded; if not, why is told."""
    try:
        _ = session.model
    except ExplorerError as error:
        session.progress(f"left out: what the decoder makes of the prompts ({error})")
        return False
    return True


def _record(
    session: Session, given: Sequence[str], vocabulary_map: VocabularyMap, tables: Sequence[Table], line: Line
) -> dict:
    """What is in `report.json`."""
    vocabulary, settings = session.vocabulary, session.settings
    chosen = {
        name: getattr(settings, name) for name in ("k", "metric", "nulls", "seed", "labels", "template")
    }
    return {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": line(ALL),
        "versions": {
            "explorer": explorer.__version__,
            "python": platform.python_version(),
            **{name: version(name) for name in LIBRARIES},
        },
        "settings": {**chosen, "model": session.model_name},
        "model": {
            "name": vocabulary.name,
            "fingerprint": vocabulary.fingerprint,
            "rows": len(vocabulary),
            "searched": len(vocabulary.searchable_ids),
            "dimension": vocabulary.dimension,
        },
        "map": {
            "n_neighbors": vocabulary_map.n_neighbors,
            "min_dist": vocabulary_map.min_dist,
            "seed": vocabulary_map.seed,
        },
        "prompts": [
            _prompt_record(session.only(prompt.name), text)
            for prompt, text in zip(session.prompts, given, strict=True)
        ],
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


def _page(
    session: Session, figures: Sequence[Part], tables: Sequence[Table], record: dict, decoder: bool
) -> str:
    """The HTML page: all prompts together, then each by itself, then what was made with what."""
    settings, model, made = record["settings"], record["model"], record["made"][:16].replace("T", " ")
    near = session.neighbors()[0]
    metric = f"{near.metric} ({near.why})" if near.why else near.metric
    told = (
        f"Read with {model['name']} ({model['searched']:,} pieces of width {model['dimension']:,}); k "
        f"= {settings['k']}, metric {metric}, "
        f"{settings['nulls']:,} random vectors of each null, seed {settings['seed']}. Soft Prompt "
        f"Explorer {record['versions']['explorer']}, {made} UTC."
    )
    found = findings(session)
    contents = "".join(
        f'<li><a href="#p{number}">{html.escape(prompt.name)}</a></li>'
        for number, prompt in enumerate(session.prompts)
    )
    parts: list[Part] = [
        f"<h1>What did these prompts learn?</h1><p>{html.escape(told)}</p>",
        *(verdict(one, session.only(one.prompt)) for one in found),
        "<p>Every vector has nearest words. Only <em>significant</em> tokens are nearer to a word, "
        "or to a group of words, than vectors drawn "
        f"from the vocabulary's own Gaussian (q ≤ {SIGNIFICANT_AT}). Near is not equal, and a prompt "
        "that reads well need not work by what it reads as. "
        "The map is for looking.</p>",
        f'<ul>{contents}<li><a href="#tables">Tables and commands</a></li></ul><h2>Together</h2>',
        *pairs_html(session),
        *figures,
    ]
    if not decoder:
        parts.append("<p>What the decoder makes of the prompts was left out.</p>")
    elif session.all_labels:
        parts.append(f"<h3>Class labels and the decoder</h3>{bold(session.label_mass().conclusion)}")
    for number, prompt in enumerate(session.prompts):
        parts += section(number, session.only(prompt.name))
        parts += [decoder_html(session.decode()[number])] if decoder else []
        parts += [verbalization_html(session.verbalize()[number])] if decoder and session.verbalizes else []
    lines = [entry["command"] for entry in record["tables"]]
    rows = [
        (
            Html(f'<a href="{table.file}">{table.file}</a>'),
            table.says,
            f"{len(table.frame):,}",
            Html(
                f"<code>{html.escape(command)}</code>{f' (entry {key})' if (key := table.recipe.key) else ''}"
            ),
        )
        for table, command in zip(tables, lines, strict=True)
    ]
    head = ("File", "What", "Rows", "Made again by")
    parts.append(f'<h2 id="tables">Tables and commands</h2>{html_table(head, rows)}')
    return html_page("Soft prompts", parts)
