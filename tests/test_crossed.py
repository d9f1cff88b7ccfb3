"""Intervals over runs and texts, against the textbook where one of the two does not vary; and what an
interval lets one say.
"""

import numpy as np
import pytest
from scipy import stats

from explorer.evaluation.crossed import crossed_interval
from explorer.evaluation.verdict import verdict


def test_runs_alone_give_students_t():
    """Every text is answered alike, so only the runs differ."""
    runs = np.array([0.2, 0.5, 0.3])
    expected = stats.t.interval(0.95, 2, loc=runs.mean(), scale=stats.sem(runs))
    assert crossed_interval([[np.repeat(runs[:, None], 50, axis=1)]]) == pytest.approx(expected)


def test_texts_alone_give_students_t():
    """Every run answers alike: as one run does, of which nothing is known beside its texts."""
    texts = np.random.default_rng(0).random(40)
    expected = stats.t.interval(0.95, 39, loc=texts.mean(), scale=stats.sem(texts))
    assert crossed_interval([[np.tile(texts, (4, 1))]]) == pytest.approx(expected)
    assert crossed_interval([[texts[None]]]) == pytest.approx(expected)


def test_two_sets_of_texts_give_welchs_interval():
    generator = np.random.default_rng(1)
    first, second = generator.random(30), generator.random(12) * 2
    expected = stats.ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    assert crossed_interval([[first[None], -second[None]]], most=2) == pytest.approx(tuple(expected))


def test_more_seeds_narrow_it_and_their_spread_widens_it():
    generator = np.random.default_rng(2)

    def width(runs: int, deviation: float) -> float:
        offsets = deviation * stats.norm.ppf((np.arange(runs) + 0.5) / runs)
        low, high = crossed_interval(
            [[(generator.random((runs, 400)) < 0.5 + offsets[:, None]).astype(float)]]
        )
        return high - low

    assert width(3, 0.1) > 2 * width(3, 0)
    assert width(9, 0.1) < width(3, 0.1)


def test_limits_are_within_what_can_be_and_one_text_has_none():
    assert crossed_interval([[np.repeat([[1.0], [0.4]], 5, axis=1)]], least=0) == (0, 1)
    assert crossed_interval([[np.ones((3, 20))]]) == (1, 1)
    assert np.isnan(crossed_interval([[np.array([[1.0], [0.0]])]])).all()


@pytest.mark.parametrize(
    ("low", "high", "texts", "said"),
    [
        (0.001, 0.3, 50, "more"),
        (-0.3, -0.001, 50, "less"),
        (1.0, 1.0, 3, "open"),
        (1.0, 1.0, 4, "more"),
        (-0.25, -0.25, 12, "open"),
        (-0.019, 0.02, 1000, "equal"),
        (-0.021, 0.01, 1000, "open"),
        (0.0, 0.0, 149, "open"),
        (0.0, 0.0, 150, "equal"),
        (float("nan"), float("nan"), 1000, "open"),
    ],
)
def test_every_verdict_needs_enough_texts(low, high, texts, said):
    assert verdict(low, high, texts) == said
