"""What a pretraining run starts from: its settings, its vocabulary, its token streams."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from explorer.errors import DataError
from explorer.system.files import write_file, written_whole
from research.pretraining.corpus import passages, sample_passages
from research.pretraining.objectives import windows
from research.pretraining.tokenizer import SENTINELS, train_sentencepiece

HELD_OUT_EVERY = 200


@dataclass(frozen=True)
class Phase:
    """What is mixed in beside plain text, from a number of tokens on."""

    from_tokens: int
    supervised: float
    """share of batches of labelled texts"""
    matching: float
    """share of batches of label matching"""
    two_pieces: bool = False
    """whether label matching asks for words of two pieces as well"""


MIXTURE = (Phase(0, 0.2, 0.0), Phase(3_930_000, 0.12, 0.23), Phase(8_000_000, 0.12, 0.23, two_pieces=True))
"""of the bundled model"""


@dataclass(frozen=True)
class PretrainingConfig:
    """Everything that decides what a pretraining run gives."""

    corpora: tuple[tuple[Path, float], ...]
    """(text file, sampling weight)"""
    supervised: Path | None = None
    mixture: tuple[Phase, ...] = MIXTURE
    vocabulary_size: int = 16_000
    vocabulary_sample: int = 300_000
    dimension: int = 256
    heads: int = 8
    feed_forward: int = 640
    encoder_layers: int = 4
    decoder_layers: int = 2
    window: int = 128
    batch: int = 32
    tokens: int = 40_000_000
    learning_rate: float = 3e-3
    """of Muon, for the matrices"""
    embedding_learning_rate: float = 1e-3
    """of AdamW, for the embedding table and the scales"""
    warm_up_steps: int = 100
    seed: int = 0
    probe: tuple[Path, Path] | None = None
    """labelled texts (train, dev) whose labels a linear probe reads off the encoder, as a measure of what it
    learned
    """
    trial: tuple[Path, Path] | None = None
    """labelled texts (train, dev) on which a prompt is tuned for a short time at the end: losses do not show
    whether a prompt can steer the model
    """
    compile: bool = True
    """compile the model, which nearly doubles the pace and needs a C++ compiler"""

    def phase(self, tokens: int) -> Phase:
        """What is mixed in after so many tokens."""
        return [phase for phase in self.mixture if phase.from_tokens <= tokens][-1]

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
        rows = [
            windows(self.train[c], size, int((which == c).sum()), generator) for c in range(len(self.train))
        ]
        return np.concatenate(rows)


def prepare_vocabulary(config: PretrainingConfig, work: Path, given: Path | None = None) -> bytes:
    """The SentencePiece model: `given` to be taken, else trained once; kept in `work`."""
    path = work / "spiece.model"
    if not path.exists():
        if given is not None:
            model = given.read_bytes()
        else:
            texts = sample_passages([p for p, _ in config.corpora], config.vocabulary_sample, config.seed)
            model = train_sentencepiece(texts, config.vocabulary_size, config.seed)
        write_file(path, model)
    return path.read_bytes()


def prepare_streams(config: PretrainingConfig, tokenizer, work: Path) -> Streams:
    """Tokenize each corpus once (uint16 or uint32 ids, eos after each passage); every 200th passage is held
    out.
    """
    train, held_out = [], []
    for path, _ in config.corpora:
        kept, held = work / f"{path.name}.train.npy", work / f"{path.name}.held-out.npy"
        if not kept.exists():
            parts: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
            for index, ids in enumerate(tqdm(_tokenized(path, tokenizer), desc=path.name, unit=" passages")):
                parts[index % HELD_OUT_EVERY == 0].append(ids)
            save_array(held, np.concatenate(parts[1]))
            save_array(kept, np.concatenate(parts[0]))
        train.append(np.load(kept, mmap_mode="r"))
        held_out.append(np.load(held))
        if len(train[-1]) <= 2 * config.window:
            raise DataError(
                f"{path}: {len(train[-1])} tokens; expected at least {2 * config.window + 1} to draw "
                "windows from"
            )
    weights = np.array(
        [weight * len(stream) for (_, weight), stream in zip(config.corpora, train, strict=True)]
    )
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


def save_array(path: Path, array: np.ndarray) -> None:
    """Write a `.npy` file whole or not at all."""
    with written_whole(path) as partial, partial.open("wb") as file:
        np.save(file, array)
