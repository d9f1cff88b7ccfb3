"""`neighbors`: the vocabulary pieces nearest to each prompt token."""

from typing import TYPE_CHECKING

from explorer.cli.output import paragraph, table
from explorer.cli.reading import Asked, Command, command, each
from explorer.readings import NEIGHBORS
from explorer.words.wording import count

if TYPE_CHECKING:
    import pandas as pd

    from explorer.analysis.neighbors import NearestNeighbors
    from explorer.prompt import SoftPrompt


def _of(asked: Asked, place: int) -> str:
    prompt = asked.session.prompts[place]
    return _text(prompt, asked.result[place], asked.session.vocabulary_of(prompt).name, asked.wide)


def _text(prompt: "SoftPrompt", found: "NearestNeighbors", model: str, wide: bool) -> str:
    """One line a prompt token: what it began as, its neighbors from the nearest on, how near the first is,
    what that is worth.
    """
    from explorer.report.tables import neighbor_table

    scale = "distance, smaller is closer" if found.metric == "l2" else "higher is closer"
    why = f"; {found.why}" if found.why else ""
    said, head = (
        f"{prompt.name}: {found.conclusion}",
        f"{count(found.token_ids.shape[1], 'nearest piece')} of {model}, {found.metric} ({scale}){why}",
    )
    shown = with_words(
        neighbor_table(prompt, found), ["first", "last", "margin", "p", "q"] if wide else ["first", "q"]
    )
    shown = shown if wide else shown.rename(columns={"first": found.metric})
    told = paragraph(said, found.disagreement, head)
    return f"{told}\n{table(shown, wide, ['neighbors'])}\n{paragraph(legend(shown))}".rstrip()


def with_words(near: "pd.DataFrame", scores: list[str]) -> "pd.DataFrame":
    """Position and origin of each token, its neighbors in one column, then some of the scores that are
    there.
    """
    ranks = [column for column in near if column.isdigit()]
    words = [", ".join(filter(None, row)) for row in near[ranks].to_numpy()]
    shown = near[["position", "source"]].rename(columns={"source": "began as"}).assign(neighbors=words)
    return shown.join(near[[column for column in scores if column in near]])


def legend(shown: "pd.DataFrame") -> str:
    """The marks that neighbors in this table have."""
    text = " ".join(shown["neighbors"])
    marks = {" *": "* a hub, near to much of the vocabulary", "·": "· a piece that begins no word"}
    return "; ".join(told for mark, told in marks.items() if mark in text)


neighbors = command(Command(NEIGHBORS, each(_of)))
