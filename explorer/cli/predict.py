"""`predict`: what the model answers with each prompt."""

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from explorer.cli.output import STDOUT, concluded, note, table
from explorer.cli.reading import Asked, Command, command
from explorer.errors import DataError
from explorer.readings import PREDICT
from explorer.readings.reading import Parameter
from explorer.words.wording import count

if TYPE_CHECKING:
    from explorer.evaluation.scoring import Predictions

TEXT_FILE = Parameter("text_file", "Texts, one a line; - is stdin.", str, default=None, metavar="FILE")


def _begin(asked: Asked) -> None:
    """Texts of both options."""
    file = asked.typed["text_file"]
    texts = [*(asked.typed["text"] or ()), *(lines_of(file) if file is not None else ())]
    if not texts:
        raise typer.BadParameter("found no text; expected --text or --text-file", param_hint="--text")
    asked.given["texts"] = texts


def _ready(asked: Asked) -> None:
    texts, prompts = asked.given["texts"], asked.session.prompts
    asked.session.progress(f"answering {count(len(texts), 'text')} with {count(len(prompts), 'prompt')}")


def _text(found: "Predictions", wide: bool) -> str:
    """One line a prompt and text: the likeliest label and its probability, the text that was generated."""
    import pandas as pd

    shown = found.to_frame()
    if not wide:
        likeliest = found.probabilities.max(axis=2).ravel()
        shown = pd.DataFrame(
            {**shown[["prompt", "text", "label"]], "probability": likeliest, "generated": shown["generated"]}
        )
    return concluded(found.conclusion, table(shown, wide), wide)


def lines_of(file: str) -> list[str]:
    """Texts of a file, one a line; blank lines at its end do not count. Raises DataError when it cannot be
    read, is empty or has an empty line.
    """
    from explorer.texts.encodings import LARGEST_FILE, decoded
    from explorer.texts.encodings import lines_of as split_lines

    try:
        with nullcontext(sys.stdin.buffer) if file == STDOUT else Path(file).open("rb") as opened:
            content = opened.read(LARGEST_FILE + 1)
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror}); expected texts, one a line") from error
    if len(content) > LARGEST_FILE:
        raise DataError(
            f"{file}: has more than {LARGEST_FILE // 10**6} MB; expected at most that: take a part of "
            "its lines"
        )
    text, assumed = decoded(content, file)
    for said in assumed:
        note(said)
    lines = split_lines(text.rstrip("\r\n"))
    if lines == [""]:
        raise DataError(f"{file}: no lines; expected texts, one a line")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            raise DataError(f"{file}, line {number} is empty; expected a text on every line")
    return lines


predict = command(
    Command(
        PREDICT,
        lambda asked: _text(asked.result, asked.wide),
        own=(TEXT_FILE,),
        begin=_begin,
        ready=_ready,
    )
)
