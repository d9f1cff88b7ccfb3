"""The vocabulary of a frozen model: its input embeddings and pieces, read without loading the model or
importing torch.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from explorer.errors import ModelError, PromptError
from explorer.models.family import is_encoder_decoder
from explorer.models.label_pieces import label_pieces
from explorer.models.loading import DEFAULT_MODEL, model_folder
from explorer.models.templates import template_for
from explorer.models.tokenizer import BYTE, Tokenizer, read_tokenizer
from explorer.models.weights import read_embedding
from explorer.prompt import Vectors
from explorer.words.pieces import Mark, bare_word, mark_of, readable, spaced, stems

ROWS_PER_BLOCK = 1024
"""rows of a table that are looked at together"""


@dataclass(frozen=True, eq=False, repr=False)
class Vocabulary:
    """The embedding table of a model and the pieces its rows stand for. Two are equal only when they are one
    object.

    Raises ModelError for parts of unequal length, a table that is not finite, or one without a row that
    stands for text.
    """

    embedding: np.ndarray
    """[V, H] float32"""
    pieces: tuple[str, ...]
    """[V] as the tokenizer writes them, `▁` for a leading space; rows beyond the tokenizer are `<row N>`"""
    searchable: np.ndarray
    """[V] bool: rows that stand for text; not pad, eos, unk, sentinels, control pieces or padding rows"""
    name: str
    path: Path | None = None
    mark: Mark = ""
    """how the pieces show where words begin or end; not given: as most of them do"""

    def __post_init__(self) -> None:
        rows = len(self.embedding)
        if self.embedding.ndim != 2 or len(self.pieces) != rows or self.searchable.shape != (rows,):
            raise ModelError(
                f"{self.name}: embedding {self.embedding.shape}, {len(self.pieces)} pieces, mask "
                f"{self.searchable.shape}; expected [V, H], V, [V]"
            )
        if not self.searchable.any():
            raise ModelError(
                f"{self.name}: no row of the vocabulary stands for text; expected a tokenizer with "
                "ordinary pieces"
            )
        blocks = (self.embedding[start : start + ROWS_PER_BLOCK] for start in range(0, rows, ROWS_PER_BLOCK))
        if bad := sum(int((~np.isfinite(block)).any(axis=1).sum()) for block in blocks):
            raise ModelError(
                f"{self.name}: {bad} of {rows} embeddings hold NaN or infinity; expected finite "
                "weights: get the model again"
            )

        if not self.mark:
            object.__setattr__(self, "mark", mark_of(self.pieces))

    @classmethod
    def load(cls, model: str | Path = DEFAULT_MODEL, embedding: np.ndarray | None = None) -> "Vocabulary":
        """Read the input embeddings and the tokenizer of a model folder, a bundled model's name or a Hugging
        Face id.

        embedding: the table [V, H] float32 where it has been read already.

        Raises ModelError when the model, its embedding table or its tokenizer cannot be read.
        """
        folder = model_folder(model, weights=True)
        tokenizer = read_tokenizer(folder)  # first: without one no table is read
        embedding = read_embedding(folder) if embedding is None else embedding
        pieces, special = tokenizer.pieces, tokenizer.special
        rows = len(embedding)
        if len(pieces) > rows:
            raise ModelError(
                f"{folder}: the tokenizer has {len(pieces)} pieces, the embedding table {rows} rows; "
                "they belong to different models"
            )
        searchable = np.array(
            [
                piece is not None and index not in special and not BYTE.fullmatch(piece)
                for index, piece in enumerate(pieces)
            ]
            + [False] * (rows - len(pieces))
        )
        names = [f"<row {index}>" if piece is None else piece for index, piece in enumerate(pieces)]
        names += [f"<row {index}>" for index in range(len(pieces), rows)]
        return cls(embedding, tuple(names), searchable, str(model), folder, tokenizer.mark)

    def __repr__(self) -> str:
        """One line: name, rows, width."""
        return (
            f"<Vocabulary of {self.name}: {len(self):,} rows × {self.dimension}, "
            f"{len(self.searchable_ids):,} stand for text>"
        )

    @property
    def dimension(self) -> int:
        """H, the embedding size."""
        return self.embedding.shape[1]

    def __len__(self) -> int:
        """V, the number of embedding rows, padding included."""
        return len(self.embedding)

    @cached_property
    def searchable_ids(self) -> np.ndarray:
        """[V'] int64, the searchable rows in ascending order."""
        return np.flatnonzero(self.searchable)

    @cached_property
    def tokens(self) -> tuple[str, ...]:
        """[V] the pieces as people read them: a leading space where a word begins."""
        return tuple(spaced(piece, self.mark) for piece in self.pieces)

    def readable(self, piece: str) -> str:
        """A piece as people read it, see `words.pieces.readable`."""
        return readable(piece, self.mark)

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits of the table's and the pieces' content."""
        digest = hashlib.blake2b(digest_size=8)
        digest.update(repr(self.embedding.shape).encode())
        digest.update(np.ascontiguousarray(self.embedding).data)
        digest.update("\0".join(self.pieces).encode())
        return digest.hexdigest()

    @cached_property
    def word_groups(self) -> np.ndarray:
        """[V] int64: pieces that are the same word but for case and leading space have the same number."""
        groups: dict[str, int] = {}
        return np.array(
            [
                groups.setdefault(bare_word(piece, self.mark) or piece, index)
                for index, piece in enumerate(self.pieces)
            ]
        )

    @cached_property
    def stem_groups(self) -> np.ndarray:
        """[V] int64: pieces whose words share a stem have the same number."""
        groups: dict[str, int] = {}
        return np.array(
            [
                groups.setdefault(stem, index)
                for index, stem in enumerate(stems([bare_word(piece, self.mark) for piece in self.pieces]))
            ]
        )

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        if self.path is None:
            raise ModelError(f"{self.name} was not read from a folder and has no tokenizer")
        return read_tokenizer(self.path)

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """How many pieces the encoder would read of each text, eos among them. Raises ModelError for a
        vocabulary without a tokenizer.
        """
        return [len(row) for row in self._tokenizer.inputs(list(texts))] if texts else []

    def encode(self, text: str) -> list[int]:
        """Piece ids of a text, all of them, without eos.

        Raises PromptError for what is not Unicode text, ModelError when the vocabulary was not read from a
        folder.
        """
        try:
            text.encode()
        except UnicodeEncodeError:
            raise PromptError(
                f"found {text!r}, which is not Unicode text; expected words that the tokenizer can "
                "cut into pieces"
            ) from None
        return self._tokenizer.encode(text)

    def label_ids(self, labels: Sequence[str], template: str | None = None) -> list[list[int]]:
        """Piece ids of each label, just those that the model scores; see `models.label_pieces`.

        template: what the model reads in place of a text; None: that of its family. Raises LabelError
        for labels that cannot be used.
        """
        folder = self.path
        alone = folder is not None and is_encoder_decoder(folder)
        behind = None if alone else template_for(template, folder)
        return label_pieces(self._tokenizer, labels, behind, self.name)

    def label_vectors(self, labels: Sequence[str], template: str | None = None) -> np.ndarray:
        """Mean embedding of the pieces of each label: [C, H] float32 (Lester et al. 2021, §2.2). Arguments
        and errors as of `label_ids`.
        """
        return np.stack([self.embedding[ids].mean(axis=0) for ids in self.label_ids(labels, template)])

    def text_vector(self, text: str, template: str | None = None) -> np.ndarray:
        """The vector of one label: [H] float32; see `label_vectors`."""
        return self.label_vectors([text], template)[0]

    def check_width(self, vectors: Vectors, name: str) -> None:
        """Raise PromptError when vectors [P, H], or a prompt, have another width than this table, or another
        number of dimensions.
        """
        vectors = np.asarray(vectors)
        if vectors.ndim != 2:
            raise PromptError(
                f"{name}: found an array of shape {vectors.shape}; expected [P, H], a row for each vector"
            )
        if vectors.shape[1] != self.dimension:
            raise PromptError(
                f"{name}: vectors of width {vectors.shape[1]}, but {self.name} has embeddings of "
                f"width {self.dimension}; give the prompt's own base model",
                "model",
            )
