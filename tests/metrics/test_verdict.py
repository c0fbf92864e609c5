"""Whether one intervention differs from another: by hand, against scipy, and by how often it errs."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar

from genies.metrics.comparison import sign_flip_p_value
from genies.metrics.pairs import scores
from genies.metrics.resampling import ClusterSums, sums_by_cluster
from genies.metrics.shift_means import ShiftFigure
from genies.metrics.verdict import Difference, adjust, difference_on_shift, difference_over_shifts
from tests.support.present import present


def sums(p, clusters=None) -> ClusterSums:
    return sums_by_cluster(scores(p), range(len(p)) if clusters is None else clusters)


def plain(value: float, p_value: float | None) -> Difference:
    return Difference(value, None, p_value, "", "other sources", 8, 15, 250)


def test_a_difference_on_a_shift_is_paired_by_prompt() -> None:
    draw = np.random.default_rng(1)
    hard = draw.random(300) < 0.5  # prompts that both get wrong
    first = np.where(hard, 0.2, np.where(draw.random(300) < 0.95, 0.9, 0.1))
    second = np.where(hard, 0.2, np.where(draw.random(300) < 0.80, 0.9, 0.1))
    found = difference_on_shift(sums(first), sums(second))
    only = int(np.sum((first > 0.5) & (second < 0.5))), int(np.sum((first < 0.5) & (second > 0.5)))
    assert (found.first_only, found.second_only, found.n_clusters, found.left_out) == (*only, 300, 0)
    assert found.value == pytest.approx((only[0] - only[1]) / 300)
    assert found.p_value == mcnemar([[0, only[0]], [only[1], 0]], exact=True).pvalue
    assert found.test == "McNemar, exact"
    # Unpaired, the interval would be this wide; what both get wrong takes no part in a paired one.
    unpaired = 2 * 1.96 * math.sqrt((first > 0.5).var() / 300 + (second > 0.5).var() / 300)
    assert present(found.interval).high - present(found.interval).low < 0.7 * unpaired
    assert found.verdict == "higher"
    assert difference_on_shift(sums(second), sums(first)).verdict == "lower"


def test_the_interval_on_a_shift_is_that_of_the_normal_approximation_for_many_prompts() -> None:
    draw = np.random.default_rng(4)
    first, second = draw.random(1_000), draw.random(1_000)
    found = difference_on_shift(sums(first), sums(second))
    differences = (first > 0.5).astype(float) - (second > 0.5)
    expected = stats.t.interval(0.95, 999, loc=differences.mean(), scale=stats.sem(differences))
    assert (present(found.interval).low, present(found.interval).high) == pytest.approx(expected, abs=0.006)


@pytest.mark.parametrize("count", [6, 8, 11])
def test_the_interval_holds_what_the_sign_flip_test_does_not_reject(count) -> None:
    draw = np.random.default_rng(count)
    first = ClusterSums(np.arange(count), draw.integers(0, 4, size=count).astype(float), np.full(count, 3.0))
    second = ClusterSums(np.arange(count), draw.integers(0, 3, size=count).astype(float), np.full(count, 3.0))
    found = difference_on_shift(first, second)

    def p_value(difference: float) -> float:
        """By all signs, with `difference` taken off every pair."""
        left = first.sums - second.sums - difference * 3
        totals = [abs(np.dot(signs, left)) for signs in itertools.product([1, -1], repeat=count)]
        return float(np.mean(np.array(totals) >= abs(left.sum()) - 1e-9))

    low, high = present(found.interval).low, present(found.interval).high
    assert found.p_value == pytest.approx(p_value(0), abs=1e-9)
    for end, outward in ((low, -1e-6), (high, 1e-6)):
        if abs(end) not in (0, 1):
            assert p_value(end - outward) >= 0.05 > p_value(end + outward)


@given(st.integers(5, 60), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_interval_and_p_value_never_contradict_each_other(prompts, pairs, seed) -> None:
    draw = np.random.default_rng(seed)
    clusters = np.repeat(range(prompts), pairs)
    both = [np.where(draw.random(prompts * pairs) < chance, 0.9, 0.2) for chance in draw.random(2)]
    found = difference_on_shift(*(sums(p, clusters) for p in both))
    assert (present(found.p_value) < 0.05) == (not present(found.interval).low <= 0 <= present(found.interval).high)
    assert present(found.interval).low - 1e-9 <= found.value <= present(found.interval).high + 1e-9


def test_only_prompts_that_both_were_tested_on_are_compared_and_the_others_are_counted() -> None:
    first, second = sums([0.9] * 9 + [0.1]), sums([0.1, *[0.9] * 8], [*range(1, 10)])
    found = difference_on_shift(first, second)
    assert (found.n_clusters, found.left_out) == (9, 1)
    assert (found.first_only, found.second_only) == (1, 1)
    apart = difference_on_shift(sums([0.9]), sums([0.9], [5]))
    assert (apart.verdict, apart.n_clusters, apart.left_out) == ("unknown", 0, 2)
    fewer_pairs = difference_on_shift(sums([0.9] * 12, np.arange(12) // 2), sums([0.9] * 11, np.arange(11) // 2))
    assert (fewer_pairs.n_clusters, fewer_pairs.left_out) == (5, 1)


def test_pairs_that_belong_together_and_ties_take_the_sign_flip_test() -> None:
    clusters = np.arange(12) // 2
    together = difference_on_shift(sums([0.9] * 12, clusters), sums([0.9, 0.1] * 6, clusters))
    assert together.test == "sign-flip over prompts"
    assert together.p_value == 2 / 2**6
    ties = difference_on_shift(sums([0.9] * 6), sums([0.5] * 6))
    assert ties.test == "sign-flip over prompts"


def test_four_prompts_decide_nothing_and_the_reason_says_so() -> None:
    found = difference_on_shift(sums([0.9] * 400, np.arange(400) % 4), sums([0.1] * 400, np.arange(400) % 4))
    assert (found.value, found.interval, found.p_value, found.verdict) == (1.0, None, None, "unknown")
    assert found.reason == "the test examples have 4 different prompts; an interval needs at least 5"


@pytest.mark.simulation
@pytest.mark.parametrize("prompts", [15, 100])
def test_two_alike_are_seldom_found_different_on_a_shift(prompts) -> None:
    draw = np.random.default_rng(7)
    found = 0
    for _ in range(400):
        chances = np.repeat(draw.beta(2, 1, size=prompts), 3)
        both = [np.where(draw.random(prompts * 3) < chances, 0.9, 0.1) for _ in range(2)]
        difference = difference_on_shift(*(sums(p, np.repeat(range(prompts), 3)) for p in both))
        found += present(difference.p_value) < 0.05
    assert found / 400 <= 0.07


def test_a_difference_over_shifts_is_about_other_sources_where_there_are_enough() -> None:
    values = [0.1, 0.12, 0.2, 0.05, 0.15, 0.11]
    figures = [
        ShiftFigure(np.array([value]), None, 40, target=f"t{n}", source=f"s{n}") for n, value in enumerate(values)
    ]
    found = difference_over_shifts(figures)
    assert found.p_value == pytest.approx(stats.ttest_1samp(values, 0).pvalue)
    assert (found.about, found.n_sources, found.n_shifts, found.n_clusters) == ("other sources", 6, 6, 40)
    assert (found.test, found.verdict) == ("Student's t over sources", "higher")
    few = difference_over_shifts(figures[:4])
    assert (few.verdict, few.about, few.test) == ("unknown", "these shifts", "")
    assert few.reason == "an interval about other sources needs 5 sources, and there are 4"


def test_eight_shifts_of_one_model_alone_are_no_finding() -> None:
    """Of GENIES's 15 shifts 8 share a source: were they independent, a gain on that source would seem certain."""
    values = [0.2] * 8 + [0.01, -0.02, 0.03, -0.03, 0.0, 0.02, -0.01]
    sources = [0] * 8 + list(range(1, 8))
    found = difference_over_shifts(
        [
            ShiftFigure(np.array([value]), None, 250, target=f"t{n}", source=f"s{source}")
            for n, (value, source) in enumerate(zip(values, sources, strict=True))
        ]
    )
    assert stats.ttest_1samp(values, 0).pvalue < 0.01
    assert found.verdict == "not significant"


def test_holms_correction_decides_and_what_cannot_be_tested_takes_nothing_from_the_others() -> None:
    family = [plain(0.1, 0.01), None, plain(-0.2, 0.04), plain(0.3, None), plain(0.1, 0.03)]
    adjusted = adjust(family)
    assert [each and each.adjusted_p_value for each in adjusted] == [0.03, None, 0.06, None, 0.06]
    assert [each and each.verdict for each in adjusted] == [
        "higher",
        None,
        "not significant",
        "unknown",
        "not significant",
    ]
    assert [each and each.verdict for each in family] == ["higher", None, "lower", "unknown", "higher"]
    without = adjust([each for each in family if each is not None and each.p_value is not None])
    assert [present(each).adjusted_p_value for each in without] == [0.03, 0.06, 0.06]
    assert adjust([]) == []


def test_the_sign_flip_test_and_the_verdict_are_one() -> None:
    draw = np.random.default_rng(5)
    first, second = (draw.choice([0.1, 0.5, 0.9], size=40) for _ in range(2))
    found = difference_on_shift(sums(first), sums(second))
    assert found.p_value == sign_flip_p_value(scores(first) - scores(second))
