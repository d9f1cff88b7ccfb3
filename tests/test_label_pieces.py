"""One law for every tokenizer: the pieces that `labels` searches are the pieces that `predict` scores."""

import shutil

import numpy as np
import pytest
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

from explorer.analysis.labels import read_labels
from explorer.errors import LabelError
from explorer.evaluation.decoder_reading import _first_pieces
from explorer.models.label_pieces import label_pieces
from explorer.models.load import load_frozen
from explorer.models.tokenizer import read_tokenizer
from explorer.prompt import SoftPrompt
from explorer.session import Session
from explorer.tuning.initialization import initialize
from explorer.vocabulary import Vocabulary
from explorer.words.pieces import readable, spaced
from tests.decoders import decoder_folder

WORDS = [
    "a good film filmfilm with a great cast",
    "negative positive very good bad film Positive Bad 2 a bcd",
    "very good",
]
LABELS = ["negative", "positive", "very good", "Bad", "filmfilm"]
TEMPLATES = [None, "{text}\nLabel:", "{text} Label: ", "Review: {text}\nLabel:\n", "{text}"]
BOS, EOS, UNKNOWN = "<s>", "</s>", "<unk>"


def sentencepiece(prepend: str, fallback: bool):
    """Like Gemma's (prepend never) or Llama's (first, always): BPE over `▁`, with or without bytes."""
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN, byte_fallback=fallback))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend, split=True)
    tokenizer.decoder = decoders.Metaspace("▁", prepend)
    return _trained(tokenizer, [BOS, EOS, UNKNOWN])


def legacy(prefix: bool):
    """Llama's legacy way: no pre-tokenizer, a normalizer that writes `▁`, at the start too."""
    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
    steps = [normalizers.Prepend("▁")] * prefix + [normalizers.Replace(" ", "▁")]
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse()])
    return _trained(tokenizer, [BOS, EOS, UNKNOWN])


def bytes_(prefix: bool):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    tokenizer.decoder = decoders.ByteLevel()
    return _trained(tokenizer, [BOS, EOS])


def wordpiece(lower: bool):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lower)
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.BertPreTokenizer(), decoders.WordPiece()
    return _trained(tokenizer, ["[CLS]", "[SEP]", "[UNK]"])


def clip():
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return _trained(tokenizer, [BOS, EOS, UNKNOWN])


def _trained(tokenizer, special):
    common = {
        "vocab_size": 300,
        "show_progress": False,
        "special_tokens": [AddedToken(s, special=True) for s in special],
    }
    if isinstance(tokenizer.model, models.WordPiece):
        trainer = trainers.WordPieceTrainer(**common)
    elif tokenizer.model.end_of_word_suffix:
        trainer = trainers.BpeTrainer(end_of_word_suffix="</w>", **common)
    else:
        trainer = trainers.BpeTrainer(
            **common, initial_alphabet=[] if UNKNOWN in special else pre_tokenizers.ByteLevel.alphabet()
        )
    tokenizer.train_from_iterator(WORDS * 8, trainer)
    return tokenizer


KINDS = {
    "gemma": lambda: sentencepiece("never", True),
    "llama": lambda: sentencepiece("first", True),
    "metaspace": lambda: sentencepiece("always", False),
    "legacy": lambda: legacy(True),
    "legacy-without-prefix": lambda: legacy(False),
    "byte-level": lambda: bytes_(False),
    "byte-level-prefix": lambda: bytes_(True),
    "wordpiece-cased": lambda: wordpiece(False),
    "wordpiece-uncased": lambda: wordpiece(True),
    "clip": clip,
}


@pytest.fixture(scope="module")
def llama_weights(tmp_path_factory):
    return decoder_folder(tmp_path_factory.mktemp("weights") / "llama", "llama")


@pytest.fixture
def decoder(llama_weights, tmp_path, request):
    """A folder with a llama's weights and a tokenizer of some kind, with or without added pieces."""
    kind, added = request.param
    tokenizer = KINDS[kind]()
    first, last = tokenizer.id_to_token(0), tokenizer.id_to_token(1)
    if added:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{first} $A {last}", special_tokens=[(first, 0), (last, 1)]
        )
    shutil.copytree(llama_weights, tmp_path / "model")
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


everything = pytest.mark.parametrize(
    "decoder",
    [(kind, added) for kind in KINDS for added in (False, True)],
    indirect=True,
    ids=lambda v: f"{v[0]}-{v[1]}",
)


@everything
def test_labels_searches_the_pieces_that_predict_scores(decoder):
    """Faults: a label searched without its space, with bos, in another template's place, in another case."""
    vocabulary, model = Vocabulary.load(decoder), load_frozen(decoder)
    for template in TEMPLATES:
        scored = model.templated(template or model.template).targets(LABELS)
        assert vocabulary.label_ids(LABELS, template) == scored
        for label, ids in zip(LABELS, scored, strict=True):
            assert np.array_equal(
                vocabulary.text_vector(label, template), vocabulary.embedding[ids].mean(axis=0)
            )
            assert not set(ids) & (model.tokenizer.special - model.tokenizer.unknown)
        started, rows = initialize("class-label", vocabulary, len(LABELS), LABELS, 0, template=template)
        np.testing.assert_allclose(started, vocabulary.label_vectors(LABELS, template))
        assert [row.label for row in rows] == LABELS
        read = read_labels(SoftPrompt(started), vocabulary, LABELS, nulls=10, template=template)
        np.testing.assert_allclose(np.diagonal(read.similarity), 1, atol=1e-5)
        first = _first_pieces(model.templated(template or model.template), LABELS)
        assert set(first) == {ids[0] for ids in scored}


