"""Means over shifts, with intervals that generalize to other sources and test sets if there are enough of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from genies.metrics.intervals import Interval, agreeing, percentile_interval, percentile_p_value, t_quantile, t_tails
from genies.metrics.probabilities import Floats
from genies.metrics.random_effects import fit_random_effects

FEWEST_SOURCES = 5
"""Fewest sources for an interval about other sources; fewer do not show how much sources differ."""

Average = Literal["shifts", "sources"]
"""What is averaged: shifts, by their weights, or sources, equally."""

ROUNDING = 1e-12
"""Values of a metric that differ by less are equal."""

NO_VARIATION = "the value is the same whichever prompts are drawn"

About = Literal["other sources", "other test sets", "these shifts"]
"""The population that the interval of a mean is about. For these shifts, only prompts and seeds vary."""


@dataclass(frozen=True, slots=True, eq=False)
class ShiftFigure:
    """A metric on one shift for each seed, and its values in resamples of the shift's test prompts."""

    estimates: Floats
    """Shape (seeds,); a single value if the study has no seeds."""
    drawn: Floats | None
    """Shape (seeds, resamples), with the same resamples for all seeds; None if the clusters of pairs are unknown."""
    clusters: int = 0
    """Number of prompts."""
    weight: float = 1.0
    """Weight of the shift in the mean over shifts."""
    target: str = ""
    """The distribution whose test split was used; empty if no other shift shares it."""
    source: str = ""
    """The source of the shift; empty if no other shift shares it."""
    model: str | None = None
    """The distribution on which the measured model was tuned: None for the source, empty for an untuned model."""
    bounds: tuple[float, float] = (-math.inf, math.inf)
    """The range of the metric, to which intervals are clipped."""

    @property
    def mean(self) -> float:
        one = self.estimates.size == 1  # np.mean takes fifty times as long
        return float(self.estimates[0] if one else np.mean(self.estimates))


@dataclass(frozen=True, slots=True)
class MeanEstimate:
    """A mean over shifts with its interval and p-value."""

    value: float
    interval: Interval | None
    p_value: float | None
    """Two-sided, for the hypothesis that the mean is 0; below 1 - level if and only if the interval excludes 0. None
    for a metric that cannot be negative."""
    about: About
    n_sources: int
    """Number of distributions on which the measured models were tuned; for untuned models, number of test sets."""
    n_shifts: int
    n_clusters: int
    """The smallest number of prompts in a test set; 0 if it is unknown for a shift."""
    effective_sources: float
    """1 / sum(share^2), where share is the weight of a source in the mean: 3.2 for GENIES, which has 8 sources."""
    reason: str = ""
    """Why there is no interval, or none about other sources; empty otherwise."""


def mean_over_shifts(figures: Sequence[ShiftFigure]) -> float:
    """The mean over shifts, by weight, of the mean over seeds.

    >>> mean_over_shifts([ShiftFigure(np.array([0.5, 0.7]), None), ShiftFigure(np.array([0.2]), None, weight=2)])
    0.3333333333333333
    """
    return float(_shares(figures, "shifts") @ [each.mean for each in figures])


def mean_over_sources(figures: Sequence[ShiftFigure]) -> float:
    """The mean over sources of the mean over the shifts of each, by weight, of the mean over seeds.

    >>> one, other = np.array([0.2]), np.array([0.8])
    >>> mean_over_sources([ShiftFigure(value, None, source=s) for value, s in ((one, "a"), (one, "a"), (other, "b"))])
    0.5
    """
    return float(_shares(figures, "sources") @ [each.mean for each in figures])


def estimate_mean(
    figures: Sequence[ShiftFigure], average: Average = "shifts", level: float = 0.95, seed: int = 0
) -> MeanEstimate:
    """A mean over shifts or over sources, with its interval and the p-value for the hypothesis of 0.

    With FEWEST_SOURCES sources or more, the interval is about other sources, and also about other test sets if shifts
    share them. Shifts with the same source share a tuned model, and shifts with the same test set share its examples,
    so neither are independent. The variance of the mean is that of random effects of sources and test sets
    (fit_random_effects), or that of the sources' means alone if it is larger, and at least that of resampled prompts.
    Seeds add the variance that they have in common beyond that of each source. The quantile is Student's. Fewer than
    FEWEST_SOURCES shared test sets are fixed effects. For an untuned model, test sets take the place of sources.
    A bootstrap of sources and test sets (Owen and Eckles 2012) has a lower coverage in the layout of GENIES, in which 8
    of 15 shifts share one source, and almost full coverage if test sets are shared; see benchmarks/coverage.py.

    With fewer sources the interval is about these shifts: a bootstrap over seeds and prompts with expanded percentiles.
    The prompts of a test set are drawn once for all its shifts. The p-value is one minus the level at which the
    interval ends at 0. There is no interval if all prompts have the same score, because then all resamples are equal.
    """
    shares = _shares(figures, average)
    value = float(shares @ [each.mean for each in figures])
    cells = _cells(figures, shares)
    tuned = any(each.model != "" for each in cells)
    names = [each.model if tuned else each.target for each in cells]
    sources, targets = _numbered(names), _numbered([each.target for each in cells])
    weights = np.array([each.weight for each in cells])
    n_sources = int(sources.max()) + 1
    of_sources = np.bincount(sources, weights)
    estimate = MeanEstimate(
        value,
        None,
        None,
        "these shifts",
        n_sources,
        len(figures),
        min(each.clusters for each in cells),
        float(1 / np.sum(of_sources**2)),
    )
    if n_sources < FEWEST_SOURCES:
        return _about_these(estimate, cells, weights, level, seed)
    others = _about_others(replace(estimate, about="other sources" if tuned else "other test sets"), cells, weights,
                           sources, targets, level)  # fmt: skip
    if others.interval is None and all(each.drawn is not None for each in cells):
        return replace(_about_these(estimate, cells, weights, level, seed), reason=others.reason)
    return others


