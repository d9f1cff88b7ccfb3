"""Answers that are kept: equal to computed ones, and never stale."""

from dataclasses import replace

import numpy as np
import pytest

from explorer.cached.kept import KeptModel, Question, Shipped
from explorer.context import LocalLoader
from explorer.evaluation.scoring import evaluate
from explorer.formats import read_prompt
from explorer.session import Session
from explorer.texts.tasks import Task
from research.kept_answers import Keeping

LABELS = ("negative", "positive")
TASK = Task(
    ("a good film", "an awful meal", "a happy end"), ("positive", "negative", "positive"), LABELS, "texts"
)
OPTIONS = (1, "two", TASK)


@pytest.fixture(scope="module")
def prompts(tiny):
    """Two prompts of the tiny model."""
    from explorer.prompt import Origin, SoftPrompt

    draw = np.random.default_rng(0)
    return [
        SoftPrompt(
            draw.standard_normal((3, 16)).astype(np.float32),
            f"p{n}",
            Origin(task="t", labels=LABELS, base_model=str(tiny.folder)),
        )
        for n in (0, 1)
    ]


class Loading(LocalLoader):
    """A loader with answers kept in a folder; counts how often the model is asked for."""

    def __init__(self, of, folder):
        super().__init__(device="cpu")
        self.of, self.folder, self.asked = of, folder, 0
        self.kinds = {}

    def kept(self, vocabulary):
        return self.kinds.setdefault(vocabulary.name, self.of(vocabulary.path, self.folder))

    def frozen(self, model):
        self.asked += 1
        return super().frozen(model)


def readings(prompts, loader):
    """Everything that can be kept, computed by one session."""
    session = Session(prompts, loader=loader)
    return {
        "ensemble": session.ensemble(TASK).probabilities,
        "shift": np.array(
            [one.right for one in session.shift((TASK, TASK), no_prompt=True, generate=False).answered]
        ),
        "faithfulness": np.concatenate(
            [one.probabilities for result in session.faithfulness(TASK) for one in result.readings]
        ),
        "clusters": np.stack([one.statistic for one in session.clusters()]),
        "groups": np.array([len(groups) for groups in session.significant_groups()]),
        "attribution": np.stack(
            [one.integrated_gradients for one in session.attribution("a good film", orders=100)]
        ),
    }


def test_what_is_kept_is_what_was_computed_and_no_model_is_loaded_for_it(prompts, tmp_path):
    keeping = Loading(Keeping, tmp_path)
    made = readings(prompts, keeping)
    for kept in keeping.kinds.values():
        kept.save()
    plain = readings(prompts, LocalLoader(device="cpu"))
    reader = Loading(Shipped, tmp_path)
    found = readings(prompts, reader)
    assert reader.asked == 0
    for name in plain:
        np.testing.assert_array_equal(found[name], made[name], name)
        np.testing.assert_allclose(found[name], plain[name], atol=1e-6, err_msg=name)
    session = Session(prompts, loader=reader)
    assert session.kept("ensemble", TASK)
    assert session.kept("faithfulness", TASK)
    assert session.kept("attribution", "a good film")
    assert not session.kept("attribution", "another film")
    assert not session.change(seed=1).kept("faithfulness", TASK)


def test_a_result_says_the_same_when_it_was_kept(prompts, tmp_path):
    keeping = Loading(Keeping, tmp_path)
    session = Session(prompts, loader=keeping)
    made, grouped, repeats = session.faithfulness(TASK)[1], session.clusters()[0], session.redundancy()[0]
    for kept in keeping.kinds.values():
        kept.save()
    session = Session(prompts, loader=Loading(Shipped, tmp_path))
    found = session.faithfulness(TASK)[1]
    assert session.clusters()[0].conclusion == grouped.conclusion
    assert session.clusters()[0].to_frame().equals(grouped.to_frame())
    assert session.redundancy()[0].conclusion == repeats.conclusion
    assert session.redundancy()[0].to_frame().equals(repeats.to_frame())
    assert found.conclusion == made.conclusion
    assert found.to_frame().equals(made.to_frame())
    assert found.task == made.task


