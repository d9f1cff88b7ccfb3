"""`clusters`: does a token lie among words that belong together, and do the tokens repeat each other?"""

from typing import TYPE_CHECKING

from explorer.cli.neighbors import legend
from explorer.cli.options import Csv, Json, K, Model, Nulls, Overwrite, Prompts, Revision, Seed, Wide
from explorer.cli.output import Output, paragraph, records, table
from explorer.cli.session import open_session
from explorer.words.wording import count

if TYPE_CHECKING:
    from explorer.analysis.clusters import Clusters
    from explorer.analysis.redundancy import Redundancy
    from explorer.session import Session


def clusters(
    prompts: Prompts,
    k: K = 10,
    nulls: Nulls = 1000,
    seed: Seed = 0,
    model: Model = None,
    revision: Revision = None,
    wide: Wide = False,
    as_json: Json = False,
    csv: Csv = None,
    overwrite: Overwrite = False,
) -> None:
    """Test whether tokens lie among words that belong together.

    The five words nearest to a token in the whitened space are near to it and to each other, more than those
    of random vectors: p, and q over the tokens. The whole prompt is compared with random rotations of itself.
    Redundancy: neighbors that positions share, against independent tokens.
    """
    output = Output(as_json, csv, overwrite=overwrite)
    session = open_session(prompts, model, k=k, nulls=nulls, seed=seed, revision=revision)
    for prompt in session.prompts:
        session.progress(
            f"{prompt.name}: comparing with {count(nulls, 'vector')} of each null distribution, with "
            "random rotations and independent tokens"
        )
        session.only(prompt.name).clusters()
        session.only(prompt.name).redundancy()
    import pandas as pd

    positions, repeated = session.clusters().to_frame(), session.redundancy().to_frame()
    whole = pd.concat([one.prompt_frame() for one in session.clusters()], ignore_index=True)

    def text() -> str:
        if not wide:
            return "\n\n".join(_text(session.only(prompt.name)) for prompt in session.prompts)
        said = [
            _conclusion(one, *rest)
            for one, *rest in zip(session.clusters(), session.redundancy(), strict=True)
        ]
        return "\n\n".join(
            [*(table(frame, wide) for frame in (positions, whole, repeated)), paragraph(*said)]
        )

    def content() -> dict[str, object]:
        tables = {"positions": records(positions), "prompts": records(whole), "redundancy": records(repeated)}
        return {"conclusion": session.clusters().conclusions, **tables}

    output.write(content, lambda: positions, text)


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
