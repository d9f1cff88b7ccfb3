"""Commands that set prompts side by side: on one map of the vocabulary, and by group."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from explorer.cli.choosing import Vocabularies, read_prompts, values
from explorer.cli.options import Csv, Html, Json, K, Labels, Metric, Model, Nulls, Overwrite, Prompts, Seed
from explorer.cli.output import Output, frame_table, note, records
from explorer.files import check_folder, write_folder

if TYPE_CHECKING:
    from explorer.analysis.map.fit import VocabularyMap
    from explorer.analysis.map.place import Placement
    from explorer.prompt import SoftPrompt
    from explorer.vocabulary import Vocabulary

Grouping = Literal["initialization", "task", "length", "prompt"]


def draw_map(
    prompts: Prompts,
    labels: Labels = None,
    trajectory: Annotated[bool, typer.Option("--trajectory", help="Draw on the page how the tokens moved while they were trained.")] = False,
    model: Model = None,
    html: Html = None,
    csv: Csv = None,
    as_json: Json = False,
    overwrite: Overwrite = False,
) -> None:
    """Draw prompts and labels on the UMAP map of the vocabulary.

    The map is for looking, never for evidence; it is fitted once per model and kept.
    """
    output = Output(as_json, csv, html, overwrite)
    read = read_prompts(prompts)
    vocabulary = Vocabularies(model).shared_by(read)
    import pandas as pd

    from explorer.analysis.map.place import place_trajectory
    from explorer.analysis.map.store import load_map

    chosen = values(labels, "--labels") or list(dict.fromkeys(label for prompt in read for label in prompt.origin.labels or ()))
    vocabulary_map = load_map(vocabulary, progress=note)
    placements = _placements(read, chosen, vocabulary, vocabulary_map)
    frame = pd.concat([placement.to_frame() for placement in placements], ignore_index=True)

    paths = {prompt.name: place_trajectory(prompt, vocabulary, vocabulary_map) for prompt in read} if trajectory else None

    def page() -> str:
        from explorer.figures import map_figure
        from explorer.report.html import html_page

        return html_page("Map of soft prompts", [map_figure(vocabulary_map, vocabulary, placements, paths, name_vocabulary=True, told=True)])

    output.write(lambda: records(frame), lambda: frame, lambda: frame_table(frame), page)


def _placements(prompts: "list[SoftPrompt]", labels: list[str], vocabulary: "Vocabulary", vocabulary_map: "VocabularyMap") -> "list[Placement]":
    """Every prompt, then the labels."""
    from explorer.analysis.map.place import place_labels, place_prompt

    placed = [place_prompt(prompt, vocabulary, vocabulary_map) for prompt in prompts]
    return [*placed, place_labels(labels, vocabulary, vocabulary_map)] if labels else placed


def compare(
    prompts: Prompts,
    by: Annotated[Grouping, typer.Option("--by", help="What puts prompts into one group.")] = "initialization",
    k: K = 10,
    nulls: Nulls = 1000,
    seed: Seed = 0,
    model: Model = None,
    as_json: Json = False,
    csv: Csv = None,
    html: Html = None,
    overwrite: Overwrite = False,
) -> None:
    """Set prompts side by side, by initialization or else.

    Means over each group with 95 % bootstrap intervals, permutation tests between groups, and similarity of every two prompts.
    """
    if len(prompts) < 2:
        raise typer.BadParameter("found one prompt; expected at least two to compare", param_hint="PROMPT")
    output = Output(as_json, csv, html, overwrite)
    read = read_prompts(prompts)
    vocabulary = Vocabularies(model).shared_by(read)
    from explorer.analysis.compare.differences import differences
    from explorer.analysis.compare.groups import compare as run
    from explorer.analysis.compare.matching import pairs

    comparison = run(read, vocabulary, by=by, k=k, nulls=nulls, seed=seed, progress=note)
    rows, summary, tests, alike = comparison.to_frame(), comparison.summary(), differences(comparison), pairs(read, vocabulary, seed=seed)

    def page() -> str:
        from explorer.figures import comparison_figure
        from explorer.report.html import html_page

        return html_page("Soft prompts compared", [comparison_figure(comparison, measure) for measure in dict.fromkeys(summary["measure"])])

    def text() -> str:
        least = tests["least_p"].min()
        said = "no verdict: a group has one prompt only" if least != least else f"smallest p these numbers of prompts allow: {least:.3f}"
        return "\n\n".join([*map(frame_table, (rows, summary)), f"{frame_table(tests)}\n{said}", frame_table(alike)])

    def content() -> dict[str, object]:
        return {"prompts": records(rows), "summary": records(summary), "tests": records(tests), "pairs": records(alike)}

    output.write(content, lambda: rows, text, page)


def report(
    prompts: Prompts,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", show_default=False, help="The folder to make.")],
    k: K = 10,
    metric: Annotated[Metric, typer.Option("--metric", help="Similarity of the neighbor table; l2 is a distance, smaller is closer.")] = "cosine",
    labels: Labels = None,
    nulls: Nulls = 1000,
    seed: Seed = 0,
    model: Model = None,
    overwrite: Overwrite = False,
) -> None:
    """Make a folder to share: every table, one page, what made them.

    CSV tables, report.html, which works offline, and report.json with versions, fingerprints and the command of each table.
    """
    check_folder(out, overwrite)
    read, chosen = read_prompts(prompts), tuple(values(labels, "--labels")) or None
    vocabulary = Vocabularies(model).shared_by(read)
    from explorer.report.bundle import Settings, bundle

    files = bundle(read, prompts, vocabulary, Settings(k, metric, nulls, seed, chosen, model), progress=note)
    write_folder(out, files, overwrite)
    note(f"wrote {out}: {len(files)} files, report.html first")
