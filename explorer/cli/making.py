"""Commands that make things: soft prompts for a frozen model, and a small T5 from text."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import typer

from explorer.cli.choosing import values
from explorer.cli.options import Seed
from explorer.cli.output import note
from explorer.errors import DataError, ExplorerError, ModelError

if TYPE_CHECKING:
    from explorer.tasks import Task

Initialization = Literal["random", "sampled-vocab", "class-label"]

HELD_OUT_SHARE, HELD_OUT_SEED = 0.1, 0


def _count(option: str, text: str, least: int = 1) -> typer.models.OptionInfo:
    return typer.Option(option, min=least, help=text)


def pretrain(
    corpus: Annotated[
        list[str],
        typer.Option("--corpus", metavar="FILE[:WEIGHT]", show_default=False, help="Text, one passage a line, also .xz or .gz; may be repeated."),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", show_default=False, help="The model's folder; it appears when the model is whole.")],
    work: Annotated[
        Path | None, typer.Option("--work", metavar="DIR", show_default=False, help="Intermediate results; a stopped run resumes here. Default: OUT.work.")
    ] = None,
    supervised: Annotated[Path | None, typer.Option("--supervised", metavar="FILE", help="Rated texts to mix in as text-to-text tasks.")] = None,
    supervised_share: Annotated[float, typer.Option("--supervised-share", min=0.0, max=1.0, help="Share of batches from --supervised.")] = 0.2,
    vocabulary_size: Annotated[int, _count("--vocabulary-size", "SentencePiece pieces, without the 100 sentinels.", 200)] = 16_000,
    vocabulary_sample: Annotated[int, _count("--vocabulary-sample", "Passages the pieces are learned from.")] = 300_000,
    dimension: Annotated[int, _count("--dimension", "Embedding size H.")] = 256,
    heads: Annotated[int, _count("--heads", "Attention heads.")] = 8,
    feed_forward: Annotated[int, _count("--feed-forward", "Width of the feed-forward layers.")] = 640,
    encoder_layers: Annotated[int, _count("--encoder-layers", "Encoder layers.")] = 4,
    decoder_layers: Annotated[int, _count("--decoder-layers", "Decoder layers.")] = 2,
    window: Annotated[int, _count("--window", "Tokens of one training window.", 8)] = 128,
    batch: Annotated[int, _count("--batch", "Windows in a batch.")] = 64,
    tokens: Annotated[int, _count("--tokens", "Tokens to train on.")] = 40_000_000,
    learning_rate: Annotated[float, typer.Option("--lr", help="Peak learning rate of AdamW.")] = 1e-3,
    embedding_learning_rate: Annotated[float, typer.Option("--embedding-lr", help="Peak learning rate of the warm-started embeddings.")] = 3e-4,
    warm_up_steps: Annotated[int, _count("--warm-up-steps", "Steps of linear warm-up.")] = 300,
    probe_train: Annotated[Path | None, typer.Option("--probe-train", metavar="FILE", help="Labelled texts a linear probe of the encoder learns.")] = None,
    probe_dev: Annotated[Path | None, typer.Option("--probe-dev", metavar="FILE", help="Labelled texts it is measured on.")] = None,
    seed: Seed = 0,
    compile: Annotated[bool, typer.Option("--compile/--no-compile", help="Compile the model: faster, but needs a C++ compiler.")] = True,
) -> None:
    """Make a small T5 from text files; a stopped run resumes."""
    if dimension % heads:
        raise typer.BadParameter(f"{dimension} cannot be divided among {heads} heads; expected a multiple", param_hint="--dimension")
    if (probe_train is None) != (probe_dev is None):
        raise typer.BadParameter("found one of --probe-train and --probe-dev; expected both or neither")
    corpora = tuple(_weighted(text) for text in corpus)
    if len({path.name for path, _ in corpora}) < len(corpora):  # their token streams are kept under the file's name
        raise typer.BadParameter("found two files of the same name; expected different ones", param_hint="--corpus")
    for path in (path for path in (supervised, probe_train, probe_dev) if path is not None):
        if not path.is_file():
            raise DataError(f"{path}: no such file; expected labelled texts")
    if out.exists():
        raise ModelError(f"{out} exists already; choose another --out or move it away")
    if not out.parent.is_dir():
        raise ModelError(f"{out}: there is no folder {out.parent}; make it first or choose another --out")
    from explorer.pretraining.pipeline import PretrainingConfig
    from explorer.pretraining.pipeline import pretrain as run

    config = PretrainingConfig(
        corpora=corpora,
        supervised=supervised,
        supervised_share=supervised_share,
        vocabulary_size=vocabulary_size,
        vocabulary_sample=vocabulary_sample,
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
        warm_up_steps=warm_up_steps,
        seed=seed,
        probe=None if probe_train is None else (probe_train, probe_dev),
        compile=compile,
    )
    work = work or out.with_name(out.name + ".work")
    note(f"intermediate results are kept in {work}; the same command resumes a stopped run")
    try:
        run(config, out, work)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"the same command goes on from what is in {work}") from None
    note(f"wrote {out}")


def _weighted(text: str) -> tuple[Path, float]:
    """FILE[:WEIGHT]. Raises DataError for a missing file, typer.BadParameter for a weight that is no positive number."""
    name, colon, weight = text.rpartition(":")
    if not colon or Path(text).is_file():
        name, weight = text, "1"
    try:
        share = float(weight)
    except ValueError:
        share = 0.0
    if not 0 < share < float("inf"):
        raise typer.BadParameter(f"found the weight {weight!r}; expected FILE:WEIGHT with a positive number", param_hint="--corpus")
    if not Path(name).is_file():
        raise DataError(f"{name}: no such file; expected a text file to learn from")
    return Path(name), share


def train(
    model: Annotated[str, typer.Option("--model", metavar="M", show_default=False, help="Model folder, name under checkpoints/models, or Hugging Face id.")],
    data: Annotated[str, typer.Option("--data", metavar="FILE", show_default=False, help="TSV, CSV or JSONL with text and label, or hf:NAME[/CONFIG]:SPLIT.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", show_default=False, help="Prompts go to DIR/TASK/NAME; finished ones are skipped.")],
    dev: Annotated[str | None, typer.Option("--dev", metavar="FILE", help="Labelled texts that choose the best step. Default: a tenth of --data.")] = None,
    init: Annotated[list[str] | None, typer.Option("--init", metavar="I", help="random, sampled-vocab or class-label; may be repeated.")] = None,
    seeds: Annotated[str, typer.Option("--seeds", metavar="S,S", help="One run for each initialization and seed.")] = "0,1,2",
    task: Annotated[str | None, typer.Option("--task", metavar="NAME", help="What the task is called. Default: the name of --data.")] = None,
    tune: Annotated[Literal["prompt", "model"], typer.Option("--tune", help="Tune prompts, or every weight of a copy of the model.")] = "prompt",
    length: Annotated[str, typer.Option("--length", metavar="P[,P]", help="Prompt tokens; several lengths are tuned one after the other.")] = "20",
    steps: Annotated[int, _count("--steps", "Optimizer steps of each run.")] = 1000,
    patience: Annotated[int | None, typer.Option("--patience", min=1, help="End a run after so many measurements without a better one.")] = None,
    learning_rate: Annotated[
        float | None, typer.Option("--lr", help="Learning rate of Adafactor. Default: 0.3, which suits T5 1.1; 0.001 with --tune model.", show_default=False)
    ] = None,
    schedule: Annotated[
        Literal["constant", "linear"], typer.Option("--schedule", help="Of the learning rate: constant as in the paper, or linear down to 0.")
    ] = "constant",
    batch_size: Annotated[int, _count("--batch-size", "Texts in a batch of each run.")] = 32,
    evaluate_every: Annotated[int, _count("--evaluate-every", "Steps between measurements on dev.")] = 50,
    saved_points: Annotated[int, _count("--saved-points", "Points of a prompt's trajectory that are kept, besides the best and the last.", 2)] = 10,
    dev_examples: Annotated[int | None, typer.Option("--dev-examples", min=1, help="Texts of dev to measure on, drawn by a fixed seed. Default: all.")] = None,
    read_as: Annotated[
        str | None, typer.Option("--read-as", metavar="TEXT", help="Tune wayward prompts instead: they start as this sentence and are pulled towards it.")
    ] = None,
    pull: Annotated[float, typer.Option("--pull", min=0.0, help="Weight of that pull: times the mean squared distance to the sentence's rows.")] = 0.01,
) -> None:
    """Tune soft prompts for a frozen T5.

    Every initialization with every seed; a stopped call resumes. Under `accelerate launch` the runs are spread over its processes.
    """
    if read_as is not None and init:
        raise typer.BadParameter("found --init and --read-as; a prompt that is to read as a sentence starts as that sentence", param_hint="--init")
    if tune == "model" and (init or read_as is not None):
        raise typer.BadParameter("found --tune model with --init or --read-as; a model that is tuned itself has no prompt", param_hint="--tune")
    initializations = _initializations(init) if read_as is None else ["sentence"]
    chosen_seeds, lengths = _naturals(seeds, "--seeds"), _naturals(length, "--length", least=1)
    if task is not None and (task in ("", ".", "..") or "/" in task or not task.isprintable()):
        raise typer.BadParameter(f"found {task!r}; expected a name that can be a folder's", param_hint="--task")
    rate = learning_rate if learning_rate is not None else 0.001 if tune == "model" else 0.3
    if not 0 < rate < float("inf"):
        raise typer.BadParameter(f"found {rate}; expected a positive number", param_hint="--lr")
    if not 0 <= pull < float("inf"):
        raise typer.BadParameter(f"found {pull}; expected 0 or more", param_hint="--pull")
    if out.exists() and not out.is_dir():
        raise ExplorerError(f"{out}: is a file; expected a folder for the prompts")
    examples, held_out = _examples(data, dev)
    name = _lasting_name(model)
    from explorer.cli.processes import Processes
    from explorer.models.encoder_decoder import FrozenT5
    from explorer.tasks import task_name as named
    from explorer.tuning.settings import Run, TuningConfig
    from explorer.vocabulary import Vocabulary

    processes = Processes()
    config = TuningConfig(
        steps=steps,
        learning_rate=rate,
        schedule=schedule,
        batch_size=batch_size,
        evaluate_every=evaluate_every,
        patience=patience,
        saved_points=saved_points,
        dev_examples=dev_examples,
        read_as=read_as,
        pull=0.0 if read_as is None else pull,
    )
    frozen, vocabulary, task_name = FrozenT5.load(name, device=processes.device), Vocabulary.load(name), task or named(data)
    said = {"out": out, "progress": processes.note}
    folders: list[Path] = []
    try:
        with processes.failing_together():
            if tune == "model":
                from explorer.tuning.whole_models import tune_models_to_folder

                folders += tune_models_to_folder(frozen, vocabulary, examples, held_out, processes.share(chosen_seeds), config, task_name, **said)
            else:
                from explorer.tuning.tune import tune_to_folder

                runs = [(one, Run(initialization, seed)) for one in lengths for initialization in initializations for seed in chosen_seeds]
                mine = processes.share(runs)
                for one in lengths:
                    if one < len(examples.labels) and "class-label" in initializations:
                        processes.note(f"class-label with {one} tokens starts as the first {one} of {len(examples.labels)} labels")
                    wanted = [run for length, run in mine if length == one]
                    if wanted:
                        folders += tune_to_folder(frozen, vocabulary, examples, held_out, wanted, replace(config, length=one), task_name, **said)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"what is finished is in {out}; the same command goes on from its last measurement") from None
    for folder in processes.gathered(folders):
        typer.echo(folder)


def _initializations(init: list[str] | None) -> list[str]:
    """The initializations asked for, all by default. Raises typer.BadParameter for an unknown one."""
    known = get_args(Initialization)
    found = [name for text in init or known for name in values(text, "--init")]
    for name in found:
        if name not in known:
            raise typer.BadParameter(f"found {name!r}; expected {', '.join(known)}", param_hint="--init")
    return list(dict.fromkeys(found))


def _naturals(text: str, option: str, least: int = 0) -> list[int]:
    """Numbers with commas between them. Raises typer.BadParameter for what is no natural number, or one below `least`."""
    found = values(text, option)
    if not all(number.isascii() and number.isdigit() and least <= int(number) < 2**32 for number in found):
        such_as = ",".join(str(least + number) for number in range(3))
        raise typer.BadParameter(f"found {text!r}; expected natural numbers with commas between them, such as {such_as}", param_hint=option)
    return list(dict.fromkeys(int(number) for number in found))


def _examples(data: str, dev: str | None) -> "tuple[Task, Task]":
    """Texts to train on and texts to choose the best step by. Raises DataError when they cannot be used."""
    from explorer.tasks import read_task

    examples = read_task(data)
    if dev is not None:
        return examples, read_task(dev, examples.labels)
    kept, held_out = _hold_out(examples)
    note(f"no --dev: {len(held_out)} of {len(examples)} texts of {data} held out as dev (seed {HELD_OUT_SEED})")
    return kept, held_out


def _hold_out(task: "Task") -> "tuple[Task, Task]":
    """The task without a tenth of its examples, and that tenth: drawn by a fixed seed, so that all runs share it.

    Raises DataError when there are too few examples to part.
    """
    import numpy as np

    if len(task) < 10:
        raise DataError(f"{task.name}: {len(task)} examples; expected at least 10 to hold a tenth out, or a dev file with --dev")
    order = np.random.default_rng(HELD_OUT_SEED).permutation(len(task))
    held = set(order[: len(task) // 10].tolist())

    def part(inside: bool) -> "Task":
        chosen = [n for n in range(len(task)) if (n in held) == inside]
        return replace(task, texts=tuple(task.texts[n] for n in chosen), answers=tuple(task.answers[n] for n in chosen))

    return part(False), part(True)


def _lasting_name(model: str) -> str:
    """How prompts record their base model: a bundled model's name, a hub id, or a folder's full path."""
    from explorer.files import MODELS
    from explorer.models.loading import model_folder

    folder = model_folder(model, weights=True)
    if folder.parent == MODELS:
        return folder.name
    return str(folder) if Path(model).is_dir() else model
