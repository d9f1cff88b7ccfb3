"""Arguments and options that several commands share: one name, one meaning, one help text."""

from typing import Annotated, Literal

import typer

Metric = Literal["cosine", "l2", "dot", "csls"]
"""as in explorer.analysis.neighbors, which is too heavy to import for --help; a test keeps the two equal"""

PROMPT_HELP = "A prompt's file or folder, or its name under checkpoints/prompts."

Prompts = Annotated[list[str], typer.Argument(metavar="PROMPT", show_default=False, help=PROMPT_HELP)]
Model = Annotated[
    str | None,
    typer.Option("--model", metavar="M", help="Model folder, name under checkpoints/models, or Hugging Face id. Default: the prompt's own base model."),
]
Labels = Annotated[str | None, typer.Option("--labels", metavar="A,B", help="Class labels, with commas. Default: those the prompts record.")]
NoPrompt = Annotated[bool, typer.Option("--no-prompt", help="Also run the model without any prompt.")]
Data = Annotated[str, typer.Option("--data", metavar="FILE", show_default=False, help="TSV, CSV or JSONL with text and label, or hf:NAME[/CONFIG]:SPLIT.")]
Key = Annotated[str | None, typer.Option("--key", metavar="KEY", help="Which array, task or step, where several could be meant. Other commands: PATH#KEY.")]
Json = Annotated[bool, typer.Option("--json", help="Everything as JSON on stdout.")]
Csv = Annotated[str | None, typer.Option("--csv", metavar="FILE", help="The table as CSV in a file; - is stdout.")]
Html = Annotated[str | None, typer.Option("--html", metavar="FILE", help="The figure as one self-contained HTML page; - is stdout.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")]
K = Annotated[int, typer.Option("-k", min=1, help="Neighbors of each prompt token.")]
Nulls = Annotated[int, typer.Option("--nulls", min=1, help="Random vectors (vocabulary Gaussian) that p-values compare with.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random.")]
