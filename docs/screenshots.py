"""Takes the pictures of the dashboard that the documents show, on light and on dark ground: `python
docs/screenshots.py [PAGE…]`.

Needs the development requirements and Chromium. The pictures are of the bundled prompts, 1440 × 900 pixels,
with few colors so that they stay small.
"""

import io
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHOWN = {
    "prompts": "",
    "map": "map",
    "compare": "compare",
    "neighbors": "neighbors?prompts=sentiment/class-label-0",
    "clusters": "clusters?prompts=sentiment/class-label-0",
    "labels": "labels?prompts=sentiment/class-label-0",
    "training": "training",
    "words": "words",
    "playground": "playground",
    "faithfulness": "faithfulness",
    "ensemble": "ensemble",
    "shift": "shift?prompts=sentiment/class-label-0",
}
"""name of the picture -> address of the page"""
ON_BOTH = ("prompts", "map", "compare")
"""of the README, where the reader's ground decides"""
ENDS = {"light": "", "dark": "-dark"}
SIZE, COLORS = {"width": 1440, "height": 900}, 128
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
]
AT_REST = "[data-testid=stApp][data-test-script-state=notRunning]"


@contextmanager
def served() -> Iterator[str]:
    """The dashboard of the bundled prompts on a free port of this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--server.port", str(port), "--server.address", "127.0.0.1", "--server.headless", "true"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EXPLORER_")}
    server = subprocess.Popen(
        [sys.executable, "-m", "streamlit", "run", "app.py", *options],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2).close()
                break
            except OSError:
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def take(names: list[str]) -> None:
    """Write docs/pictures/NAME.png and, of some, NAME-dark.png."""
    from PIL import Image
    from playwright.sync_api import sync_playwright

    folder = ROOT / "docs" / "pictures"
    folder.mkdir(exist_ok=True)
    with served() as address, sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
        for theme, end in ENDS.items():
            page = browser.new_page(viewport=SIZE, color_scheme=theme)
            for name in [name for name in names if theme == "light" or name in ON_BOTH]:
                page.goto(f"{address}/{SHOWN[name]}")
                page.locator(".js-plotly-plot").first.wait_for(timeout=120_000)
                page.wait_for_selector(AT_REST, timeout=120_000)
                page.wait_for_timeout(2_000)  # charts are drawn after the page is at rest
                picture = (
                    Image.open(io.BytesIO(page.screenshot()))
                    .convert("RGB")
                    .quantize(COLORS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
                )
                picture.save(folder / f"{name}{end}.png", optimize=True)
                print(f"wrote {folder / f'{name}{end}.png'}")
            page.close()
        browser.close()


if __name__ == "__main__":
    take(sys.argv[1:] or list(SHOWN))
