"""A language model's forward, from input embeddings to the logits of targets, by transformers: any
`AutoModelForCausalLM` that takes `inputs_embeds`.
"""

import copy
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from explorer.errors import ModelError
from explorer.models.hf_base import HeldByTransformers, check_quantization
from explorer.models.passes import cut

if TYPE_CHECKING:
    from transformers import Cache, PreTrainedModel


@dataclass(eq=False)
class Prefix:
    """What stands before targets, all rows ending at the same place, and what the model made of it once it
    was asked.
    """

    embeds: torch.Tensor
    """[R, L, H]"""
    mask: torch.Tensor
    """[R, F + L] bool: what is attended to, F positions of `front` first"""
    places: torch.Tensor
    """[R, L] int64, the number of each position in its row"""
    front: "Cache | None" = None
    """keys and values of what stands before `embeds` in every row; used up by the first forward"""
    cache: "Cache | None" = None
    """keys and values of all of it, where no gradient is wanted"""
    following: torch.Tensor | None = None
    """[R, V] logits of the piece that follows"""


class CausalNetwork(HeldByTransformers):
    """A frozen language model of transformers, with the functions of `Forward`."""

    def __init__(self, module: "PreTrainedModel"):
        self.module = module.eval().requires_grad_(False)
        # last positions are a slice, for which torch would copy the whole head once for every row
        module.get_output_embeddings().register_forward_pre_hook(
            lambda head, given: (given[0].contiguous(), *given[1:])
        )
        takes = signature(module.forward).parameters
        self.takes_places = "position_ids" in takes  # BLOOM has none: distances come from the mask
        self._kept_as = "cache" if "cache" in takes else "past_key_values"  # which transformers renames
        self._scale = getattr(self._table, "scalar_embed_scale", 1.0)

    @classmethod
    def load(cls, folder: Path, dtype: torch.dtype, placement: dict[str, str] | str) -> "CausalNetwork":
        """placement: transformers' device map. Raises ModelError for a model that is damaged or
        incomplete.
        """
        from transformers import AutoModelForCausalLM
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()
        given: dict[str, Any] = {"dtype": dtype, "output_loading_info": True, "trust_remote_code": False}
        given |= {} if placement == {"": "cpu"} else {"device_map": placement}
        try:
            check_quantization(folder)
            with _quiet():
                loaded: Any = AutoModelForCausalLM.from_pretrained(folder, **given)
            module, report = loaded
        except ImportError as error:  # of the library that unpacks quantized weights
            raise ModelError(
                f"{folder}: cannot be loaded ({_line(error)}); install what it needs, or take the "
                "model without quantization"
            ) from error
        except Exception as error:  # of configurations and weights that transformers did not foresee
            raise ModelError(f"{folder}: cannot be loaded as a language model ({_line(error)})") from error
        if missing := sorted(report["missing_keys"]):
            raise ModelError(
                f"{folder}: {len(missing)} weights are missing, such as {missing[0]}; expected a "
                "whole model: get it again"
            )
        if (wrong := sorted(report.get("mismatched_keys") or ())) and wrong:
            raise ModelError(
                f"{folder}: cannot be loaded as a language model ({wrong[0][0]} has another shape "
                "than config.json says)"
            )
        if lacking := _lacking(module):
            raise ModelError(
                f"{folder}: a {module.config.model_type} model, which {lacking}; expected one whose "
                "input embeddings can be given"
            )
        return cls(module)

    @property
    def _table(self) -> torch.nn.Module:
        return self.module.get_input_embeddings()

    @property
    def scale(self) -> float:
        """What rows of the table are multiplied by on their way into the model: √H in Gemma, else 1."""
        return float(self._scale)

    @property
    def context(self) -> int | None:
        """Positions that the model can tell apart; None where the configuration names no bound."""
        found = getattr(self.module.config.get_text_config(), "max_position_embeddings", None)
        return found if isinstance(found, int) and found > 0 else None

    @property
    def ends(self) -> tuple[int, ...]:
        """Pieces that end generated text; none where the configuration names none."""
        named = self.module.generation_config.eos_token_id
        named = self.module.config.get_text_config().eos_token_id if named is None else named
        return () if named is None else tuple(named) if isinstance(named, list | tuple) else (int(named),)

    def cast(self, dtype: torch.dtype) -> "CausalNetwork":
        """The same weights in another precision: copies of them."""
        return self if dtype == self.dtype else CausalNetwork(copy.deepcopy(self.module).to(dtype))

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """Input embeddings [R, L, H] of pieces [R, L]."""
        return self._table(ids)

    def encode(self, embeds: torch.Tensor, mask: torch.Tensor) -> Prefix:
        """What stands before targets: inputs [R, L, H] with an attention mask [R, L] (1 or 0).

        Padding at a row's end is moved to its start; what is masked between leaves its place empty, others
        keep theirs.
        """
        return Prefix(*aligned(embeds.to(self.dtype), mask))

    def encode_after(
        self, fronts: torch.Tensor, which: torch.Tensor, embeds: torch.Tensor, mask: torch.Tensor
    ) -> Prefix:
        """The same for fronts[which] [R, P, H] before inputs [R, L, H] with a mask [R, P + L], all 1 where a
        front is.

        fronts [N, P, H] go through the model once each, not once in every row: nothing behind them changes
        what they are to the model.
        """
        length = fronts.shape[1]
        if not length:
            return self.encode(embeds, mask)
        cache = self._cache()
        seen = torch.ones(fronts.shape[:2], dtype=torch.bool, device=fronts.device)
        self._logits(fronts.to(self.dtype), seen, seen.long().cumsum(1) - 1, 1, cache)
        cache.batch_select_indices(which)
        moved, kept, places = aligned(embeds.to(self.dtype), mask[:, length:])
        return Prefix(moved, torch.cat([seen[which], kept], dim=1), places + length, cache)

    def target_logits(
        self, encoded: Prefix, mask: torch.Tensor, targets: torch.Tensor, exact: bool = False
    ) -> torch.Tensor:
        """Logits [R, U, V] of the pieces of targets [R, U] (any filler after a target's end), given those
        before them; exact: in float32.

        mask: not needed here, what `encode` gave has it.
        """
        count = targets.shape[1]
        if count > 1 and torch.is_grad_enabled():
            before = torch.cat([encoded.embeds, self.embed(targets[:, :-1])], dim=1)
            more = torch.ones_like(targets[:, :-1], dtype=torch.bool)
            places = torch.cat([encoded.places, encoded.places[:, -1:] + more.long().cumsum(1)], dim=1)
            return self._logits(
                before, torch.cat([encoded.mask, more], dim=1), places, count, copy.copy(encoded.front), exact
            )
        first = self._following(encoded, exact)[:, None]
        if count == 1:
            return first
        more = torch.ones_like(targets[:, :-1], dtype=torch.bool)
        places = encoded.places[:, -1:] + more.long().cumsum(1)
        cache = copy.deepcopy(encoded.cache)  # the next label begins where this one did
        later = self._logits(
            self.embed(targets[:, :-1]),
            torch.cat([encoded.mask, more], dim=1),
            places,
            count - 1,
            cache,
            exact,
        )
        return torch.cat([first, later], dim=1)

    def generate(self, embeds: torch.Tensor, mask: torch.Tensor, longest: int) -> list[list[int]]:
        """Greedy continuations of inputs [R, L, H]: for each row the pieces up to one that ends a text, at
        most `longest`.
        """
        prefix = self.encode(embeds, mask)
        logits, seen, place = self._following(prefix), prefix.mask, prefix.places[:, -1:]
        ends, written = torch.tensor(self.ends, dtype=torch.long, device=mask.device), []
        ended = torch.zeros(len(mask), dtype=torch.bool, device=mask.device)
        for _ in range(longest):
            piece = logits.argmax(dim=-1, keepdim=True).to(mask.device)
            written.append(piece)
            ended |= torch.isin(piece[:, 0], ends)
            if bool(ended.all()) or len(written) == longest:
                break
            seen, place = torch.cat([seen, torch.ones_like(seen[:, :1])], dim=1), place + 1
            logits = self._logits(self.embed(piece), seen, place, 1, prefix.cache)[:, -1]
        return [cut(row, self.ends) for row in torch.cat(written, dim=1).tolist()]

    def _following(self, prefix: Prefix, exact: bool = False) -> torch.Tensor:
        """Logits [R, V] of the piece after a prefix, computed once; without gradients its keys and values are
        kept too.
        """
        if prefix.following is None:
            prefix.cache = (
                prefix.front if torch.is_grad_enabled() or prefix.front is not None else self._cache()
            )
            prefix.following = self._logits(
                prefix.embeds, prefix.mask, prefix.places, 1, prefix.cache, exact
            )[:, -1]
        return prefix.following

    def _logits(
        self,
        embeds: torch.Tensor,
        mask: torch.Tensor,
        places: torch.Tensor,
        keep: int,
        cache: "Cache | None",
        exact: bool = False,
    ) -> torch.Tensor:
        """Logits [R, keep, V] at the last positions of inputs [R, L, H]; mask [R, F + L], F of the cache,
        which grows by L.
        """
        given = {
            "inputs_embeds": embeds,
            "attention_mask": mask.long(),
            self._kept_as: cache,
            "use_cache": cache is not None,
        }
        given |= {"position_ids": places} if self.takes_places else {}
        if not exact or self.dtype == torch.float32:
            return self.module(**given, logits_to_keep=keep).logits
        return self.logits(self.module.base_model(**given).last_hidden_state[:, -keep:])

    def logits(self, last: torch.Tensor) -> torch.Tensor:
        """Of the next piece [R, U, V] in float32, from states [R, U, H] behind the final norm."""
        head, config = self.module.get_output_embeddings(), self.module.config.get_text_config()
        found = torch.nn.functional.linear(
            last.float().to(head.weight.device),
            head.weight.float(),
            None if head.bias is None else head.bias.float(),
        )
        found = (
            found
            * float(getattr(config, "logit_scale", None) or 1.0)
            / float(getattr(config, "logits_scaling", None) or 1.0)
        )
        bound = getattr(config, "final_logit_softcapping", None)
        return found if bound is None else torch.tanh(found / bound) * bound

    def _cache(self) -> "Cache":
        from transformers import DynamicCache

        return DynamicCache(config=self.module.config)


