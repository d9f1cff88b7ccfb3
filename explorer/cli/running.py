"""Commands that run prompts through their frozen model, and the one that opens the dashboard."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from explorer.cli.choosing import class_labels, load_model, read_prompts
from explorer.cli.options import Csv, Json, Labels, Model, NoPrompt, Overwrite, Prompts
from explorer.cli.output import STDOUT, Output, frame_table, note, plain
from explorer.errors import DataError, ExplorerError

APP = Path(__file__).resolve().parent.parent.parent / "app.py"


def predict(
    prompts: Prompts,
    text: Annotated[list[str] | None, typer.Option("--text", metavar="T", show_default=False, help="A text to classify; may be repeated.")] = None,
    text_file: Annotated[str | None, typer.Option("--text-file", metavar="FILE", help="Texts, one a line; - is stdin.")] = None,
    labels: Labels = None,
    no_prompt: NoPrompt = False,
    max_new_tokens: Annotated[int, typer.Option("--max-new-tokens", min=1, help="Longest generated text, in pieces.")] = 8,
    model: Model = None,
    as_json: Json = False,
    csv: Csv = None,
    overwrite: Overwrite = False,
) -> None:
    """Give label probabilities and generated text, in one batch."""
    output = Output(as_json, csv, overwrite=overwrite)
    texts = [*(text or ()), *(_lines(text_file) if text_file is not None else ())]
    if not texts:
        raise typer.BadParameter("found no text; expected --text or --text-file", param_hint="--text")
    read = read_prompts(prompts)
    chosen = class_labels(read, labels)
    from explorer.tasks import check_text

    for number, one in enumerate(texts, start=1):
        check_text(one, f"text {number}")
        one.encode()  # a text that is not UTF-8 is refused here; the tokenizer would fail on it
    frozen = load_model(read, model)
    from explorer.evaluation.scoring import predict as run

    predictions = run(frozen, [*read, None] if no_prompt else read, texts, chosen, max_new_tokens=max_new_tokens)
    output.write(lambda: plain(predictions.to_records()), predictions.to_frame, lambda: frame_table(predictions.to_frame()))


def _lines(file: str) -> list[str]:
    """Texts of a file, one a line. Raises DataError when it cannot be read, is empty or has an empty line."""
    try:
        content = sys.stdin.buffer.read() if file == STDOUT else Path(file).read_bytes()
        lines = content.decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise DataError(f"{file}: cannot be read ({reason}); expected texts, one a line") from error
    if not lines:
        raise DataError(f"{file}: no lines; expected texts, one a line")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            raise DataError(f"{file}, line {number} is empty; expected a text on every line")
    return lines


def app(
    prompts: Annotated[str | None, typer.Option("--prompts", metavar="DIR", help="Folder with prompts. Default: the bundled ones.")] = None,
    model: Annotated[str | None, typer.Option("--model", metavar="M", help="Model they are read with. Default: the bundled one.")] = None,
    port: Annotated[int | None, typer.Option("--port", min=1, max=65535, help="Where the dashboard listens. Default: 8501, or the next free one.")] = None,
    host: Annotated[
        str | None, typer.Option("--host", metavar="ADDRESS", help="Who may connect: 127.0.0.1 is this machine, 0.0.0.0 everybody. Default: this machine.")
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open a browser.")] = False,
    read_only: Annotated[bool, typer.Option("--read-only", help="No uploads, and the model is never run: for a dashboard that others look at.")] = False,
    base_path: Annotated[str | None, typer.Option("--base-path", metavar="PATH", help="Where a proxy shows the dashboard, as /prompts.")] = None,
) -> None:
    """Open the dashboard; Ctrl-C ends it."""
    environment = dict(os.environ)
    if prompts is not None:
        environment["EXPLORER_PROMPTS"] = str(_checked_folder(prompts))
    if model is not None:
        environment["EXPLORER_MODEL"] = _checked_model(model)
    if not APP.is_file():
        raise ExplorerError(f"{APP}: the dashboard is not here; run it from a clone of the project")
    if host is None and base_path is None:  # no proxy, nobody else: folders of this machine may be opened
        environment["EXPLORER_FOLDERS"] = "1"
    if read_only:
        environment["EXPLORER_READ_ONLY"] = "1"
    command = [sys.executable, "-m", "streamlit", "run", str(APP), "--server.address", host or "localhost"]
    command += ["--server.showEmailPrompt", "false", "--browser.gatherUsageStats", "false"]
    command += ["--server.port", str(port)] if port is not None else []
    command += ["--server.headless", "true"] if no_browser else []
    command += ["--server.baseUrlPath", base_path.strip("/")] if base_path is not None else []
    raise typer.Exit(_wait(subprocess.Popen(command, cwd=APP.parent, env=environment)))


def _checked_folder(folder: str) -> Path:
    """The folder, if it has at least one readable prompt. Raises ExplorerError when it has none."""
    from explorer.formats import find_prompts

    found = [result for _, result in find_prompts(folder)]
    broken = [error for error in found if isinstance(error, ExplorerError)]
    for error in broken:
        note(f"left out: {error}")
    if len(broken) == len(found):
        raise ExplorerError(f"{folder}: found no prompt that can be read; expected PEFT adapter folders or array files")
    return Path(folder).resolve()


def _checked_model(model: str) -> str:
    """The model as the dashboard may name it, from wherever it runs. Raises ModelError when it is missing or damaged."""
    from explorer.vocabulary import Vocabulary

    Vocabulary.load(model)
    return str(Path(model).resolve()) if Path(model).is_dir() else model


def _wait(server: subprocess.Popen) -> int:
    """Wait for the dashboard's end; Ctrl-C and termination are passed on to it. Returns the exit code."""
    signal.signal(signal.SIGTERM, lambda *_: server.terminate())
    while True:
        try:
            code = server.wait()
        except KeyboardInterrupt:
            server.send_signal(signal.SIGINT)
            server.wait()
            raise
        return code if code >= 0 else 128 - code
