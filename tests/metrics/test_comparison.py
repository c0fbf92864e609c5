"""Paired comparisons: against statsmodels, scipy and going through all cases."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from genies.errors import InputError
from genies.metrics.comparison import (
    bootstrap_p_value,
    compare,
    holm,
    mcnemar_p_value,
    p_values_against_best,
    resampled_difference,
    sign_flip_p_value,
    tied,
)
from genies.metrics.pairs import scores
from genies.metrics.resampling import ExampleSums, sums_by_example


def sums(p, indices=None) -> ExampleSums:
    return sums_by_example(scores(p), range(len(p)) if indices is None else indices)


@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_agrees_with_statsmodels(first, second) -> None:
    expected = mcnemar([[0, first], [second, 0]], exact=True).pvalue
    assert mcnemar_p_value(first, second) == pytest.approx(expected, abs=1e-12)


@given(st.integers(0, 40), st.integers(0, 40))
def test_the_sign_flip_test_of_single_points_is_mcnemars(first, second) -> None:
    assert sign_flip_p_value([1] * first + [-1] * second) == pytest.approx(mcnemar_p_value(first, second), abs=1e-12)


@given(st.lists(st.sampled_from([-1.5, -1, -0.5, 0, 0.5, 1, 2, 3, 1 / 3, 0.123]), min_size=1, max_size=9))
def test_the_sign_flip_test_counts_all_signs(differences) -> None:
    sizes = np.abs(differences)
    totals = [abs(np.dot(signs, sizes)) for signs in itertools.product([1, -1], repeat=len(differences))]
    expected = np.mean(np.array(totals) >= abs(sum(differences)) - 1e-9)
    assert sign_flip_p_value(differences) == pytest.approx(expected, abs=1e-9)


def test_the_sign_flip_test_of_many_uneven_differences_agrees_with_scipys() -> None:
    differences = np.random.default_rng(0).normal(0.3, 1, size=40)
    expected = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=50_000, rng=1
    ).pvalue
    assert sign_flip_p_value(differences) == pytest.approx(expected, abs=0.01)


def test_holm_agrees_with_statsmodels() -> None:
    draw = np.random.default_rng(0)
    for count in range(1, 21):
        p_values = (draw.random(count) ** 3).round(3)  # small ones and ties among them
        assert holm(p_values) == pytest.approx(list(multipletests(p_values, method="holm")[1]), abs=1e-12)
    assert holm([]) == []


def test_a_comparison_is_paired_by_example() -> None:
    draw = np.random.default_rng(1)
    hard = draw.random(300) < 0.5  # examples that both get wrong
    first = np.where(hard, 0.2, np.where(draw.random(300) < 0.95, 0.9, 0.1))
    second = np.where(hard, 0.2, np.where(draw.random(300) < 0.80, 0.9, 0.1))
    found = compare(sums(first), sums(second))
    assert found is not None
    only = int(np.sum((first > 0.5) & (second < 0.5))), int(np.sum((first < 0.5) & (second > 0.5)))
    assert (found.first_only, found.second_only, found.examples) == (*only, 300)
    assert found.difference == pytest.approx((only[0] - only[1]) / 300)
    assert found.p_value == mcnemar([[0, only[0]], [only[1], 0]], exact=True).pvalue
    assert found.test.startswith("McNemar")
    assert found.interval is not None
    # Unpaired, the interval would be this wide; what both get wrong takes no part in a paired one.
    unpaired = 2 * 1.96 * math.sqrt((first > 0.5).var() / 300 + (second > 0.5).var() / 300)
    assert found.interval.high - found.interval.low < 0.7 * unpaired
    assert found.interval.low > 0 and found.p_value < 0.01  # noqa: PT018 - the two must agree


def test_the_difference_of_proportions_has_the_interval_of_the_normal_approximation() -> None:
    draw = np.random.default_rng(4)
    first, second = draw.random(1_000), draw.random(1_000)
    found = compare(sums(first), sums(second), resamples=10_000)
    differences = (first > 0.5).astype(float) - (second > 0.5)
    expected = stats.t.interval(0.95, 999, loc=differences.mean(), scale=stats.sem(differences))
    assert (found.interval.low, found.interval.high) == pytest.approx(expected, abs=0.003)


def test_only_examples_that_both_were_tested_on_are_compared() -> None:
    first, second = sums([0.9, 0.9, 0.1]), sums([0.1, 0.9, 0.9], [1, 2, 3])
    found = compare(first, second)
    assert (found.examples, found.first_only, found.second_only) == (2, 1, 1)
    assert compare(sums([0.9]), sums([0.9], [5])) is None


def test_pairs_that_belong_together_and_ties_take_the_sign_flip_test() -> None:
    together = compare(sums([0.9, 0.9, 0.1, 0.2], [0, 0, 1, 1]), sums([0.9, 0.1, 0.1, 0.2], [0, 0, 1, 1]))
    with_ties = compare(sums([0.5, 0.9]), sums([0.1, 0.9]))
    assert together.test.startswith("sign-flip")
    assert with_ties.test.startswith("sign-flip")


def test_evaluations_of_other_pairs_are_refused() -> None:
    with pytest.raises(InputError, match="different numbers of pairs"):
        compare(sums([0.9, 0.9], [0, 0]), sums([0.9], [0]))


def test_two_alike_are_never_told_apart() -> None:
    """1,000 pairs of interventions that are equally good: about 5 % have an interval that leaves out zero."""
    draw = np.random.default_rng(7)
    outside = small = 0
    for _ in range(500):
        chances = np.repeat(draw.beta(2, 1, size=100), 3)
        both = [np.where(draw.random(300) < chances, 0.9, 0.1) for _ in range(2)]
        found = compare(*(sums(p, np.repeat(range(100), 3)) for p in both), resamples=1_000)
        outside += found.interval.low > 0 or found.interval.high < 0
        small += found.p_value < 0.05
    assert 0.02 <= outside / 500 <= 0.08
    assert small / 500 <= 0.07


def test_tied_is_what_holms_correction_leaves() -> None:
    values = np.array([[0.9] * 10, [0.9] * 9 + [0.8], [0.5] * 10])
    p_values = p_values_against_best(values, 0)
    assert p_values == [1.0, 2 / 2**10]
    assert tied(p_values) == [True, False]
    weighted = p_values_against_best(values[:2], 0, weights=[1] * 9 + [5])
    assert weighted == [1.0]


def test_the_bootstrap_p_value_of_a_clear_difference_is_small_and_of_none_is_one() -> None:
    first, second = sums([0.9] * 60 + [0.1] * 40), sums([0.9] * 40 + [0.1] * 60)
    assert bootstrap_p_value(resampled_difference(first, second, 2_000)) < 0.001
    assert bootstrap_p_value(resampled_difference(first, first, 2_000)) == 1.0
    drawn = np.random.default_rng(0).normal(1, 1, size=100_000)
    assert bootstrap_p_value(drawn) == pytest.approx(2 * stats.norm.sf(1), abs=0.01)
