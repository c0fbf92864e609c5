"""Means over shifts, and how far other shifts, other seeds and other test examples could move them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from genies.metrics.intervals import Interval, percentile_interval
from genies.metrics.probabilities import Floats


@dataclass(frozen=True, slots=True, eq=False)
class ShiftFigure:
    """A figure on one shift, with every seed, and the same in resamples of the shift's test examples."""

    estimates: Floats
    """Shape (seeds,); one number where no seeds were asked for."""
    drawn: Floats | None
    """Shape (seeds, resamples), all seeds on the same draws; None where it is not known which pairs belong together."""
    examples: int = 0
    """How many examples were drawn from."""
    weight: float = 1.0
    """How much the shift counts in the mean."""
    sample: str = ""
    """The name of the distribution whose examples were drawn; empty for one that no other shift shares."""

    @property
    def mean(self) -> float:
        return float(np.mean(self.estimates))


def mean_over_shifts(figures: Sequence[ShiftFigure]) -> float:
    """The mean over shifts, by weight, of the mean over seeds.

    >>> mean_over_shifts([ShiftFigure(np.array([0.5, 0.7]), None), ShiftFigure(np.array([0.2]), None, weight=2)])
    0.3333333333333333
    """
    weights = [each.weight for each in figures]
    return float(np.dot(weights, [each.mean for each in figures]) / np.sum(weights))


def by_sample(figures: Sequence[ShiftFigure]) -> list[ShiftFigure]:
    """Figures about the same examples made one, their mean by weight: they are no independent evidence.

    A source that nine shifts start from has one accuracy on itself, not nine.
    """
    together: dict[str, list[ShiftFigure]] = {}
    for number, each in enumerate(figures):
        together.setdefault(each.sample or f"{number}", []).append(each)
    return [_joined(each) for each in together.values()]


def _joined(figures: Sequence[ShiftFigure]) -> ShiftFigure:
    if len(figures) == 1:
        return figures[0]
    weights = np.array([each.weight for each in figures])
    same_seeds = len({each.estimates.size for each in figures}) == 1
    estimates = [each.estimates if same_seeds else each.estimates.mean(keepdims=True) for each in figures]
    drawn = [each.drawn if same_seeds else each.drawn.mean(axis=0)[None] for each in figures if each.drawn is not None]
    return ShiftFigure(
        np.average(estimates, axis=0, weights=weights),
        np.average(drawn, axis=0, weights=weights) if len(drawn) == len(figures) else None,
        max(each.examples for each in figures),
        float(weights.sum()),
        figures[0].sample,
    )


FEWEST_SHIFTS = 5
"""Resamples of fewer span less than 95 %: the middle of four independent figures lies among them in 7 of 8 cases."""


def interval_over_shifts(figures: Sequence[ShiftFigure], level: float = 0.95, seed: int = 0) -> Interval | None:
    """Interval for mean_over_shifts, when shifts, seeds and test examples are samples of what could have been.

    A bootstrap on three levels: shifts with replacement (those about the same examples together), seeds (the same for
    all shifts: a seed names one run of everything), and within each shift drawn its examples; expanded percentiles for
    the number of shifts. The spread between shifts, which holds the noise of their examples already, is by far the
    largest part, so that drawing examples as well makes the interval hardly wider than needed. Fewer than
    FEWEST_SHIFTS are not drawn: the interval is then about these very shifts, and its method says so. None where
    nothing can be drawn, and for few shifts of which one does not tell its examples.
    """
    several = len(figures) > 1
    figures = by_sample(figures)
    shifts = len(figures)
    among_shifts = shifts >= FEWEST_SHIFTS
    seeds = {each.estimates.size for each in figures}
    several_seeds = len(seeds) == 1 and max(seeds) > 1
    known = [each.drawn is not None for each in figures]
    if not among_shifts and not all(known) and not (several_seeds and shifts == 1):
        return None
    resamples = next((each.drawn.shape[1] for each in figures if each.drawn is not None), 2_000)
    draw = np.random.default_rng([seed, shifts, resamples])
    chosen_seeds = draw.integers(max(seeds), size=(resamples, max(seeds)))
    drawn = []
    for each in figures:
        table = np.repeat(each.estimates[:, None], resamples, axis=1) if each.drawn is None else each.drawn
        drawn.append(
            table[chosen_seeds, np.arange(resamples)[:, None]].mean(axis=1) if several_seeds else table.mean(axis=0)
        )
    chosen = draw.integers(shifts, size=(resamples, shifts)) if among_shifts else np.arange(shifts)[None]
    weights = np.array([each.weight for each in figures])[chosen]
    means = np.sum(spread_rows(np.stack(drawn), chosen) * weights, axis=1) / np.sum(weights, axis=1)
    drawn_levels = {"shifts": among_shifts, "seeds": several_seeds, "examples": any(known)}
    method = "bootstrap over " + " and ".join(name for name, there in drawn_levels.items() if there)
    if not among_shifts and several:
        method += " of these shifts"
    n = shifts if among_shifts else max(min(each.examples for each in figures), max(seeds))
    return percentile_interval(means, n, method, level)


def spread_rows(drawn: Floats, chosen: npt.NDArray[np.integer]) -> Floats:
    """For each resample the draws of the shifts chosen for it, shape (resamples, shifts chosen).

    drawn: shape (shifts, resamples); chosen: shape (resamples, places) or (1, places). Shifts with as many examples
    share one set of draws, so each place takes its draw from another row: no two move hand in hand.
    """
    resamples, places = drawn.shape[1], chosen.shape[1]
    rows = (np.arange(resamples)[:, None] + np.arange(places) * max(1, resamples // places)) % resamples
    taken: Floats = drawn[np.broadcast_to(chosen, rows.shape), rows]
    return taken
