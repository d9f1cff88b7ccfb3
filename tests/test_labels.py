"""Class labels: planted vectors rank first, persistence and dispersion by hand, p uniform under its own
null.
"""

import dataclasses
import json

import numpy as np
import planted
import pytest
from safetensors.numpy import save_file

from explorer.analysis.labels import in_words, read_labels
from explorer.analysis.nulls import benjamini_hochberg, gaussian_vectors
from explorer.analysis.vectors import unit
from explorer.errors import DataError, ModelError, PromptError
from explorer.formats import read_prompt
from explorer.prompt import RowSource

LABELS = ("negative", "positive")


def test_a_label_placed_in_the_prompt_ranks_first_at_any_length(vocabulary):
    target, other = vocabulary.text_vector("positive"), vocabulary.embedding[vocabulary.searchable_ids[2000]]
    reading = read_labels(planted.prompt(np.stack([7 * target, other]), labels=LABELS), vocabulary)
    assert reading.labels == LABELS
    assert reading.rank[0, 1] == 1
    np.testing.assert_allclose(reading.similarity[0, 1], 1, atol=1e-6)
    assert reading.p[0, 1] == 1 / 1001
    assert reading.rank[1].min() > 1


def test_labels_of_several_pieces_are_the_mean_of_their_pieces(vocabulary):
    label = "unremarkable nonsense"
    ids = vocabulary.encode(label)
    assert len(ids) > 1
    mean = vocabulary.embedding[ids].mean(axis=0)
    reading = read_labels(planted.prompt(mean[None]), vocabulary, [label], nulls=20)
    np.testing.assert_allclose(reading.similarity, 1, atol=1e-6)
    assert reading.rank.tolist() == [[1]]


def test_rank_counts_the_rows_that_are_nearer(vocabulary):
    prompt = planted.prompt(np.random.default_rng(0).standard_normal((3, vocabulary.dimension)))
    reading = read_labels(prompt, vocabulary, LABELS, nulls=20)
    rows = unit(vocabulary.embedding[vocabulary.searchable_ids]).astype(np.float64)
    for c, label in enumerate(LABELS):
        target = vocabulary.text_vector(label).astype(np.float64)
        for i, vector in enumerate(unit(prompt.vectors).astype(np.float64)):
            score = vector @ target / np.linalg.norm(target)
            np.testing.assert_allclose(reading.similarity[i, c], score, atol=1e-6)
            assert reading.rank[i, c] == 1 + (rows @ vector > score + 1e-6).sum()


def test_the_reading_says_how_many_vectors_p_compares_with(vocabulary):
    reading = read_labels(planted.prompt(vocabulary.embedding[:40]), vocabulary, LABELS, nulls=1000)
    assert reading.draws == 3200
    assert np.nanmin(reading.p) >= 1 / 3201


def test_p_is_uniform_for_vectors_drawn_from_the_null(vocabulary):
    drawn = planted.prompt(gaussian_vectors(vocabulary, 2000, 31))
    p = read_labels(drawn, vocabulary, ["good"], nulls=2000).p[:, 0]
    assert abs(p.mean() - 0.5) < 0.04
    assert abs((p <= 0.05).mean() - 0.05) < 0.02


def test_q_is_over_positions_and_labels_and_one_of_many_can_reach_it(vocabulary):
    """30 random tokens and four labels: few false discoveries; a token on a label is found, since the null
    holds 40 for each score.
    """
    labels, false = ("good", "bad", "red", "king"), []
    for number in range(40):
        reading = read_labels(
            planted.prompt(gaussian_vectors(vocabulary, 30, 50 + number)), vocabulary, labels
        )
        np.testing.assert_allclose(reading.q.ravel(), benjamini_hochberg(reading.p.ravel()))
        false.append((reading.q <= 0.05).any())
    assert np.mean(false) <= 0.13
    tokens = np.concatenate([vocabulary.text_vector("bad")[None], gaussian_vectors(vocabulary, 29, 7)])
    reading = read_labels(planted.prompt(tokens), vocabulary, labels)
    assert reading.p[0, 1] == pytest.approx(1 / (1 + 40 * 30 * 4))
    assert reading.q[0, 1] <= 0.05