def _about_others(
    estimate: MeanEstimate,
    cells: Sequence[ShiftFigure],
    weights: Floats,
    sources: npt.NDArray[np.intp],
    targets: npt.NDArray[np.intp],
    level: float,
) -> MeanEstimate:
    values = np.array([each.mean for each in cells])
    shared = int(targets.max()) + 1 < len(cells)
    few = shared and int(targets.max()) + 1 < FEWEST_SOURCES
    fit = fit_random_effects(values, [sources] if few else [sources, targets], targets if few else None)
    variance, degrees = fit.variance_of_mean(weights)
    around = values - np.bincount(targets, values)[targets] / np.bincount(targets)[targets] if few else values
    variance = max(variance, _of_source_means(around, weights, sources))
    parts = [(variance, degrees), *_of_seeds(cells, weights, sources)]
    variance = sum(part for part, _ in parts)
    if variance > 0:
        degrees = variance**2 / sum(part**2 / freedom for part, freedom in parts if part)
    rows = _drawn_rows(cells)
    if rows is not None and (of_prompts := float(np.var(weights @ rows))) > variance:
        variance, degrees = of_prompts, max(degrees if variance > 0 else 0.0, estimate.n_sources - 1.0)
    if variance <= ROUNDING**2:
        return replace(estimate, reason="the values of all shifts are the same")
    error = math.sqrt(variance)
    half = t_quantile(level, degrees) * error
    low, high = cells[0].bounds
    method = "Student's t over " + ("sources" if estimate.about == "other sources" else "test sets")
    if shared and estimate.about == "other sources":
        method += " for these test sets" if few else " and test sets"
    interval = Interval(max(low, estimate.value - half), min(high, estimate.value + half), method)
    p_value = t_tails(abs(estimate.value) / error, degrees) if _is_signed(cells) else None
    return replace(estimate, interval=interval, p_value=p_value)


def _of_source_means(values: Floats, weights: Floats, sources: npt.NDArray[np.intp]) -> float:
    """The variance of the mean from the differences between sources' means, without a model of their shifts.

    It is the larger one if the source with the largest weight differs from the others, as alpaca_mmlu may in GENIES.
    """
    shares = np.bincount(sources, weights)
    means = np.bincount(sources, values) / np.bincount(sources)
    count = shares.size
    return float(np.sum((shares * (means - means.mean())) ** 2) * count / (count - 1))


def _of_seeds(
    cells: Sequence[ShiftFigure], weights: Floats, sources: npt.NDArray[np.intp]
) -> list[tuple[float, float]]:
    """The variance that seeds have in common beyond the sum of each source's own, and its degrees of freedom.

    The variance between seeds within each source is already part of the variance between sources.
    """
    counts = {each.estimates.size for each in cells}
    seeds = max(counts)
    if len(counts) > 1 or seeds == 1:
        return []
    weighted = weights[:, None] * np.stack([each.estimates for each in cells])
    by_source = np.stack([weighted[sources == number].sum(axis=0) for number in range(int(sources.max()) + 1)])
    common = np.var(by_source.sum(axis=0), ddof=1) - np.sum(np.var(by_source, axis=1, ddof=1))
    return [(max(0.0, float(common)) / seeds, seeds - 1.0)]


