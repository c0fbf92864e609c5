"""Differential elicitation and means over shifts: intervals against the delta method, and how often they hold."""

import math

import numpy as np
import pytest
from scipy import stats

from genies.metrics.elicitation import resampled_elicitation
from genies.metrics.intervals import percentile_interval
from genies.metrics.resampling import ExampleSums
from genies.metrics.shift_means import ShiftFigure, by_sample, interval_over_shifts, mean_over_shifts


def answers(right: np.ndarray) -> ExampleSums:
    return ExampleSums(np.arange(right.size), right.astype(float), np.ones(right.size))


@pytest.mark.parametrize("on_target", [True, False])
def test_elicitation_varies_as_the_delta_method_says(on_target) -> None:
    draw = np.random.default_rng(0)
    n = 2_000
    skill = draw.random(n)
    g, b, c = (skill + draw.normal(0, 0.3, n) > level for level in (0.4, 0.6, 0.2))
    drawn = resampled_elicitation(answers(g), answers(b), answers(c), on_target, resamples=8_000)
    means = g.mean(), b.mean(), c.mean()
    gradient = np.array([1 / means[2], -1 / means[2], -(means[0] - means[1]) / means[2] ** 2])
    covariance = np.cov([g, b, c]) / n
    if not on_target:
        covariance[2, :2] = covariance[:2, 2] = 0
    assert drawn.std() == pytest.approx(math.sqrt(gradient @ covariance @ gradient), rel=0.05)
    assert drawn.mean() == pytest.approx((means[0] - means[1]) / means[2], abs=0.003)


def test_a_capability_that_may_be_nothing_has_no_elicitation() -> None:
    one_right = np.arange(10) == 0
    some = answers(np.arange(10) < 5)
    assert resampled_elicitation(some, some, answers(one_right), True) is None


def test_elicitation_intervals_hold_the_truth_as_often_as_they_say() -> None:
    draw = np.random.default_rng(3)
    held = 0
    for _ in range(400):
        skill = draw.random((100, 1))
        right = skill + draw.normal(0, 0.3, (100, 3)) > [0.4, 0.6, 0.2]
        drawn = resampled_elicitation(*map(answers, right.T), True, resamples=1_000)
        interval = percentile_interval(drawn, 100, "")
        held += interval.low <= TRUE_ELICITATION <= interval.high
    assert 0.92 <= held / 400 <= 0.98


def _chance(level: float) -> float:
    grid = np.linspace(0, 1, 20_001)
    return float(np.mean(stats.norm.sf((level - grid) / 0.3)))


TRUE_ELICITATION = (_chance(0.4) - _chance(0.6)) / _chance(0.2)


def drawn_figure(truth: float, examples: int, draw: np.random.Generator, seeds: int = 1) -> ShiftFigure:
    estimates = draw.binomial(examples, truth, size=seeds) / examples
    return ShiftFigure(estimates, draw.binomial(examples, estimates[:, None], size=(seeds, 500)) / examples, examples)


def test_intervals_over_shifts_hold_the_mean_of_all_shifts_as_often_as_they_say() -> None:
    """Shifts drawn from a population of shifts whose accuracies are spread around 0.6."""
    draw = np.random.default_rng(5)
    held = 0
    for _ in range(400):
        truths = draw.beta(3, 2, size=15)
        interval = interval_over_shifts([drawn_figure(truth, 250, draw) for truth in truths])
        held += interval.low <= 0.6 <= interval.high
    assert 0.92 <= held / 400 <= 0.98


def test_few_shifts_are_not_drawn_and_the_interval_is_about_them() -> None:
    draw = np.random.default_rng(6)
    held, widths = 0, []
    for _ in range(300):
        truths = np.array([0.3, 0.6, 0.9])
        interval = interval_over_shifts([drawn_figure(truth, 100, draw) for truth in truths])
        held += interval.low <= truths.mean() <= interval.high
        widths.append(interval.high - interval.low)
    assert 0.91 <= held / 300 <= 0.985
    error = math.sqrt(np.sum(truths * (1 - truths)) / 100) / 3
    assert np.mean(widths) == pytest.approx(2 * 1.96 * error, rel=0.15)
    assert interval.method == "bootstrap over examples of these shifts"


def test_shifts_that_share_their_draws_do_not_move_hand_in_hand() -> None:
    """The same resamples on three shifts: the mean must vary by a root of three less than each."""
    one = np.random.default_rng(8).normal(0.5, 0.1, size=(1, 2_000))
    interval = interval_over_shifts([ShiftFigure(np.array([0.5]), one, 1_000)] * 3)
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * 0.1 / math.sqrt(3), rel=0.1)


def test_shifts_about_the_same_examples_are_no_more_evidence_than_one() -> None:
    draw = np.random.default_rng(9)
    one = draw.normal(0.5, 0.1, size=(1, 2_000))
    alone = interval_over_shifts([ShiftFigure(np.array([0.5]), one, 1_000)])
    shared = interval_over_shifts([ShiftFigure(np.array([0.5]), one, 1_000, sample="source")] * 9)
    assert (shared.low, shared.high) == pytest.approx((alone.low, alone.high))
    assert shared.method == "bootstrap over examples of these shifts"
    two = [ShiftFigure(np.array([value]), None, weight=weight, sample="t") for value, weight in ((0.2, 1), (0.8, 2))]
    (joined,) = by_sample(two)
    assert (joined.mean, joined.weight) == (pytest.approx(0.6), 3)


def test_seeds_widen_the_interval_when_they_differ() -> None:
    drawn = np.full((3, 2_000), 0.0)
    alike = ShiftFigure(np.array([0.5, 0.5, 0.5]), drawn + 0.5, 100)
    apart = ShiftFigure(np.array([0.4, 0.5, 0.6]), drawn + np.array([[0.4], [0.5], [0.6]]), 100)
    assert interval_over_shifts([alike]).high == interval_over_shifts([alike]).low == 0.5
    interval = interval_over_shifts([apart])
    assert interval.low < 0.45
    assert interval.high > 0.55
    assert "seeds" in interval.method
    assert mean_over_shifts([apart]) == pytest.approx(0.5)


def test_what_cannot_be_drawn_has_no_interval() -> None:
    number = ShiftFigure(np.array([0.5]), None)
    assert interval_over_shifts([number]) is None
    assert interval_over_shifts([number] * 3) is None
    over = interval_over_shifts([ShiftFigure(np.array([value]), None) for value in (0.2, 0.4, 0.5, 0.6, 0.8)])
    assert over.method == "bootstrap over shifts"
    assert over.low < 0.4 < 0.6 < over.high


def test_a_shift_that_counts_twice_is_twice_in_the_mean() -> None:
    once, twice = ShiftFigure(np.array([0.2]), None), ShiftFigure(np.array([0.8]), None, weight=2)
    assert mean_over_shifts([once, twice]) == pytest.approx(0.6)
