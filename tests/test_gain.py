"""What a gain is made of: planted scores with known parts, the laws of the parts, inputs that cannot be used."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from planted import prompt

from explorer.errors import DataError
from explorer.evaluation.gain import Gain, fit_prior, gain, one_against_rest_auc, without_prior
from explorer.evaluation.scorer import centered, parts
from explorer.texts.tasks import Task

LABELS = ("no", "yes")


def planted_task(texts: int = 600, labels: Sequence[str] = LABELS, seed: int = 0) -> Task:
    gold = np.random.default_rng(seed).integers(len(labels), size=texts)
    return Task(
        tuple(f"text {number}" for number in range(texts)),
        tuple(labels[one] for one in gold),
        tuple(labels),
        "planted",
    )


def signal(task: Task, strength: float, bias: Sequence[float], seed: int) -> np.ndarray:
    """Scores [B, C]: noise, plus `strength` for the right label, plus a bias for each label."""
    noise = np.random.default_rng(seed).standard_normal((len(task), len(task.labels)))
    return (noise + strength * np.eye(len(task.labels))[task.gold] + bias - 3).astype(np.float32)


def planted_gain(task: Task, *scores: np.ndarray, says: np.ndarray | None = None) -> Gain:
    """Scores of each prompt, then of no prompt."""
    names = tuple(f"p{n}" for n in range(len(scores) - 1))
    return Gain(names, ("task/random",) * len(names), task, np.stack(scores), says)


def test_parts_add_up_to_the_gain_exactly():
    task = planted_task()
    result = planted_gain(task, signal(task, 2, [0, 0], 1), signal(task, 1, [0, 1.5], 2))
    row = result.to_frame().iloc[0]
    assert row.prior + row.discrimination == pytest.approx(row.accuracy - row.no_prompt, abs=1e-12)
    assert row.prior == pytest.approx(row.prior_fitted - row.no_prompt, abs=1e-12)
    assert row.fixed - row.broken == round(row.gain * row.n)
    prior, taught = result.parts_of(0)
    assert set(np.unique(prior + taught)) <= {-1, 0, 1}


def test_a_prompt_that_only_shifts_the_prior_taught_nothing():
    task = planted_task()
    bare = signal(task, 1.5, [0, 2.0], 3)
    row = planted_gain(task, bare + np.float32([2.0, 0]), bare).to_frame().iloc[0]
    assert row.gain > 0.1
    assert row.prior > 0.1
    assert row.discrimination_low <= 0 <= row.discrimination_high
    assert abs(row.discrimination) < 0.02
    assert row.auc == pytest.approx(row.auc_no_prompt)
    assert row.auc_gain_high == pytest.approx(row.auc_gain_low)


def test_a_prompt_that_prefers_a_label_too_much_is_told_from_one_that_knows_less():
    task = planted_task()
    bare = signal(task, 2, [0, 0], 4)
    result = planted_gain(task, bare + np.float32([3.0, 0]), bare)
    row = result.to_frame().iloc[0]
    assert row.discrimination < -0.1
    assert row.accuracy_fitted == pytest.approx(row.prior_fitted, abs=0.01)
    assert "its own preference among the labels costs" in result.conclusion


def test_a_prompt_that_orders_texts_at_random_has_an_auc_of_one_half():
    task = planted_task(2000)
    row = planted_gain(task, signal(task, 0, [0, 1], 5), signal(task, 1, [0, 0], 6)).to_frame().iloc[0]
    assert row.auc == pytest.approx(0.5, abs=0.03)
    assert row.auc_gain_high < 0


def test_the_order_of_labels_and_of_texts_changes_nothing():
    task = planted_task(labels=("a", "b", "c"))
    scores = signal(task, 2, [0, 0, 0], 7), signal(task, 1, [1, 0, -1], 8)
    frame = planted_gain(task, *scores).to_frame()
    order = [2, 0, 1]
    turned = replace(task, labels=tuple(task.labels[n] for n in order))
    again = planted_gain(turned, *(one[:, order] for one in scores)).to_frame()
    assert np.allclose(frame.drop(columns="prompt"), again.drop(columns="prompt"), atol=1e-9, equal_nan=True)
    texts = np.random.default_rng(0).permutation(len(task))
    shuffled = replace(
        task, texts=tuple(task.texts[n] for n in texts), answers=tuple(task.answers[n] for n in texts)
    )
    moved = planted_gain(shuffled, *(one[texts] for one in scores)).to_frame()
    for column in ("prior", "discrimination", "prior_fitted", "auc", "label_mass", "fixed", "auc_gain_low"):
        assert moved[column][0] == pytest.approx(frame[column][0], abs=1e-9), column


def test_the_prior_is_fitted_on_the_other_half():
    """Where every text of one half has one label, only a fit on that very half could know it."""
    task = planted_task(400)
    half = parts(task.texts, 2)
    scores = np.random.default_rng(0).standard_normal((400, 2))
    assert (without_prior(scores, half, half).argmax(axis=1) == half).mean() < 0.05


def test_prior_and_auc_agree_with_scikit_learn():
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score

    task = planted_task(labels=("a", "b", "c"))
    scores = centered(signal(task, 1.5, [1, 0, -1], 9))
    area, _ = one_against_rest_auc(scores, task.gold)
    wanted = np.mean([roc_auc_score(task.gold == label, scores[:, label]) for label in range(3)])
    assert area == pytest.approx(wanted, abs=1e-12)
    two = planted_task()
    margin = signal(two, 1, [0, 1], 10)
    difference = (margin[:, 1] - margin[:, 0]).astype(np.float64)
    fit = LogisticRegression(C=1e9, tol=1e-10, max_iter=1000).fit(difference[:, None], two.gold)
    temperature, biases = fit_prior(centered(margin), two.gold)
    assert 1 / temperature == pytest.approx(fit.coef_[0, 0], abs=1e-4)
    assert biases[1] == pytest.approx(fit.intercept_[0], abs=1e-4)


def test_the_interval_of_an_auc_holds_it_as_often_as_it_says():
    generator, held = np.random.default_rng(1), 0
    from scipy.stats import norm

    for _ in range(200):
        gold = np.arange(120) % 2
        scores = generator.standard_normal(120) + gold
        area, influence = one_against_rest_auc(np.column_stack([-scores, scores]), gold)
        half = 1.96 * np.sqrt((influence**2).sum())
        held += abs(area - norm.cdf(1 / np.sqrt(2))) <= half
    assert 0.9 <= held / 200 <= 0.99


def test_ties_count_half_and_texts_alike_stay_in_one_half():
    area, _ = one_against_rest_auc(np.zeros((10, 2)), np.arange(10) % 2)
    assert area == 0.5
    half = parts(("a", "b", "a", "c", "a", "d"), 2)
    assert half[0] == half[2] == half[4]
    assert sorted(np.bincount(half[[0, 1, 3, 5]])) == [2, 2]


def test_groups_have_intervals_over_seeds_and_texts():
    task = planted_task(200)
    bare = signal(task, 0, [0, 0], 0)
    strengths = 1.0, 1.5, 3.0
    result = planted_gain(task, *(signal(task, s, [0, 0], n) for n, s in enumerate(strengths, 1)), bare)
    (group,) = result.groups_frame().itertuples()
    one = result.to_frame().iloc[1]
    assert group.prompts == 3
    assert (
        group.discrimination_high - group.discrimination_low
        > one.discrimination_high - one.discrimination_low
    )
    assert result.conclusion.startswith("task/random (3 prompts): +")


def test_a_prompt_that_does_nothing_has_no_gain():
    task = planted_task()
    bare = signal(task, 2, [0, 0], 3)
    result = planted_gain(task, bare, bare, says=np.zeros((2, len(task)), bool))
    assert result.conclusion.startswith("No gain detectable with 600 texts (+0.0 points over no prompt")
    assert "says a label on 0 % of the texts" in result.conclusion
    assert result.to_frame()[["fixed", "broken", "gain", "auc_gain"]].iloc[0].tolist() == [0, 0, 0, 0]


def test_confusion_counts_every_text_once():
    task = planted_task()
    result = planted_gain(task, signal(task, 2, [0, 0], 1), signal(task, 0, [0, 5], 2))
    assert result.confusion(0).sum() == len(task)
    assert np.trace(result.confusion()) == result.right[-1].sum()
    frame = result.confusion_frame()
    row = frame[(frame.prompt == "p0") & (frame.label == "yes") & (frame.answer == "no")]
    assert row.texts.item() == ((task.gold == 1) & (result.answers[0] == 0)).sum()


def test_the_model_is_asked_once_for_prompts_and_none(tiny, tiny_t5_folder):
    texts = tuple(
        f"the food was {word} and the waiter was {n}" for word in ("good", "bad") for n in "abcdefghijkl"
    )
    task = Task(texts, ("positive",) * 12 + ("negative",) * 12, ("negative", "positive"), "tiny")
    one = prompt(np.random.default_rng(0).standard_normal((3, tiny.dimension)))
    result = gain(tiny, [one], task)
    assert result.scores.shape == (2, 24, 2)
    assert np.allclose(
        result.scores[1], tiny.label_log_probabilities([None], texts, task.labels)[0], atol=1e-5
    )
    row = result.to_frame().iloc[0]
    mass = np.exp(tiny.label_log_probabilities([one], texts, task.labels)[0]).sum(axis=1).mean()
    assert row.label_mass == pytest.approx(mass, abs=1e-6)
    assert row.says_label in np.arange(25) / 24


def test_too_few_texts_and_one_label_are_refused(tiny):
    few = Task(("a b", "b c") * 30, ("no", "yes") * 30, LABELS, "few")
    with pytest.raises(DataError, match="found 2 different texts; expected at least 20 to fit the prior"):
        gain(tiny, [], few)
    one = Task(tuple(f"a {n}" for n in range(30)), ("yes",) * 30, LABELS, "one")
    with pytest.raises(DataError, match="one: all texts have the label yes; expected texts of at least two"):
        gain(tiny, [], one)
