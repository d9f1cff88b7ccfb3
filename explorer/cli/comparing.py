"""Commands that set prompts side by side: on one map of the vocabulary, and by group."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from explorer.cli.choosing import Vocabularies, read_prompts, values
from explorer.cli.options import Csv, Html, Json, K, Labels, Model, Nulls, Overwrite, Prompts, Seed
from explorer.cli.output import Output, frame_table, note, records

if TYPE_CHECKING:
    from explorer.analysis.projection import Placement, VocabularyMap
    from explorer.prompt import SoftPrompt
    from explorer.vocabulary import Vocabulary

By = Literal["initialization", "task", "length", "prompt"]


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

    from explorer.analysis.projection import load_map, place_trajectory

    chosen = values(labels, "--labels") or list(dict.fromkeys(label for prompt in read for label in prompt.origin.labels or ()))
    vocabulary_map = load_map(vocabulary, progress=note)
    placements = _placements(read, chosen, vocabulary, vocabulary_map)
    frame = pd.concat([placement.to_frame() for placement in placements], ignore_index=True)

    paths = {prompt.name: place_trajectory(prompt, vocabulary, vocabulary_map) for prompt in read} if trajectory else None

    def page() -> str:
        from explorer.figures import map_figure

        return _page("Map of soft prompts", [map_figure(vocabulary_map, vocabulary, placements, paths, name_vocabulary=True)])

    output.write(lambda: records(frame), lambda: frame, lambda: frame_table(frame), page)


def _placements(
    prompts: "list[SoftPrompt]", labels: list[str], vocabulary: "Vocabulary", vocabulary_map: "VocabularyMap"
) -> "list[Placement]":
    """Every prompt, then the labels."""
    from explorer.analysis.projection import place_labels, place_prompt

    placed = [place_prompt(prompt, vocabulary, vocabulary_map) for prompt in prompts]
    return [*placed, place_labels(labels, vocabulary, vocabulary_map)] if labels else placed


def _page(title: str, figures: list) -> str:
    """One HTML page with figures below each other that needs no network: the first brings Plotly along."""
    config = {"responsive": True, "displaylogo": False}
    parts = [figure.to_html(config, full_html=False, include_plotlyjs=number == 0) for number, figure in enumerate(figures)]
    style = "body { font-family: sans-serif; background: white; margin: 1rem auto; max-width: 75rem; overflow-x: hidden }"
    head = f'<meta charset="utf-8"><title>{title}</title><style>{style}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n{"".join(parts)}\n</body></html>\n'


def compare(
    prompts: Prompts,
    by: Annotated[By, typer.Option("--by", help="What puts prompts into one group.")] = "initialization",
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
    from explorer.analysis.comparison import compare as run
    from explorer.analysis.differences import differences
    from explorer.analysis.matching import pairs

    comparison = run(read, vocabulary, by=by, k=k, nulls=nulls, seed=seed, progress=note)
    rows, summary, tests, alike = comparison.to_frame(), comparison.summary(), differences(comparison), pairs(read, vocabulary, seed=seed)

    def page() -> str:
        from explorer.figures import comparison_figure

        return _page("Soft prompts compared", [comparison_figure(comparison, measure) for measure in dict.fromkeys(summary["measure"])])

    def text() -> str:
        least = tests["least_p"].min()
        said = "no verdict: a group has one prompt only" if least != least else f"smallest p these numbers of prompts allow: {least:.3f}"
        return "\n\n".join([*map(frame_table, (rows, summary)), f"{frame_table(tests)}\n{said}", frame_table(alike)])

    def content() -> dict[str, object]:
        return {"prompts": records(rows), "summary": records(summary), "tests": records(tests), "pairs": records(alike)}

    output.write(content, lambda: rows, text, page)
