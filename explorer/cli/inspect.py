"""`inspect`: what was read from a checkpoint."""

from explorer.cli.options import Json, Key, Prompt, Revision
from explorer.cli.output import Output, entries, paragraph, plain


def inspect(
    prompt: Prompt,
    key: Key = None,
    revision: Revision = None,
    as_json: Json = False,
) -> None:
    """Show what was read: format, shape, origin, norms, warnings."""
    output = Output(as_json)
    from explorer.formats import read_prompt
    from explorer.report.tables import card_in_words, in_short, what_was_read

    read = read_prompt(prompt, key, revision)
    output.write(
        lambda: {"conclusion": in_short(read), **plain(what_was_read(read))},
        text=lambda: f"{paragraph(in_short(read))}\n\n{entries({'name': read.name, **card_in_words(read)})}",
    )
