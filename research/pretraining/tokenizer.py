"""A SentencePiece vocabulary laid out as T5's: pad 0, eos 1, unk 2, no bos, sentinels counted down from the
end.
"""

import io
from pathlib import Path
from typing import TYPE_CHECKING

from explorer.errors import DataError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SENTINELS = 100


def train_sentencepiece(texts: list[str], size: int, seed: int) -> bytes:
    """Train a unigram model of `size` pieces (NFKC, no bos) and return it serialized.

    Raises DataError when the texts do not hold that many pieces.
    """
    import sentencepiece

    sentencepiece.set_random_generator_seed(seed)
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=model,
            model_type="unigram",
            vocab_size=size,
            pad_id=0,
            eos_id=1,
            unk_id=2,
            bos_id=-1,
            normalization_rule_name="nmt_nfkc",
            character_coverage=0.9995,
            max_sentence_length=8192,
            num_threads=2,
            minloglevel=1,
        )
    except RuntimeError as error:  # SentencePiece names every failure so
        reason = str(error).rpartition("] ")[2]
        raise DataError(
            f"no vocabulary of {size} pieces can be made of {len(texts)} passages ({reason}); give "
            "more text or a smaller size"
        ) from error
    return model.getvalue()


def t5_tokenizer(sentencepiece_model: bytes) -> "PreTrainedTokenizerBase":
    """The transformers tokenizer of a SentencePiece model, `<extra_id_0>` being the last id as in T5."""
    from sentencepiece import sentencepiece_model_pb2
    from transformers import T5Tokenizer

    proto = sentencepiece_model_pb2.ModelProto.FromString(sentencepiece_model)
    vocab = [(piece.piece, piece.score) for piece in proto.pieces]
    vocab += [(f"<extra_id_{i}>", 0.0) for i in reversed(range(SENTINELS))]
    return T5Tokenizer(
        vocab=vocab,
        _spm_precompiled_charsmap=proto.normalizer_spec.precompiled_charsmap,
        extra_ids=SENTINELS,
        model_max_length=512,
    )


def save_tokenizer(sentencepiece_model: bytes, folder: Path) -> None:
    """Write `tokenizer.json`, `tokenizer_config.json` and `spiece.model` into `folder`."""
    t5_tokenizer(sentencepiece_model).save_pretrained(folder)
    (folder / "spiece.model").write_bytes(sentencepiece_model)
