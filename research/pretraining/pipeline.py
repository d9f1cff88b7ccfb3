"""From text files to a small T5 in a folder that `from_pretrained` loads.

Stages, each kept in a work folder so that a stopped run goes on where it was: vocabulary, token streams,
warm-started embeddings, training, export. Nothing is written to the output folder before the model is whole.
"""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from explorer.errors import ModelError
from explorer.system.files import write_file, written_whole
from research.pretraining import quality
from research.pretraining.loop import Pretrainer
from research.pretraining.preparation import PretrainingConfig, prepare_streams, prepare_vocabulary
from research.pretraining.supervised import load_supervised
from research.pretraining.tokenizer import save_tokenizer, t5_tokenizer

__all__ = ["PretrainingConfig", "pretrain"]


def pretrain(config: PretrainingConfig, out: Path, work: Path, vocabulary: Path | None = None) -> None:
    """Make a small T5 in `out`, keeping and resuming intermediate results in `work`.

    vocabulary: a SentencePiece model to take instead of training one. Raises ModelError when `out` exists
    already, or when `work` belongs to a run with other settings.
    """
    if out.exists():
        raise ModelError(f"{out} exists already; choose another folder or move it away")
    work.mkdir(parents=True, exist_ok=True)
    _check_same_run(config, work)
    sentencepiece_model = prepare_vocabulary(config, work, vocabulary)
    tokenizer = t5_tokenizer(sentencepiece_model)
    streams = prepare_streams(config, tokenizer, work)
    mixture = load_supervised(config.supervised, tokenizer) if config.supervised else None
    trainer = Pretrainer(config, work, tokenizer, streams, mixture)
    trainer.run()
    export(trainer, sentencepiece_model, out)


def export(trainer: Pretrainer, sentencepiece_model: bytes, out: Path) -> None:
    """Write weights (bfloat16), tokenizer and `pretraining.json` to `out`, whole or not at all.

    Losses do not show whether a prompt can steer the model (an attention that is saturated cannot be
    steered), so attention's entropy and, where texts for it are given, a short tuning run are measured and
    recorded.
    """
    import torch
    import transformers

    config = trainer.config
    final = trainer.measure(probe=True) | {"attention_entropy": trainer.attention_entropy()}
    with written_whole(out) as partial:
        partial.mkdir(parents=True)
        save_tokenizer(sentencepiece_model, partial)
        trainer.model.to(torch.bfloat16).save_pretrained(partial)
        if config.trial is not None:
            final["tuning_trial"] = quality.tuning_trial(partial, *config.trial)
        record = {
            "final": final,
            "seconds": round(trainer.seconds),
            "config": json.loads(json.dumps(asdict(config), default=lambda path: path.name)),
            "corpus_tokens": {
                path.name: len(stream)
                for (path, _), stream in zip(config.corpora, trainer.streams.train, strict=True)
            },
            "history": trainer.history,
            "versions": {
                "torch": torch.__version__,
                "transformers": transformers.__version__,
                "numpy": np.__version__,
            },
        }
        (partial / "pretraining.json").write_text(json.dumps(record, indent=1) + "\n")


def _check_same_run(config: PretrainingConfig, work: Path) -> None:
    """Refuse a work folder of another vocabulary or shape; a larger token budget or another rate is
    welcome.
    """
    shape = {
        name: getattr(config, name)
        for name in (
            "vocabulary_size",
            "dimension",
            "heads",
            "feed_forward",
            "encoder_layers",
            "decoder_layers",
        )
    }
    path = work / "shape.json"
    if not path.exists():
        write_file(path, json.dumps(shape).encode())
    elif (found := json.loads(path.read_text())) != shape:
        raise ModelError(
            f"{work} holds a run of shape {found}; this one is {shape}: choose another folder for "
            "intermediate results"
        )
