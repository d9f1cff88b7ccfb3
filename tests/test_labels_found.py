"""Labels found while training: planted paths, and words as frequent as a control."""

from dataclasses import replace

import numpy as np
import pytest

from explorer.analysis.labels_found import labels_found
from explorer.formats import read_prompt
from explorer.prompt import SoftPrompt
from explorer.session import Session


@pytest.fixture(scope="module")
def trained():
    return read_prompt("sentiment/random-2")


def with_path(prompt: SoftPrompt, path: np.ndarray) -> SoftPrompt:
    """The prompt with other vectors at its saved steps, the last of them its own."""
    trajectory = replace(prompt.trajectory, vectors=path, steps=np.arange(len(path)) * 10)
    origin = replace(prompt.origin, rows=None)
    return replace(prompt, vectors=path[-1], trajectory=trajectory, origin=origin)


def test_a_planted_token_that_passes_a_label_found_it_and_one_that_began_there_did_not(vocabulary, trained):
    path = np.repeat(np.random.default_rng(0).standard_normal((1, 4, 256)).astype(np.float32), 3, axis=0)
    negative, positive = vocabulary.label_vectors(["negative", "positive"], trained.origin.template)
    path[1, 2] = positive  # it passes the label and leaves again
    path[:, 3] = negative  # it began there
    result = labels_found(with_path(trained, path), vocabulary)
    assert result.tokens == (2,)
    assert result.to_frame().to_dict("records") == [
        {"prompt": trained.name, "position": 2, "label": "positive", "step": 10}
    ]
    assert result.p == pytest.approx(1 / 101)
    assert result.conclusion.startswith(
        "1 of 4 tokens found a label while trained (positive); words as frequent:"
    )


def test_words_as_frequent_count_as_labels_do(vocabulary, trained):
    """A prompt that wanders through all words near in frequency finds its labels no more than those."""
    ids = vocabulary.label_ids(["negative"], trained.origin.template)[0]
    near = vocabulary.searchable_ids[
        np.argsort(np.abs(vocabulary.searchable_ids - ids[0]), kind="stable")[:40]
    ]
    path = np.random.default_rng(0).standard_normal((41, 2, 256)).astype(np.float32)
    path[1:, 0] = vocabulary.embedding[near]
    result = labels_found(with_path(trained, path), vocabulary)
    assert result.tokens == (0,)
    assert not result.found
    assert result.p > 0.3


def test_the_bundled_prompt_found_its_labels_and_its_verdict_says_so(trained):
    from explorer.report.findings import findings

    session = Session([trained])
    (result,) = session.labels_found()
    assert len(result.tokens) == 11
    assert result.found
    (finding,) = findings(session)
    assert "11 of 20 tokens found negative and positive while trained" in finding.conclusion


def test_without_saved_steps_nothing_is_said(vocabulary, trained):
    result = labels_found(replace(trained, trajectory=None), vocabulary)
    assert not result.found
    assert np.isnan(result.p)
    assert result.conclusion.startswith("No training steps are saved")
    assert result.summary_frame().saved_steps[0] == 0
