"""The dashboard in a real Chromium: how long the first page takes, how soon a change is answered, and ten sessions that click at once.

first: from the start of the server's process until the first page with its charts is drawn and at rest, wall-clock and the server's CPU time.
changes: from a click that changes prompt, k or metric until the page is at rest again, each value for the first time.
many: sessions that open pages and change settings without a pause; none may see an error or another's choice; memory before, during and after.
Usage: python benchmarks/dashboard.py [first] [changes] [many] [--repeat 5] [--sessions 10] [--seconds 120]
"""

import argparse
import asyncio
import os
import random
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.async_api import Browser, Page, async_playwright

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--disable-background-networking")
FIRST, CHANGE, ANSWER, KEPT = 3.0, 0.5, 2.0, 1.2
"""asked for: seconds of the first page, of a change, of the median answer of many; memory after them beside one session's"""
AT_REST = "[data-testid=stApp][data-test-script-state=notRunning]"
PAGES = ("Prompts", "Neighbors", "Clusters", "Class labels", "Map", "Training", "Words", "Compare")
PATIENCE = 60_000
WATCH = """() => {
    window.app = document.querySelector('[data-testid=stApp]');
    window.runs = 0;
    window.watch?.disconnect();
    window.watch = new MutationObserver(() => { window.runs += window.app.dataset.testScriptState !== 'notRunning'; });
    window.watch.observe(window.app, {attributes: true});
}"""
"""counts the script's starts from here on"""


@contextmanager
def served() -> Iterator[tuple[str, subprocess.Popen, float]]:
    """A dashboard of the bundled prompts on a free port of this machine: its address, its process, when that was started."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--server.port", str(port), "--server.address", "127.0.0.1", "--server.headless", "true"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EXPLORER_")}
    started = time.perf_counter()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen([sys.executable, "-m", "streamlit", "run", "app.py", *options], cwd=ROOT, env=environment, **quiet)
    try:
        yield f"http://127.0.0.1:{port}", server, started
    finally:
        server.terminate()
        server.wait()


async def answering(address: str) -> None:
    """Wait until the server takes requests."""
    while True:
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=2):
                return
        except OSError:
            await asyncio.sleep(0.02)


def cpu_seconds(server: subprocess.Popen) -> float:
    """CPU time of a process so far, all its threads."""
    fields = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(server: subprocess.Popen) -> float:
    """MB of memory that a process holds."""
    return int(Path(f"/proc/{server.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


async def drawn(page: Page, charts: int = 1) -> None:
    """Wait for a title, charts if the page has some, and the end of the script."""
    await page.wait_for_selector("h1")
    if charts:
        await page.wait_for_selector(".js-plotly-plot .main-svg")
    await page.wait_for_selector(AT_REST)


def told(name: str, seconds: list[float], asked: float | None) -> bool:
    """Print the median and the range; whether the median is more than asked for."""
    median = statistics.median(seconds)
    print(f"{name}: median {median:.2f} s ({min(seconds):.2f} to {max(seconds):.2f}, n = {len(seconds)})" + (f"; asked {asked:g}" if asked else ""), flush=True)
    return asked is not None and median > asked


async def first(browser: Browser, repeat: int) -> bool:
    """Fresh servers, one after another; the first fills the disk's cache and is not counted."""
    walls, cpus = [], []
    for _ in range(repeat + 1):
        with served() as (address, server, started):
            page = await browser.new_page(viewport={"width": 1280, "height": 900})
            await answering(address)
            await page.goto(address)
            await drawn(page)
            walls.append(time.perf_counter() - started)
            cpus.append(cpu_seconds(server))
            await page.close()
    told("first page, wall-clock", walls[1:], None)
    return told("first page, the server's CPU time", cpus[1:], FIRST)


async def changed(page: Page, act) -> float:
    """Seconds from an action until the script that it starts has ended."""
    await page.evaluate(WATCH)
    started = time.perf_counter()
    await act()
    await page.wait_for_function("() => window.runs > 0 && window.app.dataset.testScriptState === 'notRunning'", polling=20)
    await page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return time.perf_counter() - started


