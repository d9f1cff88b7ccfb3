"""`train`: soft prompts for a frozen model, or whole models to compare them with."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from explorer.choices import INITIALIZATIONS, LONGEST_INPUT, Schedule
from explorer.cli import options
from explorer.cli.labelled import Columns
from explorer.cli.output import note
from explorer.cli.processes import Processes
from explorer.errors import WriteError
from explorer.words.wording import count

if TYPE_CHECKING:
    from explorer.context import Loader
    from explorer.texts.tasks import Task
    from explorer.tuning.settings import TuningConfig


PROMPT_RATES = {"encoder-decoder": 0.3, "decoder-only": 0.01}
"""learning rates that suit embeddings as large as those of T5 1.1, and as small as those of most language
models
"""
MODEL_RATE = 0.001


def _count(option: str, text: str, least: int = 1) -> typer.models.OptionInfo:
    return typer.Option(option, min=least, help=text)


def train(
    model: options.BaseModel,
    data: options.Data,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="DIR",
            show_default=False,
            help="Prompts go to DIR/TASK/NAME; finished ones are skipped.",
        ),
    ],
    dev: Annotated[
        str | None,
        typer.Option(
            "--dev",
            metavar="FILE",
            help="Labelled texts that choose the best step. Default: a part of --data.",
        ),
    ] = None,
    init: Annotated[
        list[str] | None,
        typer.Option(
            "--init", metavar="I", help="random, sampled-vocab or class-label; may be repeated. Default: all."
        ),
    ] = None,
    seeds: Annotated[
        str, typer.Option("--seeds", metavar="S,S", help="One run for each initialization and seed.")
    ] = "0,1,2",
    task: Annotated[
        str | None,
        typer.Option("--task", metavar="NAME", help="What the task is called. Default: the name of --data."),
    ] = None,
    tune: Annotated[
        Literal["prompt", "model"],
        typer.Option("--tune", help="Tune prompts, or every weight of a copy of the model."),
    ] = "prompt",
    length: Annotated[
        str,
        typer.Option(
            "--length", metavar="P[,P]", help="Prompt tokens; several lengths are tuned one after the other."
        ),
    ] = "20",
    steps: Annotated[int, _count("--steps", "Optimizer steps of each run.")] = 1000,
    patience: Annotated[
        int | None,
        typer.Option("--patience", min=1, help="End a run after so many measurements without a better one."),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            "--lr",
            help=(
                "Learning rate of Adafactor. Default: 0.3, for decoder-only models 0.01; with --tune "
                "model 0.001."
            ),
            show_default=False,
        ),
    ] = None,
    schedule: Annotated[
        Schedule,
        typer.Option(
            "--schedule", help="Of the learning rate: constant as in the paper, or linear down to 0."
        ),
    ] = "constant",
    batch_size: Annotated[int, _count("--batch-size", "Texts in a batch of each run.")] = 32,
    evaluate_every: Annotated[int, _count("--evaluate-every", "Steps between measurements on dev.")] = 50,
    saved_points: Annotated[
        int,
        _count(
            "--saved-points",
            "Points of a prompt's trajectory that are kept, besides the best and the last.",
            2,
        ),
    ] = 10,
    dev_examples: Annotated[
        int | None,
        typer.Option(
            "--dev-examples", min=1, help="Texts of dev to measure on, drawn by a fixed seed. Default: all."
        ),
    ] = None,
    read_as: Annotated[
        str | None,
        typer.Option(
            "--read-as",
            metavar="TEXT",
            help="Tune wayward prompts instead: they start as this sentence and are pulled towards it.",
        ),
    ] = None,
    pull: Annotated[
        float,
        typer.Option(
            "--pull",
            min=0.0,
            help="Weight of that pull: of the mean squared distance to the sentence's rows.",
        ),
    ] = 0.01,
    text_column: options.TextColumn = None,
    label_column: options.LabelColumn = None,
    label_map: options.LabelMap = None,
    max_length: options.MaxLength = LONGEST_INPUT,
    template: options.Template = None,
    base_name: Annotated[
        str | None,
        typer.Option(
            "--base-name",
            metavar="NAME",
            help="What prompts record as their base model, such as its hub id. Default: --model.",
        ),
    ] = None,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
) -> None:
    """Tune soft prompts for a frozen T5 or language model.

    Every initialization with every seed; a stopped call resumes. Under `accelerate launch` the runs are
    spread over its processes.
    """
    _check_usage(init, read_as, tune, task)
    initializations = _initializations(init) if read_as is None else ["sentence"]
    chosen_seeds, lengths = naturals(seeds, "--seeds"), naturals(length, "--length", least=1)
    _check_rates(learning_rate, pull)
    around = options.template_value(template)
    if out.exists() and not out.is_dir():
        raise WriteError(f"{out}: is a file; expected a folder for the prompts")
    examples, held = _examples(data, dev, Columns(text_column, label_column, label_map))
    from explorer.models.family import family_of
    from explorer.models.loading import lasting_name, model_folder
    from explorer.texts.tasks import task_name
    from explorer.tuning.settings import TuningConfig

    config = TuningConfig(
        steps=steps,
        learning_rate=learning_rate
        or (MODEL_RATE if tune == "model" else PROMPT_RATES[family_of(model_folder(model, weights=True))]),
        schedule=schedule,
        batch_size=batch_size,
        evaluate_every=evaluate_every,
        patience=patience,
        saved_points=saved_points,
        dev_examples=dev_examples,
        dtype=dtype,
        max_length=max_length,
        template=around,
        base_name=base_name,
        read_as=read_as,
        pull=0.0 if read_as is None else pull,
    )
    processes = Processes()
    with processes.alone_in(out):
        from explorer.context import LocalLoader

        tuner = Tuner(
            lasting_name(model),
            LocalLoader(processes.device_for(device), dtype),
            examples,
            held,
            config,
            task or task_name(data),
            out,
            processes,
        )
        try:
            with processes.failing_together():
                folders = (
                    tuner.models(chosen_seeds)
                    if tune == "model"
                    else tuner.prompts(lengths, initializations, chosen_seeds)
                )
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"what is finished is in {out}; the same command goes on from its last measurement"
            ) from None
        finished = processes.gathered(folders)
    for folder in finished:
        typer.echo(folder)


class Tuner:
    """One call's model, data and settings, and this process among those that share its runs."""

    def __init__(
        self,
        model: str,
        loader: "Loader",
        train: "Task",
        dev: "Task",
        config: "TuningConfig",
        task: str,
        out: Path,
        processes: Processes,
    ):
        self.train, self.dev, self.config, self.task, self.out, self.processes = (
            train,
            dev,
            config,
            task,
            out,
            processes,
        )
        processes.note(f"loading {model}")
        self.model = loader.frozen(model)  # first: its embedding table serves the vocabulary too
        self.vocabulary = loader.vocabulary(model)
        self._say_template_and_cut()

    def _say_template_and_cut(self) -> None:
        """Tell which template texts are read in, and how many of them are too long to be read whole."""
        from explorer.models.templates import GIVEN, TEXT, filled, in_words, template_for
        from explorer.words.wording import cut

        template = template_for(self.config.template, self.model.folder)
        if template != TEXT:
            known = "the usual one of such models" if self.config.template is None else GIVEN
            self.processes.note(in_words(template, known))
        read = [filled(template, text) for text in (*self.train.texts, *self.dev.texts)]
        if (said := cut(self.vocabulary.lengths(read), self.config.max_length)) is not None:
            self.processes.note(said)

    def models(self, seeds: list[int]) -> list[Path]:
        """Folders of this process's whole models, tuned."""
        from explorer.tuning.whole_models import tune_models_to_folder

        mine = self.processes.share(seeds)
        return tune_models_to_folder(
            self.model,
            self.vocabulary,
            self.train,
            self.dev,
            mine,
            self.config,
            self.task,
            self.out,
            self.processes.note,
        )

    def prompts(self, lengths: list[int], initializations: list[str], seeds: list[int]) -> list[Path]:
        """Folders of this process's prompts, tuned one length after the other."""
        from explorer.tuning.settings import Run
        from explorer.tuning.tune import tune_to_folder

        runs = [
            (length, Run(initialization, seed))
            for length in lengths
            for initialization in initializations
            for seed in seeds
        ]
        mine, labels = self.processes.share(runs), len(self.train.labels)
        folders: list[Path] = []
        for length in lengths:
            if length < labels and "class-label" in initializations:
                self.processes.note(
                    f"class-label with {count(length, 'token')} starts as the first {length} of "
                    f"{labels} labels"
                )
            if wanted := [run for one, run in mine if one == length]:
                config = replace(self.config, length=length)
                folders += tune_to_folder(
                    self.model,
                    self.vocabulary,
                    self.train,
                    self.dev,
                    wanted,
                    config,
                    self.task,
                    self.out,
                    self.processes.note,
                )
        return folders


