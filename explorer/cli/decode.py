"""`decode`: what the frozen decoder makes of a prompt."""

from typing import TYPE_CHECKING

from explorer.cli.output import paragraph, table
from explorer.cli.reading import Asked, Command, command
from explorer.readings import DECODE, LABEL_MASS, VERBALIZE

if TYPE_CHECKING:
    from explorer.evaluation.decoder_reading import DecoderReading
    from explorer.evaluation.label_mass import LabelMass
    from explorer.evaluation.verbalization import Verbalization


def _all(asked: Asked) -> str:
    session, wide = asked.session, asked.wide
    mass = asked.of(LABEL_MASS) if session.all_labels else None
    meant = asked.of(VERBALIZE) if session.verbalizes else ()
    parts = [_pieces(pieces, wide) for pieces in asked.result]
    return "\n\n".join([*parts, *(_meant(words, wide) for words in meant), *_labels(mass, wide)])


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


decode = command(Command(DECODE, _all))
