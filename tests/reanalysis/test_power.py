"""The simulated power against its closed form."""

import numpy as np
import pytest
from scipy import stats

from genies.reanalysis.power import Spread, power, sources_needed, spread


@pytest.mark.parametrize(("difference", "sources"), [(0.0, 8), (0.05, 8), (0.05, 40), (0.1, 20)])
def test_power_is_that_of_the_t_test(difference: float, sources: int) -> None:
    of = Spread(0.0, 0.09, 0.14)
    error = np.sqrt(0.09**2 + 0.14**2 / 2)
    quantile, shift = stats.t.ppf(0.975, sources - 1), difference / error * np.sqrt(sources)
    exact = stats.nct.sf(quantile, sources - 1, shift) + stats.nct.cdf(-quantile, sources - 1, shift)
    assert power(difference, of, sources) == pytest.approx(exact, abs=0.025)


def test_more_sources_are_needed_for_smaller_differences() -> None:
    of = Spread(0.0, 0.09, 0.14)
    assert sources_needed(0.1, of) < sources_needed(0.05, of)  # type: ignore[operator]
    assert sources_needed(0.001, of) is None


def test_the_spread_is_that_of_planted_effects() -> None:
    draw = np.random.default_rng(0)
    names = [f"s{number}" for number in range(200) for _ in range(3)]
    effects = np.repeat(draw.normal(scale=0.2, size=200), 3)
    found = spread((0.05 + effects + draw.normal(scale=0.1, size=600)).tolist(), names)
    assert found.sources == pytest.approx(0.2, abs=0.03)
    assert found.shifts == pytest.approx(0.1, abs=0.02)
