"""The frozen language model: a decoder that reads prompt and text and goes on writing. Llama, Qwen, Gemma,
GPT-2, GPT-NeoX, OPT, BLOOM and the like.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from explorer.choices import Device, Dtype
from explorer.errors import ModelError
from explorer.models.architecture import MOST_LAYERS, MOST_SIZE, read_json
from explorer.models.family import TASK_TYPES
from explorer.models.frozen import Done, FrozenModel
from explorer.models.loading import DEFAULT_MODEL, model_folder
from explorer.models.placement import POSITIONS_PER_ROW, ROWS_PER_PASS, chosen_device, chosen_dtype
from explorer.models.templates import ANSWERED, has_chat_template
from explorer.models.tokenizer import read_tokenizer
from explorer.models.weights import stored_shapes
from explorer.system.files import MODELS
from explorer.system.interruption import checkpoint

if TYPE_CHECKING:
    import torch

    from explorer.models.causal_network import CausalNetwork

SIZES = {
    "layers": ("num_hidden_layers", "n_layer", "num_layers"),
    "sizes": (
        "vocab_size",
        "hidden_size",
        "n_embd",
        "intermediate_size",
        "ffn_dim",
        "n_inner",
        "max_position_embeddings",
        "n_positions",
    ),
    "heads": ("num_attention_heads", "n_head", "num_key_value_heads"),
}
"""what families call the numbers of their configurations"""
ROWS_WITHIN = 64
"""vectors that are asked about at once"""


@dataclass(frozen=True, eq=False, repr=False)
class FrozenDecoder(FrozenModel):
    """A decoder-only language model whose weights never change, on one device, used by one thread at a time.

    It reads prompt, text and template as one row, and a label is what it writes next. Special pieces that its
    tokenizer puts before a text (bos) stand between prompt and text, as PEFT puts them.
    """

    network: "CausalNetwork"
    template: str = ANSWERED

    task_type: ClassVar[str] = TASK_TYPES["decoder-only"]

    @classmethod
    def load(
        cls,
        model: str | Path = DEFAULT_MODEL,
        device: Device | str = "auto",
        dtype: Dtype = "auto",
        embedding: np.ndarray | None = None,
    ) -> Self:
        """Load a language model from a folder or a Hugging Face id; device and dtype as in `FrozenT5.load`.
        embedding: not used, the model reads its own.

        Raises ModelError when the model is missing, damaged, or none that transformers knows.
        """
        from explorer.models.causal_network import CausalNetwork

        folder = model_folder(model, weights=True)
        _check_sizes(folder)
        device = chosen_device(device)
        precision = chosen_dtype(dtype, device)
        tokenizer = read_tokenizer(folder)  # before the weights take memory
        network = CausalNetwork.load(folder, precision, _placement(folder, device, precision))
        if len(tokenizer.pieces) > len(network.embedding):
            found = (
                f"the tokenizer has {len(tokenizer.pieces):,} pieces, the embedding table "
                f"{len(network.embedding):,} rows"
            )
            raise ModelError(f"{folder}: {found}; they belong to different models")
        name = folder.name if folder.parent == MODELS else str(model)
        return cls(network, tokenizer, name, folder, _doubts(folder))

    @property
    def embedding(self) -> np.ndarray | None:
        """As of every frozen model; None, besides, where the model reads multiples of its table's rows."""
        return super().embedding if self.network.scale == 1 else None

    def templated(self, template: str) -> Self:
        """As of every frozen model; within a template that was chosen, a chat model's own is no doubt any
        more.
        """
        made = super().templated(template)
        return made if template == ANSWERED else replace(made, doubts=())

    def _behind(self) -> str:
        """The template, whose space before an answer belongs to the answer's first piece."""
        return self.template

    def _closing(self) -> list[int]:
        """Nothing: a language model goes on."""
        return []

    def _left_out(self) -> tuple[int, ...]:
        """What ends a text: an answer is to follow."""
        return self.network.ends

    def says(self, written: str, labels: Sequence[str]) -> bool:
        """Whether a generated text begins with one of the labels: a language model goes on after its
        answer.
        """
        said = written.strip()
        return any(
            said.startswith(label) and not said[len(label) : len(label) + 1].isalnum() for label in labels
        )

    def within(
        self, before: str, vectors: np.ndarray, behind: str, done: Done | None = None
    ) -> Iterator[np.ndarray]:
        """log p of the piece that follows a sentence with each of the vectors [M, H] in it: blocks [R, V]
        float64, M rows in all.

        What stands before goes through the model once for each block. Raises PromptError for vectors of
        another width.
        """
        import torch

        (given,) = self._vectors([vectors])
        first, last = (
            torch.tensor(self.embedded(text), dtype=self.dtype, device=self.device)
            for text in (before, behind)
        )
        any_piece = torch.zeros(1, dtype=torch.long, device=self.device)
        for start in range(0, len(vectors), ROWS_WITHIN):
            checkpoint()
            with self._inference():
                block = torch.as_tensor(
                    np.asarray(given)[start : start + ROWS_WITHIN], dtype=self.dtype, device=self.device
                )
                embeds = torch.cat([block[:, None], last.expand(len(block), -1, -1)], dim=1)
                mask = torch.ones(
                    len(block), len(first) + embeds.shape[1], dtype=torch.long, device=self.device
                )
                encoded = self.network.encode_after(
                    first[None], torch.zeros(len(block), dtype=torch.long, device=self.device), embeds, mask
                )
                logits = self.network.target_logits(encoded, mask, any_piece.expand(len(block), 1))[:, 0]
                found = torch.log_softmax(logits.float(), dim=-1).double().cpu().numpy()
            if done is not None:
                done(len(found))
            yield found

    def embedded(self, text: str) -> np.ndarray:
        """What the model reads of a text, no more around it: [L, H] float32."""
        import torch

        with self._inference():
            return (
                self.embed(torch.tensor(self.tokenizer.encode(text), device=self.device))
                .float()
                .cpu()
                .numpy()
            )

    def go_on(self, rows: Sequence[np.ndarray], max_new_tokens: int) -> list[str]:
        """Greedy continuations of rows of input embeddings [L, H]. Raises PromptError for another width."""
        written = [""] * len(rows)
        for numbers, embeds, mask in self._passes(self._vectors(rows), [[]], max_new_tokens):
            with self._inference():
                for number, ids in zip(
                    numbers, self.network.generate(embeds, mask, max_new_tokens), strict=True
                ):
                    written[number] = self.tokenizer.decode(ids)
        return written

    def _alone(self) -> list[int]:
        """Nothing: the prompt alone."""
        return []

    def _start(self) -> list[int]:
        """The piece that a text begins after, for a row that would have none."""
        config = self.network.module.config.get_text_config()
        named = next((one for one in (config.bos_token_id, *self.network.ends) if isinstance(one, int)), 0)
        return [named]


