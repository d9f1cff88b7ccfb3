"""Replacing a prompt by its nearest words: what is replaced by itself answers the same, and the figures
follow from the answers.
"""

from dataclasses import replace

import numpy as np
import pytest

from explorer.errors import DataError, ExplorerError, PromptError
from explorer.evaluation.faithfulness import (
    NORM_KEPT,
    SPARSE_WORDS,
    Faithfulness,
    Reading,
    discretized,
    faithfulness,
    mirrored,
)
from explorer.formats import read_prompt
from explorer.prompt import Origin, SoftPrompt
from explorer.texts.tasks import Task

TASK = Task(
    (
        "a charming, funny film",
        "dull and far too long",
        "i loved every minute",
        "the plot makes no sense",
        "a waste of time",
    ),
    ("positive", "negative", "positive", "negative", "negative"),
    ("negative", "positive"),
    "films",
)
READINGS = [
    "soft",
    "cosine",
    "whitened",
    "l2",
    "dot",
    "csls",
    *(f"sparse-{words}" for words in SPARSE_WORDS),
    "none",
    "random-words",
    "initial",
    "shuffled",
    "mean",
]


def planted(right: dict[str, np.ndarray], gold: np.ndarray) -> Faithfulness:
    """Readings that answer right on these texts."""
    task = Task(
        tuple(f"text {n}" for n in range(len(gold))),
        tuple(("no", "yes")[one] for one in gold),
        ("no", "yes"),
        "planted",
    )

    def answers(mask: np.ndarray) -> np.ndarray:
        strength = np.random.default_rng(0).uniform(0.6, 0.9, len(gold))
        given = np.where(mask, gold, 1 - gold)
        return np.where(np.eye(2)[given] > 0, strength[:, None], 1 - strength[:, None])[None].astype(
            np.float32
        )

    readings = tuple(Reading(name, None, answers(mask)) for name, mask in right.items())
    return Faithfulness("p", task, readings, (), np.empty((0, len(gold), 2), np.float32), 0)


def test_share_kappa_and_rank_correlation():
    """The prompt shares all of its gain with itself, no prompt nothing; a shift of the prior leaves the
    order.
    """
    gold = np.arange(200) % 2
    soft, none, half = (np.arange(200) % 20 < n for n in (18, 10, 14))
    frame = planted({"soft": soft, "cosine": half, "none": none}, gold).to_frame().set_index("reading")
    assert frame.loc["soft", ["share", "kappa", "correlation"]].tolist() == [1, 1, pytest.approx(1)]
    assert frame.share["none"] == 0
    assert frame.share["cosine"] == pytest.approx(0.5)
    assert frame.share_low["cosine"] < 0.5 < frame.share_high["cosine"]
    from sklearn.metrics import cohen_kappa_score

    one = planted({"soft": soft, "none": none, "cosine": half}, gold)
    given = [reading.probabilities[0].argmax(axis=1) for reading in one.readings]
    assert one.to_frame().kappa[2] == pytest.approx(cohen_kappa_score(given[0], given[2]))
    shifted = replace(one.readings[0], name="none")
    logits = np.log(shifted.probabilities) + np.float32([3, 0])
    moved = (np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)).astype(np.float32)
    both = replace(one, readings=(one.readings[0], replace(shifted, probabilities=moved)))
    assert both.to_frame().correlation[1] == pytest.approx(1, abs=1e-4)
    assert both.to_frame().kappa[1] < 0.5


def test_a_prompt_without_a_gain_has_none_to_share():
    gold = np.arange(200) % 2
    same = np.arange(200) % 20 < 10
    frame = planted({"soft": same, "none": same}, gold).to_frame()
    assert frame.share.isna().all()
    assert frame.kappa.tolist() == [1, 1]


def test_typed_words_are_read_as_text_and_a_prompt_of_words_is_explained_by_them(model, vocabulary):
    ids = vocabulary.encode("good or bad film")
    made = SoftPrompt(vocabulary.embedding[ids], "words", Origin("test"))
    typed = ["good or bad film", "a question"]
    frame = faithfulness(model, vocabulary, made, TASK, draws=1, points=2, typed=typed).to_frame()
    rows = frame.set_index("reading")
    assert rows.loc["typed-1", ["agreement", "kappa", "kl"]].tolist() == [1, 1, pytest.approx(0, abs=1e-5)]
    assert rows.correlation["typed-1"] == pytest.approx(1)
    assert rows.words["typed-2"] == " ".join(
        vocabulary.pieces[one] for one in vocabulary.encode("a question")
    )
    with pytest.raises(DataError, match="found the words ' '; expected some that the tokenizer knows"):
        faithfulness(model, vocabulary, made, TASK, draws=1, points=2, typed=[" "])


