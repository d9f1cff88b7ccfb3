"""Draws the plots of checkpoints/README.md into `checkpoints/study/`, from the bundled prompts and what study.py measured: `python -m research.plots`.

Needs the development requirements: Plotly draws in Chromium, which takes the picture.
"""

from pathlib import Path

import pandas as pd
import plotly.graph_objects as go

from explorer.figures import length_figure, shift_figure
from explorer.files import STUDY
from research.study import bundled


def draw(figure: go.Figure, file: Path) -> None:
    """A picture of a figure on white, twice as fine as its pixels."""
    from playwright.sync_api import sync_playwright

    figure.update_layout(width=880, paper_bgcolor="white", plot_bgcolor="white")
    with sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 900, "height": 700}, device_scale_factor=1.5)
        page.set_content(figure.to_html(include_plotlyjs=True))
        page.locator(".js-plotly-plot .main-svg").first.wait_for()
        page.locator(".js-plotly-plot").screenshot(path=file)
        browser.close()
    print(f"wrote {file}")


if __name__ == "__main__":
    sentiment = [prompt for prompt in bundled() if prompt.origin.task == "sentiment" and not prompt.origin.read_as]
    draw(length_figure(sentiment), STUDY / "lengths.png")
    draw(shift_figure(pd.read_csv(STUDY / "shift-summary.csv")), STUDY / "shift.png")
