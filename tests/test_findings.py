"""What a prompt learned in ten seconds: reading and learning are told apart, and neither is claimed without
evidence.
"""

from dataclasses import replace

import numpy as np
import pytest

from explorer.prompt import Evaluation, Origin, SoftPrompt, Trajectory
from explorer.report.findings import findings
from explorer.session import Session


def origin(vocabulary, dev=0.8, alone=0.5, texts=500):
    """A record of a prompt that reached `dev`."""
    history = (Evaluation(0, None, alone), Evaluation(9, 0.1, dev))
    record = Origin(
        base_model=vocabulary.name,
        base_fingerprint=vocabulary.fingerprint,
        step=9,
        history=history,
        without_prompt=alone,
    )
    return replace(record, data={"dev": {"examples": texts}})


@pytest.fixture(scope="module")
def words(vocabulary):
    """Rows of twenty common words: a prompt that reads."""
    return vocabulary.embedding[vocabulary.searchable_ids[200:220]]


@pytest.fixture(scope="module")
def noise(vocabulary):
    """Twenty random directions: a prompt that does not."""
    return np.random.default_rng(5).normal(size=(20, vocabulary.dimension)).astype(np.float32)


def test_reading_and_learning_are_four_findings(vocabulary, words, noise):
    made = {
        "read, learned": SoftPrompt(words, "a", origin(vocabulary)),
        "read only": SoftPrompt(words, "b", origin(vocabulary, 0.51)),
        "learned only": SoftPrompt(noise, "c", origin(vocabulary)),
        "neither": SoftPrompt(noise, "d", origin(vocabulary, 0.51)),
    }
    found = dict(zip(made, findings(Session(list(made.values()))), strict=True))
    assert [(one.reads, one.learned) for one in found.values()] == [
        (True, True),
        (True, False),
        (False, True),
        (False, False),
    ]
    assert found["read, learned"].conclusion == "Reads as words; +30 points over no prompt."
    assert found["read only"].conclusion == "Reads as words; no gain over no prompt that 500 texts can show."
    assert found["learned only"].conclusion == "Reads as noise; +30 points over no prompt."
    assert found["neither"].conclusion == "Reads as noise; no gain over no prompt that 500 texts can show."
    assert found["read, learned"].grouped > 10
    assert found["learned only"].grouped <= 2
    row = found["read, learned"].to_frame().iloc[0]
    assert (row.prompt, row.accuracy, row.start, row.without_prompt, row.tokens) == ("a", 0.8, 0.5, 0.5, 20)
    assert row.gain == pytest.approx(0.3)


def test_few_texts_show_nothing_and_an_unrecorded_gain_is_not_guessed(vocabulary, noise):
    few = SoftPrompt(noise, "few", origin(vocabulary, 0.6, 0.5, texts=40))
    bare = SoftPrompt(noise, "bare", Origin(base_model=vocabulary.name))
    first, second = findings(Session([few, bare]))
    assert first.learned is False
    assert second.learned is None
    assert second.conclusion == "Reads as noise; what it learned is not recorded."
    assert np.isnan(second.to_frame()["gain"].astype(float)[0])


def test_words_that_were_there_before_training_are_said_to_be(vocabulary, words):
    trajectory = Trajectory(np.stack([words, words + np.float32(0.01)]), np.array([0, 9]))
    prompt = SoftPrompt(trajectory.vectors[1], "kept", origin(vocabulary, 0.51), trajectory)
    (found,) = findings(Session([prompt]))
    assert found.inherited == found.grouped > 10
    assert found.conclusion.endswith("; its words are those it began with.")


def test_a_whole_prompt_without_a_single_significant_token_does_not_read(vocabulary, words):
    (found,) = findings(Session([SoftPrompt(words, "words", origin(vocabulary))]))
    assert found.reads
    assert not replace(found, grouped=0).reads
    assert not replace(found, p=0.06).reads


def test_words_of_grouped_tokens_come_first_and_none_twice(vocabulary, words, noise):
    vectors = np.concatenate([noise[:4], words[:3], words[:1]])
    (found,) = findings(Session([SoftPrompt(vectors, "mixed", origin(vocabulary))]))
    grouped = [one.grouped for one in found.words]
    assert grouped == sorted(grouped, reverse=True)
    assert len({one.word for one in found.words}) == len(found.words)
    assert {one.position for one in found.words if one.grouped} <= {4, 5, 6, 7}


def test_tokens_of_zeros_have_no_words(vocabulary):
    (found,) = findings(
        Session(
            [
                SoftPrompt(
                    np.zeros((2, vocabulary.dimension), np.float32),
                    "zeros",
                    Origin(base_model=vocabulary.name),
                )
            ]
        )
    )
    assert found.words == ()
    assert not found.reads
