"""Values of pairs are resampled together; each is the one that its own bootstrap gives."""

from __future__ import annotations

import numpy as np
import pytest

from genies.evaluation_file import Evaluation
from genies.metrics import rms_calibration_error
from genies.metrics.intervals import bootstrap_interval, mean_interval
from genies.metrics.resampling import resample_weights, resampled_means, sums_by_cluster
from genies.report.pair_values import EACH_PAIR, RESAMPLES, Draws, PairValues, pair_values

DRAW = np.random.default_rng(3)
P = DRAW.random(60)


@pytest.mark.parametrize("clusters", [list(range(60)), [number // 3 for number in range(60)], [*[0] * 12, *range(48)]])
def test_each_value_is_resampled_as_if_it_were_alone(clusters: list[int]) -> None:
    values = pair_values(Evaluation(eval_accuracy=0.5, eval_probabilities=P.tolist(), eval_prompt_clusters=clusters))
    assert values is not None
    weights = resample_weights(len(set(clusters)), RESAMPLES, 0)[:, np.array(clusters)]  # of each pair
    for name, of in EACH_PAIR.items():
        by_hand = (weights * of(P)).sum(axis=1) / weights.sum(axis=1)
        np.testing.assert_allclose(values.drawn(name), by_hand, rtol=1e-12, atol=1e-15)
        interval = bootstrap_interval(values.sums(name), values.drawn(name))
        alone = mean_interval(of(P), clusters)
        assert interval is not None
        assert alone is not None
        assert (interval.low, interval.high) == pytest.approx((alone.low, alone.high), abs=1e-12)


def test_evaluations_on_the_same_examples_are_drawn_together_as_each_alone() -> None:
    clusters = [number // 3 for number in range(60)]
    p = DRAW.random((40, 60))
    values = [PairValues(each.tolist(), clusters) for each in p]
    weights = resample_weights(20, RESAMPLES, 0)[:, np.array(clusters)]
    for each, evaluation in zip(p, values, strict=True):
        for name, of in EACH_PAIR.items():
            np.testing.assert_allclose(evaluation.drawn(name), weights @ of(each) / 60, rtol=1e-12, atol=1e-15)
    resamples = [np.repeat(p[20], row) for row in weights.astype(int)]
    squares = np.array([rms_calibration_error(each) ** 2 for each in resamples])
    without_noise = np.maximum(squares - squares.mean() + rms_calibration_error(p[20]) ** 2, 0)
    np.testing.assert_allclose(values[20].drawn_calibration_errors(), np.sqrt(without_noise), atol=1e-7)


def test_draws_are_computed_once_while_they_are_kept_and_only_for_the_next_evaluations() -> None:
    clusters = [number // 2 for number in range(60)]
    values = [PairValues(each.tolist(), clusters) for each in DRAW.random((6, 60))]
    draws = Draws(lambda those: [each.p[0] for each in those], together=3, kept=4)
    assert [draws(each) for each in values[:3]] == [each.p[0] for each in values[:3]]
    assert draws.computed == 3
    assert draws(values[4]) == values[4].p[0]
    assert draws.computed == 5, "there are only two from here on"
    assert draws(values[0]) == values[0].p[0]
    assert draws.computed == 7, "of four kept, the first was given up; with it comes the fourth, which was not there"


def test_evaluations_that_are_no_longer_used_are_forgotten() -> None:
    clusters = [*range(50), 7]
    values = [PairValues([0.5] * 51, clusters) for _ in range(3)]
    first, last = values[0], values[2]
    assert list(first.following()) == values[1:]
    del values[1:]
    assert list(first.following()) == [last]
    assert list(last.following()) == []


def test_without_clusters_there_are_no_values() -> None:
    assert pair_values(Evaluation(eval_accuracy=0.5, eval_probabilities=P.tolist())) is None


def test_rounding_does_not_move_an_interval() -> None:
    """Losses of 0 and 36: many resamples have the mean of the sample, but for the order of summation."""
    part = sums_by_cluster(np.repeat([36.04365338911715, 2.22e-16], [80, 80]), range(160))
    drawn = resampled_means(part, resample_weights(160, RESAMPLES, 0))
    exact = bootstrap_interval(part, drawn)
    rounded = bootstrap_interval(part, drawn + DRAW.uniform(-1e-14, 1e-14, RESAMPLES))
    assert exact is not None
    assert rounded is not None
    assert (exact.low, exact.high) == pytest.approx((rounded.low, rounded.high), abs=1e-12)
