"""Pieces of a tokenizer as people read them, and which of them are one word or share a stem."""

from collections.abc import Iterable, Sequence
from typing import Final, Literal

Mark = Literal["", "▁", "Ġ", "##", "</w>"]
"""how a tokenizer marks where words begin or end: `▁` stands before a word in SentencePiece, `Ġ` in
byte-level BPE; `##` before what goes on in WordPiece, where all else begins a word; `</w>` behind the end of
a word in CLIP's. Empty: not known, so each piece has to tell
"""
SENTENCEPIECE: Final = "▁"
BYTE_LEVEL: Final = "Ġ"
WORDPIECE: Final = "##"
CLIP: Final = "</w>"
GOES_ON = "·"
"""stands where a word goes on beyond its piece"""
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


def mark_of(pieces: Iterable[str]) -> Mark:
    """The mark that most pieces of a vocabulary have; SentencePiece's where none has any."""
    counts: dict[Mark, int] = {SENTENCEPIECE: 0, BYTE_LEVEL: 0, WORDPIECE: 0, CLIP: 0}
    for piece in pieces:
        if mark := _mark_on(piece):
            counts[mark] += 1
    return max(counts, key=counts.__getitem__)


def _mark_on(piece: str) -> Mark:
    """The mark that one piece bears, if any."""
    if piece.startswith(SENTENCEPIECE):
        return SENTENCEPIECE
    if piece.startswith(BYTE_LEVEL):
        return BYTE_LEVEL
    if piece.startswith(WORDPIECE) and piece[2:].isalnum():
        return WORDPIECE
    return CLIP if piece.endswith(CLIP) and piece != CLIP else ""


def _parted(piece: str, mark: Mark) -> tuple[bool, str]:
    """Whether a piece is marked as a word (by a leading space, in CLIP by its end), and its text without the
    mark.
    """
    mark = mark or _mark_on(piece)
    if mark == WORDPIECE:
        goes_on = piece.startswith(WORDPIECE) and len(piece) > len(WORDPIECE)
        return not goes_on, piece.removeprefix(WORDPIECE) if goes_on else piece
    if mark == CLIP:
        return piece.endswith(CLIP), decoded(piece.removesuffix(CLIP))
    if mark == SENTENCEPIECE:
        return piece.startswith(mark), piece.removeprefix(mark).replace(mark, " ")
    return piece.startswith(BYTE_LEVEL), decoded(piece.removeprefix(BYTE_LEVEL)).replace(BYTE_LEVEL, " ")


def begins_word(piece: str, mark: Mark = "") -> bool:
    """Whether a piece stands for a word, or for the beginning of one: it has a leading space, or, in CLIP,
    ends a word.
    """
    return _parted(piece, mark)[0]


def spaced(piece: str, mark: Mark = "") -> str:
    """A piece with a leading space where it begins a word, and spaces for the tokenizer's marks."""
    begins, text = _parted(piece, mark)
    return f" {text}" if begins else text


def readable(piece: str, mark: Mark = "") -> str:
    """A piece as people read it: the mark of a word is left out, and a dot stands where a word goes on:
    `·ing` of `##ing`, `dog·` of CLIP's `dog`.
    """
    begins, text = _parted(piece, mark)
    if begins:
        return text or "␣"
    if piece.startswith("<") or not piece:
        return piece
    return f"{text}{GOES_ON}" if mark == CLIP else f"{GOES_ON}{text}"


def bare_word(piece: str, mark: Mark = "") -> str:
    """The word of a piece without case and marks: what variants of one word share."""
    if (mark := mark or _mark_on(piece)) in (WORDPIECE, CLIP):
        return _parted(piece, mark)[1].strip().casefold()
    return piece.lstrip("▁Ġ ").casefold()


def stems(words: Sequence[str]) -> list[str]:
    """What inflected forms of an English word share, of each word (Snowball's English stemmer)."""
    from Stemmer import Stemmer

    stemmer = Stemmer("english", 0)  # no cache: it takes longer than the work, words of a vocabulary differ
    blocks = (list(words[start : start + AT_ONCE]) for start in range(0, len(words), AT_ONCE))
    return [stem for block in blocks for stem in stemmer.stemWords(block)]
