"""`predict`: what the model answers with each prompt."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from explorer.cli.options import Csv, Device, Dtype, Json, Labels, Model, NoPrompt, Overwrite, Prompts, Revision, Wide, label_values
from explorer.cli.output import STDOUT, Output, concluded, plain, table
from explorer.cli.session import load_model, open_session
from explorer.errors import DataError
from explorer.wording import count

if TYPE_CHECKING:
    from explorer.evaluation.scoring import Predictions


def predict(
    prompts: Prompts,
    text: Annotated[list[str] | None, typer.Option("--text", metavar="T", show_default=False, help="A text to classify; may be repeated.")] = None,
    text_file: Annotated[str | None, typer.Option("--text-file", metavar="FILE", help="Texts, one a line; - is stdin.")] = None,
    labels: Labels = None,
    no_prompt: NoPrompt = False,
    max_new_tokens: Annotated[int, typer.Option("--max-new-tokens", min=1, help="Longest generated text, in pieces.")] = 8,
    model: Model = None,
    revision: Revision = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    wide: Wide = False,
    as_json: Json = False,
    csv: Csv = None,
    overwrite: Overwrite = False,
) -> None:
    """Give label probabilities and generated text, in one batch."""
    output = Output(as_json, csv, overwrite=overwrite)
    texts = [*(text or ()), *(lines_of(text_file) if text_file is not None else ())]
    if not texts:
        raise typer.BadParameter("found no text; expected --text or --text-file", param_hint="--text")
    check_texts(texts)
    session = open_session(prompts, model, device, dtype, labels=label_values(labels), revision=revision)
    _ = session.class_labels  # a prompt without labels is said before the model is loaded
    load_model(session)
    session.progress(f"answering {count(len(texts), 'text')} with {count(len(session.prompts), 'prompt')}")
    found = session.predict(texts, no_prompt, max_new_tokens=max_new_tokens)
    output.write(lambda: plain(found.to_records()), found.to_frame, lambda: _text(found, wide))


def _text(found: "Predictions", wide: bool) -> str:
    """One line a prompt and text: the likeliest label and its probability, the text that was generated."""
    import pandas as pd

    shown = found.to_frame()
    if not wide:
        likeliest = found.probabilities.max(axis=2).ravel()
        shown = pd.DataFrame({**shown[["prompt", "text", "label"]], "probability": likeliest, "generated": shown["generated"]})
    return concluded(found.conclusion, table(shown, wide), wide)


def check_texts(texts: list[str]) -> None:
    """Raise DataError for a text that is empty, absurdly long or no Unicode."""
    from explorer.tasks import check_text

    for number, one in enumerate(texts, start=1):
        check_text(one, f"text {number}")


def lines_of(file: str) -> list[str]:
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
