"""The words of a text, where they stand, and the text without some of them."""

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from explorer.models.tokenizer import Tokenizer
from explorer.words.pieces import spaced

Span = tuple[int, int]
_WORD = re.compile(r"\w+(?:['’]\w+)*")
_UNSPACED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]"
)
"""letters of scripts that are written without spaces: Thai, Lao, Burmese, Khmer, kana, Han"""
PIECES_NOTE = "the texts are in a language without spaces: its words here are the tokenizer's pieces"


@dataclass(frozen=True)
class TextWords:
    """How texts are cut into words."""

    spans: Callable[[str], list[Span]]
    """start and end of each word of a text"""
    note: str | None = None
    """what to say of it"""

    def words(self, text: str) -> list[str]:
        """The words of a text in lower case."""
        return [text[start:end].lower() for start, end in self.spans(text)]

    def terms(self, text: str) -> list[str]:
        """Words and pairs of neighboring words."""
        words = self.words(text)
        return words + [" ".join(pair) for pair in itertools.pairwise(words)]

    def without(self, text: str, term: str) -> str:
        """A text without every occurrence of a word or a pair of words."""
        spans, wanted = self.spans(text), term.split(" ")
        words = [text[start:end].lower() for start, end in spans]
        gone = {
            place + step
            for place in range(len(words) - len(wanted) + 1)
            if words[place : place + len(wanted)] == wanted
            for step in range(len(wanted))
        }
        return cut_out(text, [spans[place] for place in sorted(gone)])


def cut_out(text: str, spans: Sequence[Span]) -> str:
    """A text without these stretches, and without the double spaces that they leave."""
    kept, last = [], 0
    for start, end in spans:
        kept.append(text[last:start])
        last = end
    left = "".join([*kept, text[last:]])
    return re.sub(r"\s{2,}", " ", left).strip() if spans else text


def text_words(texts: Sequence[str], tokenizer: Tokenizer | None = None) -> TextWords:
    """Words between spaces and punctuation; of texts that are mostly written without spaces the tokenizer's
    pieces, and characters where it has none.
    """
    letters = sum(map(str.isalpha, "".join(texts)))
    unspaced = sum(len(_UNSPACED.findall(text)) for text in texts)
    if 2 * unspaced <= letters:
        return TextWords(lambda text: [found.span() for found in _WORD.finditer(text)])
    return TextWords(lambda text: _piece_spans(text, tokenizer), PIECES_NOTE)


def _piece_spans(text: str, tokenizer: Tokenizer | None) -> list[Span]:
    """Where the pieces of a text stand; what has no piece counts by its characters."""
    pieces = (
        []
        if tokenizer is None
        else [
            spaced(tokenizer.pieces[token_id] or "").strip()
            for token_id in tokenizer.encode(text)
            if token_id not in tokenizer.special
        ]
    )
    spans: list[Span] = []
    place = 0
    for piece in pieces:
        start = text.find(piece, place) if piece else -1
        if start >= 0:
            spans += [*_characters(text, place, start), (start, start + len(piece))]
            place = start + len(piece)
    spans += _characters(text, place, len(text))
    return [span for span in spans if any(map(str.isalnum, text[slice(*span)]))]


def _characters(text: str, start: int, end: int) -> list[Span]:
    return [(place, place + 1) for place in range(start, end) if not text[place].isspace()]
