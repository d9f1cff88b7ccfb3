"""Labels among the decoder's first pieces: trained prompts bring their own task's, random prompts do not;
prompts are permuted, never tokens.
"""

import re
from dataclasses import replace
from itertools import permutations

import numpy as np
import planted
import pytest

from explorer.errors import DataError
from explorer.evaluation.decoder_reading import read_decoder
from explorer.evaluation.label_mass import ALL, DRAWS, LabelMass, relabelings
from explorer.formats import read_prompt

TASKS = {
    "sentiment": ("negative", "positive"),
    "subjectivity": ("objective", "subjective"),
    "question-type": ("entity", "human", "location", "number"),
}
STARTS = ("random", "class-label", "sampled-vocab")


@pytest.fixture(scope="module")
def trained():
    return [read_prompt(f"{task}/{start}-0") for task in TASKS for start in STARTS]


@pytest.fixture(scope="module")
def found(model, vocabulary, trained) -> LabelMass:
    return read_decoder(model, vocabulary, trained)[1]


def test_trained_prompts_bring_the_labels_of_their_own_task(found):
    frame = found.to_frame().set_index(["text", "task"])
    for text in ("", "mean of 4 texts"):
        rows = frame.loc[text]
        assert (rows["own"] > 0.5).all()
        assert (rows["others"] < 0.05).all()
        assert rows.loc[ALL, "p"] == rows.loc[ALL, "least_p"] == pytest.approx(1 / 1680)
        assert rows.loc[list(TASKS), "p"].tolist() == pytest.approx([1 / 84] * 3)
    assert (frame.loc["mean of 4 texts"].loc[list(TASKS), "without_prompt"] < 0.001).all()
    assert re.search(r"with probability 0\.[89]", found.conclusion)
    assert (
        "labels of other tasks with less than 0.001; a difference as large comes with p 0.0006"
        in found.conclusion
    )


def test_prompts_of_exchanged_tasks_bring_the_labels_of_others(found):
    frame = (
        replace(found, own=np.roll(found.own, 3)).to_frame().query("text != '<extra_id_0>'")
    )  # in a gap hardly any label is written
    assert (frame["difference"] < 0).all()
    assert (frame["p"] > 0.5).all()


def test_the_mass_is_that_of_the_labels_first_pieces(model, found, trained):
    frame = found.prompt_frame()
    assert list(frame) == ["prompt", "text", "task", "own", "labels", "pieces", "mass", "without_prompt"]
    assert len(frame) == 9 * 3 * 3
    assert frame["own"].sum() == 9 * 3
    prompt = trained[4]
    ids = sorted({model.label_ids(label)[0] for label in prompt.origin.labels})
    p, q = (np.exp(model.first_pieces([one], [""])[0, 0, ids]).sum() for one in (prompt, None))
    (row,) = frame[(frame["prompt"] == prompt.name) & (frame["text"] == "") & frame["own"]].to_dict("records")
    assert (row["mass"], row["without_prompt"]) == (pytest.approx(p, abs=1e-5), pytest.approx(q, abs=1e-5))


def test_p_is_that_of_every_exchange_counted_by_hand():
    generator = np.random.default_rng(5)
    own = np.array([0, 0, 1, 1, 2])
    mass = generator.random((5, 1, 3))
    frame = LabelMass(
        tuple("abcde"), ("",), ("x", "y", "z"), (("1", "2"),) * 3, ((),) * 3, own, mass, np.zeros((1, 3))
    ).to_frame()

    def difference(tasks, only=None):
        scores = [
            mass[n, 0, t] - np.delete(mass[n, 0], t).mean() for n, t in enumerate(tasks) if only in (None, t)
        ]
        return np.mean(scores)

    for row, only in enumerate((0, 1, 2, None)):
        counted = [
            difference(tasks, only) >= difference(own, only) - 1e-12 for tasks in permutations(own.tolist())
        ]
        assert frame["p"][row] == pytest.approx(np.mean(counted))
        assert frame["difference"][row] == pytest.approx(difference(own, only))
    assert frame["least_p"].tolist() == pytest.approx([1 / 10, 1 / 10, 1 / 5, 1 / 30])


