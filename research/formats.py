"""The table of docs/formats.md: where a prompt comes from, and what is typed."""

from explorer.formats import FORMATS


def tables() -> dict[str, str]:
    """The table by its name; other lines of that document are written by hand."""
    by_use = sorted(FORMATS, key=lambda form: form.name != "peft")
    rows = [(said, f"prompt-explorer inspect {typed}") for form in by_use for said, typed in form.usage]
    lines = ["| where your prompt comes from | what to type |", "|---|---|"]
    lines += [f"| {said} | `{typed}` |" for said, typed in rows]
    convert = "`prompt-explorer convert best.ckpt out/my-adapter --to peft` (or `numpy`, `safetensors`)"
    return {"what to type": "\n".join([*lines, f"| any of them, to another format | {convert} |"])}