@everything
def test_text_and_label_are_read_as_one_text(decoder):
    """The pieces of a text and its label are those of both together, as training cuts them."""
    model = load_frozen(decoder)
    for template in TEMPLATES[1:4]:
        frozen = model.templated(template)
        whole = frozen.tokenizer.encode(
            template.rstrip(" ").replace("{text}", "a good film")
            + ("" if template.endswith("\n") else " ")
            + "very good"
        )
        text = [piece for piece in frozen.text_ids(["a good film"])[0] if piece != 0]
        assert [*text, *frozen.label_ids("very good")] == [
            *text[: len(whole)],
            *frozen.label_ids("very good"),
        ]
        assert whole[-len(frozen.label_ids("very good")) :] == frozen.label_ids("very good")


@pytest.mark.parametrize(
    ("kind", "piece", "shown", "with_space"),
    [
        ("gemma", "▁good", "good", " good"),
        ("gemma", "##", "·##", "##"),
        ("byte-level", "Ġgood", "good", " good"),
        ("wordpiece-cased", "good", "good", " good"),
        ("wordpiece-cased", "##d", "·d", "d"),
        ("wordpiece-cased", "##", "##", " ##"),
        ("clip", "good</w>", "good", " good"),
        ("clip", "d", "d·", "d"),
    ],
)
def test_pieces_are_readable_as_their_tokenizer_marks_them(kind, piece, shown, with_space, tmp_path):
    """Faults: a convention guessed from the piece alone, so that BERT's words go on and `##` of code does."""
    PreTrainedTokenizerFast(tokenizer_object=KINDS[kind]()).save_pretrained(tmp_path)
    mark = read_tokenizer(tmp_path).mark
    assert (readable(piece, mark), spaced(piece, mark)) == (shown, with_space)


def test_a_t5_writes_labels_by_themselves(tiny, tiny_t5_folder):
    vocabulary = Vocabulary.load(tiny_t5_folder)
    for template in (None, "{text}\n", "{text} Label:"):
        assert [[*ids, 1] for ids in vocabulary.label_ids(["positive", "very good"], template)] == (
            tiny.templated(template or "{text}").targets(["positive", "very good"])
        )


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (("😀", "🎉"), "label '😀' has no piece in the vocabulary"),
        (("positive", "😀"), "label '😀' has no piece in the vocabulary"),
        (("film", "ﬁlm"), "labels 'film' and 'ﬁlm' cannot be told apart: .* reads both as film"),
        (("good", " good"), "labels 'good' and ' good' cannot be told apart"),
        (("film😀", "film🎉"), "cannot be told apart"),
        (("good", "</s>"), "label '</s>' has no piece"),
        (("good", "good</s>"), "cannot be told apart"),
    ],
)
def test_labels_that_the_model_cannot_tell_apart_are_refused(tiny, tiny_t5_folder, labels, message):
    """Faults: a probability of .50 for labels of equal or unknown pieces; another reason in another command."""
    vocabulary = Vocabulary.load(tiny_t5_folder)
    prompt = SoftPrompt(vocabulary.embedding[5:8])
    for asked in (
        lambda: tiny.label_probabilities([prompt], ["a good film"], labels),
        lambda: read_labels(prompt, vocabulary, labels, nulls=10),
        lambda: initialize("class-label", vocabulary, 4, labels, 0),
    ):
        with pytest.raises(LabelError, match=message):
            asked()


def test_labels_known_in_part_are_scored(tiny):
    ids = label_pieces(tiny.tokenizer, ["good 😀", "bad 😀"], None, "tiny")
    assert ids[0] != ids[1]


@pytest.mark.parametrize(
    "decoder",
    [("wordpiece-uncased", False), ("wordpiece-cased", False)],
    indirect=True,
    ids=["uncased", "cased"],
)
def test_case_tells_labels_apart_only_where_the_tokenizer_keeps_it(decoder, request):
    model = load_frozen(decoder)
    if "uncased" in request.node.callspec.id:
        with pytest.raises(LabelError, match="'positive' and 'Positive' cannot be told apart"):
            model.targets(["positive", "Positive"])
    else:
        assert len(model.targets(["positive", "Positive"])) == 2


def test_results_show_words_as_the_vocabulary_marks_them(llama_weights, tmp_path):
    """Faults: BERT's words shown as pieces that go on, in neighbors, decompositions and decoder readings."""
    shutil.copytree(llama_weights, tmp_path / "model")
    PreTrainedTokenizerFast(tokenizer_object=wordpiece(False)).save_pretrained(tmp_path / "model")
    vocabulary = Vocabulary.load(tmp_path / "model")
    rows = [vocabulary.pieces.index(piece) for piece in ("good", "##d")]
    session = Session([SoftPrompt(vocabulary.embedding[rows])], tmp_path / "model").change(k=2, nulls=100)
    frame = session.neighbors().to_frame().groupby("position").first()
    assert list(frame["piece"]) == ["good", "##d"]
    assert list(frame["token"]) == [" good", "d"]
    assert session.decompose(1)[0].sums() == ["1 good", "1 ·d"]
    decoded = session.decode(["a good film"])[0]
    assert {
        piece.startswith("##") == token.startswith("·")
        for piece, token in zip(decoded.to_frame()["piece"], decoded.to_frame()["token"], strict=True)
    } == {True}
