"""Attribution to prompt tokens: against hand-made masks, finite differences and its own axioms."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from explorer.errors import DataError, ExplorerError, PromptError
from explorer.evaluation.attribution import COMPLETENESS, HOLDS, _integrated, _Question, attribute, left_out
from explorer.evaluation.curves import curves
from explorer.figures import attribution_figure
from explorer.formats import read_prompt
from explorer.prompt import Origin, SoftPrompt
from explorer.system.files import MODELS
from explorer.vocabulary import Vocabulary

LABELS = ("negative", "positive")
TEXT = "a warm, funny film"
ORDERS = 20
"""random orders of the shared result: fewer than the usual hundred, which take a while"""


@pytest.fixture(scope="module")
def trained():
    return read_prompt("sentiment/class-label-0")


@pytest.fixture(scope="module")
def result(model, vocabulary, trained):
    return attribute(model, vocabulary, trained, [TEXT], LABELS, orders=ORDERS)


@pytest.fixture(scope="module")
def tiny(tiny, tiny_t5_folder):
    """The tiny model with its vocabulary."""
    return tiny, Vocabulary.load(tiny_t5_folder)


@cache
def plain():
    """transformers' own model of the bundled folder."""
    import torch
    from transformers import AutoModelForSeq2SeqLM

    return AutoModelForSeq2SeqLM.from_pretrained(MODELS / "mini-t5", dtype=torch.float32).eval()


def log_probability(model, prompt, keep, answer):
    """F with a hand-made attention mask, by transformers' own forward."""
    import torch

    tokens = torch.tensor(model.text_ids([TEXT]))
    embeds = torch.cat([torch.from_numpy(prompt)[None], plain().get_input_embeddings()(tokens)], dim=1)
    mask = torch.cat([torch.from_numpy(keep.astype(np.int64))[None], torch.ones_like(tokens)], dim=1)
    scores = []
    for label in LABELS:
        target = torch.tensor([model.label_ids(label)])
        with torch.no_grad():
            loss = plain()(inputs_embeds=embeds, attention_mask=mask, labels=target).loss
        scores.append(-float(loss) * target.shape[1])
    return scores[answer] - np.logaddexp(*scores)


def test_leave_one_out_is_the_model_with_a_token_masked(result, model, trained):
    answer = LABELS.index(result.answer)
    whole = log_probability(model, trained.vectors, np.ones(20), answer)
    for position in (0, 7, 19):
        keep = np.ones(20)
        keep[position] = 0
        assert result.leave_one_out[position] == pytest.approx(
            whole - log_probability(model, trained.vectors, keep, answer), abs=1e-4
        )


def test_the_answer_is_the_models_and_another_can_be_asked_about(result, model, vocabulary, trained):
    probabilities = model.label_probabilities([trained.vectors], [TEXT], LABELS)[0, 0]
    assert result.answer == LABELS[probabilities.argmax()]
    assert result.deletion[0] == pytest.approx(probabilities.max(), abs=1e-4)
    other = LABELS[1 - LABELS.index(result.answer)]
    asked = attribute(model, vocabulary, trained, [TEXT], LABELS, label=other, orders=1)
    assert (asked.answer, asked.deletion[0]) == (other, pytest.approx(probabilities.min(), abs=1e-4))


def test_the_gate_is_the_slope_of_a_factor(result, model, trained):
    answer = LABELS.index(result.answer)
    question = _Question(model, TEXT, LABELS)
    for position in np.argsort(-result.gate)[:2]:
        step, sides = 1e-2, []
        for sign in (1, -1):
            vectors = trained.vectors.copy()
            vectors[position] *= 1 + sign * step
            sides.append(question.masked(vectors, np.ones((1, 20), bool))[0, answer])
        assert result.gate[position] == pytest.approx(
            abs(sides[0] - sides[1]) / (2 * step), rel=0.05, abs=2e-4
        )