async def changes(browser: Browser, repeat: int) -> bool:
    """Prompt, metric and k, each on the pages that show it."""
    late = False
    with served() as (address, _, _):
        await answering(address)
        for name in os.environ.get("ONLY", "neighbors clusters labels map").split():
            seconds: dict[str, list[float]] = {"prompt": [], "k": [], "metric": []}
            page = await browser.new_page(viewport={"width": 1280, "height": 900})
            page.set_default_timeout(PATIENCE)
            await page.goto(f"{address}/{name}")
            await drawn(page)
            await page.wait_for_timeout(9000)  # somebody reads the page; imports go on meanwhile
            for turn in range(repeat):
                if name in ("neighbors", "map", "clusters"):
                    up = page.get_by_test_id("stNumberInputStepUp" if turn < 10 else "stNumberInputStepDown").first
                    seconds["k"].append(await changed(page, up.click))
                if name == "neighbors" and turn < 3:
                    button = page.get_by_role("radio", name=("csls", "l2", "dot")[turn]).or_(page.get_by_test_id("stBaseButton-segmented_control").nth(turn))
                    seconds["metric"].append(await changed(page, button.first.click))
                if turn < 2:
                    await page.get_by_role("combobox", name="In detail").click()
                    option = page.get_by_role("option").nth(turn + 1)
                    await option.wait_for()
                    seconds["prompt"].append(await changed(page, option.click))
            await page.close()
            for what, times in seconds.items():
                if times:
                    late |= told(f"{name}: another {what}", times, CHANGE)
    return late


async def session(browser: Browser, address: str, number: int, until: float, times: list[float], wrong: list[str]) -> None:
    """One visitor: opens pages and changes k, always with a choice of prompts that nobody else has."""
    dice = random.Random(number)
    mine = (("sentiment", "subjectivity", "question-type")[number % 3], ("class-label", "random", "sampled-vocab")[number // 3 % 3], number % 2)
    name = "{}/{}-{}".format(*mine)
    context = await browser.new_context(viewport={"width": 1280, "height": 900})
    page = await context.new_page()
    page.set_default_timeout(PATIENCE)
    try:
        await page.goto(f"{address}/neighbors?prompts={name}&k={5 + number}")
        await drawn(page)
        while time.perf_counter() < until:
            if dice.random() < 0.5:
                link = page.get_by_test_id("stSidebarNav").get_by_text(dice.choice(PAGES), exact=True)
                times.append(await changed(page, link.click))
            elif await page.get_by_test_id("stNumberInputStepUp").count():
                step = page.get_by_test_id(dice.choice(("stNumberInputStepUp", "stNumberInputStepDown"))).first
                if await step.is_enabled():
                    times.append(await changed(page, step.click))
            if await page.locator("[data-testid=stException], [data-testid=stAlertContentError]").count():
                wrong.append(f"session {number}: an error on {page.url}")
            chosen = await page.get_by_test_id("stSidebar").locator("[data-baseweb=tag]").all_inner_texts()
            if [text.strip() for text in chosen] != [name]:
                wrong.append(f"session {number}: chose {name}, sees {chosen}")
            await page.wait_for_timeout(dice.randint(0, 400))
    except Exception as error:  # whatever ends a session is a figure of this benchmark
        wrong.append(f"session {number}: {str(error).splitlines()[0]}")
    finally:
        await context.close()


async def many(browser: Browser, sessions: int, seconds: float) -> bool:
    """One visitor, then all at once, then none."""
    times, wrong = [], []
    with served() as (address, server, _):
        await answering(address)
        context = await browser.new_context(viewport={"width": 1280, "height": 900})
        page = await context.new_page()
        page.set_default_timeout(PATIENCE)
        await page.goto(address)
        await drawn(page)
        for title in PAGES:
            await changed(page, page.get_by_test_id("stSidebarNav").get_by_text(title, exact=True).click)
        await page.wait_for_timeout(8000)  # imports ahead
        one = memory(server)
        await context.close()
        until = time.perf_counter() + seconds
        await asyncio.gather(*(session(browser, address, number, until, times, wrong) for number in range(sessions)))
        most = memory(server)
        await asyncio.sleep(30)
        after = memory(server)
    for line in wrong[:10]:
        print(line)
    print(f"{sessions} sessions, {seconds:g} s: {len(times)} answers, {len(wrong)} errors")
    told_memory = f"one session {one:.0f} MB, at the end of all {most:.0f} MB, after they left {after:.0f} MB"
    print(f"memory: {told_memory}: {after / one:.2f} of one session's; asked {KEPT}")
    return told("answer", times, ANSWER) or bool(wrong) or after > KEPT * one


async def measure(options: argparse.Namespace) -> bool:
    """Run what was asked for; whether a figure is worse than asked."""
    parts = {
        "first": lambda browser: first(browser, options.repeat),
        "changes": lambda browser: changes(browser, options.repeat),
        "many": lambda browser: many(browser, options.sessions, options.seconds),
    }
    async with async_playwright() as running:
        browser = await running.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        worse = [await parts[name](browser) for name in options.parts or parts]
        await browser.close()
    return any(worse)


def main() -> None:
    """Measure and print; exit with 1 when a figure is worse than asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=("first", "changes", "many"), help="default: all")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--sessions", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=120)
    sys.exit(asyncio.run(measure(parser.parse_args())))


if __name__ == "__main__":
    main()
