"""What every frozen model can do, whatever its family: score labels and write text for many prompts in one
batch.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

import numpy as np

from explorer.choices import LONGEST_INPUT, Device, Dtype
from explorer.errors import DataError, PromptError
from explorer.models.family import TASK_TYPES
from explorer.models.label_pieces import BEFORE_ANY, label_pieces
from explorer.models.passes import attention_mask, greedy_behind, split_by_length
from explorer.models.placement import POSITIONS_PER_ROW, ROWS_PER_PASS
from explorer.models.templates import TEXT, filled
from explorer.models.tokenizer import Tokenizer
from explorer.prompt import SoftPrompt, check_runs, decoder_vectors
from explorer.system.interruption import checkpoint
from explorer.texts.tasks import check_labels, check_text
from explorer.words.arguments import as_list

if TYPE_CHECKING:
    import torch

LONGEST_OUTPUT = 64
Prompts = Sequence[SoftPrompt | np.ndarray | None]
"""prompts, or their vectors [P, H]; None for no prompt"""
Done = Callable[[int], object]
"""told, after each pass, how many rows of the batch it had"""


class Forward(Protocol):
    """The arithmetic of a model: from input embeddings to logits. R rows, L positions, U target pieces."""

    @property
    def embedding(self) -> "torch.Tensor":
        """[V, H] as stored"""

    @property
    def memory(self) -> int:
        """Bytes that the weights take, on all devices together."""

    @property
    def device(self) -> "torch.device":
        """Where the embedding table is."""

    @property
    def dtype(self) -> "torch.dtype":
        """The precision of the weights."""

    @property
    def context(self) -> int | None:
        """Positions that the model can tell apart, prompt and answer among them; None where there is no
        bound.
        """

    def cast(self, dtype: "torch.dtype") -> "Forward":
        """The same in another precision."""

    def embed(self, ids: "torch.Tensor") -> "torch.Tensor":
        """Input embeddings [R, L, H] of pieces [R, L]."""

    def encode(self, embeds: "torch.Tensor", mask: "torch.Tensor") -> Any:
        """What targets are scored by, for inputs [R, L, H] and their attention mask [R, L] (1 or 0)."""

    def encode_after(
        self, fronts: "torch.Tensor", which: "torch.Tensor", embeds: "torch.Tensor", mask: "torch.Tensor"
    ) -> Any:
        """The same for fronts[which] [R, P, H] before inputs [R, L, H] with a mask [R, P + L]; fronts [N, P,
        H] are those of N prompts.
        """

    def target_logits(
        self, encoded: Any, mask: "torch.Tensor", targets: "torch.Tensor", exact: bool = False
    ) -> "torch.Tensor":
        """Logits [R, U, V] of the pieces of targets [R, U], given those before them; exact: in float32."""

    def generate(self, embeds: "torch.Tensor", mask: "torch.Tensor", longest: int) -> list[list[int]]:
        """Greedy continuations of inputs [R, L, H]: for each row the pieces up to one that ends a text, at
        most `longest`.
        """


@dataclass(frozen=True, eq=False, repr=False)
class FrozenModel(ABC):
    """A model whose weights never change, on one device, used by one thread at a time."""

    network: Any
    """a `Forward`"""
    tokenizer: Tokenizer
    name: str
    """a bundled model's name, else the folder or hub id it was loaded by"""
    folder: Path | None = None
    """where its files are"""
    doubts: tuple[str, ...] = ()
    """what is odd about the checkpoint, in words; it may still be right"""
    max_length: int = LONGEST_INPUT
    """pieces of a text that are read, its end and what stands around it among them; longer texts are cut"""
    template: str = TEXT
    """what the model reads in place of a text, see `models.templates`"""
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    task_type: ClassVar[str]
    """what PEFT calls models of this kind"""

    def label_ids(self, label: str) -> list[int]:
        """Pieces of a label as a target. Raises what `targets` raises."""
        return self.targets([label])[0]

    def targets(self, labels: Sequence[str]) -> list[list[int]]:
        """Pieces of each label as a target: those of `models.label_pieces`, behind the model's template, and
        what ends them. Raises DataError for labels that cannot be used.
        """
        with self.lock:
            found = label_pieces(self.tokenizer, labels, self._behind(), self.name)
        return [[*ids, *self._closing()] for ids in found]

    @abstractmethod
    def _behind(self) -> str | None:
        """The template that labels stand behind; None where the model writes them by themselves."""

    @abstractmethod
    def _closing(self) -> list[int]:
        """Pieces that end a target."""

    @abstractmethod
    def _left_out(self) -> Collection[int]:
        """Pieces that a tokenizer puts behind a text, but the model is not to read there."""

    def _inputs(self, texts: Sequence[str]) -> list[list[int]]:
        """Pieces of each filled template, at most `max_length`; of longer ones the end of the text gives way,
        not what stands around it. Raises DataError where that leaves no room for a text.
        """
        encode, around = self.tokenizer.encode, self.template.rstrip(" ").partition(TEXT)
        one, plain = self.tokenizer.inputs([BEFORE_ANY])[0], encode(BEFORE_ANY)
        opening = next((n for n in range(len(one)) if one[n : n + len(plain)] == plain), 0)
        added = one[opening + len(plain) :]
        closing = [piece for piece in added if piece not in self._left_out()]
        rows = [[*row[: len(row) - len(added)], *closing] for row in self.tokenizer.inputs(texts)]
        if all(len(row) <= self.max_length for row in rows):
            return rows
        tail = [*encode(BEFORE_ANY + around[2])[len(plain) :], *closing]
        front, kept = opening + len(encode(around[0])), self.max_length - len(tail)
        if kept <= front:
            raise DataError(
                f"the template takes {front + len(tail)} pieces, of {self.max_length} that are read, which "
                "leaves none for a text; read more pieces, or give a shorter template",
                "max-length",
            )
        return [row if len(row) <= self.max_length else [*row[:kept], *tail] for row in rows]

    @classmethod
    @abstractmethod
    def load(
        cls,
        model: str | Path,
        device: Device | str = "auto",
        dtype: Dtype = "auto",
        embedding: np.ndarray | None = None,
    ) -> Self:
        """Load it from a folder, a bundled name or a Hugging Face id. Raises ModelError when it is missing or
        damaged.
        """

    @abstractmethod
    def _alone(self) -> list[int]:
        """Pieces that the model reads where there is no text."""

    def _start(self) -> list[int]:
        """Pieces of a row that would have none: neither a prompt nor a text."""
        return self._alone()

    @abstractmethod
    def says(self, written: str, labels: Sequence[str]) -> bool:
        """Whether a generated text is one of the labels."""

    def __repr__(self) -> str:
        """One line: name, width, size, place."""
        return (
            f"<{type(self).__name__} {self.name}: H {self.dimension}, {self.memory / 2**20:,.0f} MB of "
            f"{self.dtype} on {self.device}>"
        )

    @property
    def embedding(self) -> np.ndarray | None:
        """The input embeddings [V, H] float32 in memory shared with the model; None where the model does not
        hold them so.
        """
        import torch

        table = self.network.embedding
        return table.detach().numpy() if table.device.type == "cpu" and table.dtype == torch.float32 else None

    @property
    def memory(self) -> int:
        """Bytes that the weights take, on all devices together."""
        return self.network.memory

    @property
    def device(self) -> "torch.device":
        """Where the embedding table is, and where inputs belong."""
        return self.network.device

    @property
    def dtype(self) -> "torch.dtype":
        """The precision of the weights."""
        return self.network.dtype

    @property
    def dimension(self) -> int:
        """H, the embedding size."""
        return self.network.embedding.shape[1]

    @contextmanager
    def _inference(self) -> Iterator[None]:
        import torch

        with self.lock, torch.inference_mode():
            yield

    def limited(self, max_length: int) -> Self:
        """The same model, weights and lock, which reads so many pieces of a text, its end among them."""
        return self if max_length == self.max_length else replace(self, max_length=max_length)

    def templated(self, template: str) -> Self:
        """The same model, weights and lock, with another text around each text."""
        return self if template == self.template else replace(self, template=template)

    def text_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Pieces that the model reads of each text, at most `max_length`; `Session.cut` says how many texts
        that cuts.

        Raises DataError for an empty text and an absurdly long one, and for a string instead of a list.
        """
        texts = as_list(texts, "texts")
        for number, text in enumerate(texts, start=1):
            check_text(text, f"text {number}")
        with self.lock:
            return self._inputs([filled(self.template, text) for text in texts]) if texts else []

    def label_log_probabilities(
        self, prompts: Prompts, texts: Sequence[str], labels: Sequence[str], done: Done | None = None
    ) -> np.ndarray:
        """Σ log p(pieces of the label | prompt, text), natural logarithm: [N, B, C] float32; a T5's labels
        end with eos.

        prompts: N prompts or arrays [P_n, H] of any lengths, or None for no prompt. All N × B rows share
        batches; shorter rows are masked out of attention, so the figures are those of separate runs. Raises
        PromptError for vectors of another width and DataError for unusable texts or labels, or a string
        instead of a list.
        """
        import torch

        vectors, texts = self._vectors(prompts), as_list(texts, "texts")
        if self._one_by_one(prompts):
            each = [self.label_log_probabilities([one], texts, labels, done) for one in prompts]
            return np.concatenate(each)
        targets = [torch.tensor(ids, device=self.device) for ids in self.targets(as_list(labels, "labels"))]
        scores = np.empty((len(vectors) * len(texts), len(targets)), np.float32)
        longest = max(map(len, targets), default=0)
        front = self._decoder_front(prompts)
        for rows, embeds, mask in self._passes(vectors, self.text_ids(texts), longest):
            with self._inference():  # for each pass, so that others get their turn
                encoded = self.encode(embeds, mask)
                for column, target in enumerate(targets):
                    found = self.target_scores(encoded, mask, target, front=front)
                    scores[rows, column] = found.cpu().numpy()
            if done is not None:
                done(len(rows))
        return scores.reshape(len(vectors), len(texts), len(targets))

    def label_probabilities(
        self, prompts: Prompts, texts: Sequence[str], labels: Sequence[str], done: Done | None = None
    ) -> np.ndarray:
        """Rank classification: softmax over labels of `label_log_probabilities`: [N, B, C] float32, rows sum
        to 1.

        Raises DataError for fewer than two labels, besides.
        """
        scores = self.label_log_probabilities(prompts, texts, check_labels(labels), done)
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        return scores / scores.sum(axis=-1, keepdims=True)

    def generate(
        self, prompts: Prompts, texts: Sequence[str], max_new_tokens: int = 16, done: Done | None = None
    ) -> list[list[str]]:
        """Greedy continuations: N lists of B texts, special pieces left out. Raises what
        `label_log_probabilities` raises.
        """
        vectors, texts = self._vectors(prompts), as_list(texts, "texts")
        if self._one_by_one(prompts):
            return [row for one in prompts for row in self.generate([one], texts, max_new_tokens, done)]
        longest = max(1, min(max_new_tokens, LONGEST_OUTPUT))
        written, front = [""] * (len(vectors) * len(texts)), self._decoder_front(prompts)
        for rows, embeds, mask in self._passes(vectors, self.text_ids(texts), longest):
            with self._inference():
                if front is None:
                    ids = self.network.generate(embeds, mask, longest)
                else:
                    ids = greedy_behind(self.network, self.encode(embeds, mask), mask, front, longest)
                for row, pieces in zip(rows, ids, strict=True):
                    written[row] = self.tokenizer.decode(pieces)
            if done is not None:
                done(len(rows))
        return [written[n * len(texts) : (n + 1) * len(texts)] for n in range(len(vectors))]

    def first_pieces(self, prompts: Prompts, texts: Sequence[str], done: Done | None = None) -> np.ndarray:
        """log p(first piece that the decoder writes | prompt, text), natural logarithm: [N, B, V] float32,
        each row's exponentials sum to 1.

        texts: an empty one is none, so that the model reads the prompt alone (a T5 also eos). For a text with
        a sentinel (`<extra_id_0>`) it is the piece after that sentinel, with which a T5 begins to fill the
        gap (span corruption, Raffel et al. 2020, §3.1.4). prompts: as in `label_log_probabilities`, and all N
        × B rows share batches likewise. Raises what that raises.
        """
        import torch

        vectors, ids = self._vectors(prompts), self._ids_or_none(as_list(texts, "texts"))
        if self._one_by_one(prompts):
            return np.concatenate([self.first_pieces([one], texts, done) for one in prompts])
        starts = [next(((piece,) for piece in row if piece in self.tokenizer.sentinels), ()) for row in ids]
        found = np.empty((len(vectors), len(ids), len(self.network.embedding)), np.float32)
        front = self._decoder_front(prompts)
        for start in dict.fromkeys(starts):
            columns = np.array([number for number, one in enumerate(starts) if one == start], np.int64)
            target = torch.tensor([*start, 0], device=self.device)  # what the last one is does not matter
            for rows, embeds, mask in self._passes(vectors, [ids[column] for column in columns]):
                with self._inference():
                    logits = self._target_logits(
                        self.encode(embeds, mask), mask, target.expand(len(rows), -1), front=front
                    )[:, -1]
                    found[rows // len(columns), columns[rows % len(columns)]] = (
                        torch.log_softmax(logits.float(), dim=-1).cpu().numpy()
                    )
                if done is not None:
                    done(len(rows))
        return found

    def _ids_or_none(self, texts: Sequence[str]) -> list[list[int]]:
        """Pieces of each text; of an empty one what the model reads where there is none."""
        read = iter(self.text_ids([text for text in texts if text]))
        return [next(read) if text else self._alone() for text in texts]

    def embed(self, ids: "torch.Tensor") -> "torch.Tensor":
        """Input embeddings [R, L, H] of pieces [R, L], or [L, H] of [L]."""
        return self.network.embed(ids)

    def encode(self, embeds: "torch.Tensor", mask: "torch.Tensor") -> Any:
        """What targets are scored by, for input embeddings [R, L, H] and their attention mask [R, L];
        gradients flow to the embeddings.
        """
        return self.network.encode(embeds, mask)

    def target_scores(
        self,
        encoded: Any,
        mask: "torch.Tensor",
        target: "torch.Tensor",
        exact: bool = False,
        front: "torch.Tensor | None" = None,
    ) -> "torch.Tensor":
        """Log-probability of a label's pieces [U] in nats: [R] float32, given what `encode` gave for R rows;
        front: vectors [D, H] before the decoder's input.

        exact: logits are computed in float32, whatever the precision of the weights: small differences of
        scores are lost in bfloat16.
        """
        import torch

        wanted = target.expand(len(mask), -1)
        logits = self._target_logits(encoded, mask, wanted, exact, front).float()
        return (
            torch.log_softmax(logits, dim=-1).gather(2, wanted[:, :, None].to(logits.device)).sum(dim=(1, 2))
        )

    def _target_logits(
        self,
        encoded: Any,
        mask: "torch.Tensor",
        targets: "torch.Tensor",
        exact: bool = False,
        front: "torch.Tensor | None" = None,
    ) -> "torch.Tensor":
        """`Forward.target_logits`, behind vectors [D, H] in the decoder where there are some."""
        if front is None:
            return self.network.target_logits(encoded, mask, targets, exact)
        return self.network.target_logits(encoded, mask, targets, exact, front.expand(len(mask), -1, -1))

    def _one_by_one(self, prompts: Prompts) -> bool:
        """Whether prompts go through the model one at a time: some have vectors of their own in the
        decoder.
        """
        return len(prompts) > 1 and any(decoder_vectors(prompt) is not None for prompt in prompts)

    def _decoder_front(self, prompts: Prompts) -> "torch.Tensor | None":
        """The vectors [D, H] that the only prompt puts before the decoder's input, if any. Raises PromptError
        where the model has no decoder of its own.
        """
        import torch

        vectors = next((found for one in prompts if (found := decoder_vectors(one)) is not None), None)
        if vectors is None:
            return None
        if self.task_type != TASK_TYPES["encoder-decoder"]:
            raise PromptError(
                f"{self.name} is no encoder–decoder model, and the prompt has vectors for a decoder; give "
                "the prompt's own base model",
                "model",
            )
        return torch.as_tensor(vectors, dtype=self.dtype, device=self.device)

    def _passes(
        self, vectors: Sequence[np.ndarray | None], ids: Sequence[list[int]], answer: int = 0
    ) -> "Iterator[tuple[np.ndarray, torch.Tensor, torch.Tensor]]":
        """Every prompt before every embedded text, given as pieces, in passes of bounded size and like
        length.

        answer: pieces that follow each row, at most. Yields row numbers [R] (prompt n, text b is row n·B +
        b), embeddings [R, L, H] and attention mask [R, L].
        """
        import torch

        fronts = [
            None if one is None else torch.as_tensor(one, dtype=self.dtype, device=self.device)
            for one in vectors
        ]
        pieces = [text or ([] if front is not None else self._start()) for front in fronts for text in ids]
        lengths = np.array(
            [
                len(text) + (0 if (front := fronts[row // len(ids)]) is None else len(front))
                for row, text in enumerate(pieces)
            ],
            np.int64,
        )
        self.check_context(lengths, answer)
        most = ROWS_PER_PASS.get(self.device.type, ROWS_PER_PASS["cpu"])
        for rows in split_by_length(lengths, most, most * POSITIONS_PER_ROW):
            checkpoint()
            with torch.no_grad():
                texts = [torch.tensor(pieces[row], dtype=torch.long) for row in rows]
                embedded = self.embed(
                    torch.nn.utils.rnn.pad_sequence(texts, batch_first=True).to(self.device)
                )  # [R, T, H], in one transfer
                pairs = [
                    (fronts[row // len(ids)], one[: len(text)])
                    for row, one, text in zip(rows, embedded, texts, strict=True)
                ]
                embeds = torch.nn.utils.rnn.pad_sequence(
                    [text if front is None else torch.cat([front, text]) for front, text in pairs],
                    batch_first=True,
                )
            yield (
                rows,
                embeds,
                attention_mask(torch.from_numpy(lengths[rows]).to(self.device), embeds.shape[1]),
            )

    def check_context(self, lengths: np.ndarray, answer: int) -> None:
        """Raise DataError where rows of these lengths [R], prompt tokens among them, and an answer are more
        pieces than the model tells apart.
        """
        context, longest = self.network.context, int(lengths.max(initial=0)) + answer
        if context is not None and longest > context:
            found = (
                f"{self.name} reads {context:,} pieces at once; found a prompt, a text and an answer of "
                f"{longest:,} together"
            )
            raise DataError(f"{found}: read fewer pieces of each text", "max-length")

    def _vectors(self, prompts: Prompts) -> list[np.ndarray | None]:
        """Vectors [P_n, H] of each prompt. Raises PromptError for a prompt instead of a list of them, and for
        another width.
        """
        if isinstance(prompts, str | SoftPrompt) or (isinstance(prompts, np.ndarray) and prompts.ndim < 3):
            found = f"an array of shape {prompts.shape}" if isinstance(prompts, np.ndarray) else repr(prompts)
            raise PromptError(f"prompts: found {found}; expected a list of prompts")
        each = [
            None if one is None else one.vectors if isinstance(one, SoftPrompt) else np.asarray(one)
            for one in prompts
        ]
        for one in prompts:
            if isinstance(one, SoftPrompt):
                check_runs(one)
        for number, vectors in enumerate(each, start=1):
            if vectors is not None and (vectors.ndim != 2 or vectors.shape[1] != self.dimension):
                raise PromptError(
                    f"prompt {number}: vectors of shape {vectors.shape}, but {self.name} needs [P, "
                    f"{self.dimension}]"
                )
        return each
