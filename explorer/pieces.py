"""Pieces of a tokenizer as people read them, and which of them are one word or share a stem."""

from collections.abc import Sequence

SENTENCEPIECE_SPACE, BYTE_SPACE = "▁", "Ġ"
SPACES = (SENTENCEPIECE_SPACE, BYTE_SPACE)
"""how tokenizers write a leading space: SentencePiece, byte-level BPE"""
AT_ONCE = 1000
"""words that are stemmed in one call, during which no other thread of Python runs"""


def spaced(piece: str) -> str:
    """A piece with spaces for the tokenizer's marks."""
    for mark in SPACES:
        piece = piece.replace(mark, " ")
    return piece


def readable(piece: str) -> str:
    """A piece as people read it: the mark of a leading space is left out, a piece without one gets a dot in front (`·ing`)."""
    if piece.startswith(("▁", "Ġ")):
        return piece[1:].replace("▁", " ").replace("Ġ", " ") or "␣"
    return piece if piece.startswith("<") or not piece else f"·{piece}"


def bare_word(piece: str) -> str:
    """The word of a piece without case and leading space: what variants of one word share."""
    return piece.lstrip("▁Ġ ").casefold()


def stems(words: Sequence[str]) -> list[str]:
    """What inflected forms of an English word share, of each word (Snowball's English stemmer)."""
    from Stemmer import Stemmer

    stemmer = Stemmer("english", 0)  # no cache: it takes longer than the work, words of a vocabulary differ
    blocks = (list(words[start : start + AT_ONCE]) for start in range(0, len(words), AT_ONCE))
    return [stem for block in blocks for stem in stemmer.stemWords(block)]
