"""Redundancy tells a repeated prompt from a rotated one."""

import numpy as np
import planted
import pytest

from explorer.analysis import redundancy as module
from explorer.analysis.redundancy import redundancy
from explorer.analysis.search import search
from explorer.analysis.vectors import rough_neighbors
from explorer.errors import PromptError


def test_a_repeated_token_is_redundant():
    vocabulary = planted.vocabulary()
    token = np.random.default_rng(2).standard_normal(16)
    result = redundancy(planted.prompt(np.stack([token, 2 * token, 3 * token])), vocabulary, nulls=20)
    assert result.shared_first == 1
    np.testing.assert_allclose([result.mean_cosine, result.effective_rank, result.mean_jaccard], 1, atol=1e-6)
    assert result.p == 1  # every rotation keeps identical positions identical


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


def test_rotations_keep_the_gram_matrix_and_are_uniform(monkeypatch):
    vocabulary, seen = planted.vocabulary(), []
    monkeypatch.setattr(module, "rough_neighbors", lambda vectors, *rest: seen.append(vectors) or rough_neighbors(vectors, *rest))
    prompt = planted.prompt(np.random.default_rng(4).standard_normal((5, 16)))
    redundancy(prompt, vocabulary, nulls=600, seed=1)
    rotated = np.concatenate(seen).reshape(600, 5, 16)
    np.testing.assert_allclose(rotated @ rotated.transpose(0, 2, 1), np.broadcast_to(prompt.vectors @ prompt.vectors.T, (600, 5, 5)), atol=1e-4)
    np.testing.assert_allclose(rotated.mean(axis=0), 0, atol=0.25)


def test_positions_that_share_a_cluster_more_than_their_directions_explain_are_significant():
    vocabulary, centers = planted.clustered(width=32)
    generator = np.random.default_rng(5)
    pairs = np.concatenate([centers[:6] + 0.35 * generator.standard_normal((6, 32)), centers[:6] + 0.35 * generator.standard_normal((6, 32))])
    assert redundancy(planted.prompt(pairs), vocabulary, nulls=199).p < 0.05


def test_p_of_redundancy_is_uniform_for_rotated_prompts():
    vocabulary = planted.vocabulary(rows=150, width=8)
    generator = np.random.default_rng(6)
    p = np.array([redundancy(planted.prompt(generator.standard_normal((6, 8))), vocabulary, nulls=39, seed=n).p for n in range(150)])
    assert abs(p.mean() - 0.5) < 0.1
    assert (p <= 0.05).mean() < 0.12


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
