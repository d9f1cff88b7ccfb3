"""Pieces of a tokenizer as people read them, and which of them are one word or share a stem."""

from collections.abc import Sequence

SENTENCEPIECE_SPACE, BYTE_SPACE = "▁", "Ġ"
SPACES = (SENTENCEPIECE_SPACE, BYTE_SPACE)
"""how tokenizers write a leading space: SentencePiece, byte-level BPE"""
AT_ONCE = 1000
"""words that are stemmed in one call, during which no other thread of Python runs"""


def _byte_of() -> dict[str, int]:
    """The byte that each sign of byte-level tokenizers stands for: printable ones for themselves, the others
    from U+0100 on (Radford et al. 2019).
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(0x100) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {
        chr(0x100 + place): byte for place, byte in enumerate(others)
    }


BYTE_OF = _byte_of()


def decoded(piece: str) -> str:
    """A piece with the text of its bytes, where it is of a byte-level tokenizer and they are whole
    characters: `âĢĿ` is `”`, a line break `⏎`. Others stay.
    """
    if piece.isascii() or not all(sign in BYTE_OF for sign in piece):
        return piece
    try:
        found = bytes(BYTE_OF[sign] for sign in piece).decode()
    except UnicodeDecodeError:
        return piece
    return found.replace("\n", "⏎") if found.replace("\n", "").isprintable() else piece


def spaced(piece: str) -> str:
    """A piece with spaces for the tokenizer's marks."""
    bare = decoded(piece.removeprefix(BYTE_SPACE))
    piece = f" {bare}" if piece.startswith(BYTE_SPACE) else bare
    for mark in SPACES:
        piece = piece.replace(mark, " ")
    return piece


def readable(piece: str) -> str:
    """A piece as people read it: the mark of a leading space is left out, a piece without one gets a dot in
    front (`·ing`).
    """
    if piece.startswith(SPACES):
        return decoded(piece[1:]).replace("▁", " ").replace("Ġ", " ") or "␣"
    return piece if piece.startswith("<") or not piece else f"·{decoded(piece)}"


def bare_word(piece: str) -> str:
    """The word of a piece without case and leading space: what variants of one word share."""
    return piece.lstrip("▁Ġ ").casefold()


def stems(words: Sequence[str]) -> list[str]:
    """What inflected forms of an English word share, of each word (Snowball's English stemmer)."""
    from Stemmer import Stemmer

    stemmer = Stemmer("english", 0)  # no cache: it takes longer than the work, words of a vocabulary differ
    blocks = (list(words[start : start + AT_ONCE]) for start in range(0, len(words), AT_ONCE))
    return [stem for block in blocks for stem in stemmer.stemWords(block)]
