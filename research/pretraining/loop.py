"""The training loop of a small T5: batches, learning rate, optimizer, checkpoint, measurements."""

import json
import math
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from explorer.errors import ModelError
from explorer.system.files import written_whole
from research.pretraining import quality
from research.pretraining.embeddings import warm_start
from research.pretraining.label_matching import LabelMatching
from research.pretraining.objectives import EOS, PAD, Batch, prefix_language_modelling, span_corruption
from research.pretraining.optimizers import optimizers
from research.pretraining.preparation import PretrainingConfig, Streams, save_array
from research.pretraining.supervised import SupervisedMixture
from research.pretraining.tokenizer import SENTINELS

LANGUAGE_MODELLING_SHARE = 0.3
"""of the batches of plain text"""
ADAPTATION_SHARE, ADAPTATION_SPANS = 0.2, 0.2
"""the last fifth of training is LM adaptation (Lester et al. 2021, §3.2); a fifth of its plain text stays
span corruption, or it is forgotten
"""


def build_model(config: PretrainingConfig, embedding: np.ndarray):
    """A T5 1.1-style model (gated GELU) with tied, warm-started embeddings and no dropout."""
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    torch.manual_seed(config.seed)
    model = T5ForConditionalGeneration(
        T5Config(
            vocab_size=config.rows,
            d_model=config.dimension,
            d_kv=config.dimension // config.heads,
            d_ff=config.feed_forward,
            num_layers=config.encoder_layers,
            num_decoder_layers=config.decoder_layers,
            num_heads=config.heads,
            dropout_rate=0.0,
            feed_forward_proj="gated-gelu",
            decoder_start_token_id=PAD,
            pad_token_id=PAD,
            eos_token_id=EOS,
            # on a processor faster to train than the fused kernel, whose backward is slow
            attn_implementation="eager",
        )
    )
    with torch.no_grad():
        model.shared.weight.copy_(torch.from_numpy(embedding))
    return model


def learning_rate_factor(step: int, progress: float, warm_up_steps: int) -> float:
    """Linear warm-up, constant, then a cosine to 2 % over the last fifth (while adapting)."""
    if progress < 1 - ADAPTATION_SHARE:
        return min(1.0, (step + 1) / warm_up_steps)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - 1) / ADAPTATION_SHARE + 1)))


def draw_batch(
    step: int,
    tokens: int,
    config: PretrainingConfig,
    streams: Streams,
    supervised: SupervisedMixture | None,
    matching: LabelMatching,
) -> tuple[str, Batch]:
    """The batch of one step; it depends on the seed, the step and the tokens so far, so that a resumed run
    sees what it would have.
    """
    generator = np.random.default_rng([config.seed, step])
    phase, short = config.phase(tokens), config.window * 3 // 4
    rows = 2 * config.batch  # where a row has a few target pieces only: cheap, and its gradient noisy
    draw = generator.random()
    if supervised is not None and draw < phase.supervised:
        return "supervised", supervised.draw(rows, short, generator)
    if 1 - phase.matching <= draw:
        return "label matching", matching.draw(
            streams.windows(config.window, rows, generator), short, generator, phase.two_pieces
        )
    window = streams.windows(config.window, config.batch, generator)
    adapting = tokens >= (1 - ADAPTATION_SHARE) * config.tokens
    if generator.random() < (1 - ADAPTATION_SPANS if adapting else LANGUAGE_MODELLING_SHARE):
        return "language modelling", prefix_language_modelling(window, generator)
    return "span corruption", span_corruption(window, config.vocabulary_size + SENTINELS - 1, generator)


