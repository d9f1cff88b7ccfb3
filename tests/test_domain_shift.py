"""Domain shift: the figures are scikit-learn's on each domain, means are over seeds, and a planted gap is
found.
"""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from explorer.errors import DataError
from explorer.evaluation.domain_shift import (
    MODEL_TUNING,
    PROMPT_TUNING,
    SEEDS_AND_TEXTS,
    SOME_SEEDS,
    TEXTS,
    Answered,
    DomainShift,
    answer,
    answer_with_model,
    mapped,
)
from explorer.prompt import Origin, SoftPrompt
from explorer.texts.tasks import Task
from research.answering import coverage

LABELS = ("bad", "good")


@pytest.fixture(scope="module")
def tasks():
    generator = np.random.default_rng(0)
    sizes = {"source": 12, "target": 20}
    words = ["alpha", "mine", "sort", "me"]

    def drawn(name: str, n: int) -> Task:
        return Task(
            tuple(" ".join(generator.choice(words, 3)) for _ in range(n)),
            tuple(generator.choice(LABELS, n).tolist()),
            LABELS,
            name,
        )

    return [drawn(name, n) for name, n in sizes.items()]


@pytest.fixture(scope="module")
def prompts():
    generator = np.random.default_rng(1)
    return [
        SoftPrompt(
            generator.standard_normal((3, 16)) * 3,
            f"p{seed}",
            Origin(format="npy", initialization="random", seed=seed),
        )
        for seed in range(3)
    ]


def planted(method: str, seed: int, source: float, target: float, n: int = 400) -> Answered:
    """A prompt or model that is right on these shares of n texts each."""
    generator = np.random.default_rng([seed, len(method)])
    right = tuple(generator.random(n) < share for share in (source, target))
    return Answered(f"{method} {seed}", method, method, seed, right, (0.0, 0.0), (0.0, 0.0))


def test_each_row_is_what_scikit_learn_says(tiny, tasks, prompts):
    result = DomainShift(("source", "target"), tuple(answer(tiny, [*prompts, None], tasks)))
    frame = result.to_frame()
    assert len(frame) == 4 * 2
    for row in frame.to_dict("records"):
        task = tasks[row["target"] == "target"]
        vectors = {prompt.name: prompt.vectors for prompt in prompts}.get(row["prompt"])
        given = [LABELS[i] for i in tiny.label_probabilities([vectors], task.texts, LABELS)[0].argmax(axis=1)]
        assert row["accuracy"] == pytest.approx(accuracy_score(task.answers, given))
        assert row["macro_f1"] == pytest.approx(
            f1_score(task.answers, given, labels=LABELS, average="macro", zero_division=0)
        )
        assert (row["n"], row["source"]) == (len(task), "source")
        assert 0 <= row["invalid_rate"] <= 1
    assert frame["seed"].tolist()[-1] is not None


def test_progress_names_each_domain(tiny, tasks, prompts):
    said = []
    answer(tiny, prompts, tasks, generate=False, progress=said.append)
    assert said == [
        "domain 1 of 2, source: 12 texts, 3 prompts, labels bad, good",
        "domain 2 of 2, target: 20 texts, 3 prompts, labels bad, good",
    ]


def test_means_and_deviations_are_over_seeds(tiny, tasks, prompts):
    result = DomainShift(("source", "target"), tuple(answer(tiny, prompts, tasks, generate=False)))
    frame, summary = result.to_frame(), result.summary()
    for target in ("source", "target"):
        values, row = (
            frame.loc[frame["target"] == target, "accuracy"],
            summary[summary["target"] == target].iloc[0],
        )
        assert (row["accuracy"], row["deviation"], row["runs"]) == (
            pytest.approx(values.mean()),
            pytest.approx(values.std(ddof=1)),
            3,
        )
    assert np.isnan(summary["invalid_rate"]).all()
    assert result.differences().empty, "nothing to compare with"


def test_a_tuned_model_stands_beside_prompts(tiny, tasks, prompts):
    one = answer_with_model(tiny, "task/model-0", 0, tasks, generate=False)
    assert (one.name, one.method, one.seed) == ("task/model-0", MODEL_TUNING, 0)
    bare = answer(tiny, [None], tasks, generate=False)[0]
    assert all((a == b).all() for a, b in zip(one.right, bare.right, strict=True))


def test_a_planted_gap_is_found_and_none_is_not():
    prompts = [planted(PROMPT_TUNING, seed, 0.8, 0.75) for seed in range(3)]
    models = [planted(MODEL_TUNING, seed, 0.8, 0.6) for seed in range(3)]
    source, target = DomainShift(("source", "target"), (*prompts, *models)).differences().to_dict("records")
    assert source["low"] < 0 < source["high"]
    assert 0.1 < target["difference"] < 0.2
    assert target["low"] > 0.05
    assert target["drop_low"] > 0
    assert target["drop_low"] < target["drop_difference"] < target["drop_high"]
    assert (source["drop_difference"], source["drop_low"], source["drop_high"]) == (0, 0, 0)
    summary = DomainShift(("source", "target"), (*prompts, *models)).summary()
    row = summary[(summary["method"] == MODEL_TUNING) & (summary["target"] == "target")].iloc[0]
    assert row["drop_low"] < row["drop"] < row["drop_high"]


