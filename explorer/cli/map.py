"""`map`: prompts and class labels on the UMAP map of the vocabulary."""

from typing import TYPE_CHECKING, Annotated

import typer

from explorer.cli.options import (
    Csv,
    Html,
    Json,
    Labels,
    Model,
    Nulls,
    Overwrite,
    Prompts,
    Revision,
    Seed,
    Wide,
    label_values,
)
from explorer.cli.output import Output, concluded, paragraph, records, table
from explorer.cli.session import open_session

if TYPE_CHECKING:
    from explorer.analysis.map.place import MapReading


def draw_map(
    prompts: Prompts,
    labels: Labels = None,
    nulls: Nulls = 1000,
    seed: Seed = 0,
    trajectory: Annotated[
        bool,
        typer.Option("--trajectory", help="Draw on the page how the tokens moved while they were trained."),
    ] = False,
    model: Model = None,
    revision: Revision = None,
    wide: Wide = False,
    html: Html = None,
    csv: Csv = None,
    as_json: Json = False,
    overwrite: Overwrite = False,
) -> None:
    """Draw prompts and labels on the UMAP map of the vocabulary.

    The map is for looking, never for evidence; it is fitted once per model and kept. A token that lies among
    words that belong together is named after them: the verdict of clusters, against random vectors.
    """
    output = Output(as_json, csv, html, overwrite)
    session = open_session(
        prompts, model, labels=label_values(labels), nulls=nulls, seed=seed, revision=revision
    )
    for prompt in session.prompts:
        if trajectory and prompt.trajectory is None:
            session.progress(f"{prompt.name}: no trajectory was saved, so no path is drawn")
    places = session.map(paths=trajectory)
    frame = places.to_frame()

    def page() -> str:
        from explorer.figures import map_figure
        from explorer.report.html import html_page

        paths = places.paths if trajectory else None
        return html_page(
            "Map of soft prompts",
            [
                map_figure(
                    places.map, session.vocabulary, places.placements, paths, name_vocabulary=True, told=True
                )
            ],
        )

    output.write(lambda: records(frame), lambda: frame, lambda: _text(places, wide), page)


def _text(places: "MapReading", wide: bool) -> str:
    """What it comes to, then one line a point."""
    from explorer.words.pieces import readable

    frame = places.to_frame()
    called = [
        name if kind == "label" else readable(name)
        for name, kind in zip(frame["name"], frame["kind"], strict=True)
    ]
    shown = frame if wide else frame.drop(columns="kind").assign(name=called)
    text = concluded(places.conclusion, table(shown, wide, ["group"]), wide)
    return f"{text}\n\n{paragraph('A drawing: the option --html FILE.')}"
