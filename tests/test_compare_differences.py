"""Permutation tests between groups of prompts: against scipy, by their calibration, and what too few prompts
allow.
"""

import numpy as np
import planted
import pytest
from scipy import stats

from explorer.analysis.compare.differences import difference_interval, differences, permutation_test
from explorer.analysis.compare.groups import compare
from explorer.prompt import Evaluation


def gap(first, second, axis=-1):
    return np.mean(first, axis=axis) - np.mean(second, axis=axis)


@pytest.mark.parametrize(("n", "m"), [(3, 3), (3, 5), (6, 4)])
def test_the_exact_test_is_that_of_scipy(n, m):
    generator = np.random.default_rng(n * m)
    for shift in (0, 1.5):
        first, second = generator.standard_normal(n), generator.standard_normal(m) + shift
        gaps = lambda a, b, axis: np.abs(gap(a, b, axis))  # noqa: E731
        expected = stats.permutation_test(
            (first, second), gaps, vectorized=True, n_resamples=np.inf, alternative="greater"
        )
        assert permutation_test([(first, second)])[0] == pytest.approx(expected.pvalue)


def test_many_prompts_are_tested_by_random_relabelings():
    generator = np.random.default_rng(0)
    first, second = generator.standard_normal(20), generator.standard_normal(20) + 0.7
    p, least = permutation_test([(first, second)])
    assert least == 1 / 10_000
    assert p == pytest.approx(
        stats.permutation_test((first, second), gap, vectorized=True, n_resamples=20_000, rng=1).pvalue,
        abs=0.02,
    )


def test_p_is_uniform_without_a_difference():
    generator = np.random.default_rng(3)
    p = np.array([permutation_test([tuple(generator.standard_normal((2, 5)))])[0] for _ in range(600)])
    assert 0.02 < (p <= 0.05).mean() < 0.09
    assert abs(p.mean() - 0.5) < 0.07


def test_the_smallest_p_is_what_the_numbers_allow():
    assert permutation_test([(np.array([1.0, 2, 3]), np.array([7.0, 8, 9]))]) == (
        pytest.approx(0.1),
        pytest.approx(0.1),
    )
    assert permutation_test([(np.array([1.0, 2]), np.array([7.0, 8, 9]))]) == (
        pytest.approx(0.1),
        pytest.approx(0.1),
    )
    assert np.isnan(permutation_test([(np.array([1.0]), np.array([7.0, 8, 9]))])).all(), (
        "no verdict from one seed"
    )


def grouped(vocabulary):
    generator = np.random.default_rng(0)
    prompts = []
    for group, level in (("random", 0.6), ("class-label", 0.8)):
        for seed in range(3):
            history = (Evaluation(1, None, level + 0.01 * seed),)
            vectors = generator.standard_normal((3, vocabulary.dimension))
            prompts.append(
                planted.prompt(
                    vectors, f"{group}-{seed}", initialization=group, seed=seed, step=1, history=history
                )
            )
    return prompts


def test_groups_that_differ_wholly_have_the_largest_effect():
    vocabulary = planted.vocabulary()
    frame = differences(compare(grouped(vocabulary), vocabulary, nulls=20)).set_index("measure")
    row = frame.loc["dev_accuracy"]
    assert (row["group_a"], row["group_b"], row["n_a"], row["n_b"], row["effect"]) == (
        "random",
        "class-label",
        3,
        3,
        -1,
    )
    assert row["difference"] == pytest.approx(-0.2)
    assert row["p"] == row["least_p"] == pytest.approx(0.1)
    assert (frame["q"].dropna() >= frame["p"].dropna() - 1e-12).all()
    assert "label_persistence" not in frame.index, "nothing is known of it"


def test_one_group_has_nothing_to_differ_from():
    vocabulary = planted.vocabulary()
    assert differences(compare(grouped(vocabulary)[:3], vocabulary, nulls=20)).empty


def test_prompts_are_exchanged_within_their_stratum_only():
    """Two tasks of very different level, three prompts of each group: the difference is found though the
    tasks hide it.
    """
    generator = np.random.default_rng(1)
    strata = [
        (level + 0.1 + 0.02 * generator.standard_normal(3), level + 0.02 * generator.standard_normal(3))
        for level in (0.2, 0.9)
    ]
    p, least = permutation_test(strata)
    assert least == pytest.approx(2 / 400)
    assert p == least
    pooled = permutation_test([tuple(np.concatenate(side) for side in zip(*strata, strict=True))])[0]
    assert pooled > 0.3, "without strata the tasks' levels hide it"


def test_p_of_strata_is_uniform_without_a_difference():
    """Two tasks of very different level, and one group has most of its prompts in the easy one: unstratified
    it would differ.
    """
    generator, p, pooled = np.random.default_rng(4), [], []
    for _ in range(400):
        strata = [
            (level + 0.05 * generator.standard_normal(n), level + 0.05 * generator.standard_normal(m))
            for level, n, m in ((0.3, 2, 4), (0.9, 4, 2))
        ]
        p.append(permutation_test(strata)[0])
        pooled.append(
            permutation_test([tuple(np.concatenate(side) for side in zip(*strata, strict=True))])[0]
        )
    assert 0.02 < (np.array(p) <= 0.05).mean() < 0.08
    assert abs(np.mean(p) - 0.5) < 0.06
    assert np.mean(pooled) < 0.4, "levels alone look like a difference"


