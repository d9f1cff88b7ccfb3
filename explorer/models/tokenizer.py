"""The pieces of a model's vocabulary and how text is cut into them: from tokenizer.json, without importing
transformers where there is one.
"""

import os
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from explorer.errors import ModelError
from explorer.models.architecture import read_json
from explorer.system.bounded import check_itself
from explorer.words.pieces import BYTE_LEVEL, CLIP, SENTENCEPIECE, WORDPIECE, Mark, mark_of

CONTROL = ("<pad>", "</s>", "<unk>", "<s>")
REMEMBERED = 1_000_000
"""pieces: texts of no more are not cut into pieces again when they are asked for again at once"""
_SENTINEL = re.compile(r"▁?<extra_id_\d+>")
BYTE = re.compile(r"<0x[0-9A-Fa-f]{2}>")
"""a byte of a text that has no piece of its own: it may be encoded and written, but is no word"""
MOST_PIECES = 2**24
MOST_BYTES = 512 * 2**20
"""of tokenizer.json; that of mT5 has 16 MB"""
_FILES = ("tokenizer.json", "tokenizer_config.json", "*.model", "vocab*")
"""one of which every tokenizer has"""


@dataclass(frozen=True)
class Tokenizer:
    """What a vocabulary and a model need of a tokenizer. A single thread may use it at a time."""

    pieces: tuple[str | None, ...]
    """by id; None where an id is unused"""
    special: frozenset[int]
    """ids that are no text: pad, eos, unk, sentinels, other control pieces"""
    encode: Callable[[str], list[int]]
    """piece ids of a text, all of them, without eos"""
    inputs: Callable[[Sequence[str]], list[list[int]]]
    """piece ids of texts as the encoder reads them, with eos"""
    decode: Callable[[Sequence[int]], str]
    """the text of piece ids, special ones left out"""
    mark: Mark = ""
    """how its pieces show where words begin or end"""
    unknown: frozenset[int] = frozenset()
    """ids that stand for what has no piece"""

    @cached_property
    def sentinels(self) -> frozenset[int]:
        """Ids of `<extra_id_0>` and the like, which stand for gaps in a text."""
        return frozenset(
            token_id
            for token_id, piece in enumerate(self.pieces)
            if piece is not None and _SENTINEL.fullmatch(piece)
        )


