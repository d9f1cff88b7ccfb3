"""Ensembles: one batch is N separate passes, the vote follows from the members' answers, and the figures are
those of the books.
"""

from collections import Counter

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, cohen_kappa_score, f1_score

from explorer.errors import DataError
from explorer.evaluation.ensemble import Ensemble, calibration_error, ensemble, fleiss_kappa, pass_times
from explorer.prompt import Origin, SoftPrompt
from explorer.texts.tasks import Task

LABELS = ("bad", "good", "sort")
TEXTS = tuple(
    f"{article} {adjective} {noun}"
    for article in ("a", "the")
    for adjective in ("good", "bad", "old", "slow")
    for noun in ("film", "story")
)


@pytest.fixture(scope="module")
def prompts():
    generator = np.random.default_rng(0)
    return [
        SoftPrompt(generator.standard_normal((length, 16)) * 2, f"p{length}", Origin(format="npy"))
        for length in (2, 9, 5)
    ]


@pytest.fixture(scope="module")
def task():
    return Task(TEXTS, tuple(np.random.default_rng(1).choice(LABELS, len(TEXTS)).tolist()), LABELS, "planted")


@pytest.fixture
def planted():
    """Four members on three texts: a clear vote, a tie that the larger sum of logarithms decides, and full
    agreement.
    """
    task = Task(("one", "two", "three"), ("good", "bad", "good"), ("bad", "good"), "planted")
    good = np.array([[0.9, 0.9, 0.6], [0.6, 0.6, 0.7], [0.4, 0.01, 0.8], [0.8, 0.4, 0.9]])
    return Ensemble(("a", "b", "c", "d"), task, np.stack([1 - good, good], axis=2).astype(np.float32))


def test_one_batch_is_separate_passes(tiny, prompts, task):
    together = ensemble(tiny, prompts, task)
    for member, prompt in zip(together.probabilities, prompts, strict=True):
        apart = tiny.label_probabilities([prompt.vectors], task.texts, task.labels)[0]
        np.testing.assert_allclose(np.log(member), np.log(apart), atol=1e-4)


def test_progress_is_a_sentence_and_a_share(tiny, prompts, task):
    said, shares = [], []
    ensemble(tiny, prompts, task, shares.append, progress=said.append)
    assert said == [f"planted: {len(TEXTS)} texts, 3 prompts vote on bad, good, sort"]
    assert shares[-1] == 1
    assert shares == sorted(shares)


def test_the_vote_and_its_ties(planted):
    assert planted.votes.tolist() == [[1, 3], [2, 2], [0, 4]]
    assert planted.majority.tolist() == [1, 0, 1], (
        "log .1 + log .4 + log .99 + log .6 of `bad` is more than log .9 + log .6 + log .01 + log .4 "
        "of `good`"
    )
    assert planted.tied == pytest.approx(1 / 3)
    assert planted.mean_probabilities[:, 1] == pytest.approx([0.675, 0.4775, 0.75])
    assert planted.disagreement == pytest.approx(2 / 3)
    assert planted.agreement[0].tolist() == pytest.approx([1, 1, 1 / 3, 2 / 3])


def test_most_votes_win_however_sure_the_others_are():
    task = Task(("one",), ("bad",), ("bad", "good"), "planted")
    good = np.array([0.4, 0.4, 0.999])
    found = Ensemble(("a", "b", "c"), task, np.stack([1 - good, good], axis=1)[:, None].astype(np.float32))
    assert found.majority.tolist() == [0]
    assert found.mean_probabilities.argmax(axis=1).tolist() == [1]


def test_figures_follow_from_the_members_answers(tiny, prompts, task):
    record = ensemble(tiny, prompts, task).to_record()
    answers = [member["answers"] for member in record["members"]]
    right = record["labels"]
    accuracies = [accuracy_score(right, given) for given in answers]
    assert [member["accuracy"] for member in record["members"]] == pytest.approx(accuracies)
    f1 = [f1_score(right, given, labels=LABELS, average="macro", zero_division=0) for given in answers]
    assert [member["macro_f1"] for member in record["members"]] == pytest.approx(f1)
    assert (record["average"], record["best"]) == (pytest.approx(np.mean(accuracies)), max(accuracies))
    for given, vote in zip(zip(*answers, strict=True), record["majority"], strict=True):
        counted = Counter(given)
        assert counted[vote] == max(counted.values())
    assert record["ensemble"] == pytest.approx(accuracy_score(right, record["majority"]))
    assert record["together"][2]["accuracy"] == record["ensemble"]
    assert record["together"][3]["accuracy"] == pytest.approx(
        accuracy_score(right, record["mean_probability"])
    )
    expected = [[np.mean([x == y for x, y in zip(a, b, strict=True)]) for b in answers] for a in answers]
    np.testing.assert_allclose(record["agreement"], expected)


