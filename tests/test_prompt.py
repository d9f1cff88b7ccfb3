"""What a soft prompt may be, and what is said of one that is not."""

import numpy as np
import planted
import pytest

from explorer.errors import PromptError
from explorer.prompt import Evaluation, Origin, RowSource, SoftPrompt, Trajectory


def test_vectors_become_contiguous_single_precision():
    import ml_dtypes

    for dtype in (np.float16, np.float64, ml_dtypes.bfloat16):
        prompt = SoftPrompt(np.ones((4, 6), dtype)[:, ::2], "a", Origin("test"))
        assert prompt.vectors.dtype == np.float32
        assert prompt.vectors.flags.c_contiguous
        assert (prompt.length, prompt.dimension) == (4, 3)


@pytest.mark.parametrize("shape", [(3,), (2, 3, 4), (0, 4), (4, 0), ()])
def test_other_shapes_are_refused(shape):
    with pytest.raises(
        PromptError,
        match=r"a/b: found an array of shape .*; expected prompt tokens × embedding size, \[P, H\]",
    ):
        SoftPrompt(np.ones(shape, np.float32), "a/b", Origin("test"))


@pytest.mark.parametrize("dtype", [np.int64, bool, np.complex64, object])
def test_other_types_are_refused(dtype):
    with pytest.raises(PromptError, match="expected floating-point vectors"):
        SoftPrompt(np.ones((2, 3), dtype), "a", Origin("test"))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_values_that_are_not_finite_are_counted(value):
    vectors = np.ones((3, 4))
    vectors[1, 2] = value
    with pytest.raises(
        PromptError, match="1 of 3 prompt tokens hold NaN or infinity; training has probably diverged"
    ):
        SoftPrompt(vectors, "a", Origin("test"))


def test_a_trajectory_fits_its_prompt():
    first, last = np.zeros((2, 3), np.float32), np.ones((2, 3), np.float32)
    prompt = planted.trained(first, last)
    np.testing.assert_array_equal(prompt.initial, first)
    earlier = prompt.at(0)
    np.testing.assert_array_equal(earlier.vectors, first)
    assert (earlier.name, earlier.origin.step, earlier.trajectory) == ("planted/trained@0", 0, None)
    with pytest.raises(
        PromptError,
        match=r"shape \(4, 3\) with a trajectory of shape \(1, 2, 3\); expected \[P, H\] and \[S, P, H\]",
    ):
        SoftPrompt(np.ones((4, 3)), "a", Origin("test"), Trajectory(first[None], np.array([0])))


def test_a_prompt_without_a_trajectory_has_no_past():
    prompt = planted.prompt(np.ones((2, 3)))
    assert prompt.initial is None
    with pytest.raises(PromptError, match="planted/prompt has no saved trajectory"):
        prompt.at(0)


@pytest.mark.parametrize(
    ("vectors", "steps", "message"),
    [
        (
            np.ones((2, 3)),
            [0, 1],
            r"trajectory of shape \(2, 3\) with \(2,\) steps; expected \[S, P, H\] and \[S\]",
        ),
        (np.ones((2, 3, 4)), [0, 1, 2], r"with \(3,\) steps"),
        (np.ones((0, 3, 4)), [], "expected at least one step"),
        (np.ones((2, 3, 4)), [5, 5], "the steps 5, 5; expected ascending steps"),
        (np.full((2, 3, 4), np.nan), [0, 1], "trajectory holds NaN or infinity"),
    ],
)
def test_damaged_trajectories_are_refused(vectors, steps, message):
    with pytest.raises(PromptError, match=message):
        Trajectory(vectors, np.array(steps, np.int64))


def test_the_record_of_rows_has_one_for_each_token():
    with pytest.raises(
        PromptError, match="a: 3 prompt tokens, but the origin of 1 is recorded; expected one each"
    ):
        SoftPrompt(np.ones((3, 2)), "a", Origin("test", rows=(RowSource(),)))


def test_what_a_token_was_initialized_from():
    assert [str(row) for row in (RowSource(label="positive"), RowSource(piece="▁good"), RowSource())] == [
        "label positive",
        "▁good",
        "random",
    ]


def test_dev_accuracy_is_that_of_the_step_of_the_vectors():
    history = (
        Evaluation(0, None, 0.5),
        Evaluation(50, 1.0, 0.8),
        Evaluation(100, 0.9, 0.7),
        Evaluation(150, 0.9, None),
    )
    assert Origin("test", step=50, history=history).dev_accuracy == 0.8
    assert Origin("test", step=150, history=history).dev_accuracy is None
    assert Origin("test", step=None, history=history).dev_accuracy is None


def test_prompts_can_be_compared_and_kept_in_sets():
    one, two = planted.prompt(np.ones((2, 3))), planted.prompt(np.ones((2, 3)))
    assert one != two
    assert len({one, two, one}) == 2
