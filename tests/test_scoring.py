"""Predictions and scores: equal to scikit-learn's on planted answers, and the same however texts share
batches.
"""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from explorer.errors import DataError, PromptError
from explorer.evaluation.metrics import macro_f1
from explorer.evaluation.scoring import NO_PROMPT, Scores, evaluate, predict
from explorer.models.encoder_decoder import FrozenT5
from explorer.prompt import Origin, SoftPrompt
from explorer.texts.tasks import Task

LABELS = ("negative", "positive", "true")
TEXTS = tuple(
    f"{article} {adjective} {noun}"
    for article in ("a", "the")
    for adjective in ("good", "bad", "old", "slow")
    for noun in ("film", "story", "meal")
)


@pytest.fixture(scope="module")
def prompts():
    generator = np.random.default_rng(0)
    return [
        SoftPrompt(generator.standard_normal((length, 16)) * 2, f"p{length}", Origin(format="npy"))
        for length in (2, 9)
    ] + [None]


@pytest.fixture(scope="module")
def task():
    return Task(TEXTS, tuple(np.random.default_rng(1).choice(LABELS, len(TEXTS)).tolist()), LABELS, "planted")


def test_records_hold_probabilities_label_and_text(tiny, prompts):
    predictions = predict(tiny, prompts, TEXTS[:2], LABELS)
    records = predictions.to_records()
    assert [(r["prompt"], r["text"]) for r in records] == [
        (name, text) for name in ("p2", "p9", NO_PROMPT) for text in TEXTS[:2]
    ]
    for record in records:
        assert set(record) == {"prompt", "text", "label", "probabilities", "generated"}
        assert sum(record["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert record["label"] == max(record["probabilities"], key=record["probabilities"].get)
        assert isinstance(record["generated"], str)
    expected = tiny.label_probabilities(
        [None if p is None else p.vectors for p in prompts], TEXTS[:2], LABELS
    )
    np.testing.assert_allclose(predictions.probabilities, expected, atol=1e-6)


def test_the_frame_says_what_the_records_say(tiny, prompts):
    predictions = predict(tiny, prompts, TEXTS[:2], LABELS)
    frame = predictions.to_frame()
    assert frame.columns.tolist()[:3] == ["prompt", "text", "label"]
    for row, record in zip(frame.to_dict("records"), predictions.to_records(), strict=True):
        assert {key: row[key] for key in ("prompt", "text", "label", "generated")} == {
            k: record[k] for k in ("prompt", "text", "label", "generated")
        }


def test_nothing_is_generated_unless_asked(tiny, prompts, task):
    assert predict(tiny, prompts, TEXTS[:1], LABELS, generate=False).generated is None
    assert np.isnan(evaluate(tiny, prompts, task, generate=False).to_frame()["invalid_rate"]).all()


def test_scores_are_those_of_scikit_learn(tiny, prompts, task):
    frame = evaluate(tiny, prompts, task).to_frame()
    assert frame.columns.tolist() == ["prompt", "n", "accuracy", "macro_f1", "invalid_rate"]
    assert frame["prompt"].tolist() == ["p2", "p9", NO_PROMPT]
    assert (frame["n"] == len(TEXTS)).all()
    predictions = predict(tiny, prompts, TEXTS, LABELS)
    for n, row in frame.iterrows():
        given = [LABELS[i] for i in predictions.answers[n]]
        assert row["accuracy"] == pytest.approx(accuracy_score(task.answers, given))
        assert row["macro_f1"] == pytest.approx(
            f1_score(task.answers, given, labels=list(LABELS), average="macro", zero_division=0)
        )
        assert row["invalid_rate"] == pytest.approx(
            np.mean([text.strip() not in LABELS for text in predictions.generated[n]])
        )


def test_the_conclusion_counts_and_compares_with_no_prompt():
    def said(*accuracies: float, n: int = 400, names: tuple[str, ...] = ("a", NO_PROMPT)) -> str:
        gold = np.zeros(n, int)
        answers = np.stack([np.arange(n) >= round(share * n) for share in accuracies]).astype(int)
        zeros = (0.0,) * len(accuracies)
        scores = Scores(names, n, tuple(accuracies), zeros, zeros, answers, gold)
        again = Scores.joined(scores.each())
        assert again.conclusion == scores.conclusion
        assert again.to_frame().equals(scores.to_frame())
        return scores.conclusion

    assert said(0.8, names=("a",)) == "a is right on 320 of 400 texts."
    assert said(0.8, names=(NO_PROMPT,)) == "Without a prompt the model is right on 320 of 400 texts."
    assert said(0.8, 0.6).startswith(
        "a is right on 320 of 400 texts; without a prompt the model is on 240: the prompt clearly "
        "helps (+0.200, 95 %: +0.1"
    )
    assert "the prompt clearly harms" in said(0.6, 0.8)
    assert "the prompt changes accuracy by less than ±2 points" in said(0.6, 0.6)
    assert "whether the prompt helps cannot be told" in said(0.6, 0.6, n=100)
    three = said(0.7, 0.9, 0.6, names=("a", "b", NO_PROMPT))
    assert three.startswith(
        "Best of 2 prompts, picked after the fact: b is right on 360 of 400 texts; on average they "
        "are on 320.0; without"
    )
    assert "a prompt on average clearly helps (+0.200" in three


def test_a_prompt_scores_with_others_as_alone(tiny, prompts, task):
    together = evaluate(tiny, prompts, task).to_frame()
    alone = [evaluate(tiny, [prompt], task).to_frame() for prompt in prompts]
    for n, frame in enumerate(alone):
        np.testing.assert_allclose(frame.iloc[0, 1:].to_numpy(float), together.iloc[n, 1:].to_numpy(float))


@pytest.mark.parametrize("classes", [2, 3, 6])
def test_macro_f1_is_that_of_scikit_learn(classes):
    """Labels that never occur or are never given among them."""
    generator = np.random.default_rng(classes)
    for size in (1, 2, 7, 200):
        gold, given = (
            generator.integers(classes, size=size),
            generator.integers(max(1, classes - 1), size=size),
        )
        expected = f1_score(gold, given, labels=range(classes), average="macro", zero_division=0)
        assert macro_f1(gold, given, classes) == pytest.approx(expected, abs=1e-12)


def test_an_output_that_is_a_label_is_valid(tiny, task, monkeypatch):
    written = {
        text: (f" {LABELS[n % 3]} " if n % 2 else "nothing of the kind") for n, text in enumerate(TEXTS)
    }
    monkeypatch.setattr(
        FrozenT5,
        "generate",
        lambda self, prompts, texts, longest, done: [[written[text] for text in texts] for _ in prompts],
    )
    scores = evaluate(tiny, [None], task)
    assert scores.invalid_rate == (0.5,)


def test_as_many_pieces_are_written_as_the_longest_label_needs(tiny, monkeypatch):
    labels = ("bad", "not so bad after all the old story")
    asked, generate = [], FrozenT5.generate

    def watched(self, prompts, texts, longest, done):
        asked.append(longest)
        return generate(self, prompts, texts, longest, done)

    monkeypatch.setattr(FrozenT5, "generate", watched)
    evaluate(tiny, [None], Task(TEXTS[:2], labels, labels, "planted"))
    assert asked == [8 + 1 + 2], "eight words, each a piece, the end and some more"


def test_progress_says_what_is_scored(tiny, prompts, task):
    said = []
    evaluate(tiny, [None], task, progress=said.append, generate=False)
    evaluate(
        tiny,
        prompts,
        replace(task, texts=TEXTS[:1], answers=task.answers[:1]),
        progress=said.append,
        generate=False,
    )
    assert said == [
        f"planted: {len(TEXTS)} texts, 1 prompt, labels negative, positive, true",
        "planted: 1 text, 3 prompts, labels negative, positive, true",
    ]


def test_long_work_shows_a_bar_that_counts_answers(tiny, prompts, task, monkeypatch, capsys):
    monkeypatch.setattr("explorer.evaluation.progress.SHORT", 0.0)
    evaluate(tiny, prompts, task)
    rows = len(prompts) * len(task)
    shown = capsys.readouterr().err
    assert "scoring labels: 100%" in shown
    assert "generating: 100%" in shown
    assert f"{rows}/{rows}" in shown


def test_bad_calls_are_named(tiny, prompts, model, task):
    with pytest.raises(DataError, match="found the label yes; expected at least two different ones"):
        predict(tiny, prompts, TEXTS, ["yes"])
    with pytest.raises(DataError, match="found the labels yes, yes; expected"):
        predict(tiny, prompts, TEXTS, ["yes", "yes"])
    with pytest.raises(DataError, match="labels: found the text 'yes,no'; expected a list"):
        predict(tiny, prompts, TEXTS, "yes,no")
    with pytest.raises(DataError, match="texts: found the text 'a film'; expected a list"):
        predict(tiny, prompts, "a film", LABELS)
    with pytest.raises(DataError, match="no texts to answer"):
        predict(tiny, prompts, [], LABELS)
    with pytest.raises(DataError, match="text 1 is empty"):
        predict(tiny, prompts, [" "], LABELS)
    with pytest.raises(PromptError, match="needs"):
        predict(model, prompts[:1], TEXTS[:1], LABELS)
