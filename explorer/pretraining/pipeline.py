"""From text files to a small T5 in a folder that `from_pretrained` loads.

Stages, each kept in a work folder so that a stopped run goes on where it was: vocabulary, token streams, warm-started
embeddings, training, export. Nothing is written to the output folder before the model is whole.
"""

import json
import math
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from explorer.errors import DataError, ModelError
from explorer.pretraining import quality
from explorer.pretraining.corpus import passages, sample_passages
from explorer.pretraining.embeddings import warm_start
from explorer.pretraining.objectives import EOS, PAD, Batch, prefix_language_modelling, span_corruption, windows
from explorer.pretraining.supervised import SupervisedMixture, load_supervised
from explorer.pretraining.tokenizer import SENTINELS, save_tokenizer, t5_tokenizer, train_sentencepiece

HELD_OUT_EVERY = 200
ADAPTATION_SHARE = 0.2
"""the last fifth of training is language modelling only: LM adaptation (Lester et al. 2021, §3.2)"""


@dataclass(frozen=True)
class PretrainingConfig:
    """Everything that decides what a pretraining run gives."""

    corpora: tuple[tuple[Path, float], ...]
    """(text file, sampling weight)"""
    supervised: Path | None = None
    supervised_share: float = 0.15
    vocabulary_size: int = 16_000
    vocabulary_sample: int = 300_000
    dimension: int = 256
    heads: int = 8
    feed_forward: int = 640
    encoder_layers: int = 4
    decoder_layers: int = 2
    window: int = 128
    batch: int = 64
    tokens: int = 40_000_000
    learning_rate: float = 2e-3
    embedding_learning_rate: float = 5e-4
    warm_up_steps: int = 300
    seed: int = 0

    @property
    def rows(self) -> int:
        """Rows of the embedding table: pieces and sentinels, padded to a multiple of 128 as T5 does."""
        return math.ceil((self.vocabulary_size + SENTINELS) / 128) * 128


@dataclass(frozen=True)
class Streams:
    """Token streams of all corpora, and the passages held out of them."""

    train: tuple[np.ndarray, ...]
    weights: np.ndarray
    held_out: np.ndarray

    def windows(self, size: int, batch: int, generator: np.random.Generator) -> np.ndarray:
        """[batch, size] int64, each row from a corpus drawn by weight."""
        which = generator.choice(len(self.train), batch, p=self.weights)
        rows = [windows(self.train[c], size, int((which == c).sum()), generator) for c in range(len(self.train))]
        return np.concatenate(rows)


def prepare_vocabulary(config: PretrainingConfig, work: Path) -> bytes:
    """The SentencePiece model, trained once and kept in `work`."""
    path = work / "spiece.model"
    if not path.exists():
        texts = sample_passages([p for p, _ in config.corpora], config.vocabulary_sample, config.seed)
        _write_bytes(path, train_sentencepiece(texts, config.vocabulary_size, config.seed))
    return path.read_bytes()


def prepare_streams(config: PretrainingConfig, tokenizer, work: Path) -> Streams:
    """Tokenize each corpus once (uint16 or uint32 ids, eos after each passage); every 200th passage is held out."""
    train, held_out = [], []
    for path, _ in config.corpora:
        kept, held = work / f"{path.name}.train.npy", work / f"{path.name}.held-out.npy"
        if not kept.exists():
            parts: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
            for index, ids in enumerate(tqdm(_tokenized(path, tokenizer), desc=path.name, unit=" passages")):
                parts[index % HELD_OUT_EVERY == 0].append(ids)
            _save_array(held, np.concatenate(parts[1]))
            _save_array(kept, np.concatenate(parts[0]))
        train.append(np.load(kept, mmap_mode="r"))
        held_out.append(np.load(held))
        if len(train[-1]) <= 2 * config.window:
            raise DataError(f"{path}: {len(train[-1])} tokens; expected at least {2 * config.window + 1} to draw windows from")
    weights = np.array([weight * len(stream) for (_, weight), stream in zip(config.corpora, train, strict=True)])
    return Streams(tuple(train), weights / weights.sum(), np.concatenate(held_out))


