"""The pieces of a model's vocabulary and how text is cut into them: from tokenizer.json, without importing transformers where there is one."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from explorer.errors import ModelError

CONTROL = ("<pad>", "</s>", "<unk>", "<s>")
_SENTINEL = re.compile(r"<extra_id_\d+>")


@dataclass(frozen=True)
class Tokenizer:
    """What a vocabulary needs of a tokenizer."""

    pieces: tuple[str | None, ...]
    """by id; None where an id is unused"""
    special: frozenset[int]
    """ids that are no text: pad, eos, unk, sentinels, other control pieces"""
    encode: Callable[[str], list[int]]
    """piece ids of a text, all of them, without eos"""


def read_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer in a model folder: `tokenizer.json`, else whatever transformers' AutoTokenizer makes of the folder.

    The second way serves folders with a SentencePiece model alone and tokenizers of bytes (ByT5); it takes transformers' import.
    Raises ModelError when there is none or it cannot be read.
    """
    fast = folder / "tokenizer.json"
    return _from_json(fast) if fast.is_file() else _from_transformers(folder)


def _from_json(path: Path) -> Tokenizer:
    import tokenizers

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        return _from_backend(tokenizers.Tokenizer.from_file(str(path)))
    except Exception as error:  # tokenizers raises bare Exception
        raise ModelError(f"{path}: cannot be read ({error}); expected a tokenizers file") from error


def _from_backend(backend) -> Tokenizer:
    backend.no_truncation()  # a saved tokenizer may cut and pad
    backend.no_padding()
    vocab = backend.get_vocab(with_added_tokens=True)
    special = {token_id for token_id, token in backend.get_added_tokens_decoder().items() if token.special}
    return _tokenizer(vocab, special, lambda text: backend.encode(text, add_special_tokens=False).ids)


def _from_transformers(folder: Path) -> Tokenizer:
    from transformers import AutoTokenizer

    try:
        read = AutoTokenizer.from_pretrained(folder)
    except Exception as error:  # a dozen kinds, from missing files to damaged SentencePiece models
        reason = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise ModelError(f"{folder}: no tokenizer.json, and transformers finds no tokenizer ({reason}); expected tokenizer.json or spiece.model") from error
    if (backend := getattr(read, "backend_tokenizer", None)) is not None:
        return _from_backend(backend)
    return _tokenizer(read.get_vocab(), set(read.all_special_ids), lambda text: read(text, add_special_tokens=False, truncation=False)["input_ids"])


def _tokenizer(vocab: dict[str, int], special: set[int], encode: Callable[[str], list[int]]) -> Tokenizer:
    pieces: list[str | None] = [None] * (max(vocab.values(), default=-1) + 1)
    for piece, token_id in vocab.items():
        pieces[token_id] = piece
    control = {token_id for piece, token_id in vocab.items() if _SENTINEL.fullmatch(piece) or piece in CONTROL}
    return Tokenizer(tuple(pieces), frozenset(special | control), encode)