@pytest.fixture(scope="module")
def trained():
    return read_prompt("sentiment/class-label-0")


@pytest.fixture(scope="module")
def result(model, vocabulary, trained):
    return faithfulness(model, vocabulary, trained, TASK, draws=3, points=3)


def test_every_reading_is_taken_and_the_soft_prompt_is_itself(result):
    frame = result.to_frame().set_index("reading")
    assert [name for name in frame.index if not name.endswith(NORM_KEPT)] == READINGS
    assert (frame.loc["soft", "agreement"], frame.loc["soft", "kl"], frame.loc["soft", "difference"]) == (
        1,
        0,
        0,
    )
    assert (frame.loc["soft", "difference_low"], frame.loc["soft", "difference_high"]) == (0, 0), (
        "the bootstrap is paired"
    )
    assert frame.loc["random-words", "draws"] == 3
    assert (frame["kl"] >= 0).all()
    assert frame["accuracy"].between(0, 1).all()
    assert (frame["low"] <= frame["accuracy"]).all()
    assert (frame["accuracy"] <= frame["high"]).all()


def test_figures_follow_from_separate_answers(result, model, vocabulary, trained):
    words = vocabulary.embedding[[vocabulary.pieces.index(piece) for piece in result.readings[1].words]]
    soft, cosine, none = model.label_probabilities([trained.vectors, words, None], TASK.texts, TASK.labels)
    gold = np.array([TASK.labels.index(answer) for answer in TASK.answers])
    frame = result.to_frame().set_index("reading")
    for name, found in (("cosine", cosine), ("none", none)):
        assert frame.loc[name, "accuracy"] == pytest.approx((found.argmax(axis=1) == gold).mean())
        assert frame.loc[name, "agreement"] == pytest.approx(
            (found.argmax(axis=1) == soft.argmax(axis=1)).mean()
        )
        assert frame.loc[name, "kl"] == pytest.approx(
            (soft * np.log(soft / found)).sum(axis=1).mean(), abs=1e-5
        )
        flipped = [TASK.texts[b] for b in np.flatnonzero(found.argmax(axis=1) != soft.argmax(axis=1))]
        assert result.flips_frame(name)["text"].tolist() == flipped
        assert frame.loc[name, "flips"] == len(flipped)


def test_the_curve_runs_from_the_prompt_to_its_words(result):
    curve, frame = result.curve_frame(), result.to_frame().set_index("reading")
    assert curve["share"].tolist() == [0, 0.5, 1]
    assert curve["kl"].iloc[0] == pytest.approx(0, abs=1e-6)
    for column in ("accuracy", "agreement", "kl"):
        assert curve[column].iloc[-1] == pytest.approx(frame.loc["cosine", column], abs=1e-6)


def answering(n: int, **right: tuple[float, ...]) -> Faithfulness:
    """Readings that are right on the first share of n texts, one share a draw."""
    task = Task(
        tuple(f"text {number}" for number in range(n)), ("positive",) * n, ("negative", "positive"), "planted"
    )
    readings = []
    for name, shares in right.items():
        yes = np.array([np.where(np.arange(n) < share * n, 0.9, 0.1) for share in shares], np.float32)
        readings.append(Reading(name.replace("_", "-"), None, np.stack([1 - yes, yes], axis=2)))
    return Faithfulness("planted", task, tuple(readings), (), np.empty((0, n, 2)), 0)


