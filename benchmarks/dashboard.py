"""The dashboard in a real Chromium: how long the first page takes, how soon a change is answered, and ten
sessions that click at once.

first: from the start of the server's process until the first page with its charts is drawn and at rest,
wall-clock and the server's CPU time; and how many times as long as a page of Streamlit that has a line chart
and nothing else. pages: from a click in the navigation until the page is at rest, each page for the first
time in a session. changes: from a click that changes prompt, k or metric until the page is at rest again,
each value for the first time. many: sessions that open pages and change k almost without a pause; none may
see an error or another's choice; the server's memory before, at the end and after. They speak the browser's
protocol and draw nothing: ten tabs that draw on the server's two cores would be measured instead of it.
Usage: python benchmarks/dashboard.py [first] [pages] [changes] [many] [--repeat 5] [--sessions 10] [--seconds
120]
"""

import argparse
import asyncio
import os
import random
import re
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlencode

from playwright.async_api import Browser, Page, async_playwright
from streamlit.proto.Alert_pb2 import Alert
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.asyncio.client import connect

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
)
FIRST, PAGE, CHANGE, ANSWER, WORST, KEPT = 3.0, 1.0, 0.5, 1.0, 5.0, 1.2
"""asked for: seconds of the first page, of another page, of a change, of the median and the longest answer of
many; memory after them beside one session's
"""
LONGER = {"Faithfulness": 1.5, "Ensemble": 1.5, "Domain shift": 1.5}
"""pages that show kept answers of every text"""
AT_REST = "[data-testid=stApp][data-test-script-state=notRunning]"
PAGES = ("Prompts", "Neighbors", "Clusters", "Class labels", "Map", "Training", "Words", "Compare")
ONE_EACH = tuple(
    f"{task}/{start}-{seed}"
    for seed in (0, 1)
    for task in ("sentiment", "subjectivity", "question-type")
    for start in ("random", "class-label")
)
"""what each of the many chooses"""
PAUSE = 0.0, 0.4
"""seconds between an answer and the next click"""
PATIENCE = 60_000
FORGOTTEN = 150
"""seconds until Streamlit forgets a visitor who left (it keeps them for 120)"""


BARE = (
    "import streamlit as st\n\nst.title('Bare')\nst.plotly_chart({'data': [{'y': [1, 2]}], 'layout': {}})\n"
)
"""the page that the first one is held against"""