def test_few_relabelings_are_all_and_many_are_drawn():
    given, exact = relabelings(np.array([1, 0, 1, 2]))
    assert exact
    assert len(given) == len(np.unique(given, axis=0)) == 12
    assert [1, 0, 1, 2] in given.tolist()
    assert (np.sort(given, axis=1) == [0, 1, 1, 2]).all()
    drawn, exact = relabelings(np.repeat([0, 1], 12), seed=3)
    assert not exact
    assert drawn.shape == (DRAWS, 24)
    np.testing.assert_array_equal(drawn, relabelings(np.repeat([0, 1], 12), seed=3)[0])


def test_random_prompts_are_called_as_often_as_asked(model, vocabulary, monkeypatch):
    """Prompts that know no task, given tasks at random: p ≤ .05 in about 5 % of 300 draws of nine, whichever
    test.
    """
    generator = np.random.default_rng(8)
    rows = vocabulary.searchable_ids
    prompts = [
        planted.prompt(
            vocabulary.embedding[generator.choice(rows, generator.integers(1, 9))], f"p{n}", labels=labels
        )
        for n, labels in zip(range(90), 30 * list(TASKS.values()), strict=True)
    ]
    whole = read_decoder(model, vocabulary, prompts, ["This is it."])[1]
    own = np.repeat([0, 1, 2], 3)
    given = relabelings(own)
    monkeypatch.setattr(
        "explorer.evaluation.label_mass.relabelings", lambda *_: given
    )  # the same in every draw
    p = []
    for _ in range(300):
        chosen = generator.choice(90, 9, replace=False)
        part = replace(
            whole,
            texts=whole.texts[:1],
            prompts=tuple(prompts[n].name for n in chosen),
            own=own,
            mass=whole.mass[chosen][:, :1],
        )
        p.append(part.to_frame()["p"].to_numpy())
    called = (np.array(p) <= 0.05).mean(axis=0)
    assert ((called > 0.02) & (called < 0.09)).all(), called


def test_one_task_has_the_mass_with_and_without_the_prompt(model, vocabulary, trained):
    alone = read_decoder(model, vocabulary, trained[3:4])[1]
    frame = alone.to_frame()
    assert frame["task"].tolist() == ["subjectivity"] * 3
    assert frame[["others", "difference", "p", "least_p"]].isna().all(axis=None)
    assert (frame["own"] > frame["without_prompt"]).all()
    assert "before 4 texts (without a prompt less than 0.001)" in alone.conclusion


def test_given_labels_are_one_task_of_all_prompts(model, vocabulary, trained):
    found = read_decoder(model, vocabulary, trained[:4], labels=["human", "number"])[1]
    assert found.tasks == ("human / number",)
    assert len(found.prompts) == 4
    with pytest.raises(DataError, match="has no piece in the vocabulary"):
        read_decoder(model, vocabulary, trained[:1], labels=["", "number"])


def test_prompts_without_labels_are_left_out_and_orders_are_one_task(model, vocabulary, trained):
    bare = planted.prompt(np.ones((2, vocabulary.dimension)), "bare")
    turned = replace(
        trained[0], name="turned", origin=replace(trained[0].origin, labels=("positive", "negative"))
    )
    renamed = replace(trained[3], name="renamed", origin=replace(trained[3].origin, task=None))
    found = read_decoder(model, vocabulary, [bare, trained[0], turned, renamed])[1]
    assert found.prompts == (trained[0].name, "turned", "renamed")
    assert found.tasks == ("sentiment", "objective / subjective")
    assert found.own.tolist() == [0, 0, 1]
    assert read_decoder(model, vocabulary, [bare])[1] is None
