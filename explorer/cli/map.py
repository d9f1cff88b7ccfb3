"""`map`: prompts and class labels on the UMAP map of the vocabulary."""

from typing import TYPE_CHECKING

from explorer.cli.output import concluded, paragraph, table
from explorer.cli.reading import Asked, Command, command
from explorer.readings import MAP

if TYPE_CHECKING:
    from explorer.analysis.map.place import MapReading


def _ready(asked: Asked) -> None:
    for prompt in asked.session.prompts:
        if asked.typed["trajectory"] and prompt.trajectory is None:
            asked.session.progress(f"{prompt.name}: no trajectory was saved, so no path is drawn")


def _page(asked: Asked) -> str:
    from explorer.figures import map_figure
    from explorer.report.html import html_page

    places, vocabulary = asked.result, asked.session.vocabulary
    paths = places.paths if asked.typed["trajectory"] else None
    figure = map_figure(places.map, vocabulary, places.placements, paths, name_vocabulary=True, told=True)
    return html_page("Map of soft prompts", [figure])


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


draw_map = command(Command(MAP, lambda asked: _text(asked.result, asked.wide), _page, ready=_ready))
