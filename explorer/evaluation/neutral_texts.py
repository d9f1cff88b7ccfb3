"""What stands behind a prompt when the decoder is asked what it makes of it."""

import re

ALONE, GAP = "", "<extra_id_0>"
"""nothing; a gap, which a T5 fills"""
NEUTRAL = ("This is it.", "There is one.", "He said so.", "It was then.")
"""texts that say little, unless others are given"""
SEVERAL = "mean of "
"""how the mean over several texts is called: `mean of 4 texts`"""


def where(text: str) -> str:
    """How a reading is called in a sentence, by what stands behind the prompt: `alone`, `in a gap`, `before 4
    texts`, `before 'a text'`.
    """
    if text in (ALONE, GAP):
        return "alone" if text == ALONE else "in a gap"
    return (
        f"before {text.removeprefix(SEVERAL)}"
        if re.fullmatch(rf"{SEVERAL}[\d,]+ texts", text)
        else f"before {text!r}"
    )
