"""Arguments and options that several commands share: one name, one meaning, one help text."""

from typing import Annotated

import typer

from explorer import choices
from explorer.system.files import MODELS

PROMPT_HELP = "A prompt's file or folder, its name under checkpoints/prompts, or a Hugging Face id."
MODEL_HELP = "Model folder, name under checkpoints/models, or Hugging Face id."
DATA_HELP = "TSV, CSV or JSONL with text and label, or hf:NAME[/CONFIG]:SPLIT."


def _bundled_prompts(incomplete: str) -> list[str]:
    """Names that a shell completes."""
    from explorer.formats import bundled_names

    return [name for name in bundled_names() if name.startswith(incomplete)]


def _bundled_models(incomplete: str) -> list[str]:
    return [path.name for path in sorted(MODELS.glob(f"{incomplete}*")) if path.is_dir()]


Prompts = Annotated[
    list[str],
    typer.Argument(metavar="PROMPT", show_default=False, help=PROMPT_HELP, autocompletion=_bundled_prompts),
]
Prompt = Annotated[
    str,
    typer.Argument(metavar="PROMPT", show_default=False, help=PROMPT_HELP, autocompletion=_bundled_prompts),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="M",
        help=f"{MODEL_HELP} Default: the prompt's own base model.",
        autocompletion=_bundled_models,
    ),
]
BaseModel = Annotated[
    str,
    typer.Option("--model", metavar="M", show_default=False, help=MODEL_HELP, autocompletion=_bundled_models),
]
Labels = Annotated[
    str | None,
    typer.Option(
        "--labels", metavar="A,B", help="Class labels, with commas. Default: those the prompts record."
    ),
]
NoPrompt = Annotated[bool, typer.Option("--no-prompt", help="Also run the model without any prompt.")]
Data = Annotated[str, typer.Option("--data", metavar="FILE", show_default=False, help=DATA_HELP)]
TextColumn = Annotated[
    str | None,
    typer.Option(
        "--text-column", metavar="C", help="Column of the texts. Default: text, or sentence and the like."
    ),
]
LabelColumn = Annotated[
    str | None,
    typer.Option(
        "--label-column", metavar="C", help="Column of the labels. Default: label, or class and the like."
    ),
]
LabelMap = Annotated[
    str | None,
    typer.Option(
        "--label-map",
        metavar="A=B,…",
        help="What labels of the data are to be called, such as 0=negative,1=positive.",
    ),
]
MaxLength = Annotated[
    int,
    typer.Option(
        "--max-length",
        min=choices.SHORTEST_INPUT,
        help="Pieces of a text that are read; longer texts are cut.",
    ),
]
Template = Annotated[
    str | None,
    typer.Option(
        "--template",
        metavar="T",
        show_default=False,
        help=(
            "What the model reads for a text, {text} in it, \\n for a new line; chat: its own chat "
            "template. Default: the prompts', else the model's."
        ),
    ),
]
Key = Annotated[
    str | None,
    typer.Option(
        "--key",
        metavar="KEY",
        help="Which array, task or step, where several could be meant. Other commands: PATH#KEY.",
    ),
]
Revision = Annotated[
    str | None,
    typer.Option(
        "--revision",
        metavar="REV",
        show_default=False,
        help="Branch, tag or commit of prompts given as Hugging Face ids.",
    ),
]
Device = Annotated[
    choices.Device,
    typer.Option(
        "--device", help="Where the model runs; auto: on a GPU if there is one, split: spread over all."
    ),
]
Dtype = Annotated[
    choices.Dtype,
    typer.Option(
        "--dtype", help="Precision of the weights; auto: bfloat16 on a GPU, float32 on a processor."
    ),
]
Metric = Annotated[
    choices.MetricChoice,
    typer.Option(
        "--metric",
        help=(
            "Similarity of the neighbor table; auto: whitened where the vocabulary's rows share a direction, "
            "else cosine; l2 is a distance, smaller is closer."
        ),
    ),
]
K = Annotated[int, typer.Option("-k", min=1, help="Neighbors of each prompt token.")]
Nulls = Annotated[
    int,
    typer.Option(
        "--nulls", min=1, help="Random vectors of each null distribution, which p-values compare with."
    ),
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random.")]
Wide = Annotated[bool, typer.Option("--wide", help="All columns and tables, however wide.")]
Json = Annotated[bool, typer.Option("--json", help="Everything as JSON on stdout.")]
Csv = Annotated[
    str | None, typer.Option("--csv", metavar="FILE", help="The table as CSV in a file; - is stdout.")
]
Html = Annotated[
    str | None,
    typer.Option("--html", metavar="FILE", help="The figure as one self-contained HTML page; - is stdout."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")]

IncludeSpecial = Annotated[
    bool, typer.Option("--include-special", help="Search control pieces, sentinels and padding rows too.")
]
MergeVariants = Annotated[
    bool,
    typer.Option(
        "--merge-variants", help="Leave out a piece that is a nearer one but for case or leading space."
    ),
]
SETTINGS = {
    "k": K,
    "metric": Metric,
    "nulls": Nulls,
    "seed": Seed,
    "labels": Labels,
    "include_special": IncludeSpecial,
    "merge_variants": MergeVariants,
    "max_length": MaxLength,
    "template": Template,
}
"""how commands take the fields of `Settings`"""


def values(text: str | None, option: str) -> tuple[str, ...]:
    """The values of an option that takes a list with commas. Raises typer.BadParameter for empty or repeated
    ones.
    """
    found = tuple(value.strip() for value in text.split(",")) if text is not None else ()
    for value in found:
        value.encode()  # what is not UTF-8 is refused here; a tokenizer would fail on it
    if "" in found or len(set(found)) < len(found):
        raise typer.BadParameter(
            f"found {text!r}; expected different values with commas between them", param_hint=option
        )
    return found


def template_value(text: str | None) -> str | None:
    """A template as typed: shells have no easy way to write a new line or a tab. Raises DataError for one
    without `{text}`.
    """
    from explorer.models.templates import CHAT, check_template

    if text is None or text == CHAT:
        return text
    return check_template(text.replace("\\n", "\n").replace("\\t", "\t"))


def label_values(text: str | None) -> tuple[str, ...] | None:
    """Class labels as typed; None where none were. Raises typer.BadParameter for empty or repeated ones."""
    return values(text, "--labels") or None


def label_map_value(text: str | None) -> dict[str, str] | None:
    """Old and new names of labels as typed; None where none were. Raises typer.BadParameter for what is no
    such list.
    """
    pairs = [part.partition("=") for part in values(text, "--label-map")]
    named = {old.strip(): new.strip() for old, _, new in pairs}
    if len(named) < len(pairs) or not all(old and new for old, new in named.items()):
        raise typer.BadParameter(
            f"found {text!r}; expected old and new names, such as 0=negative,1=positive",
            param_hint="--label-map",
        )
    return named or None