def _about_these(
    estimate: MeanEstimate, cells: Sequence[ShiftFigure], weights: Floats, level: float, seed: int
) -> MeanEstimate:
    kind = "sources" if any(each.model != "" for each in cells) else "test sets"
    few = f"an interval about other {kind} needs {FEWEST_SOURCES} {kind}, and there "
    few += "is 1" if estimate.n_sources == 1 else f"are {estimate.n_sources}"
    few = "" if estimate.n_shifts == 1 else few
    seeds = {each.estimates.size for each in cells}
    several_seeds = len(seeds) == 1 and max(seeds) > 1
    known = [each.drawn is not None for each in cells]
    if not all(known) and not (several_seeds and len(cells) == 1):
        return replace(estimate, reason=few)
    draw = np.random.default_rng([seed, len(cells)])
    resamples = next((each.drawn.shape[1] for each in cells if each.drawn is not None), 2_000)
    chosen = draw.integers(max(seeds), size=(resamples, max(seeds))) if several_seeds else None
    rows = _drawn_rows(cells, chosen, resamples)
    assert rows is not None
    drawn = weights @ rows
    drawn[np.abs(drawn) < ROUNDING] = 0.0
    over = " and ".join(name for name, there in (("seeds", several_seeds), ("prompts", all(known))) if there)
    method = f"bootstrap over {over}" + (" of these shifts" if estimate.n_shifts > 1 else "")
    n = max(estimate.n_clusters, max(seeds))
    p_value = percentile_p_value(drawn, n) if _is_signed(cells) else None
    if np.ptp(drawn) < ROUNDING:
        return replace(estimate, p_value=p_value, reason=NO_VARIATION)
    interval = percentile_interval(drawn, n, method, level)
    if p_value is not None:
        interval = agreeing(interval, p_value, level)
    return replace(estimate, interval=interval, p_value=p_value, reason=few)


def _is_signed(figures: Sequence[ShiftFigure]) -> bool:
    """Whether the metric can be below 0; only then is "the mean is 0" a hypothesis to test."""
    return figures[0].bounds[0] < 0


def _drawn_rows(
    cells: Sequence[ShiftFigure], chosen: npt.NDArray[np.integer] | None = None, resamples: int = 0
) -> Floats | None:
    """The mean over seeds in each resample of every cell, shape (cells, resamples); None if one has no draws.

    chosen: the seeds of each resample, shape (resamples, seeds); with it, cells without draws keep their estimates.
    Test sets with equally many prompts have the same draws. They are rotated by a different amount for each test set,
    so that different test sets are uncorrelated and the shifts of one test set share their draws.
    """
    if chosen is None and any(each.drawn is None for each in cells):
        return None
    targets = _numbered([each.target for each in cells])
    count = int(targets.max()) + 1
    rows = []
    for each, target in zip(cells, targets, strict=True):
        table = np.repeat(each.estimates[:, None], resamples, axis=1) if each.drawn is None else each.drawn
        size = table.shape[1]
        start = -int(target) * max(1, size // count) % size
        table = np.concatenate([table[:, start:], table[:, :start]], axis=1)
        if chosen is None:
            rows.append(table[0] if len(table) == 1 else table.mean(axis=0))
        else:
            rows.append(table[chosen, np.arange(size)[:, None]].mean(axis=1))
    return np.stack(rows)


def _shares(figures: Sequence[ShiftFigure], average: Average) -> Floats:
    """The weight of each shift, normalized to a sum of 1."""
    weights = np.array([each.weight for each in figures], dtype=np.float64)
    if average == "sources":
        sources = _numbered([each.source or f"\0{number}" for number, each in enumerate(figures)])
        weights = weights / np.bincount(sources, weights)[sources]
    shares: Floats = weights / weights.sum()
    return shares


def _cells(figures: Sequence[ShiftFigure], shares: Floats) -> list[ShiftFigure]:
    """One value for each model and test set, with names filled in and the total weight of its shifts.

    For example, the accuracy of a source on itself is one value, even if nine shifts have that source. The order does
    not depend on the order of the shifts, and neither do the resamples.
    """
    together: dict[tuple[str, str], list[ShiftFigure]] = {}
    for number, (each, share) in enumerate(zip(figures, shares, strict=True)):
        model = (each.source or f"\0{number}") if each.model is None else each.model
        named = replace(each, weight=float(share), model=model, target=each.target or f"\0{number}")
        together.setdefault((model, named.target), []).append(named)
    return [_joined(together[key]) for key in sorted(together)]


def _joined(figures: Sequence[ShiftFigure]) -> ShiftFigure:
    if len(figures) == 1:
        return figures[0]
    weights = np.array([each.weight for each in figures])
    same_seeds = len({each.estimates.size for each in figures}) == 1
    estimates = [each.estimates if same_seeds else each.estimates.mean(keepdims=True) for each in figures]
    drawn = [each.drawn if same_seeds else each.drawn.mean(axis=0)[None] for each in figures if each.drawn is not None]
    return replace(
        figures[0],
        estimates=np.average(estimates, axis=0, weights=weights),
        drawn=np.average(drawn, axis=0, weights=weights) if len(drawn) == len(figures) else None,
        clusters=min(each.clusters for each in figures),
        weight=float(weights.sum()),
    )


def _numbered(names: Sequence[str | None]) -> npt.NDArray[np.intp]:
    """Names as integers from 0, in order of first occurrence."""
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return np.array([numbers[name] for name in names], dtype=np.intp)


def interval_over_shifts(figures: Sequence[ShiftFigure], level: float = 0.95, seed: int = 0) -> Interval | None:
    """The interval of estimate_mean."""
    return estimate_mean(figures, level=level, seed=seed).interval
