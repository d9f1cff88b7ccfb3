"""`clusters`: does a token lie among words that belong together, and do the tokens repeat each other?"""

from typing import TYPE_CHECKING

from explorer.cli.neighbors import legend
from explorer.cli.output import paragraph, table
from explorer.cli.reading import Asked, Command, command
from explorer.readings import CLUSTERS, REDUNDANCY
from explorer.words.wording import count

if TYPE_CHECKING:
    from explorer.analysis.clusters import Clusters
    from explorer.analysis.redundancy import Redundancy
    from explorer.session import Session


def _ready(asked: Asked) -> None:
    """Say what takes long, prompt by prompt."""
    session = asked.session
    for prompt in session.prompts:
        session.progress(
            f"{prompt.name}: comparing with {count(session.settings.nulls, 'vector')} of each null "
            "distribution, with random rotations and independent tokens"
        )
        session.only(prompt.name).clusters()
        session.only(prompt.name).redundancy()


def _all(asked: Asked) -> str:
    session = asked.session
    if not asked.wide:
        return "\n\n".join(_text(session.only(prompt.name)) for prompt in session.prompts)
    pairs = zip(asked.result, asked.of(REDUNDANCY), strict=True)
    frames = [one.frame(asked.of(reading)) for reading in asked.shown for one in reading.tables]
    said = paragraph(*(_conclusion(*pair) for pair in pairs))
    return "\n\n".join([*(table(frame, True) for frame in frames), said])


def _text(session: "Session") -> str:
    """One prompt: what it comes to, then each token with the group of words that is judged."""
    import pandas as pd

    from explorer.report.tables import group_words, sources

    (prompt,), (found,) = session.prompts, session.clusters()
    shown = pd.DataFrame({"position": range(prompt.length), "began as": sources(prompt)})
    shown = shown.assign(
        neighbors=group_words(found),
        nearness=found.statistic,
        q=found.q,
        kind=found.kind,
    )
    said = paragraph(_conclusion(found, session.redundancy()[0]))
    return f"{said}\n{table(shown, lists=['neighbors'])}\n{paragraph(legend(shown))}".rstrip()


def _conclusion(found: "Clusters", repeated: "Redundancy") -> str:
    """What is significant of one prompt."""
    said = f"{found.prompt}: {found.conclusion}"
    return said if len(found.p) == 1 else f"{said} {repeated.conclusion}"


clusters = command(Command(CLUSTERS, _all, ready=_ready))