def _tokenized(path: Path, tokenizer) -> Iterator[np.ndarray]:
    def encode(texts: list[str]) -> Iterator[np.ndarray]:
        for ids in tokenizer(texts, add_special_tokens=True, verbose=False)["input_ids"]:
            yield np.asarray(ids, np.uint16 if len(tokenizer) < 2**16 else np.uint32)

    texts: list[str] = []
    for text in passages(path):
        texts.append(text)
        if len(texts) == 2000:
            yield from encode(texts)
            texts = []
    yield from encode(texts) if texts else ()


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
    step: int, progress: float, config: PretrainingConfig, streams: Streams, mixture: SupervisedMixture | None
) -> tuple[str, Batch]:
    """The batch of one step; it depends on the seed and the step alone, so that a resumed run sees what it would have."""
    generator = np.random.default_rng([config.seed, step])
    draw = generator.random()
    if mixture is not None and draw < config.supervised_share:
        return "supervised", mixture.draw(config.batch, config.window * 3 // 4, generator)
    window = streams.windows(config.window, config.batch, generator)
    if progress >= 1 - ADAPTATION_SHARE or generator.random() < 0.3:
        return "language modelling", prefix_language_modelling(window, generator)
    return "span corruption", span_corruption(window, config.vocabulary_size + SENTINELS - 1, generator)


class Pretrainer:
    """The training loop with its optimizer, its checkpoint and its measurements."""

    def __init__(self, config: PretrainingConfig, work: Path, tokenizer, streams: Streams, mixture: SupervisedMixture | None):
        import torch

        self.config, self.work, self.tokenizer, self.streams, self.mixture = config, work, tokenizer, streams, mixture
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model = build_model(config, self._warm_start()).to(self.device).train()
        embedding, matrices, scales = self.model.shared.weight, [], []
        for parameter in self.model.parameters():
            if parameter is not embedding:
                (matrices if parameter.ndim > 1 else scales).append(parameter)
        self.optimizer = torch.optim.AdamW(
            [
                {"params": matrices, "base": config.learning_rate, "weight_decay": 0.01},
                {"params": scales, "base": config.learning_rate, "weight_decay": 0.0},
                {"params": [embedding], "base": config.embedding_learning_rate, "weight_decay": 0.0},
            ],
            lr=config.learning_rate,
            betas=(0.9, 0.98),
            fused=True,
        )
        self.compiled = torch.compile(self.model, dynamic=False)
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
            _save_array(path, warm_start(everything, self.config.rows, self.config.dimension, self.config.seed))
        return np.load(path)

    def train_step(self) -> float:
        """One optimizer step; returns the loss in nats per target token."""
        import torch

        _, batch = draw_batch(self.step, self.progress, self.config, self.streams, self.mixture)
        factor = learning_rate_factor(self.step, self.progress, self.config.warm_up_steps)
        for group in self.optimizer.param_groups:
            group["lr"] = group["base"] * factor
        loss = self._loss(batch, self.compiled)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self.tokens += batch.tokens
        return loss.item()

    def _loss(self, batch: Batch, model):
        import torch

        inputs = torch.from_numpy(batch.inputs).to(self.device)
        targets = torch.from_numpy(np.ascontiguousarray(batch.targets)).to(self.device)
        with torch.autocast(self.device, dtype=torch.bfloat16):
            return model(input_ids=inputs, attention_mask=(inputs != PAD).long(), labels=targets, use_cache=False).loss

    def held_out_losses(self, batches: int = 8) -> dict[str, float]:
        """Losses in nats per target token on held-out passages, always the same ones."""
        import torch

        generator = np.random.default_rng(12345)
        held = Streams((self.streams.held_out,), np.ones(1), self.streams.held_out)
        losses: dict[str, list[float]] = {"span_loss": [], "lm_loss": []}
        with torch.no_grad():
            for _ in range(batches):
                window = held.windows(self.config.window, self.config.batch, generator)
                span = span_corruption(window, self.config.vocabulary_size + SENTINELS - 1, generator)
                losses["span_loss"].append(self._loss(span, self.model).item())
                losses["lm_loss"].append(self._loss(prefix_language_modelling(window, generator), self.model).item())
        return {name: round(float(np.mean(values)), 4) for name, values in losses.items()}

    def measure(self) -> dict:
        """Held-out losses and the share of related words that are neighbours, at this step."""
        vocabulary = self.tokenizer.get_vocab()
        words = {piece[1:]: row for piece, row in vocabulary.items() if piece.startswith("▁")}
        searchable = np.zeros(self.config.rows, bool)
        searchable[3 : self.config.vocabulary_size] = True
        embedding = self.model.shared.weight.detach().float().cpu().numpy()
        share, pairs = quality.related_pairs_found(embedding, words, searchable)
        figures = {"related_words": round(share, 4), "related_pairs": pairs}
        return {"step": self.step, "tokens": self.tokens, **self.held_out_losses(), **figures}

    def save(self) -> None:
        """Keep model, optimizer and counters in the work folder, whole or not at all."""
        import torch

        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "counters": {"step": self.step, "tokens": self.tokens, "seconds": self.seconds, "history": self.history},
        }
        partial = self.work / "checkpoint.partial"
        torch.save(state, partial)
        os.replace(partial, self.work / "checkpoint.pt")

    def _restore(self) -> None:
        import torch

        path = self.work / "checkpoint.pt"
        if not path.exists():
            return
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        counters = state["counters"]
        self.step, self.tokens, self.seconds = counters["step"], counters["tokens"], counters["seconds"]
        self.history = counters["history"]

    def run(self, save_every: float = 300.0, measure_every: int = 2_000_000) -> None:
        """Train until the token budget is spent; Ctrl-C saves first."""
        bar = tqdm(total=self.config.tokens, initial=self.tokens, unit=" tokens", unit_scale=True, desc="pretraining")
        saved = started = time.monotonic()
        losses: list[float] = []
        before = self.seconds
        try:
            while self.tokens < self.config.tokens:
                already = self.tokens
                losses.append(self.train_step())
                bar.update(self.tokens - already)
                self.seconds = before + time.monotonic() - started
                if self.step % 20 == 0:
                    bar.set_postfix(loss=f"{np.mean(losses[-100:]):.3f}", step=self.step)
                if self.tokens // measure_every > already // measure_every:
                    self.history.append(self.measure())
                    bar.write(json.dumps(self.history[-1]))
                if time.monotonic() - saved > save_every:
                    self.save()
                    saved = time.monotonic()
        finally:
            bar.close()
            self.save()


