"""Domain shift: the figures are scikit-learn's on each domain, means are over seeds, and a planted gap is found."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from explorer.errors import DataError
from explorer.evaluation.domain_shift import MODEL_TUNING, PROMPT_TUNING, Answered, DomainShift, answer, answer_with_model, mapped
from explorer.prompt import Origin, SoftPrompt
from explorer.tasks import Task

LABELS = ("bad", "good")


@pytest.fixture(scope="module")
def tasks():
    generator = np.random.default_rng(0)
    sizes = {"source": 12, "target": 20}
    words = ["alpha", "mine", "sort", "me"]

    def drawn(name: str, n: int) -> Task:
        return Task(tuple(" ".join(generator.choice(words, 3)) for _ in range(n)), tuple(generator.choice(LABELS, n).tolist()), LABELS, name)

    return [drawn(name, n) for name, n in sizes.items()]


@pytest.fixture(scope="module")
def prompts():
    generator = np.random.default_rng(1)
    return [SoftPrompt(generator.standard_normal((3, 16)) * 3, f"p{seed}", Origin(format="npy", initialization="random", seed=seed)) for seed in range(3)]


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
        assert row["macro_f1"] == pytest.approx(f1_score(task.answers, given, labels=LABELS, average="macro", zero_division=0))
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
        values, row = frame.loc[frame["target"] == target, "accuracy"], summary[summary["target"] == target].iloc[0]
        assert (row["accuracy"], row["deviation"], row["runs"]) == (pytest.approx(values.mean()), pytest.approx(values.std(ddof=1)), 3)
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


def test_labels_are_renamed_and_unknown_ones_named(tasks):
    task = Task(("a", "b"), ("pos", "bad"), ("bad", "pos"), "other")
    assert mapped(task, {"pos": "good"}, LABELS).answers == ("good", "bad")
    with pytest.raises(DataError, match=r"other: found the label 'pos'; the source has bad, good: say what it stands for, such as pos=bad"):
        mapped(task, {}, LABELS)
