"""The text around the input: what a model reads in place of a text, such as `{text}\\nSentiment:` before a
language model's answer.
"""

from functools import lru_cache
from pathlib import Path

from explorer.errors import DataError
from explorer.models.architecture import read_json
from explorer.models.family import is_encoder_decoder

TEXT = "{text}"
"""where the text stands in a template; by itself, the template of encoder–decoder models, which answer apart
from what they read
"""
ANSWERED = "{text}\nLabel:"
"""of language models, which go on writing: something must say where the text ends"""
CHAT = "chat"
"""asks for a chat model's own template: the text as a user's message, the answer where the assistant's
begins
"""
LONGEST_TEMPLATE = 2_000
"""characters"""


def check_template(template: str) -> str:
    """The template. Raises DataError for one without `{text}`, with several, or too long."""
    if template.count(TEXT) != 1:
        found = "no {text}" if TEXT not in template else f"{template.count(TEXT)} times {TEXT}"
        raise DataError(
            f"template: found {found} in {template[:60]!r}; expected {TEXT} once, such as {ANSWERED!r}",
            "template",
        )
    if len(template) > LONGEST_TEMPLATE:
        raise DataError(
            f"template: found {len(template):,} characters; expected at most {LONGEST_TEMPLATE:,}", "template"
        )
    return template


def filled(template: str, text: str) -> str:
    """The template with the text in it. Spaces at the end of a template belong to the answer, see
    `label_start`.
    """
    return template.rstrip(" ").replace(TEXT, text)


def after(template: str) -> str:
    """What a model reads behind the text."""
    return template.rstrip(" ").partition(TEXT)[2]


def label_start(template: str) -> str:
    """What stands between the template and an answer: a space, which the answer's first piece begins with;
    nothing at the start of a line.
    """
    return "" if template.rstrip(" ").endswith(("\n", "\t")) else " "


def template_for(template: str | None, folder: Path | None) -> str:
    """The template asked for, `chat` written out, or that of the model's family. Raises DataError for one
    that cannot be used.
    """
    if template is None:
        return TEXT if folder is None or is_encoder_decoder(folder) else ANSWERED
    return check_template(template if template != CHAT else chat_template(folder))


GIVEN, RECORDED, GUESSED = "given", "recorded with the prompt", "a guess: none is recorded or given"
"""how a template is known"""


def in_words(template: str, known: str) -> str:
    """Which template texts are read in, and how it is known."""
    shown = template.replace("\n", "\\n").replace("\t", "\\t")
    more = "; answers depend on it, so give the one of the training" if known == GUESSED else ""
    return f"texts are read in the template “{shown}” ({known}){more}"


def chat_template(folder: Path | None) -> str:
    """A chat model's own template with the text as the user's message. Raises DataError for a model without
    one, or one that cannot be written out.
    """
    found = None if folder is None else _written(folder)
    if found is None:
        raise DataError(
            "template: found chat, but the model has no chat template that can be written out; give "
            "a template with {text}",
            "template",
        )
    return found


def has_chat_template(folder: Path) -> bool:
    """Whether a model's folder has a chat template."""
    file = folder / "tokenizer_config.json"
    return (folder / "chat_template.jinja").is_file() or (
        file.is_file() and bool(read_json(file).get("chat_template"))
    )


@lru_cache(maxsize=8)
def _written(folder: Path) -> str | None:
    if not has_chat_template(folder):
        return None
    from transformers import AutoTokenizer

    try:  # transformers runs the template in Jinja's sandbox
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        written = str(
            tokenizer.apply_chat_template(
                [{"role": "user", "content": TEXT}], tokenize=False, add_generation_prompt=True
            )
        )
    except Exception:  # templates raise what they like
        return None
    start = tokenizer.bos_token
    if (
        start and written.startswith(start) and tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]
    ):  # which the tokenizer adds itself
        written = written.removeprefix(start)
    return written if written.count(TEXT) == 1 and len(written) <= LONGEST_TEMPLATE else None
