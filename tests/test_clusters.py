"""The cluster test sees planted groups and nothing else, on each token and on the whole prompt; coherence
describes.
"""

from dataclasses import fields

import numpy as np
import planted
import pytest

from explorer.analysis.clusters import (
    GROUP,
    clusters,
    group_statistic,
    higher_criticism,
    null_statistic,
    significant_groups,
    with_k,
)
from explorer.analysis.hubness import null_neighbors
from explorer.analysis.nulls import gaussian_vectors, null_vectors
from explorer.analysis.search import search
from explorer.analysis.vectors import index_of, stored_rows, unit, whitening
from explorer.choices import NULLS
from explorer.errors import ExplorerError, PromptError
from research.power import power


def test_planted_groups_are_significant_and_named():
    vocabulary, centers = planted.clustered(clusters=4)
    result = clusters(planted.prompt(2 * centers), vocabulary)
    assert result.significant.all()
    assert (result.group_ids // 10 == np.arange(4)[:, None]).all(), "the group is the planted bundle"
    assert result.prompt_p <= 0.01
    assert result.conclusion.startswith("4 of 4 tokens lie among words that belong together: {")


def test_the_statistic_is_the_mean_over_pairs_by_brute_force():
    vocabulary = planted.vocabulary()
    vectors = np.random.default_rng(0).standard_normal((6, 16)).astype(np.float32)
    statistic, ids = group_statistic(vectors, vocabulary)
    table, queries = (
        unit(unit(vocabulary.embedding) @ whitening(vocabulary).matrix),
        whitening(vocabulary)(vectors),
    )
    for query, found, value in zip(queries, ids, statistic, strict=True):
        near = table[vocabulary.searchable_ids] @ query
        assert found.tolist() == vocabulary.searchable_ids[np.argsort(-near)[:GROUP]].tolist()
        pairs = [
            (query @ table[a]) * (query @ table[b]) * (table[a] @ table[b])
            for n, a in enumerate(found)
            for b in found[n + 1 :]
        ]
        np.testing.assert_allclose(value, np.mean(pairs), atol=1e-5)


def test_it_does_not_depend_on_length_on_rotation_or_on_the_order_of_the_vocabulary():
    vocabulary, centers = planted.clustered()
    one, longer = (group_statistic(scale * centers, vocabulary)[0] for scale in (1, 9))
    np.testing.assert_allclose(one, longer, atol=1e-5)
    turn = np.linalg.qr(np.random.default_rng(1).standard_normal((32, 32)))[0].astype(np.float32)
    turned = planted.from_rows(vocabulary.embedding @ turn, vocabulary.pieces)
    np.testing.assert_allclose(group_statistic(centers @ turn, turned)[0], one, atol=1e-4)
    order = np.random.default_rng(0).permutation(len(vocabulary))
    shuffled = planted.from_rows(vocabulary.embedding[order], tuple(vocabulary.pieces[n] for n in order))
    np.testing.assert_allclose(group_statistic(centers, shuffled)[0], one, atol=1e-5)


def test_p_is_uniform_for_prompts_drawn_from_the_null_itself():
    vocabulary, _ = planted.clustered()
    p = clusters(planted.prompt(gaussian_vectors(vocabulary, 3000, seed=99)), vocabulary, nulls=4000).p
    assert 0.03 <= (p <= 0.05).mean() <= 0.07
    assert abs(p.mean() - 0.5) < 0.03


def _calibration(correlated: bool, prompts: int = 400, length: int = 10) -> np.ndarray:
    """p of whole prompts drawn from the vocabulary's Gaussian; correlated: with a part that all positions
    share.
    """
    vocabulary, _ = planted.clustered(width=24)
    found = []
    for number in range(prompts):
        drawn = gaussian_vectors(vocabulary, length + 1, seed=1000 + number)
        vectors = drawn[:length] if not correlated else 0.6 * drawn[:length] + 0.8 * drawn[length]
        found.append(clusters(planted.prompt(vectors), vocabulary, nulls=2000).prompt_p)
    return np.array(found)


@pytest.mark.slow
@pytest.mark.parametrize("correlated", [False, True])
def test_the_test_of_the_whole_prompt_keeps_its_level(correlated, monkeypatch):
    monkeypatch.setattr("explorer.analysis.clusters.ROTATED", 1000)
    p = _calibration(correlated)
    assert 0.03 <= (p <= 0.05).mean() <= 0.075
    assert abs(p.mean() - 0.5) < 0.05


def test_the_whole_prompt_sees_few_weak_groups():
    """Three of twenty positions at a third of the way to a group: together they are significant more often
    than the level.
    """
    vocabulary, centers = planted.clustered(clusters=4)
    generator, hits = np.random.default_rng(3), []
    for number in range(30):
        vectors = unit(gaussian_vectors(vocabulary, 20, seed=number))
        vectors[:3] = 0.6 * unit(centers[generator.integers(0, 4, 3)]) + 0.8 * vectors[:3]
        hits.append(clusters(planted.prompt(vectors), vocabulary).prompt_p <= 0.05)
    assert np.mean(hits) >= 0.5


def test_higher_criticism_by_hand():
    p = np.array([0.01, 0.4, 0.6, 0.9])
    by_hand = max(
        np.sqrt(4) * (1 / 4 - 0.01) / np.sqrt(0.01 * 0.99), np.sqrt(4) * (2 / 4 - 0.4) / np.sqrt(0.4 * 0.6)
    )
    np.testing.assert_allclose(higher_criticism(p), by_hand)
    np.testing.assert_allclose(higher_criticism(np.array([0.01, np.nan, 0.6, 0.4])), by_hand)
    of_the_smaller_half = np.sqrt(4) * (2 / 4 - 0.45) / np.sqrt(0.45 * 0.55)
    np.testing.assert_allclose(higher_criticism(np.array([0.3, 0.45, 0.5, 0.51])), of_the_smaller_half)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_the_power_table_on_the_bundled_vocabulary(vocabulary, seed):
    """The main cells that are asked for, on fresh seeds: shares with p ≤ 0.05."""
    table = power(vocabulary, draws=400, seed=seed).set_index(["kind", "cosine"])["test"]
    assert 0.03 <= table.loc["fresh null"].iloc[0] <= 0.07
    assert table.loc["real rows"].iloc[0] >= 0.98
    for cosine, least in {0.9: 0.98, 0.7: 0.95, 0.4: 0.85, 0.3: 0.5}.items():
        assert table.loc[("category", cosine)] >= least, f"cosine {cosine}"
    assert table.loc["unrelated words"].iloc[0] <= 0.40


def test_a_lexical_group_is_told_from_a_semantic_one():
    """Two bundles as tight: one of variants of a word, one of different words."""
    generator = np.random.default_rng(0)
    centers = generator.standard_normal((2, 24))
    rows = np.concatenate(
        [
            np.repeat(centers, 6, axis=0) + 0.1 * generator.standard_normal((12, 24)),
            generator.standard_normal((500, 24)),
        ]
    )
    variants = ("▁Word", "word", "▁word", "WORD", "▁WORD", "Word")
    words = ("▁tea", "▁coffee", "▁milk", "▁juice", "▁water", "▁beer")
    vocabulary = planted.from_rows(rows, (*variants, *words, *(f"▁x{n}q" for n in range(500))))
    result = clusters(planted.prompt(centers), vocabulary, k=6)
    assert result.kind == ["lexical", "semantic"]
    assert result.group_variants.tolist() == [1, 0]
    np.testing.assert_allclose(result.variant_share, [1, 0])


def test_a_group_of_some_forms_of_one_word_is_mixed_however_surprising_it_is():
    """The kind is the share of pairs that are forms of one word, whatever p is: three forms among five words
    are three of ten pairs, two are one.
    """
    generator = np.random.default_rng(1)
    centers = generator.standard_normal((3, 24))
    rows = np.concatenate(
        [
            np.repeat(centers, 5, axis=0) + 0.1 * generator.standard_normal((15, 24)),
            generator.standard_normal((500, 24)),
        ]
    )
    bundles = (
        "▁film",
        "film",
        "▁Films",
        "▁actor",
        "▁scene",
        "▁rain",
        "rain",
        "▁wind",
        "▁snow",
        "▁storm",
        "▁walk",
        "walking",
        "▁Walked",
        "▁walks",
        "▁road",
    )
    vocabulary = planted.from_rows(rows, (*bundles, *(f"▁x{n}q" for n in range(500))))
    result = clusters(planted.prompt(centers), vocabulary)
    assert result.kind == ["mixed", "semantic", "lexical"]
    np.testing.assert_allclose(result.group_variants, [0.3, 0.1, 0.6])
    assert "(1 lexical, 1 mixed, 1 semantic)" in result.conclusion
    assert result.to_frame()["kind"].tolist() == result.kind
    noise = clusters(planted.prompt(gaussian_vectors(vocabulary, 3, seed=8)), vocabulary)
    assert noise.kind == ["", "", ""], "what is not significant has no kind"


def test_the_other_nulls_order_as_they_should():
    """A bundle is more of a group than random directions, and less surprising beside real words."""
    vocabulary, centers = planted.clustered()
    initial = np.random.default_rng(5).standard_normal((6, 32))
    result = clusters(planted.trained(initial, centers[:6]), vocabulary)
    assert (result.others["isotropic"] <= 0.05).all()
    assert (result.others["rows"] > result.p).all()
    assert (result.others["initial"] == 1 / 7).all(), "six tokens before training, all less of a group"
    assert np.isnan(clusters(planted.prompt(centers[:2]), vocabulary).others["initial"]).all()


def test_coherence_is_the_mean_pairwise_cosine_of_the_neighbors():
    vocabulary = planted.vocabulary()
    prompt = planted.prompt(np.random.default_rng(0).standard_normal((4, 16)))
    result = clusters(prompt, vocabulary, k=5, nulls=20)
    for ids, value in zip(search(prompt.vectors, vocabulary, 5)[0], result.coherence, strict=True):
        rows = unit(vocabulary.embedding[ids])
        np.testing.assert_allclose(value, (rows @ rows.T)[np.triu_indices(5, 1)].mean(), atol=1e-6)


def test_merged_coherence_is_brute_force_over_first_words():
    pieces = ("▁tea", "tea", "▁Tea", "▁cup", "▁sea", "▁oak")
    rows = np.random.default_rng(0).standard_normal((6, 8))
    vocabulary = planted.from_rows(rows, pieces)
    result = clusters(planted.prompt(rows[:1]), vocabulary, k=6, nulls=10)
    ids, seen = search(np.asarray(rows[:1], np.float32), vocabulary, 6)[0][0], []
    for token_id in ids:
        if pieces[token_id].strip("▁").casefold() not in [
            pieces[other].strip("▁").casefold() for other in seen
        ]:
            seen.append(token_id)
    kept = unit(vocabulary.embedding[seen])
    np.testing.assert_allclose(
        result.coherence_merged[0], (kept @ kept.T)[np.triu_indices(len(seen), 1)].mean(), atol=1e-6
    )


def test_enough_null_vectors_that_one_position_can_be_significant():
    vocabulary, centers = planted.clustered(clusters=4)
    noise = gaussian_vectors(vocabulary, 59, seed=5)
    result = clusters(planted.prompt(np.concatenate([3 * centers[:1], noise])), vocabulary)
    assert len(result.null) == 60 * 40
    assert result.significant[0]
    words = significant_groups(planted.prompt(np.concatenate([3 * centers[:1], noise])), vocabulary)
    assert words[0] == result.groups[0], "the verdict alone draws as many"
    assert [bool(row) for row in words] == result.significant.tolist()


def test_the_null_is_computed_once_for_all_prompts():
    vocabulary, centers = planted.clustered()
    first = clusters(planted.prompt(centers[:3]), vocabulary, nulls=130)
    assert clusters(planted.prompt(centers[5:8]), vocabulary, nulls=130).null is first.null
    assert null_statistic(vocabulary, "gaussian", 130, 0) is first.null


@pytest.mark.parametrize("null", NULLS)
def test_a_smaller_k_of_a_null_is_the_head_of_a_larger_one_and_exact(null):
    vocabulary = planted.vocabulary()
    vectors = null_vectors(vocabulary, null, 50, 3)
    for k in (4, 30, 45):
        similarity, ids = null_neighbors(vocabulary, k, 50, 3, null)
        true, scores = search(vectors, vocabulary, k)
        assert (ids == true).mean() > 0.99  # near ties may change places
        np.testing.assert_allclose(similarity, scores, atol=1e-5)


def test_rotations_of_a_prompt_keep_its_gram_matrix(monkeypatch):
    """Repeated tokens count in the null as they count in the prompt: twenty copies of one direction are one
    finding.
    """
    vocabulary, centers = planted.clustered(clusters=4)
    one, copies = (
        clusters(planted.prompt(np.repeat(centers[:1], count, axis=0)), vocabulary) for count in (1, 20)
    )
    assert copies.higher_criticism > 2 * one.higher_criticism
    assert copies.prompt_p >= 0.5 * one.prompt_p


def test_degenerate_prompts_have_a_defined_result():
    vocabulary = planted.vocabulary(rows=60)
    zeros = clusters(planted.prompt(np.zeros((3, 16))), vocabulary, nulls=50)
    assert np.isnan([*zeros.statistic, *zeros.p, *zeros.q]).all()
    assert not zeros.significant.any()
    same = clusters(planted.prompt(np.ones((4, 16))), vocabulary, nulls=50)
    assert len(set(same.statistic)) == 1
    single = clusters(planted.prompt(np.ones((1, 16))), vocabulary, nulls=50)
    assert single.q.shape == (1,)
    assert "of 1 token lie" in single.conclusion
    as_near = int((single.rotations >= single.higher_criticism).sum())
    assert (
        f"{as_near} ({as_near / 399:.1%}) of 399 random prompts of this shape lie as near to such groups."
        in single.conclusion
    )
    assert zeros.conclusion == "All 3 tokens are zero: no word is near, and no group."
    assert zeros.groups == ((),) * 3
    assert np.isnan([*zeros.coherence, *zeros.percentile, *zeros.variant_share, *zeros.group_variants]).all()


def test_degenerate_vocabularies_have_a_defined_result():
    generator = np.random.default_rng(2)
    few = planted.from_rows(generator.standard_normal((10, 32)))  # fewer rows than dimensions
    twice = planted.from_rows(np.repeat(generator.standard_normal((40, 16)), 2, axis=0))  # duplicate rows
    one = planted.from_rows(
        generator.standard_normal((80, 16)) + 50 * np.eye(16)[0]
    )  # one dominating direction
    zero = planted.from_rows(
        np.concatenate([generator.standard_normal((40, 16)), np.zeros((3, 16))])
    )  # zero rows
    tiny = planted.vocabulary(rows=4, special=1)  # fewer rows than a group
    for vocabulary in (few, twice, one, zero, tiny):
        result = clusters(
            planted.prompt(generator.standard_normal((5, vocabulary.dimension))), vocabulary, k=100, nulls=60
        )
        assert np.isfinite([*result.statistic, *result.p, *result.q]).all()
        assert result.k <= len(vocabulary.searchable_ids)
    assert np.isfinite(stored_rows(index_of(few, "whitened"))).all()


@pytest.mark.parametrize("k", [1, 3, 40])
def test_another_k_changes_what_describes_and_no_verdict(k):
    vocabulary, centers = planted.clustered()
    prompt = planted.prompt(np.concatenate([centers, np.zeros_like(centers[:1])]))
    usual, anew = clusters(prompt, vocabulary), clusters(prompt, vocabulary, k)
    described = with_k(usual, prompt, vocabulary, k)
    assert described.k == anew.k == k != usual.k
    for field in fields(anew):
        np.testing.assert_equal(getattr(described, field.name), getattr(anew, field.name), field.name)
    with pytest.raises(ExplorerError, match="k"):
        with_k(usual, prompt, vocabulary, 0)


def test_the_frame():
    vocabulary, centers = planted.clustered()
    result = clusters(planted.prompt(centers[:3]), vocabulary, nulls=20)
    frame = result.to_frame()
    asked = ["prompt", "position", "statistic", "coherence", "coherence_merged", "variant_share", "p", "q"]
    assert list(frame.columns)[:8] == asked
    assert frame["position"].tolist() == [0, 1, 2]
    assert result.prompt_frame().to_dict("records")[0] | {"p": 0, "higher_criticism": 0} == {
        "prompt": "planted/prompt",
        "significant": int(result.significant.sum()),
        "tokens": 3,
        "p": 0,
        "higher_criticism": 0,
    }


def test_what_bad_calls_say():
    with pytest.raises(PromptError, match="vectors of width 3"):
        clusters(planted.prompt(np.ones((2, 3))), planted.vocabulary())
    with pytest.raises(ExplorerError, match="found k = 0"):
        clusters(planted.prompt(np.ones((2, 16))), planted.vocabulary(), k=0)
    with pytest.raises(ExplorerError, match="found 0 null draws"):
        clusters(planted.prompt(np.ones((2, 16))), planted.vocabulary(), nulls=0)


def test_one_neighbor_has_no_coherence_and_k_is_clipped():
    vocabulary = planted.vocabulary(rows=8, special=1)
    one = clusters(planted.prompt(np.ones((2, 16))), vocabulary, k=1, nulls=20)
    assert np.isnan([*one.coherence, *one.variant_share]).all()
    assert clusters(planted.prompt(np.ones((2, 16))), vocabulary, k=30, nulls=20).k == 7


def test_fewer_null_vectors_than_asked_for_are_never_taken():
    vocabulary = planted.vocabulary()
    assert len(clusters(planted.prompt(np.ones((3, 16))), vocabulary, nulls=500).null) == 500


def test_the_conclusion_says_which_groups_tokens_began_in():
    vocabulary, centers = planted.clustered(clusters=4)
    stayed, moved = (
        clusters(planted.trained(initial, centers), vocabulary) for initial in (centers + 0.01, centers[::-1])
    )
    assert "; all began at a word of their group)" in stayed.conclusion
    assert "; none began at a word of their group)" in moved.conclusion
    assert "began" not in clusters(planted.prompt(centers), vocabulary).conclusion


def test_very_many_neighbors_are_merged_in_bounded_time_and_memory(monkeypatch):
    vocabulary = planted.vocabulary(rows=3000)
    prompt = planted.prompt(np.random.default_rng(0).standard_normal((3, 16)))
    whole = clusters(prompt, vocabulary, k=2500, nulls=20)
    monkeypatch.setattr("explorer.analysis.clusters.NUMBERS_AT_ONCE", 1)
    in_parts = clusters(prompt, vocabulary, k=2500, nulls=20)
    np.testing.assert_allclose(whole.coherence, in_parts.coherence)
    np.testing.assert_allclose(whole.coherence_merged, in_parts.coherence_merged)


def test_the_share_of_variants_is_that_of_all_pairs():
    pieces = ("▁tea", "tea", "▁teas", "▁Tea", "▁cup", "▁cups", "▁oak")
    vocabulary = planted.from_rows(np.random.default_rng(0).standard_normal((7, 8)), pieces)
    words, stems = vocabulary.word_groups, vocabulary.stem_groups
    alike = [words[a] == words[b] or stems[a] == stems[b] for a in range(7) for b in range(a)]
    result = clusters(planted.prompt(np.ones((1, 8))), vocabulary, k=7, nulls=10)
    np.testing.assert_allclose(result.variant_share, np.mean(alike))
    assert 0 < np.mean(alike) < 1
