"""The frozen model: scores labels and writes text for many prompts in one batch."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from explorer.errors import DataError, ModelError, PromptError
from explorer.tasks import check_text
from explorer.vocabulary import DEFAULT_MODEL, model_folder

if TYPE_CHECKING:
    import torch

LONGEST_INPUT = 512
"""pieces of a text that are read; longer texts are refused"""
LONGEST_OUTPUT = 64
ROWS_PER_PASS = 256
"""rows of a batch that go through the model at once"""

Device = Literal["auto", "cpu", "cuda"]
Dtype = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True)
class FrozenT5:
    """A T5 encoder–decoder whose weights never change, on one device, used by one thread at a time."""

    model: "torch.nn.Module"
    tokenizer: object
    name: str
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    @classmethod
    def load(cls, model: str | Path = DEFAULT_MODEL, device: Device | str = "auto", dtype: Dtype = "auto") -> "FrozenT5":
        """Load a T5 from a folder, a bundled model's name or a Hugging Face id.

        device: `auto` takes CUDA where there is some; dtype: `auto` is bfloat16 on CUDA and float32 on the CPU.
        Raises ModelError when the model is missing, damaged or no T5.
        """
        import torch
        from transformers import AutoConfig, AutoModelForSeq2SeqLM, AutoTokenizer
        from transformers.utils import logging

        folder = model_folder(model, weights=True)
        device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        if str(device).startswith("cuda") and not torch.cuda.is_available():
            raise ModelError(f"device {device} was asked for, but torch sees no GPU; use --device cpu")
        precision = {"float32": torch.float32, "bfloat16": torch.bfloat16, "auto": torch.bfloat16 if str(device).startswith("cuda") else torch.float32}
        logging.disable_progress_bar()
        try:
            config = AutoConfig.from_pretrained(folder)
            if config.model_type not in ("t5", "mt5", "umt5"):
                raise ModelError(f"{folder}: found a {config.model_type} model; expected one of the T5 family (t5, mt5, umt5)")
            tokenizer = AutoTokenizer.from_pretrained(folder)
            network = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=precision[dtype])
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise ModelError(f"{folder}: cannot be loaded as a T5 ({(str(error).splitlines() or [''])[0][:200]})") from error
        network.requires_grad_(False)
        return cls(network.to(device).eval(), tokenizer, str(model))

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
        ids = self.tokenizer(label, add_special_tokens=False)["input_ids"]
        if not ids:
            raise DataError(f"label {label!r} has no piece in the vocabulary of {self.name}")
        return [*ids, self.model.config.eos_token_id]

    def text_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Pieces of each text, ending with eos. Raises DataError for empty or overlong texts."""
        for number, text in enumerate(texts, start=1):
            check_text(text, f"text {number}")
        rows = self.tokenizer(list(texts), verbose=False)["input_ids"]
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

        rows = self._rows(prompts, texts)
        targets = [torch.tensor(self.label_ids(label), device=self.device) for label in labels]
        scores = np.empty((len(rows), len(targets)), np.float32)
        with self._inference():
            for start, encoded, mask in self._encoded(rows):
                for column, target in enumerate(targets):
                    logits = self._decode(encoded, mask, target)
                    steps = torch.log_softmax(logits.float(), dim=-1).gather(2, target.expand(len(encoded), -1)[:, :, None])
                    scores[start : start + len(encoded), column] = steps.sum(dim=(1, 2)).cpu().numpy()
        return scores.reshape(len(prompts), len(texts), len(targets))

    def label_probabilities(self, prompts: Sequence[np.ndarray | None], texts: Sequence[str], labels: Sequence[str]) -> np.ndarray:
        """Rank classification: softmax over labels of `label_log_probabilities`: [N, B, C] float32, rows sum to 1."""
        scores = self.label_log_probabilities(prompts, texts, labels)
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        return scores / scores.sum(axis=-1, keepdims=True)

    def generate(self, prompts: Sequence[np.ndarray | None], texts: Sequence[str], max_new_tokens: int = 16) -> list[list[str]]:
        """Greedy continuations: N lists of B texts, special pieces left out."""
        rows = self._rows(prompts, texts)
        limit = max(1, min(max_new_tokens, LONGEST_OUTPUT))
        written: list[str] = []
        with self._inference():
            for start in range(0, len(rows), ROWS_PER_PASS):
                embeds, mask = self._padded(rows[start : start + ROWS_PER_PASS])
                ids = self.model.generate(inputs_embeds=embeds, attention_mask=mask, max_new_tokens=limit, do_sample=False, num_beams=1)
                written += self.tokenizer.batch_decode(ids, skip_special_tokens=True)
        return [written[n * len(texts) : (n + 1) * len(texts)] for n in range(len(prompts))]

    def _rows(self, prompts: Sequence[np.ndarray | None], texts: Sequence[str]) -> "list[torch.Tensor]":
        """Every prompt before every embedded text: N × B tensors [P_n + T_b, H]."""
        import torch

        embed = self.model.get_input_embeddings()
        for number, prompt in enumerate(prompts, start=1):
            if prompt is not None and (prompt.ndim != 2 or prompt.shape[1] != self.dimension):
                raise PromptError(f"prompt {number}: vectors of shape {prompt.shape}, but {self.name} needs [P, {self.dimension}]")
        with self._inference():
            embedded = [embed(torch.tensor(ids, device=self.device)) for ids in self.text_ids(texts)]
            fronts = [None if p is None else torch.as_tensor(p, dtype=self.dtype, device=self.device) for p in prompts]
            return [text if front is None else torch.cat([front, text]) for front in fronts for text in embedded]

    def _padded(self, rows: "list[torch.Tensor]") -> "tuple[torch.Tensor, torch.Tensor]":
        """Rows [L_r, H] padded at the right: embeddings [R, L, H] and attention mask [R, L]."""
        import torch

        embeds = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        lengths = torch.tensor([len(row) for row in rows], device=self.device)
        return embeds, (torch.arange(embeds.shape[1], device=self.device) < lengths[:, None]).long()

    def _encoded(self, rows: "list[torch.Tensor]") -> "Iterator[tuple[int, torch.Tensor, torch.Tensor]]":
        """Encoder outputs in passes of bounded size: (first row, states [R, L, H], mask [R, L])."""
        for start in range(0, len(rows), ROWS_PER_PASS):
            embeds, mask = self._padded(rows[start : start + ROWS_PER_PASS])
            yield start, self.model.get_encoder()(inputs_embeds=embeds, attention_mask=mask).last_hidden_state, mask

    def _decode(self, encoded: "torch.Tensor", mask: "torch.Tensor", target: "torch.Tensor") -> "torch.Tensor":
        """Logits [R, U, V] of one target [U] for every encoded row."""
        from transformers.modeling_outputs import BaseModelOutput

        return self.model(
            encoder_outputs=BaseModelOutput(last_hidden_state=encoded),
            attention_mask=mask,
            labels=target.expand(len(encoded), -1).contiguous(),
            use_cache=False,
        ).logits