def aligned(embeds: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Rows that end together: padding at their ends moves to their starts.

    embeds [R, L, H], mask [R, L]; returns both anew, the mask as bool, and the place of each position in its
    row [R, L], 0 for padding.
    """
    places = torch.arange(mask.shape[1], device=mask.device)
    ends = torch.where(mask > 0, places + 1, 0).amax(dim=1, keepdim=True)  # [R, 1]
    shift = mask.shape[1] - ends
    source = (places - shift) % mask.shape[1]  # padding wraps round to the start
    moved = embeds.gather(1, source[:, :, None].expand(-1, -1, embeds.shape[2]))
    return moved, mask.gather(1, source) > 0, (places - shift).clamp(min=0)


def _lacking(module: "PreTrainedModel") -> str | None:
    """What a model does not do that is needed here, in words; None for nothing."""
    takes = signature(module.forward).parameters
    if "inputs_embeds" not in takes:
        return "takes no input embeddings"
    stateful = getattr(module, "_is_stateful", False)  # Mamba and the like
    if stateful or "logits_to_keep" not in takes or not {"cache", "past_key_values"} & takes.keys():
        return "keeps no keys and values"
    return "has no head" if module.get_output_embeddings() is None else None


@contextmanager
def _quiet() -> Iterator[None]:
    """Within, transformers says nothing of weights that are missing or layers that are not sharded: what
    matters of it the caller says, in one line.
    """
    logger = logging.getLogger("transformers")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _line(error: BaseException) -> str:
    """The first line of an error."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