@pytest.mark.slow
@pytest.mark.parametrize(("deviation", "own"), [(0, 0.8), (0.015, 0.2), (0.03, 0.8)])
def test_intervals_hold_the_truth_with_three_seeds(deviation, own):
    """Over texts alone, the drop's and the difference's held it in 0.94, 0.84 and 0.74, and in 0.95, 0.82 and
    0.44, of such draws of 1,000 texts.
    """
    for held in coverage(3, 300, deviation, own, draws=200, seed=1):
        assert held >= 0.92


def test_every_prompt_counts_alike_whatever_its_group():
    """Three prompts of one initialization and one of another: the mean is over four, not over two groups."""
    many = [replace(planted(PROMPT_TUNING, seed, 0.9, 0.9), group="random") for seed in range(3)]
    few = replace(planted(PROMPT_TUNING, 3, 0.3, 0.1), group="class-label")
    model = planted(MODEL_TUNING, 0, 0.8, 0.6)
    target = DomainShift(("source", "target"), (*many, few, model)).differences().iloc[1]
    prompts = np.mean([one.right[1].mean() for one in (*many, few)])
    assert target["difference"] == pytest.approx(prompts - model.right[1].mean())
    dropped = np.mean([one.right[0].mean() - one.right[1].mean() for one in (*many, few)])
    assert target["drop_difference"] == pytest.approx(model.right[0].mean() - model.right[1].mean() - dropped)


def test_the_smallest_set_of_texts_bounds_what_can_be_said():
    """All right on ten texts of the source and on 30,000 of the target: ten show nothing."""
    right = (np.ones(10, bool), np.ones(30_000, bool))
    prompts = [
        Answered(f"p{seed}", PROMPT_TUNING, PROMPT_TUNING, seed, right, (0.0, 0.0), (0.0, 0.0))
        for seed in range(3)
    ]
    assert DomainShift(("films", "meals"), tuple(prompts)).conclusion.startswith("Cannot tell")


def test_an_interval_says_what_it_is_over():
    several, one = (
        [planted(PROMPT_TUNING, seed, 0.8, 0.7) for seed in range(3)],
        planted(MODEL_TUNING, 0, 0.8, 0.6),
    )
    result = DomainShift(("source", "target"), (*several, one))
    assert result.summary()["over"].tolist() == [SEEDS_AND_TEXTS] * 2 + [TEXTS] * 2
    assert result.differences()["over"].tolist() == [SOME_SEEDS] * 2
    two = DomainShift(("source", "target"), tuple(several[:2])).summary()
    assert two["over"].unique().tolist() == [SEEDS_AND_TEXTS], "two seeds are several"
    apart = [replace(one, group=str(number)) for number, one in enumerate(several)]
    assert DomainShift(("source", "target"), tuple(apart)).summary()["over"].unique().tolist() == [TEXTS]


def test_the_conclusion_says_a_drop_no_drop_or_neither():
    def said(target: float, n: int, *others: Answered) -> str:
        prompts = [planted(PROMPT_TUNING, seed, 0.8, target, n) for seed in range(3)]
        return DomainShift(("films", "meals"), (*prompts, *others)).conclusion

    models = [planted(MODEL_TUNING, seed, 0.8, 0.5) for seed in range(3)]
    assert said(0.6, 400).startswith(
        "Accuracy is clearly lower than on films in 1 of 1 comparison, most for prompt tuning on meals, -0."
    )
    assert said(0.8, 30_000).startswith(
        "No drop from films of more than 2 points on any target; the largest change: prompt tuning on meals,"
    )
    assert said(0.8, 60).startswith(
        "Cannot tell whether accuracy falls from films: no drop is clearly above zero, nor all "
        "within ±2 points;"
    )
    assert "Prompt tuning loses less than model tuning on meals" in said(0.75, 400, *models)
    assert "cannot be told (model's drop minus prompt's on meals" in said(0.5, 400, *models)
    assert "over seeds and texts" in said(0.6, 400)


def test_all_right_on_few_texts_is_no_proof_of_no_drop():
    """Every prompt answers all ten texts: the interval has no width, and shows nothing."""
    result = DomainShift(
        ("films", "meals"), tuple(planted(PROMPT_TUNING, seed, 1.1, 1.1, 10) for seed in range(3))
    )
    assert result.summary()[["drop_low", "drop_high"]].to_numpy().tolist() == [[0, 0], [0, 0]]
    assert result.conclusion.startswith("Cannot tell")


def test_labels_are_renamed_and_unknown_ones_named(tasks):
    task = Task(("a", "b"), ("pos", "bad"), ("bad", "pos"), "other")
    assert mapped(task, {"pos": "good"}, LABELS).answers == ("good", "bad")
    with pytest.raises(
        DataError,
        match=(
            r"other: found the label 'pos'; the source has bad, good: say what it stands for, such as "
            r"pos=bad"
        ),
    ):
        mapped(task, {}, LABELS)
