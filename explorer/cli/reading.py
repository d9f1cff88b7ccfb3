"""Commands that read prompts without running them: what is here, what it is near to, and what that is worth."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from explorer.cli.choosing import Vocabularies, read_prompts, values
from explorer.cli.options import PROMPT_HELP, Csv, Json, K, Key, Labels, Metric, Model, Nulls, Overwrite, Prompts, Seed
from explorer.cli.output import Output, cell, frame_table, note, plain, printable, records, table
from explorer.files import check_target, write_file

if TYPE_CHECKING:
    import pandas as pd

    from explorer.analysis.neighbors import NearestNeighbors
    from explorer.prompt import SoftPrompt
    from explorer.vocabulary import Vocabulary


def prompts(
    folder: Annotated[str | None, typer.Argument(metavar="DIR", show_default=False, help="Where to look. Default: checkpoints/prompts.")] = None,
    as_json: Json = False,
    csv: Csv = None,
    overwrite: Overwrite = False,
) -> None:
    """List the prompts found below a folder, one row each."""
    output = Output(as_json, csv, overwrite=overwrite)
    from explorer.formats import find_prompts
    from explorer.report.tables import list_prompts

    frame = list_prompts(find_prompts(folder))
    if frame.empty:
        note(f"no prompts below {folder or 'checkpoints/prompts'}")
    shown = ["name", "format", "base_model", "task", "initialization", "seed", "length", "dimension", "step", "dev_accuracy", "error"]
    output.write(lambda: records(frame), lambda: frame, lambda: frame_table(frame, shown if frame["error"].notna().any() else shown[:-1]))


def inspect(
    path: Annotated[str, typer.Argument(metavar="PATH", show_default=False, help=PROMPT_HELP)],
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Say what was read: format, shape, origin, norms, warnings."""
    output = Output(as_json)
    from explorer.formats import read_prompt
    from explorer.report.tables import card_in_words, what_was_read

    prompt = read_prompt(path, key)
    lines = {"name": prompt.name, **card_in_words(prompt)}
    output.write(lambda: plain(what_was_read(prompt)), text=lambda: "\n".join(f"{name.ljust(14)}  {printable(word)}" for name, word in lines.items()))


