"""Pretraining: batches keep their promises, a tiny run makes a model that transformers loads, and it
resumes.
"""

import json
from dataclasses import replace

import numpy as np
import pytest

from explorer.errors import DataError, ModelError
from explorer.vocabulary import Vocabulary
from research.pretraining.embeddings import cooccurrence, positive_pmi, warm_start
from research.pretraining.label_matching import LabelMatching
from research.pretraining.loop import Pretrainer, draw_batch, learning_rate_factor
from research.pretraining.objectives import EOS, IGNORED, PAD, prefix_language_modelling, span_corruption
from research.pretraining.optimizers import CAP, QUERY_KEY_CAP, optimizers
from research.pretraining.pipeline import PretrainingConfig, pretrain
from research.pretraining.preparation import Phase, prepare_streams, prepare_vocabulary
from research.pretraining.quality import RELATED_WORDS, linear_probe, related_pairs_found
from research.pretraining.supervised import load_supervised
from research.pretraining.tokenizer import t5_tokenizer

pytestmark = pytest.mark.slow
ANIMALS = ("cat", "dog", "horse", "cow", "bird", "sheep")
VERBS = ("sees", "likes", "follows", "avoids", "hears")
SYLLABLES = [c + v for c in "bdfgklmnprstvz" for v in "aeiou"]
PLACES = ("garden", "river", "market", "kitchen", "meadow")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A few thousand sentences of a small grammar, and labelled reviews."""
    folder = tmp_path_factory.mktemp("corpus")
    generator = np.random.default_rng(0)
    lines = [
        f"The {generator.choice(ANIMALS)} {generator.choice(VERBS)} the {generator.choice(ANIMALS)} "
        f"in the {generator.choice(PLACES)} "
        f"near {''.join(generator.choice(SYLLABLES, 3))} and {''.join(generator.choice(SYLLABLES, 2))}."
        for _ in range(3000)
    ]
    (folder / "text.txt").write_text("\n".join(lines))
    rows = [
        (
            f"The {animal} was {'lovely' if good else 'awful'}. It {verb} "
            f"me.\t{'positive' if good else 'negative'}"
        )
        for animal in ANIMALS
        for verb in VERBS
        for good in (True, False)
    ]
    (folder / "reviews.tsv").write_text("text\tlabel\n" + "\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="module")
def config(corpus):
    """Settings of a run that takes seconds."""
    return PretrainingConfig(
        corpora=((corpus / "text.txt", 1.0),),
        supervised=corpus / "reviews.tsv",
        vocabulary_size=300,
        vocabulary_sample=2000,
        dimension=32,
        heads=2,
        feed_forward=64,
        encoder_layers=1,
        decoder_layers=1,
        window=32,
        batch=8,
        tokens=8_000,
        warm_up_steps=5,
        compile=False,
        mixture=(Phase(0, 0.2, 0.0), Phase(2_000, 0.1, 0.2, two_pieces=True)),
    )


def test_span_corruption_loses_nothing():
    generator = np.random.default_rng(3)
    window = generator.integers(3, 900, (5, 64))
    batch = span_corruption(window, 1099, generator)
    for row in range(5):
        spans, current = {}, None
        for token in batch.targets[row][:-1]:
            if token > 1000:
                current = int(token)
                spans[current] = []
            else:
                spans[current].append(int(token))
        restored = []
        for token in batch.inputs[row][:-1]:
            restored += spans[int(token)] if token > 1000 else [int(token)]
        assert restored == window[row].tolist()
        assert list(spans) == [1099 - i for i in range(len(spans))]
    assert (batch.inputs[:, -1] == EOS).all()
    assert (batch.targets[:, -1] == EOS).all()


def test_prefix_language_modelling_continues_the_prefix():
    generator = np.random.default_rng(4)
    window = generator.integers(3, 900, (16, 64))
    batch = prefix_language_modelling(window, generator)
    for row in range(16):
        prefix = batch.inputs[row][batch.inputs[row] != PAD]
        assert 8 <= len(prefix) <= 48
        assert window[row, : len(prefix) + 16].tolist() == [*prefix, *batch.targets[row]]


def test_cooccurrence_counts_by_distance():
    counts = cooccurrence(np.array([0, 1, 2, 0]), 4)
    assert counts[0, 1] == counts[1, 0] == pytest.approx(1.0 + 0.8)  # distance 1 once, distance 2 once
    assert counts[1, 2] == pytest.approx(1.0)
    assert counts[0, 0] == pytest.approx(2 * 0.6)
    assert counts[3].sum() == 0


def test_pmi_of_independent_words_is_nought_and_the_table_keeps_words_together():
    generator = np.random.default_rng(0)
    topics = np.repeat(generator.integers(0, 2, 4000), 10)
    tokens = generator.integers(0, 20, topics.size) + 20 * topics  # two topics of 20 words each
    table = warm_start(tokens, 48, 8, seed=0)
    unit = table[:40] / np.linalg.norm(table[:40], axis=1, keepdims=True)
    similarity = unit @ unit.T
    assert similarity[:20, :20].mean() > similarity[:20, 20:].mean() + 0.5
    np.testing.assert_allclose(np.linalg.norm(table[:40], axis=1), np.sqrt(8), rtol=1e-4)
    assert np.abs(positive_pmi(np.ones((4, 4), np.float32))).max() < 1e-5


def test_supervised_crops_end_with_the_label(config):
    tokenizer = t5_tokenizer(_sentencepiece(config))
    mixture = load_supervised(config.supervised, tokenizer)
    batch = mixture.draw(256, 40, np.random.default_rng(0))
    texts = tokenizer.batch_decode(batch.inputs, skip_special_tokens=True)
    answers = tokenizer.batch_decode(
        np.where(batch.targets < 0, PAD, batch.targets), skip_special_tokens=True
    )
    good = {"positive", "good", "great", "es"}  # the small vocabulary knows no y
    told = [
        ("lovel" in text, answer in good)
        for text, answer in zip(texts, answers, strict=True)
        if "lovel" in text or "awful" in text
    ]
    assert len(told) > 20
    assert {is_good for is_good, _ in told} == {True, False}
    assert all(is_good == said_good for is_good, said_good in told)


_models: dict = {}


def _sentencepiece(config):
    import tempfile
    from pathlib import Path

    if "model" not in _models:
        with tempfile.TemporaryDirectory() as folder:
            _models["model"] = prepare_vocabulary(config, Path(folder))
    return _models["model"]


def test_a_run_makes_a_model_and_says_how(config, tmp_path, capsys):
    pretrain(config, tmp_path / "tiny", tmp_path / "work")
    vocabulary = Vocabulary.load(tmp_path / "tiny")
    assert len(vocabulary) == config.rows == 512
    assert vocabulary.pieces[:3] == ("<pad>", "</s>", "<unk>")
    assert vocabulary.pieces[399] == "<extra_id_0>"
    assert vocabulary.pieces[300] == "<extra_id_99>"
    assert vocabulary.searchable.sum() == 297
    record = json.loads((tmp_path / "tiny" / "pretraining.json").read_text())
    assert record["final"]["tokens"] >= config.tokens
    assert {"span_loss", "lm_loss", "related_words"} <= set(record["final"])
    assert record["config"]["corpora"][0][0] == "text.txt"

    from explorer.models.encoder_decoder import FrozenT5

    model = FrozenT5.load(tmp_path / "tiny")
    probabilities = model.label_probabilities([None], ["The cat was lovely."], ["negative", "positive"])
    assert probabilities.sum() == pytest.approx(1.0, abs=1e-5)
    with pytest.raises(ModelError, match="exists already"):
        pretrain(config, tmp_path / "tiny", tmp_path / "work")


def test_training_lowers_the_loss_and_resumes_where_it_stopped(config, tmp_path):
    import torch

    def trainer(work):
        work.mkdir(exist_ok=True)
        (work / "spiece.model").write_bytes(_sentencepiece(config))
        tokenizer = t5_tokenizer(_sentencepiece(config))
        mixture = load_supervised(config.supervised, tokenizer)
        return Pretrainer(config, work, tokenizer, prepare_streams(config, tokenizer, work), mixture)

    whole = trainer(tmp_path / "whole")
    before = whole.held_out_losses(2)
    for _ in range(20):
        whole.train_step()
    after = whole.held_out_losses(2)
    assert after["span_loss"] < before["span_loss"] - 0.3

    first = trainer(tmp_path / "halves")
    for _ in range(10):
        first.train_step()
    first.save()
    second = trainer(tmp_path / "halves")
    assert second.step == 10
    assert second.tokens == first.tokens
    for _ in range(10):
        second.train_step()
    for one, other in zip(whole.model.parameters(), second.model.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def matching():
    """Label matching over a made-up vocabulary of 40 four-letter words in four families, two-letter
    beginnings and endings.
    """
    letters = [*zip("abcdefghij", "kkkkllllmm", "stuvstuvst", strict=True)]
    words = {
        f"▁{''.join(three)}{'wxyz'[family]}": 600 + 10 * family + number
        for family in range(4)
        for number, three in enumerate(letters)
    }
    begins, ends = {"▁zu": 400}, {"ga": 401}
    asks = {
        word: 300 + number
        for number, word in enumerate(("or", "?", ",", "Options:", ".", "Which word fits:"))
    }

    class Tokenizer:
        def get_vocab(self):
            return words | begins | ends

        def __call__(self, text, add_special_tokens=False):
            return {"input_ids": [asks[text]]}

    embedding = np.random.default_rng(0).standard_normal((700, 16)) * 0.1
    for family in range(4):
        embedding[600 + 10 * family : 610 + 10 * family, family] += 5
    return LabelMatching(Tokenizer(), embedding)


def test_label_matching_asks_for_a_word_that_fits_the_text(matching):
    generator = np.random.default_rng(1)
    families = generator.integers(0, 4, 64)
    window = 600 + 10 * families[:, None] + generator.integers(0, 10, (64, 40))
    batch = matching.draw(window, 36, generator, two_pieces=False)
    assert batch.inputs.shape == (64, 36)
    assert batch.targets.shape == (64, 4)
    for row, family in enumerate(families):
        answer, end = batch.targets[row][:2]
        assert end == EOS
        assert (batch.targets[row][2:] == IGNORED).all()
        assert (answer - 600) // 10 == family, "the right word is near to its text"
        inputs = batch.inputs[row][batch.inputs[row] != PAD]
        assert (inputs == answer).sum() == 1, "the word is asked for and taken out of the text"
        options = {int(word) for word in inputs if 600 <= word < 640 and (word - 600) // 10 != family}
        assert all((word - 600) // 10 in set(families) for word in options)
        assert inputs[-1] == EOS


def test_label_matching_takes_words_of_two_pieces_and_passes_over_texts_without_words(matching):
    generator = np.random.default_rng(2)
    window = np.tile(np.concatenate([np.arange(600, 612), [400, 401, 613], np.arange(614, 631)]), (200, 1))
    answers = matching.draw(window, 48, generator).targets
    two = (answers[:, :3] == [400, 401, EOS]).all(axis=1)
    assert 0.2 < two.mean() < 0.5
    assert not (matching.draw(window, 48, generator, two_pieces=False).targets[:, 0] == 400).any()
    empty = matching.draw(np.full((3, 32), 305), 48, generator)
    assert (empty.inputs[:, 0] == EOS).all()
    assert (empty.targets[:, 0] == EOS).all()


def test_muon_takes_the_matrices_and_caps_keep_them_small(config, tmp_path):
    import torch

    from research.pretraining.loop import build_model

    model = build_model(
        config, np.random.default_rng(0).standard_normal((config.rows, config.dimension)).astype(np.float32)
    )
    both = optimizers(model, 0.003, 0.001)
    muon = {id(parameter) for group in both.muon.param_groups for parameter in group["params"]}
    adamw = [group["params"] for group in both.adamw.param_groups]
    assert len(muon) + sum(map(len, adamw)) == len(list(model.parameters()))
    assert adamw[1] == [model.shared.weight]
    matrices, queries = both.muon.param_groups
    assert queries["lr"] == pytest.approx(matrices["lr"] / np.sqrt(config.dimension // config.heads))
    kinds = {
        name.split(".")[-2]: parameter for name, parameter in model.named_parameters() if parameter.ndim == 2
    }
    with torch.no_grad():
        for parameter in kinds.values():
            parameter.mul_(100)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    both.step(1.0)
    width, key = config.dimension, config.dimension // config.heads
    for kind, scale, cap in (
        ("q", (width * key) ** -0.5, QUERY_KEY_CAP),
        ("k", width**-0.5, QUERY_KEY_CAP),
        ("v", width**-0.5, CAP),
        ("wo", config.feed_forward**-0.5, CAP),
    ):
        assert kinds[kind].square().mean().sqrt().item() == pytest.approx(scale * cap, rel=1e-3)


def test_the_mixture_follows_its_phases_and_spans_stay_to_the_end(config, tmp_path):
    (tmp_path / "spiece.model").write_bytes(_sentencepiece(config))
    tokenizer = t5_tokenizer(_sentencepiece(config))
    streams, supervised = (
        prepare_streams(config, tokenizer, tmp_path),
        load_supervised(config.supervised, tokenizer),
    )
    matching = LabelMatching(tokenizer, np.random.default_rng(0).standard_normal((config.rows, 8)))

    def shares(tokens):
        kinds = [draw_batch(step, tokens, config, streams, supervised, matching)[0] for step in range(400)]
        return {kind: kinds.count(kind) / len(kinds) for kind in set(kinds)}

    early, late, last = shares(0), shares(3_000), shares(config.tokens - 1)
    assert "label matching" not in early
    assert early["supervised"] == pytest.approx(0.2, abs=0.06)
    assert late["label matching"] == pytest.approx(0.2, abs=0.06)
    assert late["span corruption"] > 2 * late["language modelling"] * 0.8
    assert last["language modelling"] == pytest.approx(0.7 * 0.8, abs=0.08)
    assert last["span corruption"] == pytest.approx(0.7 * 0.2, abs=0.05)


def test_learning_rate_warms_up_stays_and_falls():
    assert learning_rate_factor(0, 0.0, 100) == pytest.approx(0.01)
    assert learning_rate_factor(100, 0.5, 100) == 1.0
    assert learning_rate_factor(9000, 0.8, 100) == pytest.approx(1.0)
    assert learning_rate_factor(9000, 1.0, 100) == pytest.approx(0.02)


def test_related_pairs_need_both_directions():
    words = {word: index for index, word in enumerate(sorted({w for pair in RELATED_WORDS for w in pair}))}
    far = np.eye(len(words), dtype=np.float32)
    near = far.copy()
    for a, b in RELATED_WORDS:
        near[words[a], words[b]] = near[words[b], words[a]] = 0.9
    searchable = np.ones(len(words), bool)
    assert related_pairs_found(near, words, searchable, k=5) == (1.0, len(RELATED_WORDS))
    assert (
        related_pairs_found(np.random.default_rng(0).standard_normal(near.shape), words, searchable, k=5)[0]
        < 0.2
    )


def test_probe_reads_what_is_there():
    generator = np.random.default_rng(0)
    answers = tuple(generator.choice(["a", "b"], 300))
    features = generator.standard_normal((300, 5)).astype(np.float32)
    features[:, 2] += np.where(np.array(answers) == "a", 3.0, -3.0)
    assert linear_probe(features[:200], answers[:200], features[200:], answers[200:]) > 0.95


def test_bad_input_is_named(config, corpus, tmp_path):
    missing = replace(config, corpora=((tmp_path / "none.txt", 1.0),))
    with pytest.raises(DataError, match=r"none\.txt: no such file"):
        pretrain(missing, tmp_path / "out", tmp_path / "work1")
    damaged = tmp_path / "damaged.txt.xz"
    damaged.write_bytes(b"not xz at all")
    with pytest.raises(DataError, match="no vocabulary of 9000 pieces"):
        pretrain(replace(config, vocabulary_size=9000), tmp_path / "out", tmp_path / "work4")
    with pytest.raises(DataError, match="cannot be read as UTF-8 text"):
        pretrain(replace(config, corpora=((damaged, 1.0),)), tmp_path / "out", tmp_path / "work2")
    labels = tmp_path / "labels.tsv"
    labels.write_text("text\tlabel\nfine\tmaybe\n")
    with pytest.raises(DataError, match="maybe"):
        load_supervised(labels, None)
    (tmp_path / "work3").mkdir()
    (tmp_path / "work3" / "shape.json").write_text("{}")
    with pytest.raises(ModelError, match="another folder for intermediate results"):
        pretrain(config, tmp_path / "out", tmp_path / "work3")
    assert not (tmp_path / "out").exists()