def test_the_conclusion_says_what_survives_and_what_cannot_be_told():
    others = {"none": (0.5,), "random_words": (0.5, 0.5)}
    lost = answering(400, soft=(0.8,), cosine=(0.6,), **others).conclusion
    assert lost.startswith(
        "The nearest words do not do what the prompt does (accuracy 0.600 against 0.800, 95 %: -0."
    )
    assert lost.endswith("(0.500 without a prompt, 0.500 with random words).")
    assert (
        "do as well as the prompt, within ±2 points (accuracy 0.800 against 0.800"
        in answering(400, soft=(0.8,), cosine=(0.8,), **others).conclusion
    )
    assert (
        "These texts cannot tell whether" in answering(100, soft=(0.8,), cosine=(0.8,), **others).conclusion
    )
    assert (
        "The nearest words do better than the prompt ("
        in answering(400, soft=(0.6,), cosine=(0.8,), **others).conclusion
    )
    assert answering(400, soft=(0.5,), cosine=(0.5,), **others)


def test_random_words_have_an_interval_over_draws_too():
    def width(*shares: float) -> float:
        frame = (
            answering(400, soft=(0.8,), cosine=(0.8,), none=(0.5,), random_words=shares)
            .to_frame()
            .set_index("reading")
        )
        low, high = frame.loc["random-words", ["low", "high"]]
        assert low <= np.mean(shares) <= high
        return high - low

    assert width(0.3, 0.5, 0.7) > 3 * width(0.5, 0.5, 0.5)
    assert width(0.5) == pytest.approx(width(0.5, 0.5, 0.5), rel=0.1)


def test_a_prompt_of_words_loses_nothing_by_being_read(model, vocabulary):
    prompt = SoftPrompt(
        vocabulary.embedding[vocabulary.encode("a charming film of great beauty")],
        "words",
        Origin(format="planted"),
    )
    frame = faithfulness(model, vocabulary, prompt, TASK, draws=1, points=2).to_frame().set_index("reading")
    for reading in ("cosine", "whitened", "l2", "csls", "cosine" + NORM_KEPT, "sparse-1", "sparse-5"):
        assert (frame.loc[reading, "agreement"], frame.loc[reading, "flips"]) == (1, 0)
        assert frame.loc[reading, "kl"] == pytest.approx(0, abs=1e-6)
    assert "initial" not in frame.index, "none were saved"


def test_kept_norms_are_the_prompts_own_and_directions_the_words(vocabulary, trained):
    found = discretized(trained, vocabulary)
    kept, own = found["cosine" + NORM_KEPT][0], found["cosine"][0]
    np.testing.assert_allclose(
        np.linalg.norm(kept, axis=1), np.linalg.norm(trained.vectors, axis=1), rtol=1e-5
    )
    cosine = (kept * own).sum(axis=1) / np.linalg.norm(kept, axis=1) / np.linalg.norm(own, axis=1)
    np.testing.assert_allclose(cosine, 1, rtol=1e-5)


def test_the_wayward_prompt_reads_as_its_sentence(vocabulary, trained):
    assert mirrored(read_prompt("sentiment/wayward-0"), vocabulary) == 1
    assert mirrored(trained, vocabulary) is None


def test_progress_is_a_sentence_and_a_share(model, vocabulary, trained):
    said, shares = [], []
    faithfulness(
        model, vocabulary, trained, TASK, draws=1, points=2, share=shares.append, progress=said.append
    )
    assert said == ["sentiment/class-label-0: 5 texts with the prompt and with 23 stand-ins for it"]
    assert (shares[-1], shares) == (1, sorted(shares))


def test_one_class_and_one_token_are_defined(model, vocabulary, trained):
    one = replace(TASK, texts=TASK.texts[:1], answers=("positive",))
    prompt = SoftPrompt(trained.vectors[:1], "short", Origin(format="planted"))
    frame = faithfulness(model, vocabulary, prompt, one, draws=1, points=2).to_frame()
    assert frame["accuracy"].isin([0, 1]).all()
    assert np.isfinite(frame[["low", "high", "kl"]].to_numpy()).all()


def test_what_cannot_be_run_is_named(result, model, vocabulary, trained):
    with pytest.raises(ExplorerError, match="found the reading 'tarot'; expected one of soft, cosine"):
        result.flips_frame("tarot")
    with pytest.raises(ExplorerError, match="found 0 draws and 11 points; expected at least 1 and 2"):
        faithfulness(model, vocabulary, trained, TASK, draws=0)
    with pytest.raises(PromptError, match="vectors of width 3"):
        faithfulness(
            model,
            vocabulary,
            SoftPrompt(np.ones((2, 3), np.float32), "narrow", Origin(format="planted")),
            TASK,
        )