def test_a_group_that_holds_another_task_does_not_differ_for_that_reason():
    """Groups that share one task only are compared on it alone; those that share none are not compared."""
    vocabulary, generator = planted.vocabulary(), np.random.default_rng(2)

    def tuned(group: str, task: str, level: float, seed: int):
        history = (Evaluation(1, None, level),)
        vectors = generator.standard_normal((3, vocabulary.dimension))
        return planted.prompt(
            vectors,
            f"{task}/{group}-{seed}",
            initialization=group,
            task=task,
            seed=seed,
            step=1,
            history=history,
        )

    shared = [tuned(group, "easy", 0.9, seed) for group in ("random", "class-label") for seed in range(3)]
    hard = [tuned("random", "hard", 0.3, seed) for seed in range(3, 6)]
    row = (
        differences(compare([*shared, *hard], vocabulary, nulls=20)).set_index("measure").loc["dev_accuracy"]
    )
    assert (row["difference"], row["n_a"], row["n_b"], row["p"]) == (0, 3, 3, 1)
    apart = [*hard, *[one for one in shared if one.origin.initialization == "class-label"]]
    assert differences(compare(apart, vocabulary, nulls=20)).empty


def seeds(vocabulary, levels: dict[str, list[float]], task: str = "planted", **origin):
    """One prompt for each dev accuracy of each group."""
    generator, prompts = np.random.default_rng(4), []
    for group, accuracies in levels.items():
        for seed, accuracy in enumerate(accuracies):
            history = (Evaluation(1, None, accuracy),)
            vectors = generator.standard_normal((3, vocabulary.dimension))
            known = {
                "initialization": group,
                "task": task,
                "seed": seed,
                "step": 1,
                "history": history,
            } | origin
            prompts.append(planted.prompt(vectors, f"{task}/{group}-{seed}", **known))
    return prompts


def concluded(vocabulary, levels, by="initialization"):
    return compare(seeds(vocabulary, levels), vocabulary, by, nulls=20).conclusion


def test_the_conclusion_claims_equality_only_with_a_margin_and_else_cannot_tell():
    vocabulary = planted.vocabulary()
    same = concluded(vocabulary, {"random": [0.745, 0.747, 0.749], "class-label": [0.746, 0.748, 0.75]})
    assert same.startswith(
        "No initialization has a higher dev accuracy by more than 2 points: random 74.7%, "
        "class-label 74.8% (the 95 % intervals"
    )
    wide = concluded(vocabulary, {"random": [0.70, 0.75, 0.80], "class-label": [0.71, 0.75, 0.80]})
    assert wide.startswith(
        "Cannot tell whether an initialization has a higher dev accuracy: random 75.0%, class-label "
        "75.3%, and the 95 % intervals"
    )
    single = concluded(vocabulary, {"random": [0.7], "class-label": [0.8]})
    assert single.endswith("but there are too few prompts of the same task and length for an interval.")
    assert (
        concluded(vocabulary, {"random": [0.7, 0.8]})
        == "Both prompts are of one initialization, random: there is nothing to compare."
    )
    unmeasured = compare(
        seeds(vocabulary, {"random": [0.7] * 2, "class-label": [0.7] * 2}, history=()), vocabulary, nulls=20
    ).conclusion
    assert "has a higher share of tokens among words that belong together" in unmeasured


def test_the_conclusion_says_which_group_is_better_and_by_how_much():
    vocabulary = planted.vocabulary()
    found = concluded(
        vocabulary,
        {"random": [0.70, 0.701, 0.702, 0.703, 0.704], "class-label": [0.80, 0.801, 0.802, 0.803, 0.804]},
    )
    assert found.startswith(
        "class-label has a higher dev accuracy than random, by 10.0 points within a task and length "
        "(95 % interval 9.8 to 10.2)"
    )
    reverse = concluded(
        vocabulary,
        {"class-label": [0.80, 0.801, 0.802, 0.803, 0.804], "random": [0.70, 0.701, 0.702, 0.703, 0.704]},
    )
    assert reverse.startswith(
        "class-label has a higher dev accuracy than random, by 10.0 points within a task and length "
        "(95 % interval 9.8 to 10.2)"
    )


def test_the_interval_of_a_difference_is_that_of_students_t_and_covers_it():
    generator = np.random.default_rng(6)
    first, second = generator.standard_normal(4), generator.standard_normal(6)
    expected = stats.ttest_ind(first, second).confidence_interval()
    np.testing.assert_allclose(difference_interval([(first, second)]), expected)
    assert np.isnan(difference_interval([(first[:1], second[:1])])).all()
    inside = []
    for _ in range(400):
        strata = [
            (level + 0.3 + generator.standard_normal(n), level + generator.standard_normal(m))
            for level, n, m in ((0, 3, 3), (9, 3, 2), (-4, 1, 3))
        ]
        low, high = difference_interval(strata)
        inside.append(low <= 0.3 <= high)
    assert 0.92 <= np.mean(inside) <= 0.98
