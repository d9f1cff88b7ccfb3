"""Coherence finds planted clusters and nothing else; redundancy tells a repeated prompt from a rotated one."""

import numpy as np
import planted
import pytest

from explorer.analysis import clusters
from explorer.analysis.clusters import coherence, redundancy
from explorer.analysis.hubness import null_neighbors
from explorer.analysis.nulls import gaussian_vectors, null_vectors
from explorer.analysis.search import search
from explorer.analysis.vectors import rough_neighbors, unit
from explorer.choices import NULLS
from explorer.errors import ExplorerError, PromptError


def test_planted_clusters_are_significant():
    vocabulary, centers = planted.clustered()
    result = coherence(planted.prompt(2 * centers[:8]), vocabulary, k=10)
    assert (result.coherence > 0.9).all()
    assert (result.q <= 0.05).all()
    assert result.null_mean < 0.7


def test_coherence_is_the_mean_pairwise_cosine_of_the_neighbors():
    vocabulary = planted.vocabulary()
    prompt = planted.prompt(np.random.default_rng(0).standard_normal((4, 16)))
    result = coherence(prompt, vocabulary, k=5, nulls=20)
    for ids, value in zip(search(prompt.vectors, vocabulary, 5)[0], result.coherence, strict=True):
        rows = unit(vocabulary.embedding[ids])
        cosine = rows @ rows.T
        np.testing.assert_allclose(value, cosine[np.triu_indices(5, 1)].mean(), atol=1e-6)


def test_p_is_uniform_for_prompts_drawn_from_the_null_itself():
    vocabulary, _ = planted.clustered()
    drawn = gaussian_vectors(vocabulary, 3000, seed=99)
    p = coherence(planted.prompt(drawn), vocabulary, k=6).p
    assert abs((p <= 0.05).mean() - 0.05) < 0.02
    assert abs(p.mean() - 0.5) < 0.05


def test_coherence_does_not_depend_on_length_or_on_the_order_of_the_vocabulary():
    vocabulary, centers = planted.clustered()
    one, longer = coherence(planted.prompt(centers), vocabulary, nulls=50), coherence(planted.prompt(9 * centers), vocabulary, nulls=50)
    np.testing.assert_allclose(one.coherence, longer.coherence, atol=1e-6)
    order = np.random.default_rng(0).permutation(len(vocabulary))
    shuffled = planted.from_rows(vocabulary.embedding[order], tuple(vocabulary.pieces[n] for n in order))
    again = coherence(planted.prompt(centers), shuffled, nulls=50)
    np.testing.assert_allclose(one.coherence, again.coherence, atol=1e-6)
    np.testing.assert_allclose(one.null, again.null, atol=1e-3)


def test_the_null_is_computed_once_for_all_prompts():
    vocabulary, centers = planted.clustered()
    first = coherence(planted.prompt(centers[:3]), vocabulary, nulls=30)
    assert coherence(planted.prompt(centers[5:]), vocabulary, nulls=30).null is first.null


def test_variants_and_stems_are_told_from_meaning():
    width = 12
    embedding = 0.05 * np.random.default_rng(1).standard_normal((60, width))
    embedding[:4] += np.eye(width)[0]
    embedding[4:8] += np.eye(width)[1]
    lexical, semantic = ("▁technology", "Technology", "▁Technology", "TECHNOLOGY"), ("▁splendid", "▁great", "▁wonderful", "▁superb")
    vocabulary = planted.from_rows(embedding, (*lexical, *semantic, *(f"▁filler{n}" for n in range(52))))
    result = coherence(planted.prompt(np.eye(width)[:2]), vocabulary, k=4, nulls=20)
    assert result.variant_share.tolist() == [1, 0]
    assert np.isnan(result.coherence_merged[0])  # one word is left: no pair
    np.testing.assert_allclose(result.coherence_merged[1], result.coherence[1])
    stems = planted.from_rows(embedding, ("▁laugh", "▁laughing", "▁laughs", "▁laughed", *vocabulary.pieces[4:]))
    assert coherence(planted.prompt(np.eye(width)[:1]), stems, k=4, nulls=20).variant_share.tolist() == [1]


def test_one_neighbor_has_no_coherence_and_k_is_clipped():
    vocabulary = planted.vocabulary(rows=8, special=1)
    one = coherence(planted.prompt(np.ones((2, 16))), vocabulary, k=1, nulls=20)
    assert np.isnan([*one.coherence, *one.p, *one.q, *one.variant_share, one.null_mean]).all()
    assert coherence(planted.prompt(np.ones((2, 16))), vocabulary, k=30, nulls=20).k == 7


def test_coherence_frame():
    vocabulary, centers = planted.clustered()
    frame = coherence(planted.prompt(centers[:3]), vocabulary, nulls=20).to_frame()
    assert list(frame.columns)[:7] == ["prompt", "position", "coherence", "coherence_merged", "variant_share", "p", "q"]
    assert list(frame.columns)[7:] == ["percentile", "p_merged", "q_merged", "kind", "p_isotropic", "p_rows", "p_mixtures", "p_initial"]
    assert frame["position"].tolist() == [0, 1, 2]


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
    monkeypatch.setattr(clusters, "rough_neighbors", lambda vectors, *rest: seen.append(vectors) or rough_neighbors(vectors, *rest))
    prompt = planted.prompt(np.random.default_rng(4).standard_normal((5, 16)))
    redundancy(prompt, vocabulary, nulls=600, seed=1)
    rotated = np.concatenate(seen).reshape(600, 5, 16)
    np.testing.assert_allclose(rotated @ rotated.transpose(0, 2, 1), np.broadcast_to(prompt.vectors @ prompt.vectors.T, (600, 5, 5)), atol=1e-4)
    np.testing.assert_allclose(rotated.mean(axis=0), 0, atol=0.25)


