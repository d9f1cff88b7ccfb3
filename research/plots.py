"""Draws the plots of checkpoints/README.md into `checkpoints/study/`, from the bundled prompts and what
study.py measured: `python -m research.plots`.

Needs the development requirements: Plotly draws in Chromium, which takes the picture.
"""

from collections import Counter

import pandas as pd
import plotly.graph_objects as go

from explorer.figures import length_figure, shift_figure, size_figure
from explorer.models.loading import DEFAULT_MODEL
from explorer.prompt import SoftPrompt
from explorer.system.files import STUDY
from research.study import bundled

GROUNDS = {"": ("white", "#31333f"), "-dark": ("#0e1117", "#fafafa")}
"""of the pictures: end of the file's name -> ground and text, as the pages have them"""


def draw(figure: go.Figure, name: str) -> None:
    """Pictures of a figure on light and on dark ground, half as fine again as their pixels."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as tools:
        browser = tools.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 900, "height": 700}, device_scale_factor=1.5)
        for end, (ground, text) in GROUNDS.items():
            figure.update_layout(width=880, paper_bgcolor=ground, plot_bgcolor=ground, font={"color": text})
            page.set_content(figure.to_html(include_plotlyjs=True))
            page.locator(".js-plotly-plot .main-svg").first.wait_for()
            file = STUDY / f"{name}{end}.png"
            page.locator(".js-plotly-plot").screenshot(path=file)
            print(f"wrote {file}")
        browser.close()


def several_lengths(prompts: list[SoftPrompt]) -> list[SoftPrompt]:
    """The prompts of a task and an initialization that have more than one length."""
    kinds = {(prompt.origin.task, prompt.origin.initialization, prompt.length) for prompt in prompts}
    number = Counter((task, initialization) for task, initialization, _ in kinds)
    return [prompt for prompt in prompts if number[prompt.origin.task, prompt.origin.initialization] > 1]


if __name__ == "__main__":
    draw(length_figure(several_lengths(bundled(DEFAULT_MODEL))), "lengths")
    if (STUDY / "sizes.csv").is_file():
        draw(size_figure(pd.read_csv(STUDY / "sizes.csv")), "sizes")
    draw(shift_figure(pd.read_csv(STUDY / "shift-summary.csv")), "shift")
