"""How long the server leaves /_stcore/health unanswered while one browser, or twenty, send more messages than
anybody reads; beside a page of Streamlit alone.
"""

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from pathlib import Path

from streamlit.proto.BackMsg_pb2 import BackMsg
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

ROOT = Path(__file__).resolve().parent.parent
BARE = "import streamlit as st\nst.title('Bare')\n"
FLOODS = ((1, 5_000), (20, 500))
"""connections, and messages of each"""
WATCHED = 15.0
"""seconds that the server is watched"""
HOPELESS = 150.0
"""seconds without an answer after which a flood is given up"""


@contextmanager
def serving(*command: str, **environment: str) -> Iterator[str]:
    """A server of this machine: the address it answers at. `PORT` in the command becomes its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    words = [sys.executable, "-m", *(port if word == "PORT" else word for word in command)]
    server = subprocess.Popen(
        words,
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        end = time.monotonic() + 120
        while not healthy(f"127.0.0.1:{port}", 5):
            if server.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"{' '.join(words)}: did not come up")
            time.sleep(0.2)
        yield f"127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


def healthy(address: str, patience: float) -> bool:
    """Whether the server answers."""
    try:
        with urllib.request.urlopen(f"http://{address}/_stcore/health", timeout=patience) as answer:
            return answer.status == 200
    except OSError:
        return False


def watch(address: str, seconds: float) -> float:
    """Ask for /_stcore/health again and again: the longest time without an answer, in seconds."""
    begun = last = time.monotonic()
    longest = 0.0
    while time.monotonic() - begun < seconds:
        answered = healthy(address, HOPELESS)
        now = time.monotonic()
        longest, last = max(longest, now - last), now if answered else last
        time.sleep(0.02)
    return longest


def rerun(number: int = 0) -> bytes:
    """A message that asks for the page anew; those of different numbers do not look the same."""
    message = BackMsg()
    message.rerun_script.query_string = f"k={1 + number % 30}"
    return message.SerializeToString()


def send(address: str, messages: int) -> None:
    """Send messages through one connection, and read no answer."""
    headers = {"Origin": f"http://{address}"}
    with (
        suppress(ConnectionClosed, OSError),
        connect(
            f"ws://{address}/_stcore/stream",
            additional_headers=headers,
            subprotocols=["streamlit"],
            max_queue=1,
            open_timeout=HOPELESS,
            close_timeout=1,
        ) as browser,
    ):
        for number in range(messages):
            browser.send(rerun(number))
        time.sleep(WATCHED)


def silence(address: str, connections: int, messages: int) -> float:
    """The longest time without an answer, in seconds, while so many connections send so many messages each.

    The watch is a process of its own: beside the senders it would wait for them.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        process.submit(watch, address, 0.1).result()  # it has started now
        longest = process.submit(watch, address, WATCHED)
        senders = [
            threading.Thread(target=send, args=(address, messages), daemon=True) for _ in range(connections)
        ]
        for sender in senders:
            sender.start()
        return longest.result()


def main() -> None:
    """Print the longest silence of each flood."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--without-bare", action="store_true", help="the dashboard alone")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "bare.py"
        page.write_text(BARE)
        servers = {"dashboard": ("explorer", "app", "--no-browser", "--port", "PORT")}
        if not asked.without_bare:
            servers["bare page of Streamlit"] = (
                *("streamlit", "run", str(page), "--server.headless", "true"),
                *("--server.address", "127.0.0.1", "--server.port", "PORT"),
            )
        for name, command in servers.items():
            for connections, messages in FLOODS:
                with serving(*command) as address:
                    longest = silence(address, connections, messages)
                print(
                    f"{name}: {messages:,} messages on each of {connections}: longest silence {longest:.2f} s"
                )


if __name__ == "__main__":
    main()
