"""Variances of random effects: against statsmodels and classical analyses of variance."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

from genies.metrics.random_effects import fit_random_effects


def test_one_grouping_has_the_variances_of_statsmodels() -> None:
    draw = np.random.default_rng(0)
    groups = np.repeat(range(10), draw.integers(1, 9, size=10))
    values = 0.6 + 0.1 * draw.normal(size=10)[groups] + 0.05 * draw.normal(size=groups.size)
    found = fit_random_effects(values, [groups])
    theirs = sm.MixedLM(values, np.ones_like(values), groups).fit(reml=True)
    assert found.variances == pytest.approx([float(np.asarray(theirs.cov_re)[0, 0]), theirs.scale], rel=0.02, abs=2e-5)


def test_crossed_groupings_have_the_variances_of_statsmodels() -> None:
    draw = np.random.default_rng(1)
    rows, columns = (each.ravel() for each in np.indices((9, 6)))
    kept = draw.random(54) < 0.8
    rows, columns = rows[kept], columns[kept]
    values = 0.1 * draw.normal(size=9)[rows] + 0.2 * draw.normal(size=6)[columns] + 0.05 * draw.normal(size=rows.size)
    found = fit_random_effects(values, [rows, columns])
    parts = sm.MixedLM.from_formula(
        "value ~ 1",
        pd.DataFrame({"value": values, "row": rows, "column": columns, "all": 0}),
        groups="all",
        vc_formula={"row": "0 + C(row)", "column": "0 + C(column)"},
    ).fit(reml=True)
    theirs = dict(zip(parts.model.exog_vc.names, parts.vcomp, strict=True))
    expected = [theirs["row"], theirs["column"], parts.scale]
    assert found.variances == pytest.approx(expected, rel=0.05)


def test_groups_of_one_value_give_the_variance_and_freedom_of_a_plain_mean() -> None:
    values = np.random.default_rng(2).normal(size=12)
    variance, degrees = fit_random_effects(values, [np.arange(12), np.zeros(12, int)]).variance_of_mean(
        np.full(12, 1 / 12)
    )
    assert variance == pytest.approx(stats.sem(values) ** 2)
    assert degrees == pytest.approx(11)


def test_a_balanced_crossed_design_has_the_variance_of_the_analysis_of_variance() -> None:
    draw = np.random.default_rng(3)
    table = 0.3 * draw.normal(size=(7, 1)) + 0.2 * draw.normal(size=(1, 5)) + 0.05 * draw.normal(size=(7, 5))
    rows, columns = (each.ravel() for each in np.indices((7, 5)))
    variance, _ = fit_random_effects(table.ravel(), [rows, columns]).variance_of_mean(np.full(35, 1 / 35))
    of_rows, of_columns = 5 * np.var(table.mean(axis=1), ddof=1), 7 * np.var(table.mean(axis=0), ddof=1)
    left = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0) + table.mean()
    residual = np.sum(left**2) / (6 * 4)
    assert variance == pytest.approx((of_rows + of_columns - residual) / 35, rel=0.01)


def test_groups_that_are_no_draws_add_nothing_to_the_variance() -> None:
    draw = np.random.default_rng(4)
    rows, columns = (each.ravel() for each in np.indices((8, 2)))
    values = 0.1 * draw.normal(size=8)[rows] + np.array([-5.0, 5.0])[columns] + 0.01 * draw.normal(size=16)
    variance, degrees = fit_random_effects(values, [rows], columns).variance_of_mean(np.full(16, 1 / 16))
    means = values.reshape(8, 2).mean(axis=1)
    assert variance == pytest.approx(stats.sem(means) ** 2, rel=0.01)
    assert degrees == pytest.approx(7, rel=0.01)


def test_no_variance_is_below_nothing() -> None:
    """Two values a group that are further apart than the groups are: the moments would give a negative variance."""
    values = np.tile([-1.0, 1.0], 6) + np.repeat(np.arange(6) * 1e-3, 2)
    found = fit_random_effects(values, [np.repeat(range(6), 2)])
    assert found.variances[0] == 0
    assert found.variances[1] == pytest.approx(np.var(values, ddof=1), rel=1e-3)
