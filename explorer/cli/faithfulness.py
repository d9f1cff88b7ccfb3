"""`faithfulness`: what remains of a prompt when its nearest words stand in its place."""

from typing import TYPE_CHECKING

from explorer.cli.output import concluded, interval, paragraph, table
from explorer.cli.reading import Asked, Command, command
from explorer.cli.session import load_model
from explorer.readings import FAITHFULNESS
from explorer.readings.reading import Parameter
from explorer.words.wording import count

if TYPE_CHECKING:
    import pandas as pd

    from explorer.evaluation.faithfulness import Faithfulness
    from explorer.results import Readings

FIGURES = [
    "reading",
    "accuracy",
    "low",
    "high",
    "agreement",
    "kl",
    "difference",
    "difference_low",
    "difference_high",
    "share",
    "share_low",
    "share_high",
    "kappa",
    "correlation",
]
SHOWN = ("soft", "cosine", "none", "random-words", "initial")
"""what stands in a prompt's place in the short table; all others are in the wide one"""
WORDS = Parameter(
    "words",
    "Words to put in the prompt's place, as you would type them; may be repeated.",
    str,
    (),
    metavar="TEXT",
    repeated=True,
)


def _all(asked: Asked) -> str:
    (prompt,), (result,) = asked.session.prompts, asked.result
    if prompt.initial is None:
        asked.session.progress(
            f"{prompt.name}: no initial vectors were saved, so the reading `initial` is left out"
        )
    return _text(result, result.to_frame(), asked.wide)


def _text(result: "Faithfulness", frame: "pd.DataFrame", wide: bool) -> str:
    """What the words are worth, then one line for everything that stood in the prompt's place."""
    from explorer.evaluation.faithfulness import TYPED
    from explorer.words.pieces import readable

    words = next(reading.words or () for reading in result.readings if reading.name == "cosine")
    head = paragraph(
        f"{count(len(result.task), 'text')}; its nearest words (cosine): {', '.join(map(readable, words))}"
    )
    if wide:
        curve = table(result.curve_frame(), wide)
        rest = (
            f"{head}\n\n{table(frame[FIGURES], wide)}\n\nfrom the soft prompt (share 0) to those words "
            f"(share 1)\n{curve}"
        )
    else:
        order = frame["reading"].eq("shuffled") & (
            (frame["difference_high"] < 0) | (frame["difference_low"] > 0)
        )
        main = frame[frame["reading"].isin(SHOWN) | order | frame["reading"].str.startswith(TYPED)]
        spans = {"95 %": [interval(row.share_low, row.share_high) for row in main.itertuples()]}
        columns = ["reading", "accuracy", "agreement", "difference", "kappa", "correlation", "share"]
        rest = f"{head}\n\n{table(main[columns].assign(**spans))}"
    return concluded(f"{result.prompt}: {result.conclusion}", rest, wide)


def _result(asked: Asked) -> "Readings[Faithfulness]":
    typed = asked.parameters(asked.reading)
    load_model(asked.session)
    if words := asked.typed["words"]:
        return asked.session.typed_words(**typed, words=words)
    return asked.session.faithfulness(**typed)


faithfulness = command(Command(FAITHFULNESS, _all, own=(WORDS,), result=_result))
