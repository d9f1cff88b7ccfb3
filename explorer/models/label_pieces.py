"""The pieces of class labels: what `predict` scores, `labels` looks for, baselines are matched with and
tuning begins with.
"""

from collections.abc import Sequence

from explorer.errors import LabelError
from explorer.models.templates import after, label_start
from explorer.models.tokenizer import Tokenizer
from explorer.words.pieces import bare_word, readable

LONGEST_LABEL = 128
"""pieces of a class label; a whole text in its place would take memory that grows with the square of its
length
"""
BEFORE_ANY = "a"
"""a text that templates are tried on"""


def label_pieces(
    tokenizer: Tokenizer, labels: Sequence[str], template: str | None, model: str
) -> list[list[int]]:
    """The pieces of each label, as they stand behind a template; None: of a T5, which writes them by
    themselves.

    Control pieces are left out (eos is not part of a label). model: its name, for errors. Raises LabelError
    for a label without a piece, of unknown pieces only or with more than LONGEST_LABEL, and for two labels
    with the same pieces.
    """
    found: dict[tuple[int, ...], str] = {}
    for label in labels:
        ids = _known(tokenizer, label, _cut(tokenizer, label, template), model)
        other = found.setdefault(tuple(ids), label)
        if other != label:
            pieces = " ".join(readable(tokenizer.pieces[piece] or "", tokenizer.mark) for piece in ids)
            raise LabelError(
                f"labels {other!r} and {label!r} cannot be told apart: {model} reads both as {pieces}; "
                "expected labels with different pieces",
                "labels",
            )
    by_label = {label: list(ids) for ids, label in found.items()}
    return [by_label[label] for label in labels]


def _cut(tokenizer: Tokenizer, label: str, template: str | None) -> list[int]:
    """All pieces of a label; behind a template the space before it belongs to the first."""
    try:
        label.encode()
    except UnicodeEncodeError:
        raise LabelError(
            f"found {label!r}, which is not Unicode text; expected a word as label", "labels"
        ) from None
    if template is None:
        return tokenizer.encode(label)
    before, answer = BEFORE_ANY + after(template), label_start(template) + label.strip()
    start, whole = tokenizer.encode(before), tokenizer.encode(before + answer)
    behind = whole[len(start) :] if whole[: len(start)] == start else []
    ways = [
        behind,
        tokenizer.encode(answer),
        tokenizer.encode(label),
    ]  # some tokenizers know only whole texts
    known = (ids for ids in ways if not tokenizer.special.issuperset(ids))
    return next(known, ways[-1])


def _known(tokenizer: Tokenizer, label: str, ids: list[int], model: str) -> list[int]:
    """The pieces without control pieces, once it is known that they stand for a word."""
    ids = [piece for piece in ids if piece not in tokenizer.special or piece in tokenizer.unknown]
    told = [
        piece
        for piece in ids
        if piece not in tokenizer.unknown and bare_word(tokenizer.pieces[piece] or "", tokenizer.mark)
    ]
    if not label.strip() or not told:
        raise LabelError(
            f"label {label!r} has no piece in the vocabulary of {model}; expected a word the tokenizer knows",
            "labels",
        )
    if len(ids) > LONGEST_LABEL:
        raise LabelError(
            f"label {label[:40]!r}… has {len(ids):,} pieces; expected at most {LONGEST_LABEL}: is this "
            "a text?",
            "labels",
        )
    return ids