@pytest.fixture
def kept(tiny, prompts, tmp_path):
    """One array kept of the tiny model."""
    keeping = Keeping(tiny.folder, tmp_path)
    keeping.answer(Question("kind", prompts[0], OPTIONS), np.ndarray, lambda: np.arange(3.0))
    keeping.save()
    return Shipped(tiny.folder, tmp_path)


def found(kept, kind, prompt, options=OPTIONS):
    """Whether something is found; if not it is made."""
    question = Question(kind, prompt, options)
    value = kept.answer(question, np.ndarray, lambda: np.zeros(1))
    assert kept.has(question) == (len(value) == 3)
    return len(value) == 3


def test_another_kind_prompt_start_text_or_number_is_computed_anew(kept, prompts):
    first = prompts[0]
    assert found(kept, "kind", first)
    assert found(kept, "kind", replace(first, vectors=first.vectors.copy()))
    assert not found(kept, "other", first)
    assert not found(kept, "kind", None)
    assert not found(kept, "kind", replace(first, vectors=first.vectors + np.float32(1e-6)))
    for options in (
        (2, "two", TASK),
        (1, "two", replace(TASK, texts=("a good film!", *TASK.texts[1:]))),
        (1, "two", replace(TASK, labels=LABELS[::-1])),
    ):
        assert not found(kept, "kind", first, options)


def test_another_model_of_the_same_name_is_asked_anew(kept, tiny, prompts, tmp_path):
    import shutil

    copy = tmp_path / "models" / tiny.folder.name
    shutil.copytree(tiny.folder, copy)
    assert found(Shipped(copy, tmp_path), "kind", prompts[0])
    config = copy / "config.json"
    config.write_text(config.read_text().replace('"dropout_rate": 0.1', '"dropout_rate": 0.2'))
    assert not found(Shipped(copy, tmp_path), "kind", prompts[0])


@pytest.mark.parametrize("content", [b"", b"no msgpack", b"\x81\xa1x"])
def test_a_damaged_file_is_no_file(kept, tiny, prompts, content):
    kept.file.write_bytes(content)
    assert not found(Shipped(tiny.folder, kept.file.parent), "kind", prompts[0])


def test_what_is_not_asked_again_is_dropped(kept, tiny, prompts):
    keeping = Keeping(tiny.folder, kept.file.parent)
    keeping.answer(Question("new", None, ()), np.ndarray, lambda: np.zeros(2))
    keeping.save()
    assert not found(Shipped(tiny.folder, kept.file.parent), "kind", prompts[0])
    assert (keeping.made, keeping.found) == (1, 0)


def test_only_prompts_that_are_missing_are_run(tiny, prompts, tmp_path):
    keeping = Keeping(tiny.folder, tmp_path)
    KeptModel(keeping, lambda: tiny).label_probabilities([prompts[0]], TASK.texts, LABELS)
    keeping.save()
    asked = []

    class Watched:
        """Notes which prompts are run."""

        def label_probabilities(self, given, *rest):
            asked.extend(given)
            return tiny.label_probabilities(given, *rest)

    model, done = KeptModel(Shipped(tiny.folder, tmp_path), Watched), []
    scores = model.label_probabilities(
        [prompts[1], prompts[0], None, prompts[1]], TASK.texts, LABELS, done.append
    )
    assert asked == [prompts[1], None, prompts[1]]
    assert sum(done) == 4 * len(TASK)
    np.testing.assert_allclose(
        scores,
        tiny.label_probabilities([prompts[1], prompts[0], None, prompts[1]], TASK.texts, LABELS),
        atol=1e-6,
    )
    assert (
        evaluate(model, prompts, TASK, generate=False).accuracy
        == evaluate(tiny, prompts, TASK, generate=False).accuracy
    )


def test_a_written_prompt_is_known_again(tiny, prompts, tmp_path):
    """Its vectors come back bit by bit."""
    keeping = Keeping(tiny.folder, tmp_path)
    keeping.answer(Question("kind", prompts[0], OPTIONS), np.ndarray, lambda: np.arange(3.0))
    keeping.save()
    prompts[0].save(tmp_path / "prompts" / "p0")
    assert found(Shipped(tiny.folder, tmp_path), "kind", read_prompt(tmp_path / "prompts" / "p0"))
