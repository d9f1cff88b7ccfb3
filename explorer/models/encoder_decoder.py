"""The frozen model: scores labels and writes text for many prompts in one batch."""

import inspect
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from explorer.choices import Device, Dtype
from explorer.errors import DataError, ModelError, PromptError
from explorer.files import MODELS
from explorer.models.loading import DEFAULT_MODEL, doubts, model_folder, placement, read_network
from explorer.tasks import check_text

if TYPE_CHECKING:
    import torch

LONGEST_INPUT = 512
"""pieces of a text that are read; longer texts are refused"""
LONGEST_OUTPUT = 64
ROWS_PER_PASS = {"cpu": 64, "cuda": 1024}
"""rows of a batch that go through the model at once: a processor is fastest while they fit into its cache (twice 256 rows' pace)"""
POSITIONS_PER_ROW = 96
"""longer rows, padding included, go through the model fewer at a time"""


@dataclass(frozen=True, eq=False, repr=False)
class FrozenT5:
    """A T5 encoder–decoder whose weights never change, on one device, used by one thread at a time."""

    model: "torch.nn.Module"
    tokenizer: object
    name: str
    """a bundled model's name, else the folder or hub id it was loaded by"""
    doubts: tuple[str, ...] = ()
    """what is odd about the checkpoint, in words; it may still be right"""
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    @classmethod
    def load(cls, model: str | Path = DEFAULT_MODEL, device: Device | str = "auto", dtype: Dtype = "auto") -> "FrozenT5":
        """Load a T5 from a folder, a bundled model's name or a Hugging Face id.

        device: `auto` takes CUDA where there is some, and `split` there when the weights are larger than what is free; weights go
        straight to a GPU, without a full copy in host memory. `split`: Accelerate spreads the layers over all devices.
        dtype: `auto` is bfloat16 on CUDA and float32 on the CPU.
        Raises ModelError when the model is missing, damaged or no T5.
        """
        import torch

        folder = model_folder(model, weights=True)
        device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        if str(device).startswith("cuda") and not torch.cuda.is_available():
            raise ModelError(f"device {device} was asked for, but torch sees no GPU; use cpu", "device")
        on_gpu = str(device).startswith("cuda") or (device == "split" and torch.cuda.is_available())
        precision = ("bfloat16" if on_gpu else "float32") if dtype == "auto" else dtype
        network, tokenizer = read_network(folder, getattr(torch, precision), placement(folder, str(device)))
        network.requires_grad_(False)
        return cls(network.eval(), tokenizer, folder.name if folder.parent == MODELS else str(model), doubts(network, folder))

    def __repr__(self) -> str:
        """One line: name, width, size, place."""
        return f"<FrozenT5 {self.name}: H {self.dimension}, {self.memory / 2**20:,.0f} MB of {self.dtype} on {self.device}>"

    @property
    def embedding(self) -> np.ndarray | None:
        """The input embeddings [V, H] float32 in memory shared with the model; None where the model does not hold them so."""
        import torch

        weight = self.model.get_input_embeddings().weight
        return weight.detach().numpy() if weight.device.type == "cpu" and weight.dtype == torch.float32 else None

    @property
    def memory(self) -> int:
        """Bytes that the weights take, on all devices together."""
        return sum(weight.numel() * weight.element_size() for weight in self.model.parameters())

    @property
    def device(self) -> "torch.device":
        """Where the weights are."""
        return self.model.get_input_embeddings().weight.device

    @property
    def dtype(self) -> "torch.dtype":
        """The precision of the weights."""
        return self.model.get_input_embeddings().weight.dtype

    @property
    def dimension(self) -> int:
        """H, the embedding size."""
        return self.model.config.d_model

    @contextmanager
    def _inference(self) -> Iterator[None]:
        import torch

        with self.lock, torch.inference_mode():
            yield

    def label_ids(self, label: str) -> list[int]:
        """Pieces of a label as a target, ending with eos. Raises DataError when the label has no piece."""
        with self.lock:
            ids = self.tokenizer(label, add_special_tokens=False, truncation=False)["input_ids"]
        if not ids:
            raise DataError(f"label {label!r} has no piece in the vocabulary of {self.name}; expected a word the tokenizer knows")
        return [*ids, self.model.config.eos_token_id]

    def text_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Pieces of each text, ending with eos. Raises DataError for empty or overlong texts."""
        for number, text in enumerate(texts, start=1):
            check_text(text, f"text {number}")
        with self.lock:  # a fast tokenizer is not safe in two threads: "Already borrowed"
            rows = self.tokenizer(list(texts), truncation=False, padding=False, verbose=False)["input_ids"] if texts else []
        for number, row in enumerate(rows, start=1):
            if len(row) > LONGEST_INPUT:
                raise DataError(f"text {number} has {len(row)} pieces; expected at most {LONGEST_INPUT}: shorten it")
        return rows

    def label_log_probabilities(self, prompts: Sequence[np.ndarray | None], texts: Sequence[str], labels: Sequence[str]) -> np.ndarray:
        """Σ log p(label pieces + eos | prompt, text), natural logarithm: [N, B, C] float32.

        prompts: N arrays [P_n, H] of any lengths, or None for no prompt. All N × B rows share batches; shorter rows are
        masked out of attention, so the figures are those of separate runs.
        Raises PromptError for vectors of another width and DataError for unusable texts or labels.
        """
        import torch

        targets = [torch.tensor(self.label_ids(label), device=self.device) for label in labels]
        scores = np.empty((len(prompts) * len(texts), len(targets)), np.float32)
        with self._inference():
            for rows, embeds, mask in self._passes(prompts, texts):
                encoded = self.encode(embeds, mask)
                cross_attention = None
                for column, target in enumerate(targets):
                    wanted = target.expand(len(rows), -1)
                    logits, cross_attention = self._decode(encoded, mask, wanted, cross_attention)
                    steps = torch.log_softmax(logits.float(), dim=-1).gather(2, wanted[:, :, None])
                    scores[rows, column] = steps.sum(dim=(1, 2)).cpu().numpy()
        return scores.reshape(len(prompts), len(texts), len(targets))

    def label_probabilities(self, prompts: Sequence[np.ndarray | None], texts: Sequence[str], labels: Sequence[str]) -> np.ndarray:
        """Rank classification: softmax over labels of `label_log_probabilities`: [N, B, C] float32, rows sum to 1."""
        scores = self.label_log_probabilities(prompts, texts, labels)
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        return scores / scores.sum(axis=-1, keepdims=True)

    def generate(self, prompts: Sequence[np.ndarray | None], texts: Sequence[str], max_new_tokens: int = 16) -> list[list[str]]:
        """Greedy continuations: N lists of B texts, special pieces left out. Raises what `label_log_probabilities` raises."""
        limit = max(1, min(max_new_tokens, LONGEST_OUTPUT))
        written = [""] * (len(prompts) * len(texts))
        with self._inference():
            for rows, embeds, mask in self._passes(prompts, texts):
                ids = self.model.generate(inputs_embeds=embeds, attention_mask=mask, max_new_tokens=limit, do_sample=False, num_beams=1)
                for row, text in zip(rows, self.tokenizer.batch_decode(ids, skip_special_tokens=True), strict=True):
                    written[row] = text
        return [written[n * len(texts) : (n + 1) * len(texts)] for n in range(len(prompts))]

    def encode(self, embeds: "torch.Tensor", mask: "torch.Tensor") -> "torch.Tensor":
        """Encoder outputs [R, L, H] of input embeddings [R, L, H] and their attention mask [R, L]; gradients flow to the embeddings."""
        return self.model.get_encoder()(inputs_embeds=embeds, attention_mask=mask).last_hidden_state

    def target_logits(self, encoded: "torch.Tensor", mask: "torch.Tensor", targets: "torch.Tensor") -> "torch.Tensor":
        """Logits [R, U, V] of the pieces of targets [R, U] (any filler after a target's end), given those before them."""
        return self._decode(encoded, mask, targets)[0]

    def _passes(self, prompts: Sequence[np.ndarray | None], texts: Sequence[str]) -> "Iterator[tuple[np.ndarray, torch.Tensor, torch.Tensor]]":
        """Every prompt before every embedded text, in passes of bounded size and like length.

        Yields row numbers [R] (prompt n, text b is row n·B + b), embeddings [R, L, H] and attention mask [R, L].
        """
        import torch

        for number, prompt in enumerate(prompts, start=1):
            if prompt is not None and (prompt.ndim != 2 or prompt.shape[1] != self.dimension):
                raise PromptError(f"prompt {number}: vectors of shape {prompt.shape}, but {self.name} needs [P, {self.dimension}]")
        ids, embed = self.text_ids(texts), self.model.get_input_embeddings()
        fronts = [None if prompt is None else torch.as_tensor(prompt, dtype=self.dtype, device=self.device) for prompt in prompts]
        lengths = np.array([(0 if front is None else len(front)) + len(text) for front in fronts for text in ids], np.int64)
        most = ROWS_PER_PASS.get(self.device.type, ROWS_PER_PASS["cpu"])
        for rows in split_by_length(lengths, most, most * POSITIONS_PER_ROW):
            embedded = [embed(torch.tensor(ids[row % len(ids)], device=self.device)) for row in rows]
            pairs = [(fronts[row // len(ids)], text) for row, text in zip(rows, embedded, strict=True)]
            embeds = torch.nn.utils.rnn.pad_sequence([text if front is None else torch.cat([front, text]) for front, text in pairs], batch_first=True)
            yield rows, embeds, attention_mask(torch.from_numpy(lengths[rows]).to(self.device), embeds.shape[1])

    def _decode(self, encoded: "torch.Tensor", mask: "torch.Tensor", targets: "torch.Tensor", cross_attention=None) -> tuple:
        """Logits [R, U, V] of targets [R, U] (teacher forcing), and the keys and values of `encoded` for the next targets.

        cross_attention: those keys and values from an earlier call with the same `encoded`; None while gradients are wanted.
        """
        import torch
        from transformers import DynamicCache, EncoderDecoderCache
        from transformers.modeling_outputs import BaseModelOutput

        start = torch.full_like(targets[:, :1], self.model.config.decoder_start_token_id)
        kept = None if torch.is_grad_enabled() else EncoderDecoderCache(DynamicCache(), DynamicCache() if cross_attention is None else cross_attention)
        logits = self.model(
            encoder_outputs=BaseModelOutput(last_hidden_state=encoded),
            attention_mask=mask,
            decoder_input_ids=torch.cat([start, targets[:, :-1]], dim=1),
            use_cache=kept is not None,
            **{_cache_argument(type(self.model)): kept},
        ).logits
        return logits, None if kept is None else kept.cross_attention_cache


@cache
def _cache_argument(network: type) -> str:
    """What the network's `forward` calls its cache: transformers renamed `past_key_values` in 5.24."""
    return "cache" if "cache" in inspect.signature(network.forward).parameters else "past_key_values"


def attention_mask(lengths: "torch.Tensor", longest: int) -> "torch.Tensor":
    """1 where a row of `lengths` [R] has an entry, 0 where it is padded at the right: [R, longest] int64."""
    import torch

    return (torch.arange(longest, device=lengths.device) < lengths[:, None]).long()


def split_by_length(lengths: np.ndarray, rows: int = 64, positions: int = 64 * POSITIONS_PER_ROW) -> Iterator[np.ndarray]:
    """Row numbers in passes of like length: each has at most `rows` rows and, padded, `positions` positions (or one row).

    lengths: [R] int64. Rows of like length together waste little on padding, which is masked and changes no result.
    """
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        count = max(1, min(rows, positions // max(1, int(lengths[order[start]]))))
        yield order[start : start + count]
        start += count