@pytest.mark.parametrize("null", NULLS)
def test_a_smaller_k_of_a_null_is_the_head_of_a_larger_one_and_exact(null):
    vocabulary = planted.vocabulary()
    vectors = null_vectors(vocabulary, null, 50, 3)
    for k in (4, 30, 45):
        similarity, ids = null_neighbors(vocabulary, k, 50, 3, null)
        true, scores = search(vectors, vocabulary, k)
        assert (ids == true).mean() > 0.99  # near ties may change places
        np.testing.assert_allclose(similarity, scores, atol=1e-5)


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


def test_a_prompt_of_one_token():
    vocabulary = planted.vocabulary()
    result = redundancy(planted.prompt(np.ones((1, 16))), vocabulary)
    assert result.shared_first == 0
    np.testing.assert_allclose(result.effective_rank, 1)
    assert np.isnan([result.mean_cosine, result.mean_jaccard, result.p]).all()
    frame = result.to_frame()
    assert list(frame.columns)[:5] == ["prompt", "shared_first", "mean_cosine", "effective_rank", "p"]
    assert len(frame) == 1
    assert coherence(planted.prompt(np.ones((1, 16))), vocabulary, nulls=20).q.shape == (1,)


def test_what_bad_calls_say():
    with pytest.raises(PromptError, match="vectors of width 3"):
        coherence(planted.prompt(np.ones((2, 3))), planted.vocabulary())
    with pytest.raises(PromptError, match="vectors of width 3"):
        redundancy(planted.prompt(np.ones((2, 3))), planted.vocabulary())
    with pytest.raises(ExplorerError, match="found k = 0"):
        coherence(planted.prompt(np.ones((2, 16))), planted.vocabulary(), k=0)
    with pytest.raises(ExplorerError, match="found 0 null draws"):
        coherence(planted.prompt(np.ones((2, 16))), planted.vocabulary(), nulls=0)


def test_fresh_null_prompts_are_significant_at_their_rate_and_planted_clusters_nearly_always():
    """Calibration over 1,000 fresh positions, and 4 planted clusters entered from 100 fresh points near their centers.

    Few clusters: where a fifth of the rows is bundled, random vectors find bundles too, and finding one is no surprise.
    """
    vocabulary, centers = planted.clustered(clusters=4)
    fresh = np.random.default_rng().integers(1, 2**31)
    null = coherence(planted.prompt(gaussian_vectors(vocabulary, 1000, int(fresh))), vocabulary, k=8)
    assert 0.02 < (null.p <= 0.05).mean() < 0.09, f"seed {fresh}"
    assert null.significant.mean() < 0.03, f"seed {fresh}"
    generator = np.random.default_rng(fresh)
    near = np.repeat(centers, 25, axis=0) + 0.2 * generator.standard_normal((100, centers.shape[1]))
    assert coherence(planted.prompt(near), vocabulary, k=8).significant.mean() >= 0.95, f"seed {fresh}"


def test_a_lexical_cluster_is_told_from_a_semantic_one():
    """Two bundles as tight: one of variants of a word, one of different words."""
    generator = np.random.default_rng(0)
    centers = generator.standard_normal((2, 24))
    bundles = np.repeat(centers, 6, axis=0) + 0.1 * generator.standard_normal((12, 24))
    rows = np.concatenate([bundles, generator.standard_normal((500, 24))])
    variants = ("▁Word", "word", "▁word", "WORD", "▁WORD", "Word")
    words = ("▁tea", "▁coffee", "▁milk", "▁juice", "▁water", "▁beer")
    vocabulary = planted.from_rows(rows, (*variants, *words, *(f"▁x{n}q" for n in range(500))))
    result = coherence(planted.prompt(centers), vocabulary, k=6)
    assert result.kind == ["lexical", "semantic"]
    assert result.significant.all()


def test_the_other_nulls_order_as_they_should():
    """A real word is no more coherent than random words are, but more than random directions."""
    vocabulary, centers = planted.clustered()
    initial = np.random.default_rng(5).standard_normal((6, 32))
    result = coherence(planted.trained(initial, centers[:6]), vocabulary, k=8)
    assert (result.others["isotropic"] <= 0.05).all()
    assert (result.others["rows"] > result.p).all()
    assert (result.others["initial"] == 1 / 7).all(), "six tokens before training, all less coherent"
    assert np.isnan(coherence(planted.prompt(centers[:2]), vocabulary).others["initial"]).all()


def test_merged_coherence_is_brute_force_over_first_words():
    pieces = ("▁tea", "tea", "▁Tea", "▁cup", "▁sea", "▁oak")
    rows = np.random.default_rng(0).standard_normal((6, 8))
    vocabulary = planted.from_rows(rows, pieces)
    result = coherence(planted.prompt(rows[:1]), vocabulary, k=6, nulls=10)
    ids, seen = search(np.asarray(rows[:1], np.float32), vocabulary, 6)[0][0], []
    for token_id in ids:
        if pieces[token_id].strip("▁").casefold() not in [pieces[other].strip("▁").casefold() for other in seen]:
            seen.append(token_id)
    kept = unit(vocabulary.embedding[seen])
    np.testing.assert_allclose(result.coherence_merged[0], (kept @ kept.T)[np.triu_indices(len(seen), 1)].mean(), atol=1e-6)
