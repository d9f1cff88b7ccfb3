"""The three initialization strategies: what each says of its vectors is true, and a seed decides
everything.
"""

import numpy as np
import pytest

from explorer.choices import INITIALIZATIONS
from explorer.errors import DataError, PromptError
from explorer.prompt import RowSource
from explorer.tuning.initialization import COMMON_PIECES, initialize, sentence_rows
from explorer.vocabulary import Vocabulary

LABELS = ("negative", "positive")


@pytest.mark.parametrize("strategy", INITIALIZATIONS)
def test_strategy_and_seed_decide_the_vectors(strategy, vocabulary):
    first, rows = initialize(strategy, vocabulary, 20, LABELS, 3)
    again, rows_again = initialize(strategy, vocabulary, 20, LABELS, 3)
    other, _ = initialize(strategy, vocabulary, 20, LABELS, 4)
    np.testing.assert_array_equal(first, again)
    assert rows == rows_again
    assert len(rows) == 20
    assert (first.shape, first.dtype) == ((20, vocabulary.dimension), np.float32)
    assert not np.array_equal(first, other)


def test_random_is_uniform_around_zero(vocabulary):
    vectors, rows = initialize("random", vocabulary, 100, LABELS, 0)
    assert rows == (RowSource(),) * 100
    assert vectors.min() < -0.49
    assert vectors.max() > 0.49
    assert np.abs(vectors).max() <= 0.5
    assert abs(vectors.mean()) < 0.01
    assert vectors.std() == pytest.approx(1 / np.sqrt(12), rel=0.02)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert abs((unit @ unit.T)[np.triu_indices(100, 1)].mean()) < 0.01


def test_the_released_range_is_positive_and_its_rows_are_alike(vocabulary):
    vectors, _ = initialize("random", vocabulary, 50, LABELS, 0, "released")
    assert vectors.min() >= 0
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    assert (unit @ unit.T)[np.triu_indices(50, 1)].mean() == pytest.approx(0.75, abs=0.01)


def test_sampled_rows_are_common_pieces_each_once(vocabulary):
    vectors, rows = initialize("sampled-vocab", vocabulary, 100, LABELS, 0)
    ids = [vocabulary.pieces.index(row.piece) for row in rows]
    assert len(set(ids)) == 100
    assert set(ids) <= set(vocabulary.searchable_ids[:COMMON_PIECES].tolist())
    np.testing.assert_array_equal(vectors, vocabulary.embedding[ids])
    drawn = {
        row.piece
        for seed in range(40)
        for row in initialize("sampled-vocab", vocabulary, 100, LABELS, seed)[1]
    }
    assert len(drawn) == pytest.approx(
        COMMON_PIECES * (1 - (1 - 100 / COMMON_PIECES) ** 40), rel=0.05
    )  # every piece has the same chance


def test_special_rows_are_never_drawn(tiny_t5_folder):
    vocabulary = Vocabulary.load(tiny_t5_folder)
    _, rows = initialize("sampled-vocab", vocabulary, int(vocabulary.searchable.sum()), LABELS, 0)
    assert {row.piece for row in rows} == {vocabulary.pieces[i] for i in vocabulary.searchable_ids}


def test_label_tokens_are_the_means_of_their_pieces(vocabulary):
    labels = ("negative", "subjective", "not at all unexpectedly")
    assert len(vocabulary.encode(labels[2])) > 2
    vectors, rows = initialize("class-label", vocabulary, 10, labels, 0)
    for index, label in enumerate(labels):
        assert rows[index] == RowSource(label=label)
        np.testing.assert_allclose(
            vectors[index], vocabulary.embedding[vocabulary.encode(label)].mean(axis=0), atol=1e-6
        )
    for vector, row in zip(vectors[3:], rows[3:], strict=True):
        np.testing.assert_array_equal(vector, vocabulary.embedding[vocabulary.pieces.index(row.piece)])


def test_as_many_tokens_as_labels_is_enough(vocabulary):
    vectors, rows = initialize("class-label", vocabulary, 2, LABELS, 0)
    np.testing.assert_allclose(vectors, [vocabulary.text_vector(label) for label in LABELS], atol=1e-6)
    assert [str(row) for row in rows] == ["label negative", "label positive"]


def test_what_cannot_be_drawn_is_named(vocabulary, tiny_t5_folder):
    with pytest.raises(
        PromptError,
        match="unknown initialization 'zeros'; expected one of random, sampled-vocab, class-label",
    ):
        initialize("zeros", vocabulary, 5, LABELS, 0)
    with pytest.raises(PromptError, match="unknown random range 'wide'; expected one of symmetric, released"):
        initialize("random", vocabulary, 5, LABELS, 0, "wide")
    with pytest.raises(PromptError, match="a prompt of 0 tokens; expected at least one"):
        initialize("random", vocabulary, 0, LABELS, 0)
    with pytest.raises(PromptError, match=r"200 prompt tokens, but .* pieces to draw from"):
        initialize("sampled-vocab", Vocabulary.load(tiny_t5_folder), 200, LABELS, 0)


def test_a_sentence_gives_its_pieces_in_order_and_again_from_the_start(vocabulary):
    ids = vocabulary.encode("a charming film")
    vectors, rows = sentence_rows("a charming film", vocabulary, 2 * len(ids) + 1)
    assert [row.piece for row in rows] == [vocabulary.pieces[i] for i in [*ids, *ids, ids[0]]]
    np.testing.assert_array_equal(vectors, vocabulary.embedding[[*ids, *ids, ids[0]]])


def test_sentences_that_cannot_be_read_as_are_named(vocabulary):
    count = len(vocabulary.encode("a charming film"))
    with pytest.raises(DataError, match=f"the sentence has {count} pieces, the prompt 2 tokens"):
        sentence_rows("a charming film", vocabulary, 2)
    for nothing in ("", "   ", "漢字"):
        with pytest.raises(DataError, match="expected words of its vocabulary"):
            sentence_rows(nothing, vocabulary, 5)


def test_with_more_labels_than_tokens_the_last_are_left_out(vocabulary):
    vectors, rows = initialize("class-label", vocabulary, 1, LABELS, 0)
    np.testing.assert_array_equal(vectors[0], vocabulary.text_vector(LABELS[0]))
    assert [row.label for row in rows] == [LABELS[0]]