def convert(
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", show_default=False, help=PROMPT_HELP)],
    out: Annotated[Path, typer.Argument(metavar="OUT", show_default=False, help="The folder (peft) or file to write.")],
    to: Annotated[Literal["peft", "numpy", "safetensors"], typer.Option("--to", show_default=False, help="What to write.")],
    key: Key = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a prompt in another format.

    peft: an adapter folder, with all that is known of the prompt. numpy: the array as .npy. safetensors: one array, prompt_embeddings.
    """
    if to != "peft":
        check_target(out, overwrite)
    import explorer
    from explorer.formats import peft, read_prompt, writing

    read = read_prompt(prompt, key)
    if to == "peft":
        peft.write(read, out, {"explorer": explorer.__version__}, overwrite)
        note(f"wrote {out}")
    else:
        write_file(out, writing.as_npy(read) if to == "numpy" else writing.as_safetensors(read), overwrite)
        note(f"wrote {out}")


def neighbors(
    prompts: Prompts,
    k: K = 10,
    metric: Annotated[Metric, typer.Option("--metric", help="Similarity; l2 is a distance, smaller is closer.")] = "cosine",
    include_special: Annotated[bool, typer.Option("--include-special", help="Search control pieces, sentinels and padding rows too.")] = False,
    merge_variants: Annotated[bool, typer.Option("--merge-variants", help="Leave out a piece that is a nearer one but for case or leading space.")] = False,
    nulls: Annotated[int, typer.Option("--nulls", min=0, help="Random vectors that cosine and csls are compared with; 0: none.")] = 1000,
    seed: Seed = 0,
    model: Model = None,
    csv: Csv = None,
    as_json: Json = False,
    overwrite: Overwrite = False,
) -> None:
    """List the vocabulary pieces nearest to each prompt token.

    The search is exact, over every piece that stands for text.
    """
    output = Output(as_json, csv, overwrite=overwrite)
    import pandas as pd

    from explorer.analysis.neighbors import nearest_neighbors

    vocabularies = Vocabularies(model)
    found = [
        (prompt, vocabulary, nearest_neighbors(prompt, vocabulary, k, metric, include_special, merge_variants, nulls, seed))
        for prompt in read_prompts(prompts)
        for vocabulary in [vocabularies.of(prompt)]
    ]

    def frame() -> "pd.DataFrame":
        return pd.concat([result.to_frame() for _, _, result in found], ignore_index=True)

    output.write(lambda: records(frame()), frame, lambda: "\n\n".join(_neighbor_table(*one) for one in found))


def _neighbor_table(prompt: "SoftPrompt", vocabulary: "Vocabulary", result: "NearestNeighbors") -> str:
    """One line a prompt token: its neighbors from the nearest on, and how near the first and the last are."""
    scale = "distance, smaller is closer" if result.metric == "l2" else "higher is closer"
    head = f"{printable(prompt.name)}: {result.token_ids.shape[1]} nearest pieces of {printable(vocabulary.name)}, {result.metric} ({scale})"
    sources = prompt.origin.rows or [None] * prompt.length
    first, last, p, q = result.similarity[:, 0], result.similarity[:, -1], result.p[:, 0], result.q[:, 0]
    lines = [(n, source, first[n], last[n], p[n], q[n], _marked(result, n)) for n, source in enumerate(sources)]
    foot = "* a hub: near to much. p, q of the first neighbor, against random vectors with the vocabulary's mean and covariance"
    return f"{head}\n{table(['position', 'initialized from', 'first', 'last', 'p', 'q', 'neighbors'], lines)}\n{foot}"


def _marked(result: "NearestNeighbors", position: int) -> str:
    """The neighbors of a token, hubs with an asterisk."""
    return " ".join(piece + "*" * bool(hub) for piece, hub in zip(result.pieces[position], result.hub[position], strict=True))


def clusters(
    prompts: Prompts,
    k: K = 10,
    nulls: Nulls = 1000,
    seed: Seed = 0,
    model: Model = None,
    as_json: Json = False,
    csv: Csv = None,
    overwrite: Overwrite = False,
) -> None:
    """Measure coherence of neighbors and redundancy of positions.

    Coherence: mean pairwise cosine among a token's k neighbors; p against random vectors with the vocabulary's mean and
    covariance, q after Benjamini–Hochberg. Redundancy: neighbors that positions share, against random rotations.
    """
    output = Output(as_json, csv, overwrite=overwrite)
    import pandas as pd

    from explorer.analysis.clusters import coherence, redundancy

    vocabularies, coherent, redundant = Vocabularies(model), [], []
    for prompt in read_prompts(prompts):
        vocabulary = vocabularies.of(prompt)
        note(f"{prompt.name}: comparing with {nulls:,} vectors of each null, and with random rotations")
        coherent.append(coherence(prompt, vocabulary, k, nulls, seed))
        redundant.append(redundancy(prompt, vocabulary, k, seed=seed))
    positions = pd.concat([result.to_frame() for result in coherent], ignore_index=True)
    repeated = pd.concat([result.to_frame() for result in redundant], ignore_index=True)

    def text() -> str:
        means = "\n".join(f"{printable(c.prompt)}: mean coherence of the null {cell(c.null_mean)} (Gaussian of the vocabulary, k {c.k})" for c in coherent)
        return f"{frame_table(positions)}\n\n{means}\n\n{frame_table(repeated)}"

    output.write(lambda: {"positions": records(positions), "redundancy": records(repeated)}, lambda: positions, text)


def labels(
    prompts: Prompts,
    labels: Labels = None,
    other_labels: Annotated[str | None, typer.Option("--other-labels", metavar="A,B", help="Labels of other tasks, a baseline of persistence.")] = None,
    nulls: Nulls = 1000,
    seed: Seed = 0,
    model: Model = None,
    as_json: Json = False,
    csv: Csv = None,
    overwrite: Overwrite = False,
) -> None:
    """Rank the class labels and say whether they persist.

    Similarity is the cosine to the mean of a label's pieces; rank 1 means nearer than every piece of the vocabulary.
    """
    output = Output(as_json, csv, overwrite=overwrite)
    import pandas as pd

    from explorer.analysis.labels import in_words, read_labels

    vocabularies, chosen = Vocabularies(model), tuple(values(labels, "--labels")) or None
    read, others = read_prompts(prompts), tuple(values(other_labels, "--other-labels"))
    readings = [read_labels(prompt, vocabularies.of(prompt), chosen, nulls, seed, others) for prompt in read]
    similarities = pd.concat([reading.to_frame() for reading in readings], ignore_index=True)
    persistence = pd.concat([reading.persistence_frame() for reading in readings], ignore_index=True)
    dispersion = pd.concat([reading.dispersion_frame() for reading in readings], ignore_index=True)

    def text() -> str:
        kept = frame_table(persistence) if len(persistence) else "persistence: no prompt token was initialized from a class label"
        told = "\n".join(printable(in_words([reading], one.origin.initialization)) for reading, one in zip(readings, read, strict=True))
        return f"{frame_table(similarities)}\n\n{kept}\n\n{frame_table(dispersion)}\n\n{told}"

    def content() -> dict[str, object]:
        return {"similarities": records(similarities), "persistence": records(persistence), "dispersion": records(dispersion)}

    output.write(content, lambda: similarities, text)
