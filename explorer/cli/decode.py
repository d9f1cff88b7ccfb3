"""`decode`: what the frozen decoder makes of a prompt."""

from typing import TYPE_CHECKING, Annotated

import typer

from explorer.choices import LONGEST_INPUT
from explorer.cli import options
from explorer.cli.output import Output, paragraph, records, table
from explorer.cli.predict import check_texts
from explorer.cli.session import load_model, open_session

if TYPE_CHECKING:
    from explorer.evaluation.decoder_reading import DecoderReading
    from explorer.evaluation.label_mass import LabelMass
    from explorer.evaluation.verbalization import Verbalization


def decode(
    prompts: options.Prompts,
    text: Annotated[
        list[str] | None,
        typer.Option(
            "--text",
            metavar="T",
            show_default=False,
            help="A text behind the prompt; may be repeated. Default: four neutral ones.",
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="Pieces listed.")] = 10,
    labels: options.Labels = None,
    include_special: Annotated[
        bool, typer.Option("--include-special", help="List control pieces, sentinels and padding rows too.")
    ] = False,
    mass: Annotated[
        str | None,
        typer.Option(
            "--label-mass",
            metavar="FILE",
            help="How likely class labels come first, by task, as CSV in a file.",
        ),
    ] = None,
    verbalization: Annotated[
        str | None,
        typer.Option(
            "--verbalization",
            metavar="FILE",
            help="What a language model takes each token for, as CSV in a file; no T5 says it.",
        ),
    ] = None,
    seed: options.Seed = 0,
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
    """List what the decoder would write first for a prompt.

    The prompt is read alone, before a gap (<extra_id_0>) and before texts; pieces are compared with those
    without the prompt. Class labels of a prompt's own task are compared with those of other tasks where
    prompts of several tasks are given. A decoder-only model is also asked what each token means, in a
    sentence that repeats words.
    """
    output = Output(as_json, csv, overwrite=overwrite, beside=mass or verbalization)
    mass_output, words_output = (
        Output(csv=mass, overwrite=overwrite),
        Output(csv=verbalization, overwrite=overwrite),
    )
    check_texts(text or [])
    session = open_session(
        prompts,
        model,
        device,
        dtype,
        k=k,
        labels=options.label_values(labels),
        max_length=max_length,
        template=template,
        include_special=include_special,
        seed=seed,
        revision=revision,
    )
    load_model(session)
    found = session.decode(text or None)
    whole = session.label_mass(text or None) if session.all_labels or mass is not None else None
    frame = found.to_frame()
    meant = (
        session.verbalize()
        if verbalization is not None or (session.verbalizes and not as_json and csv is None)
        else ()
    )
    if verbalization is not None:
        words_output.write(lambda: None, session.verbalize().to_frame)
    if whole is not None:
        mass_output.write(lambda: None, whole.to_frame)
    output.write(
        lambda: records(frame),
        lambda: frame,
        lambda: "\n\n".join(
            [
                *(_pieces(one, wide) for one in found),
                *(_meant(one, wide) for one in meant),
                *_labels(whole, wide),
            ]
        ),
    )


def _pieces(found: "DecoderReading", wide: bool) -> str:
    """One prompt: what it comes to, then the pieces of each reading."""
    import pandas as pd

    from explorer.evaluation.neutral_texts import where

    said = paragraph(f"{found.prompt}: {found.conclusion}")
    if wide:
        return f"{said}\n{table(found.to_frame(), wide)}"
    words = list(map(", ".join, found.words()))
    shown = pd.DataFrame(
        {
            "prompt": list(map(where, found.texts)),
            "the decoder begins more often with": words,
            "divergence": found.divergence,
        }
    )
    return f"{said}\n{table(shown, lists=['the decoder begins more often with'])}"


def _meant(found: "Verbalization", wide: bool) -> str:
    """What a language model takes the tokens of one prompt for, and how it goes on about all of them."""
    import pandas as pd

    said = paragraph(f"{found.prompt}: {found.conclusion}")
    if wide:
        return f"{said}\n{table(found.to_frame(), wide)}"
    words = [", ".join(row[:3]) for row in found.words()]
    shown = pd.DataFrame(
        {
            "position": range(len(words)),
            "taken for": words,
            "divergence": found.divergence,
            "p": found.p,
            "q": found.q,
        }
    )
    whole = paragraph(
        f"Asked what the whole prompt means, it writes {found.said!r}; without the prompt "
        f"{found.said_without!r}."
    )
    return f"{said}\n{table(shown, lists=['taken for'])}\n{whole}"


def _labels(found: "LabelMass | None", wide: bool) -> list[str]:
    """How likely the decoder begins with class labels, by task."""
    from explorer.evaluation.neutral_texts import where

    if found is None:
        return []
    frame = found.to_frame()
    if not wide:
        kept = [
            "text",
            "task",
            "prompts",
            "own",
            "without_prompt",
            *(["others", "p", "least_p"] if len(found.tasks) > 1 else []),
        ]
        frame = (
            frame[kept]
            .assign(text=list(map(where, frame["text"])))
            .rename(columns={"text": "prompt", "own": "own labels", "without_prompt": "no prompt"})
        )
    return [f"{paragraph(found.conclusion)}\n{table(frame, wide)}"]
