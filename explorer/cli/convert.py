"""`convert`: a prompt in another format."""

from pathlib import Path
from typing import Annotated

import typer

from explorer.choices import PromptFormat
from explorer.cli.options import Key, Overwrite, Prompt, Revision
from explorer.cli.output import note
from explorer.system.files import check_target, write_file


def convert(
    prompt: Prompt,
    out: Annotated[
        Path, typer.Argument(metavar="OUT", show_default=False, help="The folder (peft) or file to write.")
    ],
    to: Annotated[PromptFormat, typer.Option("--to", show_default=False, help="What to write.")],
    key: Key = None,
    revision: Revision = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a prompt in another format.

    peft: an adapter folder, with all that is known of the prompt. numpy: the array as .npy. safetensors: one
    array, prompt_embeddings.
    """
    if to != "peft":
        check_target(out, overwrite)
    import explorer
    from explorer.formats import peft, read_prompt, writing

    read = read_prompt(prompt, key, revision)
    if to == "peft":
        peft.write(read, out, {"explorer": explorer.__version__}, overwrite)
    else:
        write_file(out, writing.as_npy(read) if to == "numpy" else writing.as_safetensors(read), overwrite)
    note(f"wrote {out}")
