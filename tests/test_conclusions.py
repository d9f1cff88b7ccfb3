"""Every reading says what to conclude, first and in one sentence: on real prompts, on one token and on
zeros.
"""

import importlib
import pkgutil
import re

import numpy as np
import planted
import pytest

import explorer
from explorer.analysis.hubness import hubness
from explorer.context import Settings
from explorer.evaluation.scoring import Predictions
from explorer.figures import Figure, map_figure
from explorer.formats import read_prompt
from explorer.prompt import RowSource
from explorer.report.tables import conclusions, in_short
from explorer.results import Readings, Result
from explorer.session import Session

BUNDLED = ("sentiment/class-label-0", "subjectivity/random-1")
PARTS = {"Placement"}
"""results that are shown as a part of another only"""
LABELS = ("negative", "positive")


def every_result() -> set[type[Result]]:
    """All classes of results that the package defines."""
    for module in pkgutil.walk_packages(explorer.__path__, "explorer."):
        if module.name.startswith(("explorer.analysis", "explorer.evaluation")):
            importlib.import_module(module.name)
    return {one for one in Result.__subclasses__() if one.__module__.startswith("explorer.")}


def is_one_sentence(text: str) -> bool:
    """Not empty, on one line, ended, nothing unknown in it, and no p or q to understand."""
    return bool(re.fullmatch(r"\S.*\.", text)) and not re.search(
        r"\bnan\b|\binf\b|[.!?] [A-Z]|\b[pq] [=≤0-9]|  ", text
    )


def test_every_result_has_a_conclusion():
    without = {one.__name__ for one in every_result() if "conclusion" not in vars(one)}
    assert without <= PARTS
    with pytest.raises(TypeError, match="Bare has no conclusion"):
        type("Bare", (Result,), {})().conclusion  # noqa: B018


def test_what_is_no_sentence_is_found():
    for bad in (
        "",
        "no end",
        "Two. Sentences.",
        "two\nlines.",
        "nan of 4 tokens.",
        "near (p 0.03).",
        "p ≤ 0.05.",
    ):
        assert not is_one_sentence(bad)


@pytest.fixture(scope="module")
def prompts(vocabulary):
    """Bundled prompts, a prompt of one token, of zeros, of one zero among words."""
    words, rows = vocabulary.embedding[vocabulary.searchable_ids[[700, 900]]], (RowSource(label="positive"),)
    zeros = np.zeros((3, vocabulary.dimension), np.float32)
    return [
        *map(read_prompt, BUNDLED),
        planted.trained(words[:1], words[1:], rows, labels=LABELS),
        planted.prompt(zeros, "planted/zeros", labels=LABELS),
        planted.prompt(np.concatenate([words, zeros[:1]]), "planted/mixed", labels=LABELS),
    ]


@pytest.fixture(scope="module")
def session(prompts):
    """The prompts with few random vectors."""
    return Session(prompts, settings=Settings(k=5, nulls=100, labels=LABELS))


@pytest.mark.parametrize("reading", ["neighbors", "clusters", "decompose", "labels", "norms"])
def test_each_reading_of_vectors_says_one_sentence_a_prompt(reading, session):
    found = getattr(session, reading)()
    assert [name for name, sentence in found.conclusions.items() if not is_one_sentence(sentence)] == []
    assert list(found.conclusions) == [prompt.name for prompt in session.prompts]
    assert found.conclusion.splitlines() == [f"{one.prompt}: {one.conclusion}" for one in found]
    assert "zero" in found["planted/zeros"].conclusion or reading == "norms"
    assert (
        reading == "norms"
        or "1 token of zeros has no" in found["planted/mixed"].conclusion
        or reading == "decompose"
    )


@pytest.mark.parametrize("metric", ["whitened", "dot", "l2", "csls"])
def test_neighbors_by_every_metric_say_it(metric, session):
    found = session.change(metric=metric).neighbors()
    assert all(map(is_one_sentence, found.conclusions.values()))
    assert ("depends on a token's length" in found[0].conclusion) == (metric in ("dot", "l2"))


def test_joint_readings_say_one_sentence(session, vocabulary):
    for one in (
        session.map(),
        session.only("planted/zeros").map(),
        session.compare(),
        session.compare("prompt"),
        hubness(vocabulary),
    ):
        assert is_one_sentence(one.conclusion), one.conclusion
    trained = session.only(*(prompt.name for prompt in session.prompts if prompt.trajectory is not None))
    assert all(map(is_one_sentence, trained.changes().conclusions.values()))
    assert trained.changes()["planted/trained"].conclusion == (
        "0 of 1 token of the kept prompt (of step 100) is still nearest to the piece that it began "
        "nearest to (1 change of nearest piece, the last seen at "
        "step 100; 2 saved steps)."
    )
    for prompt in session.prompts:
        assert is_one_sentence(in_short(prompt))
        assert all(map(is_one_sentence, conclusions(session.only(prompt.name)).values()))


def test_answers_say_it():
    probabilities = np.array([[[0.9, 0.1], [0.2, 0.8]], [[0.7, 0.3], [0.6, 0.4]]], np.float32)
    answers = Predictions(("a", "b"), ("x", "y"), LABELS, probabilities, None)
    assert answers.conclusion == "Answers: negative 3, positive 1; both agree on 1 of 2 texts."

    def of_one_text(**sure: float) -> str:
        """What is said of prompts that give the first label this probability."""
        shares = np.array([[[share, 1 - share]] for share in sure.values()], np.float32)
        return Predictions(
            tuple(name.replace("_", " ") for name in sure), ("x",), LABELS, shares, None
        ).conclusion

    assert of_one_text(a=0.9) == "a answers negative (probability 0.90)."
    assert of_one_text(no_prompt=0.2) == "Without a prompt the model answers positive (probability 0.80)."
    assert (
        of_one_text(a=0.9, no_prompt=0.8)
        == "a answers negative (probability 0.90); so does the model without a prompt (0.80)."
    )
    assert of_one_text(a=0.9, b=0.7, no_prompt=0.2) == (
        "Both prompts answer negative (probability 0.70 to 0.90); the model answers positive without "
        "a prompt (0.80)."
    )
    assert of_one_text(a=0.9, b=0.7, c=0.1) == "The 3 prompts do not agree: negative 2 and positive 1."


def test_the_map_names_the_groups_that_the_cluster_test_finds(session):
    """The verdict is that of `clusters`, token by token; the figure writes it."""
    reading, figure = session.map(), None
    for placement, found in zip(reading.placements, session.clusters(), strict=False):
        expected = tuple(
            words if significant else ()
            for words, significant in zip(found.groups, found.significant, strict=True)
        )
        assert placement.groups == expected
        assert placement.to_frame()["group"].tolist() == [", ".join(words) for words in expected]
    grouped = [placement for placement in reading.placements if any(placement.groups)]
    assert grouped, "two real words lie among words that belong together"
    figure = map_figure(reading.map, session.vocabulary, reading.placements)
    assert isinstance(figure, Figure)
    first = next(words for words in grouped[0].groups if words)
    assert any(first[0] in str(note.text) for note in figure.layout.annotations)
    told = [text for trace in figure.data if trace.hovertext is not None for text in trace.hovertext]
    assert sum("among" in text for text in told) == sum(map(bool, sum((one.groups for one in grouped), ())))


def test_readings_of_no_prompt_conclude_nothing():
    assert Readings([]).conclusion == ""
