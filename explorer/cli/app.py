"""`app`: the dashboard, in a process of its own."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from explorer.cli.options import Device, Dtype
from explorer.cli.output import note
from explorer.errors import ExplorerError
from explorer.system.files import APP

LONGEST_STOP = 10
"""seconds that the server may take to stop"""


def app(
    prompts: Annotated[
        str | None,
        typer.Option("--prompts", metavar="DIR", help="Folder with prompts. Default: the bundled ones."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="M", help="Model they are read with. Default: the bundled one."),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            min=1,
            max=65535,
            help="Where the dashboard listens. Default: 8501, or the next free one.",
        ),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(
            "--host",
            metavar="ADDRESS",
            help="Who may connect: 127.0.0.1 is this machine, 0.0.0.0 everybody. Default: this machine.",
        ),
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open a browser.")] = False,
    read_only: Annotated[
        bool,
        typer.Option(
            "--read-only", help="No uploads, and the model is never run: for a dashboard that others look at."
        ),
    ] = False,
    device: Device = "auto",
    dtype: Dtype = "auto",
    base_path: Annotated[
        str | None,
        typer.Option("--base-path", metavar="PATH", help="Where a proxy shows the dashboard, as /prompts."),
    ] = None,
) -> None:
    """Open the dashboard; Ctrl-C ends it."""
    environment = dict(os.environ)
    if prompts is not None:
        environment["EXPLORER_PROMPTS"] = str(_checked_folder(prompts))
    if model is not None:
        environment["EXPLORER_MODEL"], known = _checked_model(model)
        if prompts is None and known is not None:
            environment["EXPLORER_PROMPTS"] = str(known)
    if not APP.is_file():
        raise ExplorerError(
            f"{APP}: the dashboard is not there; install the package again, or run it from a clone of "
            "the project"
        )
    if host is None and base_path is None:  # no proxy, nobody else: folders of this machine may be opened
        environment["EXPLORER_FOLDERS"] = "1"
    if read_only:
        environment["EXPLORER_READ_ONLY"] = "1"
    environment |= {"EXPLORER_DEVICE": device, "EXPLORER_DTYPE": dtype}
    environment["EXPLORER_STARTED_BY"] = str(os.getpid())
    command = [sys.executable, "-m", "streamlit", "run", str(APP), "--server.address", host or "localhost"]
    command += ["--server.showEmailPrompt", "false", "--browser.gatherUsageStats", "false"]
    command += [
        "--client.showErrorDetails",
        "none",
    ]  # stack traces name folders of the server; its log has them
    command += ["--server.port", str(port)] if port is not None else []
    command += ["--server.headless", "true"] if no_browser else []
    command += ["--server.baseUrlPath", base_path.strip("/")] if base_path is not None else []
    server = subprocess.Popen(  # in the folder of .streamlit/config.toml
        command, cwd=APP.parent, env=environment, start_new_session=True
    )
    raise typer.Exit(_wait(server))


def _checked_folder(folder: str) -> Path:
    """The folder, if it has at least one readable prompt. Raises ExplorerError when it has none."""
    from explorer.formats import PassedOver, find_prompts, in_words

    passed: list[PassedOver] = []
    found = [result for _, result in find_prompts(folder, passed)]
    if passed:
        note(in_words(passed))
    broken = [error for error in found if isinstance(error, ExplorerError)]
    for error in broken:
        note(f"left out: {error}")
    if len(broken) == len(found):
        raise ExplorerError(
            f"{folder}: found no prompt that can be read; expected PEFT adapter folders or array files"
        )
    return Path(folder).resolve()


def _checked_model(model: str) -> tuple[str, Path | None]:
    """The model as the dashboard may name it, from wherever it runs, and the folder of bundled prompts that
    were trained on it, where one is apart.

    Raises ModelError when it is missing or damaged.
    """
    from explorer.context import LocalLoader
    from explorer.formats import find_prompts
    from explorer.formats.places import of_other_models
    from explorer.prompt import SoftPrompt

    vocabulary = LocalLoader().vocabulary(model)
    for folder in of_other_models():
        first = next((prompt for _, prompt in find_prompts(folder) if isinstance(prompt, SoftPrompt)), None)
        if first is not None and (
            first.origin.base_model == model or first.origin.base_fingerprint == vocabulary.fingerprint
        ):
            return str(Path(model).resolve()) if Path(model).is_dir() else model, folder
    return str(Path(model).resolve()) if Path(model).is_dir() else model, None


def _wait(server: subprocess.Popen) -> int:
    """Wait for the dashboard's end; Ctrl-C and termination end it. Returns the exit code.

    The server has a session of its own: Ctrl-C in a terminal reaches this process alone, so that one line is
    said. Another Ctrl-C ends a server at once that does not stop.
    """
    signal.signal(signal.SIGTERM, lambda *_: server.terminate())
    try:
        code = server.wait()
    except KeyboardInterrupt:
        server.terminate()
        try:
            server.wait(LONGEST_STOP)
        except (KeyboardInterrupt, subprocess.TimeoutExpired):
            server.kill()
            server.wait()
        raise KeyboardInterrupt from None
    return code if code >= 0 else 128 - code
