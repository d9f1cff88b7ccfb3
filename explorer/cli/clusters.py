"""`clusters`: do a token's neighbors belong together, and do the tokens repeat each other?"""

from typing import TYPE_CHECKING

from explorer.cli.neighbors import legend, with_words
from explorer.cli.options import Csv, Json, K, Model, Nulls, Overwrite, Prompts, Seed, Wide
from explorer.cli.output import Output, cell, paragraph, records, table
from explorer.cli.session import open_session
from explorer.wording import count

if TYPE_CHECKING:
    from explorer.analysis.clusters import Coherence, Redundancy
    from explorer.session import Session


def clusters(
    prompts: Prompts,
    k: K = 10,
    nulls: Nulls = 1000,
    seed: Seed = 0,
    model: Model = None,
    wide: Wide = False,
    as_json: Json = False,
    csv: Csv = None,
    overwrite: Overwrite = False,
) -> None:
    """Measure coherence of neighbors and redundancy of positions.

    Coherence: mean pairwise cosine among a token's k neighbors; p against random vectors with the vocabulary's mean and
    covariance, q after Benjamini–Hochberg. Redundancy: neighbors that positions share, against random rotations.
    """
    output = Output(as_json, csv, overwrite=overwrite)
    session = open_session(prompts, model, k=k, nulls=nulls, seed=seed)
    for prompt in session.prompts:
        session.progress(f"{prompt.name}: comparing with {count(nulls, 'vector')} of each null distribution, and with random rotations")
        session.only(prompt.name).clusters()
        session.only(prompt.name).redundancy()
    positions, repeated = session.clusters().to_frame(), session.redundancy().to_frame()

    def text() -> str:
        if not wide:
            return "\n\n".join(_text(session.only(prompt.name)) for prompt in session.prompts)
        means = [
            f"{one.prompt}: mean coherence of the null distribution {cell(one.null_mean)} (vocabulary's Gaussian, k {one.k})" for one in session.clusters()
        ]
        said = [_conclusion(one, *rest) for one, *rest in zip(session.clusters(), session.redundancy(), strict=True)]
        return f"{table(positions, wide)}\n\n{paragraph(*means)}\n\n{table(repeated, wide)}\n\n{paragraph(*said)}"

    output.write(lambda: {"positions": records(positions), "redundancy": records(repeated)}, lambda: positions, text)


def _text(session: "Session") -> str:
    """One prompt: each token with the words that are judged, and what they come to."""
    from explorer.report.tables import neighbor_table

    (prompt,), (found,) = session.prompts, session.clusters()
    near = neighbor_table(prompt, session.change(metric="cosine", nulls=0).neighbors()[0])
    shown = with_words(near, []).assign(coherence=found.coherence, q=found.q, kind=found.kind)
    head = f"{prompt.name}: coherence of the {count(found.k, 'nearest piece')} of each token (1 all alike; random vectors have {cell(found.null_mean)})"
    return f"{paragraph(head)}\n{table(shown, lists=['neighbors'])}\n{paragraph(_conclusion(found, session.redundancy()[0]), legend(shown))}"


def _conclusion(found: "Coherence", repeated: "Redundancy") -> str:
    """What is significant of one prompt."""
    from explorer.analysis.nulls import SIGNIFICANT_AT

    coherent, length = int(found.significant.sum()), len(found.coherence)
    of_kind = [f"{found.kind.count(kind)} {kind}" for kind in ("semantic", "lexical") if kind in found.kind]
    kinds = f": {', '.join(of_kind)}" if of_kind else ""
    verb = "has" if 1 in (coherent, length) else "have"
    said = f"{found.prompt}: {coherent} of {count(length, 'token')} {verb} coherent neighbors (significant at FDR 5 %){kinds}."
    if length == 1:
        return said
    more = "more" if repeated.p <= SIGNIFICANT_AT else "no more"
    return f"{said} Tokens share {more} neighbors than under random rotations (p {cell(repeated.p)}); effective rank {repeated.effective_rank:.1f} of {length}."
