"""Figures on one HTML page that needs no network."""

import html
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from explorer.figures import Figure, alternative_text

Part: TypeAlias = Figure | str
"""what a page is made of: figures, and HTML"""
CONFIG = {"responsive": True, "displaylogo": False}
STYLE = """
:root { color-scheme: light }
body { font: 16px/1.5 system-ui, sans-serif; color: #1d2330; background: white;
  margin: 2rem auto; max-width: 75rem; padding: 0 1rem }
h1 { font-size: 2rem; line-height: 1.2; margin: 0 0 .5rem }
h2 { font-size: 1.5rem; margin: 3rem 0 .5rem } h3 { font-size: 1.125rem; margin: 2rem 0 .5rem }
figure { margin: 1rem 0 } .table { overflow-x: auto } a { color: #1f6fa8 }
table { border-collapse: collapse; font-size: .875rem }
th, td { padding: .25rem .6rem; text-align: left; vertical-align: top }
th { border-bottom: 2px solid #c5cad3; white-space: nowrap }
td { border-bottom: 1px solid #e4e7ec; font-variant-numeric: tabular-nums }
code { font-size: .875em }
.verdict { border: 1px solid #c5cad3; border-radius: .5rem; padding: 1rem 1.5rem; margin: 1.5rem 0 }
.verdict h2 { margin-top: 0 } .verdict .said { font-size: 1.25rem }
@page { size: A4; margin: 14mm }
@media print {
  body { margin: 0; max-width: none; font-size: 11pt }
  figure, tr { break-inside: avoid } h2, h3 { break-after: avoid }
  .verdict { border: 0; padding: 0; margin: 0; break-after: page }
  .verdict table { font-size: 8pt } .verdict th, .verdict td { padding: 1pt 4pt }
}
"""


class Html(str):
    """Text that is HTML already; any other is escaped."""

    __slots__ = ()


def html_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Html:
    """A table of texts, which are escaped, and `Html`, which is not."""

    def line(tag: str, cells: Sequence[object]) -> str:
        shown = (cell if isinstance(cell, Html) else html.escape(str(cell)) for cell in cells)
        return f"<tr>{''.join(f'<{tag}>{cell}</{tag}>' for cell in shown)}</tr>"

    body = "".join(line("td", row) for row in rows)
    return Html(f'<div class="table"><table>{line("th", head) if head else ""}{body}</table></div>')


def html_page(title: str, parts: Sequence[Part]) -> str:
    """One page of figures and HTML, in that order; the first figure brings Plotly along. Text in `title` is
    escaped, HTML in `parts` is not.
    """
    figures = [part for part in parts if not isinstance(part, str)]
    body = [
        part if isinstance(part, str) else _figure(part, with_plotly=part is figures[0]) for part in parts
    ]
    head = (
        '<meta charset="utf-8"><meta name="viewport" '
        f'content="width=device-width"><title>{html.escape(title)}</title><style>{STYLE}</style>'
    )
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n{"".join(body)}\n</body></html>\n'


def _figure(figure: Figure, with_plotly: bool) -> str:
    drawn = figure.to_html(CONFIG, full_html=False, include_plotlyjs=with_plotly)
    return f'<figure role="img" aria-label="{html.escape(alternative_text(figure))}">{drawn}</figure>\n'
