"""T5 by transformers' own forward, for what `Network` does not do: models spread over several devices,
variants it does not know.
"""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from explorer.errors import ModelError
from explorer.models.architecture import HEAD, Architecture
from explorer.models.hf_base import HeldByTransformers, check_quantization
from explorer.models.passes import cut
from explorer.models.weights import EMBEDDING_KEYS

if TYPE_CHECKING:
    from explorer.models.network import Network


def _heads(record: logging.LogRecord) -> bool:
    """Whether a warning is shown: not the one that tells to change the configuration of a T5 with a head of
    its own. Every T5's says it is tied.
    """
    return not record.getMessage().startswith(
        "The tied weights mapping and config for this model specifies to tie"
    )


class TransformersNetwork(HeldByTransformers):
    """A transformers model with the functions of `Network`."""

    def __init__(self, module: Any, architecture: Architecture):
        """module: what transformers' AutoModelForSeq2SeqLM loads, or a model of one of the classes that it
        takes.
        """
        self.module, self.architecture = module.eval().requires_grad_(False), architecture

    @classmethod
    def load(
        cls, folder: Path, architecture: Architecture, dtype: torch.dtype, placement: dict[str, str] | str
    ) -> "TransformersNetwork":
        """placement: transformers' device map. Raises ModelError for a model that is damaged or
        incomplete.
        """
        from transformers import AutoModelForSeq2SeqLM
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()
        logging.getLogger("transformers.modeling_utils").addFilter(_heads)
        logging.getLogger("transformers.distributed").setLevel(logging.ERROR)  # of layers not sharded
        given = {
            "dtype": dtype,
            "device_map": placement,
            "output_loading_info": True,
            "trust_remote_code": False,
        }
        try:
            check_quantization(folder)
            module, report = AutoModelForSeq2SeqLM.from_pretrained(folder, **given)
        except ImportError as error:  # of the library that unpacks quantized weights
            reason = (str(error).strip().splitlines() or [""])[0][:200]
            raise ModelError(
                f"{folder}: cannot be loaded ({reason}); install what it needs, or take the model "
                "without quantization"
            ) from error
        except Exception as error:  # of configurations and weights that transformers did not foresee
            raise ModelError(
                f"{folder}: cannot be loaded as a T5 ({(str(error).strip().splitlines() or [''])[0][:200]})"
            ) from error
        if missing := sorted(report["missing_keys"]):
            raise ModelError(
                f"{folder}: {len(missing)} weights are missing, such as {missing[0]}; expected a "
                "whole model: get it again"
            )
        if module.generation_config.decoder_start_token_id is None:
            module.generation_config.decoder_start_token_id = architecture.start
        _check_embedding(module, folder)
        return cls(module, architecture)

    @property
    def context(self) -> None:
        """A T5 tells any number of positions apart, the far ones roughly."""

    def cast(self, dtype: torch.dtype) -> "Network":
        """The same weights as a `Network`, which tuning needs. Raises ModelError where some are on no device,
        or for an unknown variant.
        """
        from explorer.models.network import Network

        if any(weight.is_meta for weight in self.module.parameters()):
            raise ModelError(
                "some of the model's layers do not fit on this machine's GPUs; prompts are tuned on "
                "a model that does",
                "model",
            )
        if self.architecture.unusual:
            raise ModelError(
                f"the model has {self.architecture.unusual[0]}, which tuning does not know; prompts "
                "are tuned on another model",
                "model",
            )
        state = self.module.state_dict(keep_vars=True)
        names = [*self.architecture.shapes(), *([] if self.tied else [HEAD])]
        return Network(self.architecture, {name: state[name] for name in names}, dtype)

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """Input embeddings [R, L, H] of pieces [R, L]."""
        return self.module.get_input_embeddings()(ids)

    def encode(self, embeds: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Encoder outputs [R, L, H] of inputs [R, L, H] with an attention mask [R, L]."""
        return self.module.get_encoder()(inputs_embeds=embeds, attention_mask=mask).last_hidden_state

    def encode_after(
        self, fronts: torch.Tensor, which: torch.Tensor, embeds: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """The same for fronts[which] [R, P, H] before inputs [R, L, H] with a mask [R, P + L]; fronts [N, P,
        H] are those of N prompts.

        An encoder reads both ways: a prompt before another text is another prompt to it, so each row is
        encoded whole.
        """
        return self.encode(torch.cat([fronts[which], embeds], dim=1), mask)

    def target_logits(
        self,
        encoded: torch.Tensor,
        mask: torch.Tensor,
        targets: torch.Tensor,
        exact: bool = False,
        front: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Logits [R, U, V] of the pieces of targets [R, U] (any filler after a target's end), given those
        before them; exact: in float32 where the head is a table of plain numbers that is on a device. front:
        vectors [R, D, H] before the decoder's input.
        """
        from transformers.modeling_outputs import BaseModelOutput

        count = targets.shape[1]
        ids = torch.cat([torch.full_like(targets[:, :1], self.architecture.start), targets[:, :-1]], dim=1)
        before: dict[str, torch.Tensor] = {"input_ids": ids}  # the decoder may have a table of its own
        if front is not None:
            y = self.embed(ids)
            before = {"inputs_embeds": torch.cat([front.to(y.device, y.dtype), y], dim=1)}
        head = self.module.get_output_embeddings().weight
        if exact and head.is_floating_point() and not head.is_meta and head.dtype != torch.float32:
            decoder = self.module.get_decoder()
            last = decoder(
                **before, encoder_hidden_states=encoded, encoder_attention_mask=mask, use_cache=False
            ).last_hidden_state[:, -count:]
            last = last.to(head.device).float() * (
                self.architecture.dimension**-0.5 if self.architecture.scaled else 1.0
            )
            return torch.nn.functional.linear(last, head.float())
        return self.module(
            encoder_outputs=BaseModelOutput(encoded),
            attention_mask=mask,
            use_cache=False,
            **{f"decoder_{name}": given for name, given in before.items()},
        ).logits[:, -count:]

    def generate(self, embeds: torch.Tensor, mask: torch.Tensor, longest: int) -> list[list[int]]:
        """Greedy continuations of inputs [R, L, H]: for each row the pieces up to eos, at most `longest`."""
        ids = self.module.generate(
            inputs_embeds=embeds, attention_mask=mask, max_new_tokens=longest, do_sample=False, num_beams=1
        )
        return [cut(row[1:], self.architecture.ends) for row in ids.tolist()]  # the first is the start piece


def _check_embedding(module: Any, folder: Path) -> None:
    """Raise ModelError when the model did not get its file's input embeddings: some releases take the head's
    instead.
    """
    from safetensors import safe_open

    file = folder / "model.safetensors"
    if not file.is_file():  # several files: nothing to compare cheaply
        return
    with safe_open(file, framework="pt") as weights:
        if key := next((key for key in EMBEDDING_KEYS if key in set(weights.keys())), None):
            table = module.get_input_embeddings().weight
            rows = weights.get_slice(key)[:8].to(table.device, table.dtype)
            if rows.shape != table[:8].shape or not (rows == table[:8]).all():
                raise ModelError(
                    f"{file}: transformers loaded other input embeddings than {key}; use another "
                    "release of transformers"
                )
