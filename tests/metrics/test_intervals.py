"""Intervals of one evaluation: against statsmodels and scipy, and by how often they hold the truth."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from genies.errors import InputError
from genies.metrics import accuracy, auroc, rms_calibration_error
from genies.metrics.calibration_interval import calibration_interval, errors_of_sums, sums_by_bin
from genies.metrics.intervals import accuracy_interval, mean_interval, percentile_interval, quantile, wilson_interval
from genies.metrics.pairs import scores
from genies.metrics.resampling import (
    resample_weights,
    resampled_means,
    resampled_means_of_few_kinds,
    sums_by_cluster,
    too_few_clusters,
)
from tests.support.present import present


@given(st.integers(1, 500), st.floats(0, 1), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_wilson_agrees_with_statsmodels(n, share, level) -> None:
    right = round(share * n)
    expected = proportion_confint(right, n, alpha=1 - level, method="wilson")
    interval = wilson_interval(right, n, level)
    assert (interval.low, interval.high) == pytest.approx(np.clip(expected, 0, 1), abs=1e-12)


@pytest.mark.parametrize(("right", "n"), [(-1, 10), (11, 10), (0, 0)])
def test_wilson_refuses_what_is_no_share(right, n) -> None:
    with pytest.raises(InputError, match="right <= n"):
        wilson_interval(right, n)


def test_one_pair_an_example_gives_wilson_whatever_the_numbers_of_the_examples() -> None:
    p = [0.9] * 30 + [0.2] * 20
    interval = accuracy_interval(p, range(7, 57))
    assert interval == wilson_interval(30, 50)
    assert accuracy_interval(p[::-1], range(50)) == interval


def test_all_right_is_not_certainty() -> None:
    interval = accuracy_interval([0.9] * 150, np.repeat(range(50), 3))
    assert present(interval).high == 1.0
    assert present(interval).low == pytest.approx(proportion_confint(50, 50, method="wilson")[0], abs=1e-12)
    assert present(accuracy_interval([0.1] * 150, np.repeat(range(50), 3))).low == 0.0


@pytest.mark.parametrize("interval", [accuracy_interval, calibration_interval, mean_interval])
def test_fewer_than_five_prompts_have_no_interval_and_the_reason_says_so(interval) -> None:
    p = np.random.default_rng(0).random(200)
    assert interval(p, np.arange(200) % 4) is None
    assert interval(p, np.arange(200) % 5) is not None
    assert too_few_clusters(4) == "the test examples have 4 different prompts; an interval needs at least 5"
    assert too_few_clusters(5) == ""


def test_rows_that_share_prompts_are_fewer_than_they_look() -> None:
    """RM-Bench written as pairs: 60 rows of 29 prompts, the rows of a prompt mostly right or wrong together."""
    prompts = [*range(29), *range(29), 0, 1]
    p = np.where(np.isin(np.arange(60) % 29, range(20)), 0.9, 0.1)
    alone = wilson_interval(float((p > 0.5).sum()), 60)
    found = accuracy_interval(p, prompts)
    assert present(found).method == "bootstrap over prompts"
    assert present(found).high - present(found).low == pytest.approx(
        (alone.high - alone.low) * (60 / 29) ** 0.5, rel=0.15
    )


def test_pairs_that_belong_together_make_the_interval_wider() -> None:
    p = np.repeat([0.9] * 60 + [0.1] * 40, 3)
    together = accuracy_interval(p, np.repeat(range(100), 3))
    apart = accuracy_interval(p, range(300))
    assert (present(together).high - present(together).low) == pytest.approx(
        (present(apart).high - present(apart).low) * 3**0.5, rel=0.1
    )


def test_the_bootstrap_interval_agrees_with_scipys() -> None:
    draw = np.random.default_rng(3)
    sums = draw.binomial(3, draw.beta(3, 2, size=200))
    p = np.concatenate([[0.9] * right + [0.1] * (3 - right) for right in sums])
    ours = accuracy_interval(p, np.repeat(range(200), 3))
    theirs = stats.bootstrap((sums / 3,), np.mean, n_resamples=20_000, method="BCa", rng=1).confidence_interval
    assert (present(ours).low, present(ours).high) == pytest.approx((theirs.low, theirs.high), abs=0.006)


def test_two_ways_of_drawing_examples_give_one_distribution() -> None:
    draw = np.random.default_rng(5)
    indices = np.repeat(range(60), draw.integers(1, 4, size=60))
    part = sums_by_cluster(scores(draw.choice([0.1, 0.5, 0.9], size=indices.size)), indices)
    one = resampled_means(part, resample_weights(60, 20_000, 0))
    other = resampled_means_of_few_kinds(part, 20_000, 0)
    assert stats.ks_2samp(one, other).statistic < 0.02
    assert one.mean() == pytest.approx(part.mean, abs=0.002)


def test_the_same_seed_gives_the_same_interval_and_another_one_nearly_the_same() -> None:
    p = np.tile([0.9, 0.9, 0.4, 0.7, 0.1, 0.2], 40)
    indices = np.repeat(range(80), 3)
    assert accuracy_interval(p, indices) == accuracy_interval(p, indices)
    other = accuracy_interval(p, indices, seed=1)
    assert present(other).low == pytest.approx(present(accuracy_interval(p, indices)).low, abs=0.01)


def test_the_order_of_the_pairs_does_not_matter() -> None:
    draw = np.random.default_rng(2)
    p, indices = draw.random(90), np.repeat(range(30), 3)
    order = draw.permutation(90)
    assert accuracy_interval(p, indices) == accuracy_interval(p[order], indices[order])
    same = calibration_interval(p, indices), calibration_interval(p[order], indices[order])
    assert present(same[0]).low == pytest.approx(present(same[1]).low, abs=1e-12)


def test_the_mean_of_any_value_has_an_interval_that_students_agrees_with() -> None:
    values = np.random.default_rng(0).normal(0.4, 0.1, size=200)
    interval = mean_interval(values, range(200))
    expected = stats.t.interval(0.95, 199, loc=values.mean(), scale=stats.sem(values))
    assert (present(interval).low, present(interval).high) == pytest.approx(expected, abs=0.002)
    assert mean_interval(np.full(5, 0.4), range(5)) is None


def test_resampled_calibration_errors_are_those_of_the_resampled_pairs() -> None:
    draw = np.random.default_rng(1)
    p, indices = draw.random(60), np.repeat(range(20), 3)
    sums, drawn = sums_by_bin(p, indices), resample_weights(20, 40, 0)
    assert errors_of_sums(sums.sum(axis=0, keepdims=True))[0] == pytest.approx(rms_calibration_error(p), abs=1e-12)
    for weights, error in zip(drawn, errors_of_sums(drawn @ sums), strict=True):
        pairs = np.repeat(np.arange(60), np.repeat(weights.astype(int), 3))
        assert error == pytest.approx(rms_calibration_error(p[pairs]), abs=1e-12)


def test_percentiles_go_further_out_for_small_samples() -> None:
    drawn = np.random.default_rng(0).normal(size=200_000)
    for n in (5, 15, 50, 10_000):
        interval = percentile_interval(drawn, n, "")
        assert interval.high == pytest.approx(stats.t.ppf(0.975, n - 1) * (n / (n - 1)) ** 0.5, rel=0.05)
    assert percentile_interval(drawn, 1, "").low == drawn.min()


@given(st.lists(st.floats(-40, 40), min_size=1, max_size=50), st.floats(0, 1))
def test_a_quantile_is_numpys_to_the_last_bit(values, share) -> None:
    assert quantile(np.sort(values), share) == np.quantile(values, share)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_auroc_is_the_share_of_presentations_in_the_right_order(values) -> None:
    p = np.array(values)
    sums = p[:, None] - (1 - p)[None]
    assert auroc(values) == pytest.approx(np.mean((sums > 0) + (sums == 0) / 2), abs=1e-12)


# Coverage: of many samples from a known population, how many have an interval that holds the true figure?


def accuracy_coverage(examples: int, mean: float, pairs: int, trials: int) -> float:
    """With three pairs an example their chances vary: beta-distributed with a correlation of 0.4 inside an example."""
    draw = np.random.default_rng([examples, pairs, round(mean * 100)])
    indices = np.repeat(range(examples), pairs)
    held = 0
    for _ in range(trials):
        chances = np.full(examples, mean) if pairs == 1 else draw.beta(1.5 * mean, 1.5 * (1 - mean), size=examples)
        p = np.where(draw.random(examples * pairs) < np.repeat(chances, pairs), 0.75, 0.25)
        interval = accuracy_interval(p, indices, resamples=2_000)
        held += present(interval).low <= mean <= present(interval).high
    return held / trials


@pytest.mark.parametrize("mean", [0.6, 0.8, 0.95])
@pytest.mark.parametrize("examples", [50, 250, 750])
def test_accuracy_intervals_of_three_pairs_an_example_hold_the_truth_as_often_as_they_say(examples, mean) -> None:
    # 93 to 97 % over 3,000 trials, less two standard errors of 400.
    assert 0.91 <= accuracy_coverage(examples, mean, 3, 400) <= 0.985


@pytest.mark.parametrize("examples", [50, 250, 750])
def test_wilson_intervals_hold_the_truth_as_often_as_they_say(examples) -> None:
    """Exactly, for the average over accuracies from 0.5 to 0.98: a single one swings with the whole numbers near it."""
    truths = np.linspace(0.5, 0.98, 97)
    right = np.arange(examples + 1)
    intervals = [wilson_interval(each, examples) for each in right]
    low, high = (np.array([getattr(each, end) for each in intervals]) for end in ("low", "high"))
    coverage = [stats.binom.pmf(right, examples, t) @ ((low <= t) & (t <= high)) for t in truths]
    assert 0.945 <= np.mean(coverage) <= 0.956


def calibration_coverage(prompts: int, spread: float, sharpness: float, trials: int, pairs: int = 1) -> float:
    """Share of intervals that hold the true error. p is beta-distributed, nearer to 0 and 1 for a smaller `spread`; the
    best response wins with the chance that p would have at another sharpness (1: calibrated). With several pairs a
    prompt, all of them have the same p and half the time the same answer."""
    draw = np.random.default_rng([prompts, pairs, round(spread * 10), round(abs(sharpness) * 10)])

    def sample(size: int) -> np.ndarray:
        q = np.repeat(draw.beta(spread, spread, size=size), pairs).clip(1e-12, 1 - 1e-12)
        odds = (q / (1 - q)) ** sharpness
        own, common = draw.random(size * pairs), np.repeat(draw.random(size), pairs)
        alike = np.repeat(draw.random(size) < 0.5, pairs)
        return np.where(np.where(alike, common, own) < odds / (1 + odds), q, 1 - q)

    truth = 0.0 if sharpness == 1 else rms_calibration_error(sample(1_000_000))
    held = 0
    for _ in range(trials):
        interval = calibration_interval(sample(prompts), np.repeat(range(prompts), pairs))
        held += present(interval).low <= truth <= present(interval).high
    return held / trials


@pytest.mark.simulation
@pytest.mark.parametrize("sharpness", [1.0, 0.7, 0.2])
@pytest.mark.parametrize("spread", [0.2, 0.8, 20.0])
@pytest.mark.parametrize("prompts", [60, 250, 750])
def test_calibration_intervals_hold_the_truth_as_often_as_they_say(prompts, spread, sharpness) -> None:
    # 93 to 98 % over 1,000 trials (benchmarks/coverage.py), less two standard errors of 400.
    assert 0.91 <= calibration_coverage(prompts, spread, sharpness, 400) <= 0.995


@pytest.mark.simulation
@pytest.mark.parametrize("sharpness", [1.0, 0.2])
def test_calibration_intervals_resample_prompts(sharpness) -> None:
    assert 0.91 <= calibration_coverage(100, 0.8, sharpness, 400, pairs=3) <= 0.995


def test_a_calibration_interval_starts_at_nothing_for_a_calibrated_scorer_and_holds_the_estimate() -> None:
    draw = np.random.default_rng(0)
    sure = draw.uniform(0.5, 1, size=100)
    p = np.where(draw.random(100) < sure, sure, 1 - sure)
    interval = calibration_interval(p, range(100))
    assert present(interval).low == 0
    assert rms_calibration_error(p) <= present(interval).high < 0.2


@pytest.mark.parametrize("p", [0.9, 1.0, 0.0])
def test_answers_that_never_vary_are_no_certainty_about_calibration(p) -> None:
    """60 of 60 alike: Wilson's interval for the accuracy is 0.06 wide, and this one at least a quarter of it."""
    interval = calibration_interval([p] * 60, range(60))
    accuracy_of_all = wilson_interval(60, 60)
    assert present(interval).high - present(interval).low >= (accuracy_of_all.high - accuracy_of_all.low) / 4


def test_accuracy_needs_the_example_of_every_pair() -> None:
    with pytest.raises(InputError, match="each of 2 pairs"):
        accuracy_interval([0.5, 0.6], [0])
    assert accuracy([0.5, 0.6]) == 0.75