def _check_sizes(folder: Path) -> None:
    """Raise ModelError, before memory is taken, for numbers in `config.json` that no model has."""
    config = read_json(folder / "config.json")
    for kind, names in SIZES.items():
        for name in names:
            value = config.get(name)
            most = MOST_LAYERS if kind == "layers" else MOST_SIZE
            if value is not None and (
                not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= most
            ):
                raise ModelError(
                    f"{folder}: config.json: found {name} = {str(value)[:60]}; expected a whole "
                    f"number from 1 to {most:,}"
                )


def _placement(folder: Path, device: str, dtype: "torch.dtype") -> dict[str, str] | str:
    """Where transformers is to put the weights: on one device, or (`auto`) where Accelerate finds room."""
    import torch

    if device == "split":
        return "auto"
    if torch.device(device).type == "cuda":
        shapes = stored_shapes(folder)
        widest = max((shape[0] for shape in shapes.values() if len(shape) == 2), default=0)
        weights = sum(map(prod, shapes.values())) * dtype.itemsize
        # a pass: the inputs of a layer and its inner width at every position, and a row's logits
        room = (
            ROWS_PER_PASS["cuda"]
            * (POSITIONS_PER_ROW * 8 * max(config_width(folder), 1) + 2 * widest)
            * dtype.itemsize
        )
        if weights + room > torch.cuda.mem_get_info(device)[0]:
            return "auto"
    return {"": device}


def config_width(folder: Path) -> int:
    """H as `config.json` states it, 0 where it does not."""
    config = read_json(folder / "config.json")
    return next(
        (value for value in (config.get("hidden_size"), config.get("n_embd")) if isinstance(value, int)), 0
    )


def _doubts(folder: Path) -> tuple[str, ...]:
    """What a user of this model should know."""
    if not has_chat_template(folder):
        return ()
    return (
        "it is a chat model, asked here without its chat template; prompts that were trained within "
        "it need the template chat",
    )