def test_persistence_of_what_stayed_and_what_went_away(vocabulary):
    negative, positive = (vocabulary.text_vector(label) for label in LABELS)
    generator = np.random.default_rng(1)
    initial = np.stack([negative, positive, *vocabulary.embedding[vocabulary.searchable_ids[[500, 600]]]])
    final = initial + 0.1 * generator.standard_normal(initial.shape).astype(np.float32)
    final[1] = vocabulary.embedding[vocabulary.searchable_ids[900]]
    rows = (RowSource(label="negative"), RowSource(label="positive"), RowSource(piece="x"), RowSource())
    reading = read_labels(planted.trained(initial, final, rows, labels=LABELS), vocabulary, nulls=20)
    stayed, left = reading.persistence
    assert (stayed.label, stayed.position, stayed.initial_rank, stayed.rank, stayed.p) == (
        "negative",
        0,
        1,
        1,
        1 / 4,
    )
    assert (left.label, left.position, left.initial_rank) == ("positive", 1, 1)
    assert left.rank > 1
    np.testing.assert_allclose(reading.drift[[0, 2, 3]], 1, atol=0.01)
    assert reading.drift[1] < 0.9
    frame = reading.persistence_frame()
    assert list(frame.columns) == [
        "prompt",
        "label",
        "position",
        "initial_rank",
        "rank",
        "p",
        "initial_p",
        "p_words",
        "p_labels",
    ]
    assert frame["initial_rank"].tolist() == [1, 1]
    assert frame["initial_p"].tolist() == [1 / 4, 1 / 4]
    assert (stayed.p_words, len(reading.kept), reading.first.tolist()) == (1 / 101, 1, [0])
    assert left.p_words > 1 / 101


def test_without_initial_vectors_persistence_says_so(vocabulary):
    prompt = planted.prompt(
        vocabulary.text_vector("positive")[None], labels=LABELS, rows=(RowSource(label="positive"),)
    )
    reading = read_labels(prompt, vocabulary, nulls=20)
    assert reading.persistence[0].initial_rank is None
    assert reading.drift is None
    assert reading.persistence_frame()["initial_rank"].isna().all()


def test_no_token_from_a_label_is_an_empty_table(vocabulary):
    frame = read_labels(
        planted.prompt(np.ones((2, vocabulary.dimension)), labels=LABELS), vocabulary, nulls=20
    ).persistence_frame()
    assert len(frame) == 0
    assert list(frame.columns) == [
        "prompt",
        "label",
        "position",
        "initial_rank",
        "rank",
        "p",
        "initial_p",
        "p_words",
        "p_labels",
    ]


def test_dispersion_runs_from_one_token_to_all(vocabulary):
    target = vocabulary.text_vector("good")
    away = -target
    one = read_labels(planted.prompt(np.stack([target, away, away])), vocabulary, ["good"], nulls=20)
    even = read_labels(
        planted.prompt(np.stack([target, 2 * target, 3 * target])), vocabulary, ["good"], nulls=20
    )
    none = read_labels(planted.prompt(np.stack([away, away])), vocabulary, ["good"], nulls=20)
    single = read_labels(planted.prompt(target[None]), vocabulary, ["good"], nulls=20)
    np.testing.assert_allclose([one.dispersion, even.dispersion, single.dispersion], [0, 1, 0], atol=1e-6)
    assert np.isnan(none.dispersion)
    assert list(one.dispersion_frame().columns) == ["prompt", "dispersion", "initial_dispersion"]


def test_a_token_of_zeros_is_near_to_no_label(vocabulary):
    reading = read_labels(
        planted.prompt(np.zeros((2, vocabulary.dimension)), labels=("a", "b")), vocabulary, LABELS, nulls=20
    )
    assert (reading.rank == 0).all()
    frame = reading.to_frame()
    assert frame[["rank", "p", "q"]].isna().all(axis=None)
    assert reading.conclusion == "All 2 tokens are zero: no label has a rank."
    mixed = planted.prompt(np.stack([np.zeros(vocabulary.dimension), vocabulary.text_vector("positive")]))
    assert (
        read_labels(mixed, vocabulary, LABELS, nulls=20).conclusion
        == "1 of 2 tokens is nearer to a label than to any vocabulary piece; 1 token of zeros has no rank."
    )


def test_labels_frame(vocabulary):
    reading = read_labels(
        planted.prompt(np.ones((2, vocabulary.dimension)), labels=("a", "b", "c")),
        vocabulary,
        LABELS,
        nulls=20,
    )
    frame = reading.to_frame()
    assert list(frame.columns) == ["prompt", "position", "label", "similarity", "rank", "p", "q"]
    assert frame["label"].tolist() == [*LABELS, *LABELS]
    assert frame["position"].tolist() == [0, 0, 1, 1]
    np.testing.assert_array_equal(frame["rank"], reading.rank.ravel())


