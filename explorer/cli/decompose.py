"""`decompose`: each prompt token as a sum of few words, beside what chance explains."""

from typing import TYPE_CHECKING

from explorer.cli.output import paragraph, table
from explorer.cli.reading import Asked, Command, command, tables
from explorer.readings import DECOMPOSE

if TYPE_CHECKING:
    from explorer.analysis.decomposition import Decomposition
    from explorer.prompt import SoftPrompt


def _all(asked: Asked) -> str:
    if asked.wide:
        return tables(asked)
    pairs = zip(asked.session.prompts, asked.result, strict=True)
    return "\n\n".join(_text(*pair) for pair in pairs)


def _text(prompt: "SoftPrompt", found: "Decomposition") -> str:
    """One prompt: what it comes to, then each token with its words and their weights."""
    import pandas as pd

    from explorer.report.tables import sources

    shown = pd.DataFrame(
        {"position": range(prompt.length), "began as": sources(prompt), "weight × word": found.sums()}
    )
    shown = shown.assign(energy=found.energy[:, -1], p=found.p[:, -1])
    return f"{paragraph(f'{prompt.name}: {found.conclusion}')}\n{table(shown, lists=['weight × word'])}"


decompose = command(Command(DECOMPOSE, _all))