class Pretrainer:
    """The training loop with its optimizer, its checkpoint and its measurements."""

    def __init__(
        self,
        config: PretrainingConfig,
        work: Path,
        tokenizer,
        streams: Streams,
        mixture: SupervisedMixture | None,
    ):
        import torch

        self.config, self.work, self.tokenizer, self.streams, self.mixture = (
            config,
            work,
            tokenizer,
            streams,
            mixture,
        )
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        # a processor without bfloat16 instructions emulates them, some hundred times as slow as float32
        self.bfloat16 = self.device == "cuda" or torch.ops.mkldnn._is_mkldnn_bf16_supported()
        embedding = self._warm_start()
        self.matching = LabelMatching(tokenizer, embedding)
        self.model = build_model(config, embedding).to(self.device).train()
        self.optimizers = optimizers(self.model, config.learning_rate, config.embedding_learning_rate)
        self.compiled = torch.compile(self.model, dynamic=False) if config.compile else self.model
        self.step, self.tokens, self.seconds = 0, 0, 0.0
        self.history: list[dict] = []
        self._restore()

    @property
    def progress(self) -> float:
        """Share of the token budget that is spent, 0…1."""
        return self.tokens / self.config.tokens

    def _warm_start(self) -> np.ndarray:
        path = self.work / "embedding.npy"
        if not path.exists():
            everything = np.concatenate(self.streams.train)
            save_array(
                path, warm_start(everything, self.config.rows, self.config.dimension, self.config.seed)
            )
        return np.load(path)

    def train_step(self) -> float:
        """One optimizer step; returns the loss in nats per target token."""
        import torch

        _, batch = draw_batch(self.step, self.tokens, self.config, self.streams, self.mixture, self.matching)
        loss = self._loss(batch, self.compiled)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizers.step(learning_rate_factor(self.step, self.progress, self.config.warm_up_steps))
        self.step += 1
        self.tokens += batch.tokens
        return loss.item()

    def _loss(self, batch: Batch, model):
        import torch

        inputs = torch.from_numpy(batch.inputs).to(self.device)
        targets = torch.from_numpy(np.ascontiguousarray(batch.targets)).to(self.device)
        with torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.bfloat16):
            return model(
                input_ids=inputs, attention_mask=(inputs != PAD).long(), labels=targets, use_cache=False
            ).loss

    def held_out_losses(self, batches: int = 8) -> dict[str, float]:
        """Losses in nats per target token on held-out passages, always the same ones, and what the encoder
        contributes to them:

        a gain is the loss with another text's encoder inputs minus the loss; at 0 the decoder ignores the
        encoder.
        """
        import torch

        generator = np.random.default_rng(12345)
        held = Streams((self.streams.held_out,), np.ones(1), self.streams.held_out)
        losses: dict[str, list[float]] = {"span_loss": [], "lm_loss": [], "span_gain": [], "lm_gain": []}
        with torch.no_grad():
            for _ in range(batches):
                window = held.windows(self.config.window, self.config.batch, generator)
                span = span_corruption(window, self.config.vocabulary_size + SENTINELS - 1, generator)
                for name, batch in (("span", span), ("lm", prefix_language_modelling(window, generator))):
                    loss = self._loss(batch, self.model).item()
                    losses[f"{name}_loss"].append(loss)
                    losses[f"{name}_gain"].append(
                        self._loss(replace(batch, inputs=np.roll(batch.inputs, 1, axis=0)), self.model).item()
                        - loss
                    )
        return {name: round(float(np.mean(values)), 4) for name, values in losses.items()}

    def attention_entropy(self) -> list[float]:
        """Mean entropy of self-attention in each encoder layer on held-out windows, in nats: log of the
        window's length is evenly spread, 0 saturated.
        """
        import torch

        window = Streams((self.streams.held_out,), np.ones(1), self.streams.held_out).windows(
            self.config.window, 8, np.random.default_rng(12345)
        )
        with torch.no_grad():
            layers = self.model.get_encoder()(
                input_ids=torch.from_numpy(window).to(self.device), output_attentions=True
            ).attentions
        return [
            round(float(-(share * share.clamp(min=1e-12).log()).sum(dim=-1).mean()), 3) for share in layers
        ]

    def measure(self, probe: bool = False) -> dict:
        """Held-out losses, the share of related words that are neighbours, and if asked the probe, at this
        step.
        """
        vocabulary = self.tokenizer.get_vocab()
        words = {piece[1:]: row for piece, row in vocabulary.items() if piece.startswith("▁")}
        searchable = np.zeros(self.config.rows, bool)
        searchable[3 : self.config.vocabulary_size] = True
        embedding = self.model.shared.weight.detach().float().cpu().numpy()
        share, pairs = quality.related_pairs_found(embedding, words, searchable)
        figures = {"related_words": round(share, 4), "related_pairs": pairs}
        if probe and self.config.probe is not None:
            figures |= quality.probe_accuracies(self.model, self.tokenizer, *self.config.probe)
        return {"step": self.step, "tokens": self.tokens, **self.held_out_losses(), **figures}

    def save(self) -> None:
        """Keep model, optimizer and counters in the work folder, whole or not at all."""
        import torch

        state = {
            "model": self.model.state_dict(),
            "optimizers": self.optimizers.state_dict(),
            "counters": {
                "step": self.step,
                "tokens": self.tokens,
                "seconds": self.seconds,
                "history": self.history,
            },
        }
        with written_whole(self.work / "checkpoint.pt") as partial:
            torch.save(state, partial)

    def _restore(self) -> None:
        import torch

        path = self.work / "checkpoint.pt"
        if not path.exists():
            return
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimizers.load_state_dict(state["optimizers"])
        counters = state["counters"]
        self.step, self.tokens, self.seconds = counters["step"], counters["tokens"], counters["seconds"]
        self.history = counters["history"]

    def run(self, save_every: float = 300.0, measure_every: int = 1_000_000) -> None:
        """Train until the token budget is spent; Ctrl-C saves first."""
        bar = tqdm(
            total=self.config.tokens, initial=self.tokens, unit=" tokens", unit_scale=True, desc="pretraining"
        )
        saved = started = time.monotonic()
        losses: list[float] = []
        before = self.seconds
        try:
            while self.tokens < self.config.tokens:
                already = self.tokens
                losses.append(self.train_step())
                bar.update(self.tokens - already)
                self.seconds = before + time.monotonic() - started
                self._check_finite(losses[-1:])
                if self.step % 20 == 0:
                    bar.set_postfix(loss=f"{np.mean(losses[-100:]):.3f}", step=self.step)
                if self.tokens // measure_every > already // measure_every:
                    self.history.append(self.measure())
                    bar.write(json.dumps(self.history[-1]))
                if time.monotonic() - saved > save_every:
                    self.save()
                    saved = time.monotonic()
        except KeyboardInterrupt:
            self.save()
            raise
        finally:
            bar.close()
        self.save()

    def _check_finite(self, losses: list[float]) -> None:
        if not math.isfinite(sum(losses)):
            raise ModelError(
                f"the loss became {losses[-1]} at step {self.step}; the last whole checkpoint is in "
                f"{self.work}: go on with a lower learning rate"
            )
