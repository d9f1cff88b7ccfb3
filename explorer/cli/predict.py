"""`predict`: what the model answers with each prompt."""

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from explorer.choices import LONGEST_INPUT
from explorer.cli import options
from explorer.cli.output import STDOUT, Output, concluded, note, plain, table
from explorer.cli.session import load_model, open_session
from explorer.errors import DataError
from explorer.words.wording import count

if TYPE_CHECKING:
    from explorer.evaluation.scoring import Predictions


def predict(
    prompts: options.Prompts,
    text: Annotated[
        list[str] | None,
        typer.Option("--text", metavar="T", show_default=False, help="A text to classify; may be repeated."),
    ] = None,
    text_file: Annotated[
        str | None, typer.Option("--text-file", metavar="FILE", help="Texts, one a line; - is stdin.")
    ] = None,
    labels: options.Labels = None,
    no_prompt: options.NoPrompt = False,
    max_new_tokens: Annotated[
        int, typer.Option("--max-new-tokens", min=1, help="Longest generated text, in pieces.")
    ] = 8,
    max_length: options.MaxLength = LONGEST_INPUT,
    template: options.Template = None,
    model: options.Model = None,
    revision: options.Revision = None,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    wide: options.Wide = False,
    as_json: options.Json = False,
    csv: options.Csv = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Give label probabilities and generated text, in one batch."""
    output = Output(as_json, csv, overwrite=overwrite)
    texts = [*(text or ()), *(lines_of(text_file) if text_file is not None else ())]
    if not texts:
        raise typer.BadParameter("found no text; expected --text or --text-file", param_hint="--text")
    check_texts(texts)
    session = open_session(
        prompts,
        model,
        device,
        dtype,
        labels=options.label_values(labels),
        max_length=max_length,
        template=template,
        revision=revision,
    )
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
        shown = pd.DataFrame(
            {**shown[["prompt", "text", "label"]], "probability": likeliest, "generated": shown["generated"]}
        )
    return concluded(found.conclusion, table(shown, wide), wide)


def check_texts(texts: list[str]) -> None:
    """Raise DataError for a text that is empty, absurdly long or no Unicode."""
    from explorer.texts.tasks import check_text

    for number, one in enumerate(texts, start=1):
        check_text(one, f"text {number}")


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
