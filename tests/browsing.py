"""A dashboard and a real Chromium for tests: `from browsing import needs_browser, open_page`; the fixtures
are in conftest.py.
"""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM = Path("/usr/bin/chromium")
MUST = bool(os.environ.get("CI"))
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
)
PAGES = (
    "prompts",
    "neighbors",
    "clusters",
    "labels",
    "map",
    "training",
    "words",
    "compare",
    "playground",
    "faithfulness",
    "ensemble",
    "shift",
)
PATIENCE = 180_000
"""milliseconds; a page that takes longer is broken"""

AT_REST = "[data-testid=stApp][data-test-script-state=notRunning]"

needs_browser = pytest.mark.skipif(
    not CHROMIUM.exists() and not MUST, reason=f"no {CHROMIUM}; the browser tests run where it is installed"
)


@contextmanager
def served(house: dict[str, str], log: Path, *more: str) -> Iterator[str]:
    """The app on a free port of this machine, with Streamlit options: its address; what it prints goes to
    `log`.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = [
        "--server.port",
        str(port),
        "--server.address",
        "127.0.0.1",
        "--server.headless",
        "true",
        "--server.fileWatcherType",
        "none",
        *more,
    ]
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", "app.py", *options],
            cwd=ROOT,
            env=house,
            stdout=output,
            stderr=output,
        )
    try:
        base = f"/{more[more.index('--server.baseUrlPath') + 1]}" if more else ""
        _wait_for(f"http://127.0.0.1:{port}{base}/_stcore/health", server, log)
        yield f"http://127.0.0.1:{port}{base}"
    finally:
        server.terminate()
        server.wait(timeout=30)


def _wait_for(health: str, server: subprocess.Popen, log: Path, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.poll() is None:
        try:
            with urllib.request.urlopen(health, timeout=2) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"the app did not come up:\n{log.read_text()[-2000:]}")


def open_page(page, address: str, name: str = "prompts", query: str = "") -> None:
    """Go to a page and wait until its script has ended."""
    page.goto(f"{address}/{'' if name == 'prompts' else name}{query}")
    page.wait_for_selector("h1")
    page.wait_for_selector(AT_REST)


def choose(page, box: str, option: str) -> None:
    """Choose from a select box: it closes where the page scrolls or moves under it, as on a busy machine, and
    is opened again.
    """
    field, entry = (
        page.get_by_role("combobox", name=box, exact=True),
        page.get_by_role("option", name=option, exact=True),
    )
    end = time.monotonic() + PATIENCE / 1000
    while not entry.is_visible():
        assert time.monotonic() < end, f"{box} does not offer {option}"
        if field.get_attribute("aria-expanded") == "false":
            field.click()
        page.wait_for_timeout(500)
    entry.click()


def drag_around(page, left: float, top: float, right: float, bottom: float) -> None:
    """Drag along the sides of a rectangle on the screen, as a region is drawn."""
    page.mouse.move(left, top)
    page.mouse.down()
    for x, y in ((right, top), (right, bottom), (left, bottom), (left, top + 5)):
        page.mouse.move(x, y, steps=8)
    page.mouse.up()
