"""Redundancy tells tokens that repeat each other from independent ones."""

import numpy as np
import planted
import pytest

from explorer.analysis.nulls import gaussian_vectors
from explorer.analysis.redundancy import redundancy
from explorer.analysis.search import search
from explorer.errors import PromptError
from research.calibration import anisotropic, drawers
from research.power import categories
from research.power import planted as near


def test_a_repeated_token_is_redundant():
    vocabulary = planted.vocabulary()
    token = np.random.default_rng(2).standard_normal(16)
    result = redundancy(planted.prompt(np.stack([token, 2 * token, 3 * token])), vocabulary, nulls=20)
    assert result.shared_first == 1
    np.testing.assert_allclose([result.mean_cosine, result.effective_rank, result.mean_jaccard], 1, atol=1e-6)
    assert result.p == 1 / 21, "independent tokens do not"


def test_orthogonal_tokens_have_full_rank():
    result = redundancy(planted.prompt(5 * np.eye(16)[:6]), planted.vocabulary(), nulls=20)
    np.testing.assert_allclose([result.mean_cosine, result.effective_rank], [0, 6], atol=1e-6)
    np.testing.assert_array_equal(np.diag(result.jaccard), 1)
    np.testing.assert_array_equal(result.jaccard, result.jaccard.T)


def test_jaccard_is_that_of_sets():
    vocabulary = planted.vocabulary()
    prompt = planted.prompt(np.random.default_rng(3).standard_normal((5, 16)) + 0.5)
    sets = [set(row) for row in search(prompt.vectors, vocabulary, 20)[0]]
    expected = np.array([[len(one & other) / len(one | other) for other in sets] for one in sets])
    assert len(np.unique(expected)) > 3
    result = redundancy(prompt, vocabulary, k=20, nulls=2)
    np.testing.assert_allclose(result.jaccard, expected)
    np.testing.assert_allclose(result.mean_jaccard, expected[np.triu_indices(5, 1)].mean())


def test_positions_that_share_a_cluster_more_than_independent_ones_are_significant():
    ordered, centers = planted.clustered(width=32)
    vocabulary = planted.from_rows(np.random.default_rng(7).permutation(ordered.embedding))
    generator = np.random.default_rng(5)
    pairs = np.concatenate(
        [
            centers[:6] + 0.35 * generator.standard_normal((6, 32)),
            centers[:6] + 0.35 * generator.standard_normal((6, 32)),
        ]
    )
    assert redundancy(planted.prompt(pairs), vocabulary, nulls=199).p < 0.05


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["rows", "gaussian"])
@pytest.mark.parametrize(("length", "least"), [(5, 0.0), (20, 0.01), (40, 0.01)])
def test_independent_prompts_are_called_as_often_as_chance_says(kind, length, least):
    """On a table whose first direction holds half of the energy. Most prompts of five tokens share nothing,
    so that p is 1 for them.
    """
    vocabulary = anisotropic(1000, 32)
    draw = drawers(vocabulary, np.random.default_rng(length))[kind]
    p = np.array(
        [redundancy(planted.prompt(draw(length)), vocabulary, k=5, nulls=39, seed=n).p for n in range(70)]
    )
    assert least <= (p <= 0.05).mean() <= 0.1


def test_several_tokens_near_one_category_are_found(vocabulary):
    generator, lines, found = np.random.default_rng(0), categories(vocabulary), []
    for number in range(8):
        tokens = gaussian_vectors(vocabulary, 20, 100 + number)
        words = generator.choice(lines[generator.integers(len(lines))], 5, replace=False)
        tokens[:3] = (
            near(vocabulary, np.tile(words, (3, 1)), 0.7, number) * np.linalg.norm(tokens, axis=1).mean()
        )
        found.append(redundancy(planted.prompt(tokens), vocabulary, nulls=39))
    assert np.mean([one.p <= 0.05 for one in found]) >= 0.7
    assert np.mean([one.p_shared_first <= 0.05 for one in found]) <= np.mean([one.p <= 0.05 for one in found])


def test_the_conclusion_says_the_numbers(vocabulary):
    token = gaussian_vectors(vocabulary, 1, 5)[0]
    repeated = redundancy(planted.prompt(np.stack([token, 2 * token, 3 * token])), vocabulary, nulls=39)
    assert repeated.conclusion.startswith(
        "Two tokens share 100.0% of their neighbors on average, more than by chance (0."
    )
    assert repeated.conclusion.endswith("p 0.025); effective rank 1.0 of 3.")
    apart = redundancy(planted.prompt(gaussian_vectors(vocabulary, 3, 6)), vocabulary, nulls=39)
    assert "not clearly more than by chance (" in apart.conclusion
    assert (
        redundancy(planted.prompt(np.ones((1, vocabulary.dimension))), vocabulary).conclusion
        == "A single token has no other to repeat."
    )
    assert (
        redundancy(planted.prompt(np.zeros((2, vocabulary.dimension))), vocabulary, nulls=3).conclusion
        == "All 2 tokens are zero: there are no neighbors to share."
    )


def test_a_prompt_of_one_token_has_no_redundancy():
    result = redundancy(planted.prompt(np.ones((1, 16))), planted.vocabulary())
    assert result.shared_first == 0
    np.testing.assert_allclose(result.effective_rank, 1)
    assert np.isnan([result.mean_cosine, result.mean_jaccard, result.p]).all()
    frame = result.to_frame()
    assert list(frame.columns)[:5] == ["prompt", "shared_first", "mean_cosine", "effective_rank", "p"]
    assert len(frame) == 1


def test_another_width_is_refused():
    with pytest.raises(PromptError, match="vectors of width 3"):
        redundancy(planted.prompt(np.ones((2, 3))), planted.vocabulary())


def test_long_prompts_are_measured_without_all_pairs_as_short_ones_are(monkeypatch):
    """Pairs that share a neighbor are found from the neighbors; 300 tokens near to 40 rows share many."""
    import explorer.analysis.redundancy as module

    vocabulary, generator = planted.vocabulary(500, 16), np.random.default_rng(3)
    vectors = vocabulary.embedding[generator.integers(0, 40, 300)] + 0.1 * generator.standard_normal(
        (300, 16)
    )
    prompt = planted.prompt(vectors)
    short = redundancy(prompt, vocabulary, k=7, nulls=20)
    monkeypatch.setattr(module, "DENSE", 64)
    long = redundancy(planted.prompt(vectors), vocabulary, k=7, nulls=20)
    np.testing.assert_allclose(long.jaccard, short.jaccard)
    np.testing.assert_allclose([long.mean_jaccard, long.mean_cosine], [short.mean_jaccard, short.mean_cosine])
    np.testing.assert_allclose(long.null, short.null)
    assert long.p == short.p


@pytest.mark.parametrize(("tokens", "draws"), [(1, 0), (100, 200), (101, 198), (1000, 20), (3000, 19)])
def test_long_prompts_are_compared_with_fewer_prompts(tokens, draws, monkeypatch):
    """About 20,000 tokens in all: the time grows with the tokens, not with their square."""
    import explorer.analysis.redundancy as module

    asked = []
    monkeypatch.setattr(
        module, "_independent_overlap", lambda *given: asked.append(given[3]) or np.zeros((2, given[3]))
    )
    vocabulary = planted.vocabulary(100, 8)
    prompt = planted.prompt(np.random.default_rng(0).standard_normal((tokens, 8)))
    assert len(redundancy(prompt, vocabulary, k=3).null) == draws
    assert asked == [draws] * (tokens > 1)