def test_integrated_gradients_are_complete(result, model, vocabulary, trained):
    answer = LABELS.index(result.answer)
    question = _Question(model, TEXT, LABELS)
    baseline = np.broadcast_to(
        vocabulary.embedding[vocabulary.searchable_ids].mean(axis=0), trained.vectors.shape
    )
    ends = [
        question.masked(np.ascontiguousarray(vectors), np.ones((1, 20), bool))[0, answer]
        for vectors in (baseline, trained.vectors)
    ]
    assert result.integrated_gradients.sum() == pytest.approx(ends[1] - ends[0], rel=COMPLETENESS)
    assert result.completeness <= COMPLETENESS


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["subjectivity/class-label-0", "subjectivity/random-1", "question-type/sampled-vocab-2"]
)
def test_integrated_gradients_are_complete_for_other_bundled_prompts(name, model, vocabulary):
    prompt = read_prompt(name)
    assert (
        attribute(
            model,
            vocabulary,
            prompt,
            ["who wrote the book about the long war ?"],
            prompt.origin.labels,
            orders=1,
        ).completeness
        <= COMPLETENESS
    )


def test_a_tiny_random_model_and_one_token(tiny):
    model, vocabulary = tiny
    for length in (1, 5):
        vectors = np.random.default_rng(length).normal(size=(length, vocabulary.dimension)).astype(np.float32)
        found = attribute(
            model,
            vocabulary,
            SoftPrompt(vectors, "tiny", Origin(format="planted")),
            ["a film"],
            ("good", "bad"),
            orders=5,
        )
        assert found.completeness <= COMPLETENESS
        assert len(found.to_frame()) == length
        assert len(found.deletion) == length + 1
        assert np.isnan(found.p) == (length < 3)
        assert ("can be tested from 3 tokens on, this prompt has 1" in found.conclusion) == (length < 3)
    assert all(weight.grad is None for weight in model.network.tensors.values())


def test_deletion_ends_where_insertion_begins(result, model, trained):
    assert result.deletion[0] == pytest.approx(result.insertion[-1], abs=1e-6)
    assert result.deletion[-1] == pytest.approx(result.insertion[0], abs=1e-6)
    none = np.exp(log_probability(model, trained.vectors, np.zeros(20), LABELS.index(result.answer)))
    assert result.deletion[-1] == pytest.approx(none, abs=1e-4)
    assert len(result.deletion_null) == len(result.insertion_null) == ORDERS


@pytest.mark.slow
def test_the_order_of_leave_one_out_beats_its_reverse_and_most_random_ones(model, vocabulary):
    prompt = read_prompt("subjectivity/class-label-0")
    found = attribute(
        model,
        vocabulary,
        prompt,
        ["the film follows a young man who moves to paris"],
        prompt.origin.labels,
        orders=40,
    )
    question = _Question(model, "the film follows a young man who moves to paris", prompt.origin.labels)
    answer = prompt.origin.labels.index(found.answer)
    left_out = found.leave_one_out[None]
    (best,), (worst,) = (
        curves([lambda keep: question.log_probability(prompt.vectors, answer, keep)], order, orders=1)
        for order in (left_out, -left_out)
    )
    np.testing.assert_allclose(best.deletion, found.deletion, atol=1e-5)
    assert best.deletion_areas[0] < worst.deletion_areas[0]
    assert best.insertion_areas[0] > worst.insertion_areas[0]
    assert found.insertion_p < 0.1
    assert 0 < found.deletion_p <= 1
    assert ("Cannot tell" in found.conclusion) == (found.p > 0.05)
    assert f"the answer {found.answer!r} rest" in found.conclusion.lower()


@pytest.mark.slow
def test_means_over_texts(model, vocabulary, trained):
    texts = [TEXT, "dull and far too long"]
    alone = [attribute(model, vocabulary, trained, [text], LABELS, orders=3) for text in texts]
    both = attribute(model, vocabulary, trained, texts, LABELS, orders=3)
    assert both.texts == 2
    for name in ("leave_one_out", "gate", "integrated_gradients"):
        np.testing.assert_allclose(
            getattr(both, name), np.mean([getattr(one, name) for one in alone], axis=0), atol=1e-5
        )
    assert [one.texts for one in both.curves] == [1, 1]
    assert both.deletion[0] == pytest.approx(np.mean([one.deletion[0] for one in alone]), abs=1e-5)
    assert len(both.deletion_null) == 3
    assert "to 2 texts" in both.conclusion
    assert both.completeness == max(one.completeness for one in alone)


