"""How many sources a study needs to tell two interventions apart, by simulation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from genies.metrics.intervals import t_quantile
from genies.metrics.random_effects import fit_random_effects

SIMULATIONS = 4_000
SOURCES = (5, 8, 12, 20, 30, 50, 80, 120, 200, 300, 500, 800)


@dataclass(frozen=True)
class Spread:
    """The standard deviations of a paired difference between shifts."""

    mean: float
    sources: float
    """Between sources."""
    shifts: float
    """Between shifts of one source, including that of their test prompts."""


def spread(differences: Sequence[float], sources: Sequence[str]) -> Spread:
    """Random effects of sources, by restricted maximum likelihood (genies.metrics.random_effects)."""
    values = np.array(differences)
    numbers = {name: number for number, name in enumerate(dict.fromkeys(sources))}
    fit = fit_random_effects(values, [np.array([numbers[name] for name in sources])])
    between = float(fit.variances[0]) if len(fit.variances) > 1 else 0.0
    return Spread(float(values.mean()), between**0.5, float(fit.variances[-1]) ** 0.5)


def power(difference: float, of: Spread, sources: int, shifts_each: int = 2, seed: int = 0) -> float:
    """Share of simulated studies with p < 0.05 in a two-sided t test of the sources' means.

    difference: the true mean difference. Each study draws normal effects of its sources and of their shifts.
    """
    draw = np.random.default_rng([seed, sources, shifts_each])
    error = (of.sources**2 + of.shifts**2 / shifts_each) ** 0.5
    means = difference + error * draw.normal(size=(SIMULATIONS, sources))
    deviations = means.std(axis=1, ddof=1)
    t = np.divide(means.mean(axis=1) * sources**0.5, deviations, out=np.zeros(SIMULATIONS), where=deviations > 0)
    return float(np.mean(np.abs(t) > t_quantile(0.95, sources - 1)))


def sources_needed(difference: float, of: Spread, shifts_each: int = 2, wanted: float = 0.8) -> int | None:
    """The smallest of SOURCES with at least the power `wanted`; None if none has it."""
    return next((count for count in SOURCES if power(difference, of, count, shifts_each) >= wanted), None)