def test_a_difference_of_the_vote_from_itself_is_nothing(planted):
    frame = planted.to_frame()
    vote = frame[frame["prompt"] == "majority vote"].iloc[0]
    assert (vote["difference"], vote["difference_low"], vote["difference_high"]) == (0, 0, 0)
    assert frame["kind"].tolist() == ["member"] * 4 + ["average", "best", "ensemble", "ensemble"]
    assert ((frame["low"] <= frame["accuracy"] + 1e-9) & (frame["accuracy"] <= frame["high"] + 1e-9)).all()


def voting(answers: np.ndarray) -> Ensemble:
    """Members that are right [N, B] where told so, on texts that are all good."""
    task = Task(
        tuple(f"text {number}" for number in range(answers.shape[1])),
        ("good",) * answers.shape[1],
        ("bad", "good"),
        "planted",
    )
    good = np.where(answers, 0.9, 0.1)
    return Ensemble(
        tuple(f"m{number}" for number in range(len(answers))),
        task,
        np.stack([1 - good, good], axis=2).astype(np.float32),
    )


def test_the_conclusion_says_whether_the_vote_beats_its_average_member():
    generator = np.random.default_rng(0)
    right = generator.random((5, 400)) < 0.7
    assert "; it beats its average member (+0." in voting(right).conclusion
    assert (
        "; it does not beat its average member but is worse (-0."
        in voting(generator.random((5, 400)) < 0.3).conclusion
    )
    alike = np.repeat(right[:1], 3, axis=0)
    assert (
        "; it does not beat its average member: they are equal within ±2 points (+0.000, 95 %: "
        "+0.000 to +0.000)"
    ) in voting(alike).conclusion
    assert "; whether it beats its average member cannot be told (" in voting(alike[:, :100]).conclusion, (
        "a hundred texts are too few to say so"
    )
    assert voting(right).to_record()["conclusion"] == voting(right).conclusion


def test_kappa_of_the_textbook():
    """Fourteen raters, ten subjects, five categories: Fleiss's own kind of example, worked on many pages as
    0.210.
    """
    table = [[0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1]]
    table += [[7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7]]
    assert fleiss_kappa(np.array(table)) == pytest.approx(0.210, abs=5e-4)


def test_kappa_of_two_raters_with_equal_margins_is_cohens():
    one, other = [0, 0, 1, 1, 2, 2, 0, 1], [0, 1, 0, 1, 2, 2, 0, 1]
    votes = np.array([np.bincount(pair, minlength=3) for pair in zip(one, other, strict=True)])
    assert fleiss_kappa(votes) == pytest.approx(cohen_kappa_score(one, other))
    assert fleiss_kappa(np.array([[0, 3], [3, 0]])) == 1
    assert np.isnan(fleiss_kappa(np.array([[3, 0], [3, 0]])))


def test_kappa_of_raters_by_chance_is_about_nothing():
    given = np.random.default_rng(0).integers(3, size=(2000, 5))
    assert abs(fleiss_kappa((given[:, :, None] == np.arange(3)).sum(axis=1))) < 0.02


def test_calibration_error_by_hand():
    confidence, right = np.array([0.95, 0.85, 0.85, 0.55]), np.array([True, True, False, False])
    assert calibration_error(confidence, right) == pytest.approx((0.05 + abs(1 - 1.7) + 0.55) / 4)
    assert calibration_error(np.array([1.0, 1.0]), np.array([True, True])) == 0
    limit = calibration_error(np.array([0.5, 0.55]), np.array([True, False]))
    assert limit == pytest.approx((0.5 + 0.55) / 2), "0.5 belongs to the bin below it"
    generator = np.random.default_rng(0)
    honest = generator.uniform(0.5, 1, 20_000)
    assert calibration_error(honest, generator.random(20_000) < honest) < 0.02


def test_both_ways_are_timed(tiny, prompts):
    times = pass_times(tiny, prompts, TEXTS[:2], LABELS, repeats=1)
    assert times.together > 0
    assert times.ratio == pytest.approx(times.apart / times.together)


def test_too_few_members_are_refused(tiny, prompts, task):
    with pytest.raises(DataError, match="found 1 prompt; expected at least two to vote"):
        ensemble(tiny, prompts[:1], task)
    with pytest.raises(DataError, match="p2 is given twice"):
        ensemble(tiny, [prompts[0], prompts[0]], task)