def pretrain(config: PretrainingConfig, out: Path, work: Path) -> None:
    """Make a small T5 in `out`, keeping and resuming intermediate results in `work`.

    Raises ModelError when `out` exists already, or when `work` belongs to a run with other settings.
    """
    if out.exists():
        raise ModelError(f"{out} exists already; choose another --out or move it away")
    work.mkdir(parents=True, exist_ok=True)
    _check_same_run(config, work)
    sentencepiece_model = prepare_vocabulary(config, work)
    tokenizer = t5_tokenizer(sentencepiece_model)
    streams = prepare_streams(config, tokenizer, work)
    mixture = load_supervised(config.supervised, tokenizer) if config.supervised else None
    trainer = Pretrainer(config, work, tokenizer, streams, mixture)
    trainer.run()
    export(trainer, sentencepiece_model, out)


def export(trainer: Pretrainer, sentencepiece_model: bytes, out: Path) -> None:
    """Write weights (bfloat16), tokenizer and `pretraining.json` beside `out`, then rename: whole or not at all."""
    import torch
    import transformers

    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    save_tokenizer(sentencepiece_model, partial)
    record = {
        "final": trainer.measure(),
        "seconds": round(trainer.seconds),
        "config": json.loads(json.dumps(asdict(trainer.config), default=lambda path: Path(path).name)),
        "corpus_tokens": {
            path.name: len(stream) for (path, _), stream in zip(trainer.config.corpora, trainer.streams.train, strict=True)
        },
        "history": trainer.history,
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__, "numpy": np.__version__},
    }
    trainer.model.to(torch.bfloat16).save_pretrained(partial)
    (partial / "pretraining.json").write_text(json.dumps(record, indent=1) + "\n")
    os.replace(partial, out)


def _check_same_run(config: PretrainingConfig, work: Path) -> None:
    """Refuse a work folder of another vocabulary or shape; a larger token budget or another rate is welcome."""
    shape = {name: getattr(config, name) for name in ("vocabulary_size", "dimension", "heads", "feed_forward", "encoder_layers", "decoder_layers")}
    path = work / "shape.json"
    if not path.exists():
        _write_bytes(path, json.dumps(shape).encode())
    elif (found := json.loads(path.read_text())) != shape:
        raise ModelError(f"{work} holds a run of shape {found}; this one is {shape}: choose another --work")


def _write_bytes(path: Path, data: bytes) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(data)
    os.replace(partial, path)


def _save_array(path: Path, array: np.ndarray) -> None:
    partial = path.with_name("partial-" + path.name)
    np.save(partial, array)
    os.replace(partial, path)
