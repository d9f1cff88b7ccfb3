"""`python -m research.pretraining`: make a small T5 from text files; a stopped run resumes."""

from pathlib import Path
from typing import Annotated

import typer

from explorer.errors import DataError, ExplorerError, ModelError
from research.pretraining.pipeline import pretrain
from research.pretraining.preparation import MIXTURE, PretrainingConfig

DEFAULTS = PretrainingConfig(corpora=())


def _count(option: str, text: str, least: int = 1) -> typer.models.OptionInfo:
    return typer.Option(option, min=least, help=text)


def main(
    corpus: Annotated[
        list[str],
        typer.Option(
            "--corpus",
            metavar="FILE[:WEIGHT]",
            help="Text, one passage a line, also .xz or .gz; may be repeated.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", metavar="DIR", help="The model's folder; it appears when the model is whole."),
    ],
    work: Annotated[
        Path | None,
        typer.Option(
            "--work",
            metavar="DIR",
            help="Intermediate results; a stopped run resumes here. Default: OUT.work.",
        ),
    ] = None,
    supervised: Annotated[
        Path | None,
        typer.Option("--supervised", metavar="FILE", help="Rated texts to mix in as text-to-text tasks."),
    ] = None,
    vocabulary: Annotated[
        Path | None,
        typer.Option(
            "--vocabulary", metavar="FILE", help="A SentencePiece model to take instead of training one."
        ),
    ] = None,
    vocabulary_size: Annotated[
        int, _count("--vocabulary-size", "SentencePiece pieces, without the 100 sentinels.", 200)
    ] = DEFAULTS.vocabulary_size,
    dimension: Annotated[int, _count("--dimension", "Embedding size H.")] = DEFAULTS.dimension,
    heads: Annotated[int, _count("--heads", "Attention heads.")] = DEFAULTS.heads,
    feed_forward: Annotated[
        int, _count("--feed-forward", "Width of the feed-forward layers.")
    ] = DEFAULTS.feed_forward,
    encoder_layers: Annotated[int, _count("--encoder-layers", "Encoder layers.")] = DEFAULTS.encoder_layers,
    decoder_layers: Annotated[int, _count("--decoder-layers", "Decoder layers.")] = DEFAULTS.decoder_layers,
    window: Annotated[int, _count("--window", "Tokens of one training window.", 8)] = DEFAULTS.window,
    batch: Annotated[int, _count("--batch", "Windows in a batch.")] = DEFAULTS.batch,
    tokens: Annotated[int, _count("--tokens", "Tokens to train on.")] = DEFAULTS.tokens,
    learning_rate: Annotated[
        float, typer.Option("--lr", help="Peak learning rate of Muon, for the matrices.")
    ] = DEFAULTS.learning_rate,
    embedding_learning_rate: Annotated[
        float, typer.Option("--embedding-lr", help="Peak learning rate of AdamW, for embeddings and scales.")
    ] = DEFAULTS.embedding_learning_rate,
    probe: Annotated[
        Path | None,
        typer.Option(
            "--probe",
            metavar="DIR",
            help="Folder of train.tsv and dev.tsv for a linear probe of the encoder.",
        ),
    ] = None,
    trial: Annotated[
        Path | None,
        typer.Option(
            "--trial",
            metavar="DIR",
            help="Folder of train.tsv and dev.tsv to tune a prompt on at the end: can it steer the model?",
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random.")] = 0,
    compile: Annotated[
        bool,
        typer.Option("--compile/--no-compile", help="Compile the model: faster, but needs a C++ compiler."),
    ] = True,
) -> None:
    """Make a small T5 from text files; a stopped run resumes."""
    if dimension % heads:
        raise DataError(f"{dimension} cannot be divided among {heads} heads; expected a multiple")
    if out.exists():
        raise ModelError(f"{out} exists already; choose another folder or move it away")
    corpora = tuple(_weighted(text) for text in corpus)
    if len({path.name for path, _ in corpora}) < len(
        corpora
    ):  # their token streams are kept under the file's name
        raise DataError("found two files of the same name; expected different ones")
    config = PretrainingConfig(
        corpora=corpora,
        supervised=supervised,
        mixture=MIXTURE,
        vocabulary_size=vocabulary_size,
        dimension=dimension,
        heads=heads,
        feed_forward=feed_forward,
        encoder_layers=encoder_layers,
        decoder_layers=decoder_layers,
        window=window,
        batch=batch,
        tokens=tokens,
        learning_rate=learning_rate,
        embedding_learning_rate=embedding_learning_rate,
        seed=seed,
        probe=_pair(probe),
        trial=_pair(trial),
        compile=compile,
    )
    work = work or out.with_name(out.name + ".work")
    typer.echo(f"intermediate results are kept in {work}; the same command resumes a stopped run", err=True)
    try:
        pretrain(config, out, work, vocabulary)
    except KeyboardInterrupt:
        typer.echo(f"interrupted; the same command resumes from {work}", err=True)
        raise typer.Exit(130) from None
    typer.echo(f"wrote {out}", err=True)


def _weighted(text: str) -> tuple[Path, float]:
    """FILE[:WEIGHT]. Raises DataError for a missing file or a weight that is not a positive number."""
    name, colon, weight = text.rpartition(":")
    if not colon or Path(text).is_file():
        name, weight = text, "1"
    try:
        share = float(weight)
    except ValueError:
        share = 0.0
    if not 0 < share < float("inf"):
        raise DataError(f"found the weight {weight!r}; expected FILE:WEIGHT with a positive number")
    if not Path(name).is_file():
        raise DataError(f"{name}: no such file; expected a text file to learn from")
    return Path(name), share


def _pair(folder: Path | None) -> tuple[Path, Path] | None:
    """train.tsv and dev.tsv of a folder. Raises DataError where one is missing."""
    if folder is None:
        return None
    files = folder / "train.tsv", folder / "dev.tsv"
    for file in files:
        if not file.is_file():
            raise DataError(f"{file}: no such file; expected labelled texts")
    return files


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command()(main)
    try:
        app(prog_name="python -m research.pretraining")
    except ExplorerError as error:
        typer.echo(f"Error: {error}", err=True)
        raise SystemExit(1) from error
