import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import _SigmoidCalibration
from sklearn.linear_model import LogisticRegression

from genies.methods.probes import fit_slope, probe_margins, response_margins


@pytest.mark.parametrize(("pairs", "width"), [(40, 6), (15, 30), (1, 4)])
def test_margins_are_those_of_scikit_learn_on_pairs_in_both_orders(pairs, width):
    draw = np.random.default_rng(pairs)
    train, held_back = draw.normal(loc=0.4, size=(pairs, width)) * 5, draw.normal(loc=0.4, size=(20, width)) * 5
    scale = np.sqrt(np.mean(train**2))
    both = np.concatenate([train, -train]) / scale
    labels = np.repeat([1, 0], pairs)
    # Both orders double the loss, which twice the penalty (half of C) makes good.
    reference = LogisticRegression(C=0.5, fit_intercept=False, tol=1e-10, max_iter=10_000).fit(both, labels)
    expected = reference.decision_function(held_back / scale)
    np.testing.assert_allclose(probe_margins(train, held_back), expected, atol=1e-4)


@pytest.mark.parametrize(("pairs", "width"), [(40, 6), (15, 40), (1, 4)])
@pytest.mark.parametrize("offset", [0.0, 30.0])
def test_margins_of_responses_are_those_of_scikit_learn_with_its_defaults(pairs, width, offset):
    draw = np.random.default_rng(pairs)
    train, held_back = (offset + draw.normal(size=(2, count, width)) for count in (pairs, 20))
    train[0] += 0.5
    held_back[0] += 0.5
    labels = np.repeat([1, 0], pairs)
    reference = LogisticRegression(tol=1e-10, max_iter=100_000).fit(np.concatenate(train), labels)
    expected = reference.decision_function(np.concatenate(held_back)) * np.repeat([1, -1], 20)
    np.testing.assert_allclose(response_margins(train, held_back), expected, atol=1e-4)


def test_columns_filled_up_with_zeros_change_no_margin():
    draw = np.random.default_rng(0)
    train, held_back = draw.normal(loc=0.4, size=(40, 6)), draw.normal(loc=0.4, size=(20, 6))
    filled, held_back_filled = (np.pad(each, ((0, 0), (0, 6))) for each in (train, held_back))
    np.testing.assert_allclose(probe_margins(filled, held_back_filled), probe_margins(train, held_back), atol=1e-9)
    both, both_filled = (np.stack([each, -each]) for each in (train, filled))
    np.testing.assert_allclose(response_margins(both_filled, both_filled), response_margins(both, both), atol=1e-9)


def test_responses_far_apart_give_finite_margins():
    train = np.stack([np.full((3, 2), 1e8), np.full((3, 2), -1e8)])
    assert (response_margins(train, train) > 0).all()


def test_differences_of_zero_tell_nothing():
    assert probe_margins(np.zeros((3, 2)), np.ones((2, 2))).tolist() == [0, 0]


@pytest.mark.parametrize("spread", [0.02, 0.5, 3.0])
def test_the_slope_is_that_of_scikit_learns_sigmoid_calibration(spread):
    values = np.random.default_rng(1).normal(loc=0.3, size=80) * spread
    both = np.concatenate([values, -values])
    labels = np.repeat([1.0, 0.0], len(values))
    reference = _SigmoidCalibration().fit(both, labels)
    # scikit-learn writes p = 1 / (1 + exp(a * value + b)).
    assert fit_slope(values) == pytest.approx(-reference.a_, rel=1e-3)
    assert reference.b_ == pytest.approx(0, abs=1e-3)


def test_the_slope_stays_finite_when_every_value_has_the_right_sign():
    assert 0 < fit_slope(np.array([0.1, 0.2, 0.3])) < 100


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=20))
def test_the_slope_is_finite_and_zero_where_there_is_nothing_to_go_by(values):
    found = fit_slope(np.array(values))
    assert np.isfinite(found)
    assert fit_slope(np.zeros(len(values))) == 0


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=20))
def test_a_direction_that_points_from_best_to_worse_gets_a_negative_slope(values):
    assert fit_slope(np.array(values)) > 0 > fit_slope(-np.array(values))
