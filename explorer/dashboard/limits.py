"""How much one page takes on: prompts of strangers may have any length and any number of labels. What is left
out is said, with the way on in the shell.
"""

from collections.abc import Iterable

from explorer.prompt import SoftPrompt

MOST_TOKENS = 1_000
"""of a prompt; the paper tunes up to 150"""
MOST_TOKENS_TOGETHER = 10_000
"""of all prompts of a page"""
MOST_PROMPTS = 100
MOST_LABELS, LONGEST_LABEL = 100, 200
"""of a prompt, and characters of each"""
MOST_ROWS = 10_000
"""of a table; its download has them all"""
LONGEST_CELL = 500
"""characters of a card's entry"""
MOST_FILES, MOST_FILES_TOGETHER = 1_000, 20_000
"""uploaded, of a session and of all: those of an unpacked zip count"""
MOST_BYTES, MOST_BYTES_TOGETHER = 256 * 2**20, 2**30
UPLOADS_BOUNDED = (
    f"too much is uploaded: expected at most {MOST_BYTES // 2**20} MB and {MOST_FILES:,} files of a "
    f"visitor, {MOST_BYTES_TOGETHER // 2**20:,} MB and "
    f"{MOST_FILES_TOGETHER:,} files of all together; forget what was opened before, or read it in the shell"
)
CLOSED_KEPT = 120
"""seconds for which the uploads of a closed page are kept: a reload finds them again"""
REPORT = "In the shell python -m explorer report reads it whole, as do the commands named after the pages"


def too_large(prompt: SoftPrompt) -> str | None:
    """Why pages do not take a prompt, in words that go on in the shell; None for one that they take."""
    labels = prompt.origin.labels or ()
    if prompt.length > MOST_TOKENS:
        return (
            f"{prompt.name} has {prompt.length:,} tokens; pages take prompts of at most "
            f"{MOST_TOKENS:,}. {REPORT}"
        )
    if len(labels) > MOST_LABELS or any(len(label) > LONGEST_LABEL for label in labels):
        limit = f"at most {MOST_LABELS} of at most {LONGEST_LABEL} characters"
        return f"{prompt.name} records {len(labels):,} class labels; pages take {limit}. {REPORT}"
    return None


def fitting(prompts: Iterable[SoftPrompt]) -> list[SoftPrompt]:
    """Of some prompts those that a page takes, in their order, as many as it takes together."""
    found: list[SoftPrompt] = []
    tokens = 0
    for prompt in prompts:
        if (
            too_large(prompt) is None
            and len(found) < MOST_PROMPTS
            and tokens + prompt.length <= MOST_TOKENS_TOGETHER
        ):
            found.append(prompt)
            tokens += prompt.length
    return found