def _check_usage(init: list[str] | None, read_as: str | None, tune: str, task: str | None) -> None:
    """Raise typer.BadParameter for options that contradict each other, and for a task that cannot be a
    folder's name.
    """
    if read_as is not None and init:
        raise typer.BadParameter(
            "found --init and --read-as; a prompt that is to read as a sentence starts as that sentence",
            param_hint="--init",
        )
    if tune == "model" and (init or read_as is not None):
        raise typer.BadParameter(
            "found --tune model with --init or --read-as; a model that is tuned itself has no prompt",
            param_hint="--tune",
        )
    if task is not None and (task in ("", ".", "..") or "/" in task or not task.isprintable()):
        raise typer.BadParameter(
            f"found {task!r}; expected a name that can be a folder's", param_hint="--task"
        )


def _check_rates(learning_rate: float | None, pull: float) -> None:
    """Raise typer.BadParameter for rates and pulls that are no finite numbers."""
    if learning_rate is not None and not 0 < learning_rate < float("inf"):
        raise typer.BadParameter(f"found {learning_rate}; expected a positive number", param_hint="--lr")
    if not 0 <= pull < float("inf"):
        raise typer.BadParameter(f"found {pull}; expected 0 or more", param_hint="--pull")


def _initializations(init: list[str] | None) -> list[str]:
    """The initializations asked for, all by default. Raises typer.BadParameter for an unknown one."""
    found = [name for text in init or INITIALIZATIONS for name in options.values(text, "--init")]
    for name in found:
        if name not in INITIALIZATIONS:
            raise typer.BadParameter(
                f"found {name!r}; expected {', '.join(INITIALIZATIONS)}", param_hint="--init"
            )
    return list(dict.fromkeys(found))


def naturals(text: str, option: str, least: int = 0) -> list[int]:
    """Numbers with commas between them. Raises typer.BadParameter for what is no natural number, or one below
    `least`.
    """
    found = options.values(text, option)
    if not all(number.isascii() and number.isdigit() and least <= int(number) < 2**32 for number in found):
        such_as = ",".join(str(least + number) for number in range(3))
        raise typer.BadParameter(
            f"found {text!r}; expected natural numbers with commas between them, such as {such_as}",
            param_hint=option,
        )
    return list(dict.fromkeys(int(number) for number in found))


def _examples(data: str, dev: str | None, columns: Columns) -> "tuple[Task, Task]":
    """Texts to train on and texts to choose the best step by. Raises DataError when they cannot be used."""
    from explorer.texts.tasks import HELD_OUT_SEED, held_out

    examples = columns.read(data, None, note)
    if dev is not None:
        return examples, columns.read(dev, examples.labels, note)
    kept, held = held_out(examples)
    note(
        f"no --dev: {len(held)} of {count(len(examples), 'text')} of {data} held out as dev (seed "
        f"{HELD_OUT_SEED})"
    )
    return kept, held
