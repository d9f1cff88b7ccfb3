"""Prompt against prompt: the matching is the best there is, and similarity without a shared layout is not
significant.
"""

from itertools import permutations

import numpy as np
import planted
import pytest

from explorer.analysis.compare import matching
from explorer.analysis.compare.matching import alike_in_words, matched_positions, mean_token_similarity, pairs
from explorer.analysis.vectors import unit
from explorer.errors import ExplorerError, PromptError
from explorer.vocabulary import Vocabulary
from research.calibration import anisotropic, drawers, pair_p, trained_pairs


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
    one, two = (
        planted.prompt(generator.standard_normal((n, 16)), name) for n, name in ((4, "one"), (6, "two"))
    )
    (row,) = pairs([one, two], vocabulary).to_dict("records")
    mean = unit(np.stack([one.vectors.mean(axis=0), two.vectors.mean(axis=0)]))
    assert row["mean_token_cosine"] == pytest.approx(mean[0] @ mean[1], abs=1e-6)
    assert row["mean_pairwise_cosine"] == pytest.approx(
        (unit(one.vectors) @ unit(two.vectors).T).mean(), abs=1e-6
    )
    assert (row["prompt_a"], row["prompt_b"]) == ("one", "two")
    square = mean_token_similarity([one, two, one])
    np.testing.assert_allclose(np.diag(square), 1, atol=1e-6)
    np.testing.assert_allclose(square, square.T)
    assert square[0, 2] == pytest.approx(1)


@pytest.mark.parametrize(
    ("one", "other", "length"),
    [("rows", "rows", 20), ("gaussian", "gaussian", 20), ("rows", "gaussian", 20), ("rows", "rows", 5)],
)
def test_unrelated_prompts_are_alike_as_often_as_chance_says(one, other, length):
    """On a table whose first direction holds half of the energy, where rows have close relatives: rotations
    call 99 % of them.
    """
    vocabulary = anisotropic()
    kinds = drawers(vocabulary, np.random.default_rng(length))
    p = np.array([pair_p(kinds[one](length), kinds[other](length), vocabulary, 39, n) for n in range(80)])
    assert 0.01 <= (p <= 0.05).mean() <= 0.1


@pytest.mark.slow
def test_prompts_of_other_tasks_are_alike_by_chance_and_those_of_one_task_are_not():
    """Other tasks and seeds before training: no more than chance; one task, other seeds, and a prompt half
    way: nearly always. After training other tasks are alike more often (docs/method.md has how often):
    training adds something that all tasks share.
    """
    chance = ("question-type and sentiment, 0% of training", "sentiment and subjectivity, 0% of training")
    alike = (
        "one task, other seeds",
        "a prompt and itself half way",
        "other tasks, same initial rows, before training",
    )
    found, vocabulary = dict(trained_pairs(np.random.default_rng(0))), Vocabulary.load()
    share = {
        kind: np.mean([pair_p(*two, vocabulary, 39, n) <= 0.05 for n, two in enumerate(found[kind][::2])])
        for kind in (*chance, *alike)
    }
    assert all(share[kind] <= 0.12 for kind in chance)
    assert all(share[kind] >= 0.85 for kind in alike)


def test_an_offset_alone_is_not_significant_and_a_common_layout_is():
    """50 pairs of prompts around one far offset: called no more often than chance says; with a common layout
    p is the smallest.
    """
    vocabulary, generator = planted.vocabulary(width=32), np.random.default_rng(0)
    offset = 3 * generator.standard_normal(32)
    p = np.array(
        [pair_p(*(offset + generator.standard_normal((2, 6, 32))), vocabulary, 49, n) for n in range(50)]
    )
    assert (p <= 0.05).mean() <= 0.1
    assert 0.35 < p.mean() < 0.75
    layout = generator.standard_normal((6, 32))
    alike = [
        planted.prompt(offset + layout + 0.3 * generator.standard_normal((6, 32)), name) for name in "ab"
    ]
    row = pairs(alike, vocabulary, draws=49).iloc[0]
    assert row["p"] == row["q"] == 1 / 50
    assert row["p_mean"] <= 0.05, "an offset of their own, beyond the vocabulary's"


def test_the_conclusion_counts_and_names_the_alike():
    vocabulary, generator = planted.vocabulary(width=32), np.random.default_rng(0)
    vectors = generator.standard_normal((6, 32))
    three = [
        planted.prompt(tokens, name)
        for tokens, name in (
            (vectors, "one"),
            (vectors[::-1] + 0.1, "two"),
            (generator.standard_normal((6, 32)), "three"),
        )
    ]
    said = alike_in_words(pairs(three, vocabulary))
    assert said.startswith(
        "1 of 3 pairs of prompts is alike beyond chance: one and two, whose tokens, matched one to "
        "one, have cosine 0.9"
    )
    apart = pairs([three[0], three[2]], vocabulary)
    assert (
        alike_in_words(apart)
        == "0 of 1 pair of prompts is alike beyond chance; 0 have p ≤ 0.05, where chance gives about 0.1."
    )
    single = planted.prompt(vectors[:1], "single")
    assert (
        alike_in_words(pairs([three[0], single], vocabulary))
        == "No pair of prompts can be judged: one prompt of each has a single token."
    )


def test_long_and_many_prompts_have_fewer_draws(monkeypatch):
    monkeypatch.setattr(matching, "CELLS", 6 * 6 * 3 * 40)
    vocabulary, generator = planted.vocabulary(), np.random.default_rng(0)
    vectors = generator.standard_normal((6, 16))
    frame = pairs([planted.prompt(vectors, name) for name in "abc"], vocabulary)
    np.testing.assert_allclose(frame["p"], 1 / 41)
    monkeypatch.setattr(matching, "CELLS", 1)
    np.testing.assert_allclose(
        pairs([planted.prompt(vectors, name) for name in "ab"], vocabulary)["p"], 1 / 20
    )


def test_prompts_of_one_token_and_equal_ones_are_defined():
    vocabulary = planted.vocabulary()
    one = planted.prompt(vocabulary.embedding[:1], "one")
    frame = pairs([one, one], vocabulary, draws=5)
    assert frame["matched_cosine"].item() == pytest.approx(1)
    assert np.isnan(frame["p"].item())


def test_what_bad_calls_say():
    vocabulary = planted.vocabulary()
    one = planted.prompt(vocabulary.embedding[:2])
    with pytest.raises(
        ExplorerError, match="found 1 prompt and 999 draws; expected at least two prompts and one draw"
    ):
        pairs([one], vocabulary)
    with pytest.raises(PromptError, match="vectors of width 3"):
        pairs([one, planted.prompt(np.ones((2, 3)))], vocabulary)
