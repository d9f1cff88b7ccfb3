"""`faithfulness`: what remains of a prompt when its nearest words stand in its place."""

from typing import TYPE_CHECKING

from explorer.cli.output import concluded, interval, paragraph, table
from explorer.cli.reading import Asked, Command, command
from explorer.readings import FAITHFULNESS
from explorer.words.wording import count

if TYPE_CHECKING:
    import pandas as pd

    from explorer.evaluation.faithfulness import Faithfulness

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
]


def _all(asked: Asked) -> str:
    (prompt,), (result,) = asked.session.prompts, asked.result
    if prompt.initial is None:
        asked.session.progress(
            f"{prompt.name}: no initial vectors were saved, so the reading `initial` is left out"
        )
    return _text(result, result.to_frame(), asked.wide)


def _text(result: "Faithfulness", frame: "pd.DataFrame", wide: bool) -> str:
    """What the words are worth, then one line for everything that stood in the prompt's place."""
    from explorer.evaluation.faithfulness import NORM_KEPT
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
        main = frame[~frame["reading"].str.endswith(NORM_KEPT)]
        spans = {"95 %": [interval(row.difference_low, row.difference_high) for row in main.itertuples()]}
        columns = ["reading", "accuracy", "agreement", "kl", "difference"]
        rest = f"{head}\n\n{table(main[columns].assign(**spans))}"
    return concluded(f"{result.prompt}: {result.conclusion}", rest, wide)


faithfulness = command(Command(FAITHFULNESS, _all))
