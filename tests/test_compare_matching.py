"""Prompt against prompt: the matching is the best there is, and similarity without a shared layout is not significant."""

from itertools import permutations

import numpy as np
import planted
import pytest

from explorer.analysis.compare import matching
from explorer.analysis.compare.matching import matched_positions, mean_token_similarity, pairs
from explorer.analysis.vectors import unit
from explorer.errors import ExplorerError, PromptError


def test_the_matching_is_the_best_of_all():
    generator = np.random.default_rng(0)
    first, second = generator.standard_normal((5, 8)), generator.standard_normal((5, 8))
    rows, columns, cosine = matched_positions(first, second)
    every = unit(first) @ unit(second).T
    best = max(sum(every[i, j] for i, j in enumerate(order)) for order in permutations(range(5)))
    assert cosine.sum() == pytest.approx(best, abs=1e-5)
    np.testing.assert_allclose(cosine, every[rows, columns])


def test_a_shuffled_prompt_is_found_again():
    vectors = np.random.default_rng(0).standard_normal((7, 16))
    order = np.random.default_rng(1).permutation(7)
    rows, columns, cosine = matched_positions(vectors[order], vectors)
    np.testing.assert_array_equal(columns, order[rows])
    np.testing.assert_allclose(cosine, 1, atol=1e-5)
    short = matched_positions(vectors[:3], vectors)
    assert short[1].tolist() == [0, 1, 2]


def test_similarities_are_those_of_the_definition():
    vocabulary = planted.vocabulary()
    generator = np.random.default_rng(0)
    one, two = (planted.prompt(generator.standard_normal((n, 16)), name) for n, name in ((4, "one"), (6, "two")))
    (row,) = pairs([one, two], vocabulary).to_dict("records")
    mean = unit(np.stack([one.vectors.mean(axis=0), two.vectors.mean(axis=0)]))
    assert row["mean_token_cosine"] == pytest.approx(mean[0] @ mean[1], abs=1e-6)
    assert row["mean_pairwise_cosine"] == pytest.approx((unit(one.vectors) @ unit(two.vectors).T).mean(), abs=1e-6)
    assert (row["prompt_a"], row["prompt_b"]) == ("one", "two")
    square = mean_token_similarity([one, two, one])
    np.testing.assert_allclose(np.diag(square), 1, atol=1e-6)
    np.testing.assert_allclose(square, square.T)
    assert square[0, 2] == pytest.approx(1)


def test_the_null_keeps_the_mean_and_every_distance(monkeypatch):
    """What the second prompt is replaced by: the same tokens turned about their own mean."""
    vectors, seen = np.random.default_rng(0).standard_normal((5, 16)) + 3, []
    monkeypatch.setattr(matching, "matched_positions", lambda first, second: seen.append(second) or matched_positions(first, second))
    pairs([planted.prompt(vectors, "one"), planted.prompt(vectors, "two")], planted.vocabulary(), draws=3)
    assert len(seen) == 4, "the prompt itself, then three turns"
    for turned in seen[1:]:
        np.testing.assert_allclose(turned.mean(axis=0), vectors.mean(axis=0), atol=1e-4)
        np.testing.assert_allclose(np.linalg.norm(turned[:, None] - turned, axis=2), np.linalg.norm(vectors[:, None] - vectors, axis=2), atol=1e-4)
        assert np.abs(turned - vectors).max() > 0.1


def test_a_shared_offset_alone_is_not_significant_and_a_shared_layout_is():
    """40 pairs of prompts around one far offset: p of the matching is uniform; with a common layout it is the smallest."""
    vocabulary = planted.vocabulary()
    generator = np.random.default_rng(0)
    offset = 3 * generator.standard_normal(16)
    p = []
    for _ in range(40):
        two = [planted.prompt(offset + generator.standard_normal((6, 16)), name) for name in "ab"]
        p.append(pairs(two, vocabulary, draws=49)["p"].item())
    assert 0.35 < np.mean(p) < 0.65
    layout = generator.standard_normal((6, 16))
    alike = [planted.prompt(offset + layout + 0.3 * generator.standard_normal((6, 16)), name) for name in "ab"]
    row = pairs(alike, vocabulary, draws=49).iloc[0]
    assert row["p"] == 1 / 50
    assert row["p_mean"] <= 0.05, "an offset of their own, beyond the vocabulary's"


def test_prompts_of_one_token_and_equal_ones_are_defined():
    vocabulary = planted.vocabulary()
    one = planted.prompt(vocabulary.embedding[:1], "one")
    frame = pairs([one, one], vocabulary, draws=5)
    assert frame["matched_cosine"].item() == pytest.approx(1)
    assert np.isnan(frame["p"].item())


def test_what_bad_calls_say():
    vocabulary = planted.vocabulary()
    one = planted.prompt(vocabulary.embedding[:2])
    with pytest.raises(ExplorerError, match="found 1 prompt and 99 draws; expected at least two prompts and one draw"):
        pairs([one], vocabulary)
    with pytest.raises(PromptError, match="vectors of width 3"):
        pairs([one, planted.prompt(np.ones((2, 3)))], vocabulary)