def test_every_part_is_said_as_it_starts(tiny):
    model, vocabulary = tiny
    said, vectors = [], np.ones((2, vocabulary.dimension), np.float32)
    attribute(
        model,
        vocabulary,
        SoftPrompt(vectors, "short"),
        ["a film", "a meal"],
        ("good", "bad"),
        orders=1,
        progress=said.append,
    )
    assert said[:3] == [
        "short, text 1 of 2: leaving out each of 2 tokens",
        "short, text 1 of 2: integrated gradients",
        "short, text 2 of 2: leaving out each of 2 tokens",
    ]
    assert said[4:] == [
        f"short, text {number} of 2: deletion and insertion, compared with 1 random order"
        for number in (1, 2)
    ]


def test_what_cannot_be_asked_is_named(model, vocabulary, trained):
    with pytest.raises(DataError, match="found the label 'mixed'; expected one of negative, positive"):
        attribute(model, vocabulary, trained, [TEXT], LABELS, label="mixed")
    with pytest.raises(DataError, match="found no texts; expected at least one"):
        attribute(model, vocabulary, trained, [], LABELS)
    with pytest.raises(DataError, match="texts: found the text 'a film'; expected a list"):
        attribute(model, vocabulary, trained, "a film", LABELS)
    with pytest.raises(DataError, match="found the label good; expected at least two different ones"):
        attribute(model, vocabulary, trained, [TEXT], ("good",))
    with pytest.raises(ExplorerError, match="found 0 random orders; expected at least 1"):
        attribute(model, vocabulary, trained, [TEXT], LABELS, orders=0)
    with pytest.raises(PromptError, match="vectors of width 3"):
        attribute(
            model,
            vocabulary,
            SoftPrompt(np.ones((2, 3), np.float32), "narrow", Origin(format="planted")),
            [TEXT],
            LABELS,
        )


def test_leaving_out_alone_is_the_same_and_asks_the_model_once_a_token(
    model, vocabulary, trained, result, monkeypatch
):
    rows = []
    scores = _Question.scores
    monkeypatch.setattr(
        _Question,
        "scores",
        lambda self, prompts, keep: rows.append(len(prompts)) or scores(self, prompts, keep),
    )
    quick = left_out(model, vocabulary, trained, TEXT, LABELS)
    assert sum(rows) == trained.length + 1
    assert quick.answer == result.answer
    np.testing.assert_allclose(quick.leave_one_out, result.leave_one_out, atol=1e-5)
    assert quick.probability == pytest.approx(result.deletion[0], abs=1e-5)
    assert quick.to_frame()["leave_one_out"].tolist() == quick.leave_one_out.tolist()
    with pytest.raises(DataError, match="label"):
        left_out(model, vocabulary, trained, TEXT, ("good",))


class Steep:
    """One token of two dimensions whose answer jumps by `height` at 0.6 of the path, over a `width`."""

    def __init__(self, height: float, width: float):
        self.height, self.width, self.asked = height, width, 0

    def gradients(self, prompts, answer):
        self.asked += len(prompts)
        x = ((prompts.mean(axis=(1, 2), dtype=np.float64) - 0.6) / self.width).clip(-500, 500)
        slope = self.height / (1 + np.exp(-x)) * (1 - 1 / (1 + np.exp(-x))) / self.width / 2
        return self.height / (1 + np.exp(-x)), np.repeat(slope, 2).reshape(-1, 1, 2)


@pytest.mark.parametrize(
    ("width", "holds", "asked"), [(0.1, True, 50), (0.0004, True, 2034), (1e-5, False, 2034)]
)
def test_a_steep_path_gets_more_steps_and_is_marked_where_they_do_not_help(width, holds, asked):
    """Faults: 256 steps whatever the error; panels that do not tile the path; an error that nobody sees."""
    question = Steep(3.0, width)
    integrated, error = _integrated(question, np.ones((1, 2)), np.zeros((1, 2)), 0)
    assert question.asked <= asked
    assert (error <= HOLDS) == holds
    if holds:
        assert integrated.sum() == pytest.approx(3, rel=HOLDS)


def test_integrated_gradients_that_do_not_hold_are_marked_and_left_out(result):
    assert result.holds
    assert "Integrated" not in result.conclusion
    doubtful = replace(result, completeness=1.14)
    assert doubtful.conclusion.startswith(result.conclusion)
    assert "left out: they miss 114%" in doubtful.conclusion
    assert set(doubtful.to_frame()) - set(result.to_frame()) == {"completeness_error"}
    figures = [attribution_figure(one, ["a"] * 20, "integrated_gradients") for one in (result, doubtful)]
    assert ["do not hold" in figure.layout.yaxis.title.text for figure in figures] == [False, True]
