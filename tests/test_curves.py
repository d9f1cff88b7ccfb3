"""Deletion and insertion: false alarms where the answer is a random function of the mask, power where tokens
matter, and what each text is ordered by.
"""

import numpy as np
import pytest

from explorer.analysis.nulls import cauchy_combination
from explorer.evaluation.curves import curves, leave_one_out
from research.answering import (
    additive_answer,
    own_tokens,
    random_answer,
    random_for_all,
    random_for_each,
    rejections,
    same_tokens,
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "texts"), [(random_for_each, 1), (random_for_each, 10), (random_for_all, 4)]
)
def test_false_alarms_are_five_in_a_hundred(make, texts):
    """When the order was tested on the texts it came from: 11 in a hundred for one text, 41 for ten."""
    found = rejections(make, texts, draws=500, seed=3)
    assert (found >= 0.03).all()
    assert (found <= 0.07).all()


def test_an_order_of_other_texts_finds_nothing_where_each_has_its_own_tokens():
    assert (rejections(own_tokens, 4, draws=200, seed=1) <= 0.09).all()


@pytest.mark.parametrize("texts", [1, 4])
def test_tokens_that_matter_are_found(texts):
    assert (rejections(same_tokens, texts, draws=60, seed=1) >= 0.7).all()


def test_one_half_is_ordered_by_the_other():
    """Token 0 matters in the first half, token 1 in the other; each text is asked with the other's token
    masked first.
    """
    masked_first = {}

    def asked(number: int, keep: np.ndarray) -> np.ndarray:
        masked_first[number] = np.flatnonzero(~keep[1])
        return np.zeros(len(keep))

    left_out = np.eye(4)[[0, 1]]
    curves([lambda keep: asked(0, keep), lambda keep: asked(1, keep)], left_out, orders=1)
    assert masked_first == {0: [1], 1: [0]}


def test_masks_that_leave_one_out_used_are_not_in_the_area():
    """An answer that falls as soon as anything at all is masked, one token or more, says nothing of any
    order.
    """
    quiet = np.log([0.9, 0.1, 0.5])

    def answer(keep: np.ndarray) -> np.ndarray:
        seen = keep.sum(axis=1)
        return np.where(seen == 6, quiet[0], np.where(seen == 5, quiet[1], quiet[2]))

    (found,) = curves([answer], leave_one_out(answer, 6)[None], orders=19)
    assert found.deletion == pytest.approx([0.9, 0.1, 0.5, 0.5, 0.5, 0.5, 0.5])
    assert found.deletion_areas == pytest.approx(np.full(20, 0.5))
    assert (found.deletion_p, found.insertion_p) == (1, 1)


def test_leave_one_out_of_additive_effects_orders_them():
    effects = np.array([0.5, 3.0, 0.0, 1.0])
    answer = additive_answer(effects, random_answer(1), 0.0)
    assert np.argsort(-leave_one_out(answer, 4)).tolist() == [1, 3, 0, 2]


def test_two_tokens_leave_nothing_to_test():
    (found,) = curves([random_answer(0)], leave_one_out(random_answer(0), 2)[None], orders=5)
    assert np.isnan([found.deletion_p, found.insertion_p]).all()


def test_combined_p_of_one_repeated_is_itself():
    assert cauchy_combination(np.array([0.03, 0.03]), 99) == pytest.approx(0.03)
    assert 0.01 < cauchy_combination(np.array([0.01, 0.5]), 99) < 0.03
    assert 0.01 < cauchy_combination(np.array([0.01, 1.0, 0.01]), 99) < 0.1, "one p of 1 is not the last word"
    assert np.isnan(cauchy_combination(np.array([0.01, np.nan]), 99))
    drawn = np.random.default_rng(0).integers(1, 101, (4000, 2)) / 100
    assert np.mean([cauchy_combination(pair, 99) <= 0.05 for pair in drawn]) == pytest.approx(0.047, abs=0.01)