def read_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer in a model folder: `tokenizer.json`, else whatever transformers' AutoTokenizer makes of
    the folder.

    The second way serves folders with a SentencePiece model alone and tokenizers of bytes (ByT5); it takes
    transformers' import. Raises ModelError when there is none or it cannot be read.
    """
    files = [*folder.glob("*token*"), *folder.glob("*.model")]
    return _read(
        folder, tuple(sorted((file.name, file.stat().st_ctime_ns, file.stat().st_size) for file in files))
    )


@lru_cache(maxsize=4)  # a vocabulary and its model share one
def _read(folder: Path, stamps: tuple[tuple[str, int, int], ...]) -> Tokenizer:
    fast = folder / "tokenizer.json"
    if not any(file for pattern in _FILES for file in folder.glob(pattern)):
        raise ModelError(
            f"{folder}: no tokenizer; expected tokenizer.json or spiece.model beside the weights: get "
            "the model again, or add its tokenizer"
        )
    for file in [file for pattern in _FILES for file in folder.glob(pattern)]:
        check_itself(file, ModelError)
    if fast.is_file() and fast.stat().st_size > MOST_BYTES:
        raise ModelError(f"{fast}: {fast.stat().st_size:,} bytes; expected at most {MOST_BYTES:,}")
    found = _from_json(fast) if fast.is_file() else _from_transformers(folder)
    if all(piece is None or token_id in found.special for token_id, piece in enumerate(found.pieces)):
        raise ModelError(
            f"{folder}: its tokenizer has no piece that stands for text; expected the model's own tokenizer"
        )
    return found


def _from_json(path: Path) -> Tokenizer:
    import tokenizers

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        return _from_backend(tokenizers.Tokenizer.from_file(str(path)))
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    except BaseException as error:  # tokenizers raises bare Exception, and panics, which are none
        if isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit):
            raise
        raise ModelError(
            f"{path}: cannot be read ({(str(error).splitlines() or [''])[0][:160]}); expected a "
            "tokenizers file"
        ) from error


def _from_backend(backend) -> Tokenizer:
    backend.no_truncation()  # a saved tokenizer may cut and pad
    backend.no_padding()
    vocab = backend.get_vocab(with_added_tokens=True)
    special = {token_id for token_id, token in backend.get_added_tokens_decoder().items() if token.special}
    return _tokenizer(
        vocab,
        special,
        lambda text: backend.encode(text, add_special_tokens=False).ids,
        lambda texts: [row.ids for row in backend.encode_batch_fast(list(texts))],
        lambda ids: backend.decode(list(ids)),
        _mark(backend),
        _unknown(backend.model),
    )


def _mark(backend) -> Mark:
    """How pieces show where words begin or end, by the steps that make them."""
    kind = type(backend.model).__name__
    if kind in ("WordPiece", "WordLevel") or getattr(backend.model, "continuing_subword_prefix", None):
        return WORDPIECE
    if getattr(backend.model, "end_of_word_suffix", None):
        return CLIP
    steps = [step.__getstate__() for step in (backend.pre_tokenizer, backend.decoder) if step is not None]
    return BYTE_LEVEL if any(b'"ByteLevel"' in step for step in steps) else SENTENCEPIECE


def _unknown(model) -> str | int | None:
    """The piece for what has no other, by its name or number."""
    if number := re.match(r"Unigram\(unk_id=(\d+)", repr(model)):
        return int(number[1])
    return getattr(model, "unk_token", None)


def _from_transformers(folder: Path) -> Tokenizer:
    for file in (folder / "config.json", folder / "tokenizer_config.json"):
        code = read_json(file).get("auto_map") if file.is_file() else None
        if code is not None and (not isinstance(code, dict) or "AutoTokenizer" in code):
            raise ModelError(
                f"{file}: its tokenizer is code of its own (auto_map), which is never run; expected "
                "tokenizer.json"
            )
    from transformers import AutoTokenizer

    try:
        read = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # a dozen kinds, from missing files to damaged SentencePiece models
        reason = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise ModelError(
            f"{folder}: no tokenizer.json, and transformers finds no tokenizer ({reason}); expected "
            "tokenizer.json or spiece.model"
        ) from error
    if (backend := getattr(read, "backend_tokenizer", None)) is not None:
        return _from_backend(backend)
    return _tokenizer(
        read.get_vocab(),
        set(read.all_special_ids),
        lambda text: read(text, add_special_tokens=False, truncation=False)["input_ids"],
        lambda texts: read(list(texts), truncation=False, padding=False, verbose=False)["input_ids"],
        lambda ids: str(read.decode(list(ids))),
        mark_of(read.get_vocab()),
        read.unk_token,
    )


class _Latest:
    """`Tokenizer.inputs` that remembers the latest texts: a command counts their pieces, scores labels and
    generates for the same ones.
    """

    def __init__(self, inputs: Callable[[Sequence[str]], list[list[int]]]):
        self._inputs, self._lock = inputs, threading.Lock()
        self._texts: tuple[str, ...] | None = None
        self._rows: list[list[int]] = []

    def __call__(self, texts: Sequence[str]) -> list[list[int]]:
        given = tuple(texts)
        with self._lock:
            if given != self._texts:
                rows = self._inputs(given)
                if sum(map(len, rows)) > REMEMBERED:
                    return rows
                self._texts, self._rows = given, rows
            return list(self._rows)


def _tokenizer(
    vocab: dict[str, int],
    special: set[int],
    encode: Callable[[str], list[int]],
    inputs: Callable[[Sequence[str]], list[list[int]]],
    decode: Callable[[Sequence[int]], str],
    mark: Mark,
    unknown: str | int | None,
) -> Tokenizer:
    if (last := max(vocab.values(), default=-1)) >= MOST_PIECES:
        raise ModelError(f"found a piece with the number {last:,}; expected numbers below {MOST_PIECES:,}")
    pieces: list[str | None] = [None] * (last + 1)
    for piece, token_id in vocab.items():
        pieces[token_id] = piece
    not_known = {unknown if isinstance(unknown, int) else vocab.get(unknown or "", -1)} - {-1}
    left_out = frozenset(
        special
        | not_known
        | {token_id for piece, token_id in vocab.items() if _SENTINEL.fullmatch(piece) or piece in CONTROL}
    )
    return Tokenizer(
        tuple(pieces),
        left_out,
        encode,
        _Latest(inputs),
        lambda ids: decode([token_id for token_id in ids if token_id not in left_out]),
        mark,
        frozenset(not_known),
    )
