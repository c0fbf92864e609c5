"""Tests of paired differences: against statsmodels, scipy and going through all cases."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from genies.metrics.comparison import holm, mcnemar_p_value, sign_flip_p_value


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
        assert holm(p_values.tolist()) == pytest.approx(list(multipletests(p_values, method="holm")[1]), abs=1e-12)
    assert holm([]) == []