@contextmanager
def served(app: Path = ROOT / "app.py") -> Iterator[tuple[str, subprocess.Popen, float]]:
    """A dashboard of the bundled prompts, or another app, on a free port of this machine: its address, its
    process, when that was started.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--server.port", str(port), "--server.address", "127.0.0.1", "--server.headless", "true"]
    options += [
        "--server.fileWatcherType",
        "none",
        "--browser.gatherUsageStats",
        "false",
    ]  # as the app's own configuration has it
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EXPLORER_")}
    started = time.perf_counter()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen(
        [sys.executable, "-m", "streamlit", "run", str(app), *options],
        cwd=app.parent,
        env=environment,
        **quiet,
    )
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
    print(
        f"{name}: median {median:.2f} s ({min(seconds):.2f} to {max(seconds):.2f}, n = {len(seconds)})"
        + (f"; asked {asked:g}" if asked else ""),
        flush=True,
    )
    return asked is not None and median > asked


async def first(browser: Browser, repeat: int) -> bool:
    """Fresh servers, one after another, each beside a bare page; the first of both fills the disk's cache and
    is not counted.
    """
    walls, bare, cpus = [], [], []
    with TemporaryDirectory() as folder:
        (peer := Path(folder) / "bare.py").write_text(BARE)
        for _ in range(repeat + 1):
            wall, cpu = await opened(browser)
            walls.append(wall)
            cpus.append(cpu)
            bare.append((await opened(browser, peer))[0])
    told("first page, the server's CPU time", cpus[1:], None)
    told("a bare page with one chart", bare[1:], None)
    ratios = [own / other for own, other in zip(walls[1:], bare[1:], strict=True)]
    print(
        f"first page beside the bare one: median {statistics.median(ratios):.2f} times as long "
        f"({min(ratios):.2f} to {max(ratios):.2f})",
        flush=True,
    )
    return told("first page, wall-clock", walls[1:], FIRST)


async def opened(browser: Browser, app: Path = ROOT / "app.py") -> tuple[float, float]:
    """Seconds from the start of an app's server until its first page is drawn, and the CPU time that the
    server took.
    """
    with served(app) as (address, server, started):
        page = await browser.new_page(viewport={"width": 1280, "height": 900})
        await answering(address)
        await page.goto(address)
        await drawn(page)
        took = time.perf_counter() - started, cpu_seconds(server)
        await page.close()
    return took


class Answers:
    """Hears in a page's WebSocket when the server has ended a run of the script."""

    def __init__(self, page: Page) -> None:
        self.page, self.ended = page, asyncio.Event()
        page.on("websocket", lambda socket: socket.on("framereceived", self._heard))

    def _heard(self, frame: bytes | str) -> None:
        message = ForwardMsg()
        if (
            isinstance(frame, bytes)
            and message.MergeFromString(frame)
            and message.WhichOneof("type") == "script_finished"
        ):
            self.ended.set()

    async def to(self, act: Callable[[], Awaitable[None]]) -> float:
        """Seconds from an action until the script that it starts has ended and the page is at rest, two
        frames later.
        """
        self.ended.clear()
        started = time.perf_counter()
        await act()
        await asyncio.wait_for(self.ended.wait(), PATIENCE / 1000)
        await self.page.wait_for_selector(AT_REST)
        await self.page.evaluate(
            "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )
        return time.perf_counter() - started


async def pages(browser: Browser, repeat: int) -> bool:
    """Every page from the navigation, in sessions of one server; the first session finds nothing computed and
    is not counted.
    """
    seconds: dict[str, list[float]] = {title: [] for title in (*PAGES[1:], *LONGER, "Playground")}
    with served() as (address, _, _):
        await answering(address)
        for turn in range(repeat + 1):
            page = await browser.new_page(viewport={"width": 1440, "height": 900})
            page.set_default_timeout(PATIENCE)
            answer = Answers(page).to
            await page.goto(address)
            await drawn(page)
            if not turn:
                await page.wait_for_timeout(9000)  # somebody reads the page; imports go on meanwhile
            for title in seconds:
                link = page.get_by_test_id("stSidebar").get_by_role("link", name=title, exact=True)
                taken = await answer(link.click)
                await page.get_by_role("heading", name=title, exact=True).wait_for()
                if turn:
                    seconds[title].append(taken)
            await page.close()
    late = [told(f"page {title}", times, LONGER.get(title, PAGE)) for title, times in seconds.items()]
    return any(late)


async def changes(browser: Browser, repeat: int) -> bool:
    """Prompt, metric and k, each on the pages that show it."""
    late = False
    with served() as (address, _, _):
        await answering(address)
        for name in ("neighbors", "clusters", "labels", "map"):
            seconds: dict[str, list[float]] = {
                "k": [],
                "metric": [],
                "prompt in detail": [],
                "choice of prompts": [],
            }
            page = await browser.new_page(viewport={"width": 1280, "height": 900})
            page.set_default_timeout(PATIENCE)
            answer = Answers(page).to
            await page.goto(f"{address}/{name}")
            await drawn(page)
            await page.wait_for_timeout(9000)  # somebody reads the page; imports go on meanwhile
            for turn in range(repeat):
                if name in ("neighbors", "clusters"):
                    up = page.get_by_test_id(
                        "stNumberInputStepUp" if turn < 10 else "stNumberInputStepDown"
                    ).first
                    seconds["k"].append(await answer(up.click))
                if name == "neighbors" and turn < 3:
                    button = page.get_by_role("radio", name=("csls", "l2", "dot")[turn]).or_(
                        page.get_by_test_id("stBaseButton-segmented_control").nth(turn)
                    )
                    seconds["metric"].append(await answer(button.first.click))
                if turn < 2:
                    await page.get_by_role("combobox", name="In detail").click()
                    option = page.get_by_role("option").nth(turn + 1)
                    await option.wait_for()
                    seconds["prompt in detail"].append(await answer(option.click))
            for _ in range(2):
                last = (
                    page.get_by_test_id("stSidebar").get_by_role("button", name=re.compile("^Remove ")).last
                )
                seconds["choice of prompts"].append(await answer(last.click))
            await page.close()
            for what, times in seconds.items():
                if times:
                    late |= told(f"{name}: another {what}", times, CHANGE)
    return late


class Visitor:
    """A session that speaks Streamlit's protocol as a browser does, and draws nothing."""

    def __init__(self, socket, name: str) -> None:
        self.socket, self.name = socket, name
        self.pages: dict[str, str] = {}
        self.page = ""
        self.widgets: dict[str, WidgetState] = {}
        self.numbers: dict[str, tuple[str, float, float, float]] = {}
        """label -> id, value, least and greatest of the number fields on the page"""
        self.wrong: list[str] = []

    async def run(self) -> float:
        """Seconds from asking for a run of the script until the last of its answer is here."""
        request = BackMsg()
        state = request.rerun_script
        state.query_string, state.page_script_hash = urlencode({"prompts": self.name}), self.page
        state.widget_states.widgets.extend(self.widgets.values())
        self.numbers = {}
        started = time.perf_counter()
        await self.socket.send(request.SerializeToString())
        while True:
            message = ForwardMsg.FromString(await asyncio.wait_for(self.socket.recv(), PATIENCE / 1000))
            if message.WhichOneof("type") == "script_finished":
                return time.perf_counter() - started
            self._take(message)

    def _take(self, message: ForwardMsg) -> None:
        if message.HasField("navigation"):
            self.pages = {page.page_name: page.page_script_hash for page in message.navigation.app_pages}
        element = message.delta.new_element
        kind = element.WhichOneof("type")
        if kind == "exception" or (kind == "alert" and element.alert.format == Alert.ERROR):
            self.wrong.append(f"{self.name}: {(element.exception.message or element.alert.body)[:200]}")
        elif kind == "number_input":
            field = element.number_input
            self.numbers[field.label] = (
                field.id,
                field.value if field.set_value else field.default,
                field.min,
                field.max,
            )
        elif kind == "multiselect" and element.multiselect.label == "Prompts":
            field = element.multiselect
            seen = (
                list(field.raw_values)
                if field.set_value
                else [field.options[place] for place in field.default]
            )
            if seen != [self.name] and field.id not in self.widgets:
                self.wrong.append(f"{self.name}: sees {seen}")
            self.widgets[field.id] = WidgetState(id=field.id)
            self.widgets[field.id].string_array_value.data.append(self.name)
        elif kind in ("heading", "markdown", "dataframe", "arrow_data_frame"):
            said = element.heading.body + element.markdown.body
            others = [name for name in ONE_EACH if name != self.name and name in said.replace("\\", "")]
            if (
                others and self.page != self.pages.get("Compare") and self.name not in said.replace("\\", "")
            ):  # compare is of all prompts of the task
                self.wrong.append(f"{self.name}: reads of {others}")

    async def act(self, dice: random.Random) -> float:
        """Another page, or one more or one less in a number field."""
        if self.numbers and dice.random() < 0.5:
            name, value, least, most = self.numbers[dice.choice(sorted(self.numbers))]
            value = self.widgets[name].double_value if name in self.widgets else value
            self.widgets[name] = WidgetState(
                id=name, double_value=min(max(value + dice.choice((-1, 1)), least), most)
            )
        else:
            self.page = self.pages[dice.choice([title for title in PAGES if self.pages[title] != self.page])]
        return await self.run()


async def session(address: str, number: int, until: float, times: list[float], wrong: list[str]) -> None:
    """One visitor, always with a choice that nobody else has."""
    dice = random.Random(number)
    async with connect(
        f"{address.replace('http', 'ws')}/_stcore/stream", subprotocols=["streamlit"], max_size=None
    ) as socket:
        visitor = Visitor(socket, ONE_EACH[number % len(ONE_EACH)])
        await visitor.run()
        while time.perf_counter() < until:
            times.append(await visitor.act(dice))
            await asyncio.sleep(dice.uniform(*PAUSE))
    wrong += visitor.wrong


async def many(sessions: int, seconds: float) -> bool:
    """One visitor on every page, then all at once, then none."""
    times: list[float] = []
    wrong: list[str] = []
    with served() as (address, server, _):
        await answering(address)
        async with connect(
            f"{address.replace('http', 'ws')}/_stcore/stream", subprotocols=["streamlit"], max_size=None
        ) as socket:
            visitor = Visitor(socket, ONE_EACH[0])
            await visitor.run()
            for title in PAGES:
                visitor.page = visitor.pages[title]
                await visitor.run()
        await asyncio.sleep(12)  # preload
        one, began = memory(server), cpu_seconds(server)
        until = time.perf_counter() + seconds
        await asyncio.gather(*(session(address, number, until, times, wrong) for number in range(sessions)))
        most, busy = memory(server), cpu_seconds(server) - began
        await asyncio.sleep(FORGOTTEN)
        after = memory(server)
    for line in wrong[:10]:
        print(line)
    print(
        f"{sessions} sessions, {seconds:g} s: {len(times)} answers, {len(wrong)} errors; "
        f"{busy / len(times):.2f} s of CPU time an answer"
    )
    told_memory = f"one session {one:.0f} MB, at the end of all {most:.0f} MB, after they left {after:.0f} MB"
    print(f"memory: {told_memory}: {after / one:.2f} of one session's; asked {KEPT}")
    print(f"longest answer: {max(times):.2f} s; asked {WORST:g}")
    return told("answer", times, ANSWER) or max(times) > WORST or bool(wrong) or after > KEPT * one


async def measure(options: argparse.Namespace) -> bool:
    """Run what was asked for; whether a figure is worse than asked."""
    parts = {
        "first": lambda browser: first(browser, options.repeat),
        "pages": lambda browser: pages(browser, options.repeat),
        "changes": lambda browser: changes(browser, options.repeat),
        "many": lambda _: many(options.sessions, options.seconds),
    }
    async with async_playwright() as running:
        browser = await running.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        worse = [await parts[name](browser) for name in options.parts or parts]
        await browser.close()
    return any(worse)


def main() -> None:
    """Measure and print; exit with 1 when a figure is worse than asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "parts", nargs="*", choices=("first", "pages", "changes", "many"), help="default: all"
    )
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--sessions", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=120)
    sys.exit(asyncio.run(measure(parser.parse_args())))


if __name__ == "__main__":
    main()