def test_what_bad_calls_say(vocabulary):
    prompt = planted.prompt(np.ones((2, vocabulary.dimension)))
    with pytest.raises(
        DataError, match="planted/prompt records no class labels; name them, such as negative and positive"
    ):
        read_labels(prompt, vocabulary)
    with pytest.raises(DataError, match="records no class labels"):
        read_labels(prompt, vocabulary, [])
    with pytest.raises(PromptError, match="label ' ' has no piece in the vocabulary of mini-t5"):
        read_labels(prompt, vocabulary, [" "])
    with pytest.raises(PromptError, match="vectors of width 3"):
        read_labels(planted.prompt(np.ones((2, 3))), vocabulary, LABELS)
    with pytest.raises(ModelError, match="was not read from a folder and has no tokenizer"):
        read_labels(prompt, dataclasses.replace(vocabulary, path=None), LABELS)


def test_baselines_are_words_as_frequent_and_labels_of_other_tasks(vocabulary):
    """A token that lies at an equally frequent word is no sign of the label; nor is one nearer to another
    task's label.
    """
    own = vocabulary.encode("positive")
    frequent = next(i for i in range(own[0] + 1, own[0] + 40) if vocabulary.searchable[i])
    rows = (RowSource(label="positive"), RowSource())
    at_word = planted.prompt(vocabulary.embedding[[frequent, 600]], labels=LABELS, rows=rows)
    (one,) = read_labels(at_word, vocabulary, nulls=20, other_labels=("human", "positive")).persistence
    scores = (
        unit(vocabulary.embedding[frequent][None])[0]
        @ unit(np.stack([vocabulary.text_vector(name) for name in ("positive", "human")])).T
    )
    assert one.p_words > 1 / 101
    assert one.p_labels == (1 + (scores[1] >= scores[0])) / 2, "its own label is no baseline"
    (alone,) = read_labels(at_word, vocabulary, nulls=20).persistence
    assert np.isnan(alone.p_labels)


def test_words_say_what_was_measured(vocabulary):
    negative, positive = (vocabulary.text_vector(label) for label in LABELS)
    words = vocabulary.embedding[vocabulary.searchable_ids[[900, 901, 902]]]
    rows = (RowSource(label="negative"), RowSource(label="positive"), RowSource(), RowSource())
    initial = np.stack([negative, positive, words[0], words[1]])
    kept = read_labels(planted.trained(initial, initial, rows, labels=LABELS), vocabulary, nulls=20)
    lost = read_labels(
        planted.trained(initial, np.stack([negative, words[2], positive, words[1]]), rows, labels=LABELS),
        vocabulary,
        nulls=20,
    )
    swapped = read_labels(
        planted.trained(initial, initial[[1, 0, 2, 3]], rows, labels=LABELS), vocabulary, nulls=20
    )
    none = read_labels(planted.prompt(words, labels=LABELS), vocabulary, nulls=20)
    assert "0 of 2 tokens" in in_words([swapped], "class-label")
    assert in_words([swapped], "class-label").endswith("first at 0 of the 2 other positions.")
    assert in_words([kept], "class-label") == (
        "1 prompt with initialization class-label: 2 of 2 tokens that began as a label still rank it "
        "first; position p at most 0.250 (the smallest "
        "possible is 0.250); a label ranks first at 0 of the 2 other positions."
    )
    both = in_words([kept, lost], "class-label")
    assert both.startswith(
        "2 prompts with initialization class-label: 3 of 4 tokens that began as a label still rank it first"
    )
    assert both.endswith("a label ranks first at 1 of the 4 other positions.")
    assert in_words([none], None).startswith(
        "1 prompt with initialization unknown: no token is recorded to have begun as a label; a "
        "label ranks first at none of 3 positions"
    )


def test_the_half_that_peft_never_trains_shows_no_persistence(vocabulary, tmp_path):
    """PEFT's default for a T5 keeps twice the rows; with TEXT initialization the second half stays the
    label's own embedding.
    """
    generator = np.random.default_rng(0)
    trained = (5 * generator.standard_normal((2, vocabulary.dimension))).astype(np.float32)
    dead = np.stack([vocabulary.text_vector(label) for label in LABELS])
    save_file({"prompt_embeddings": np.concatenate([trained, dead])}, tmp_path / "adapter_model.safetensors")
    config = {
        "peft_type": "PROMPT_TUNING",
        "num_virtual_tokens": 2,
        "num_transformer_submodules": 2,
        "prompt_tuning_init": "TEXT",
    }
    (tmp_path / "adapter_config.json").write_text(
        json.dumps(config | {"prompt_tuning_init_text": "negative positive"})
    )
    prompt = read_prompt(tmp_path)
    assert (prompt.length, prompt.origin.dropped_rows) == (2, 2)
    reading = read_labels(prompt, vocabulary, LABELS, nulls=20)
    assert reading.first.size == 0
    assert reading.similarity.max() < 0.5
    naive = read_labels(planted.prompt(np.concatenate([trained, dead])), vocabulary, LABELS, nulls=20)
    assert naive.first.tolist() == [2, 3], "read naively, it would show perfect persistence"
