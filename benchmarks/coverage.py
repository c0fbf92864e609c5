"""How often 95 % intervals hold the truth, and how often tests find a difference that is not there, by simulation.

python benchmarks/coverage.py [--trials 1000] [--only means]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from genies.command_line import Arguments, run
from genies.data.shifts import read_shifts, unique_pairs
from genies.metrics import rms_calibration_error
from genies.metrics.calibration_interval import calibration_interval
from genies.metrics.intervals import accuracy_interval, expanded_tails
from genies.metrics.resampling import sums_by_cluster
from genies.metrics.shift_means import ShiftFigure, estimate_mean
from genies.metrics.verdict import difference_on_shift

Floats = npt.NDArray[np.float64]
SHIFTS = Path(__file__).resolve().parents[1] / "distribution_shifts"


class CoverageArguments(Arguments):
    """Simulate samples from known populations and count the intervals that hold the truth."""

    trials: Annotated[int, Field(ge=1)] = 1_000
    """Samples of each population; the standard error of a coverage of 0.95 is 0.007 for 1,000."""
    only: Literal["means", "calibration", "accuracy", "differences"] | None = None
    """One table (default: all)."""


@dataclass(frozen=True)
class Layout:
    """The shifts of a study, by numbers."""

    name: str
    sources: npt.NDArray[np.intp]
    targets: npt.NDArray[np.intp]


@dataclass(frozen=True)
class Effects:
    """Standard deviations of what is drawn around the population's mean."""

    source: float
    target: float
    shift: float
    skewed: bool = False
    """Exponential effects with a long lower tail, as of accuracies near 1, in place of normal ones."""

    def __str__(self) -> str:
        return f"{self.source}, {self.target}, {self.shift}{', skewed' if self.skewed else ''}"


EFFECTS = (
    Effects(0.10, 0.10, 0.03),
    Effects(0.10, 0.02, 0.03),
    Effects(0.02, 0.10, 0.03),
    Effects(0.03, 0.03, 0.03),
    Effects(0.00, 0.00, 0.03),
    Effects(0.10, 0.10, 0.03, skewed=True),
)


def layouts() -> list[Layout]:
    """Balanced layouts of 8 and 26 sources, that of GENIES, and that of all shifts of the 2023 release."""
    found = []
    for count in (8, 26):
        twice = np.repeat(np.arange(count), 2)
        found.append(Layout(f"{count} sources, 2 targets each", twice, np.arange(2 * count)))
        found.append(
            Layout(f"{count} sources, every target shared by 2", twice, (twice + np.tile([0, 1], count)) % count)
        )
        found.append(
            Layout(f"{count} sources on the same 6 targets", np.repeat(np.arange(count), 6), np.tile(range(6), count))
        )
    return [*found, _listed("GENIES"), _listed("all")]


def _listed(name: str) -> Layout:
    shifts = unique_pairs(read_shifts(SHIFTS / f"{name}.json"))
    sources, targets = (
        np.unique([getattr(each, end) for each in shifts], return_inverse=True)[1] for end in ("source", "target")
    )
    return Layout(f"{name}: {len(shifts)} shifts, {sources.max() + 1} sources", sources, targets)


def drawn_values(layout: Layout, effects: Effects, draw: np.random.Generator, prompts: int = 250) -> Floats:
    """Deviations from the population's mean: effects of sources, targets and shifts, and the noise of the prompts."""

    def effect(count: int) -> Floats:
        return 1 - draw.exponential(size=count) if effects.skewed else draw.normal(size=count)

    return (
        effects.source * effect(int(layout.sources.max()) + 1)[layout.sources]
        + effects.target * effect(int(layout.targets.max()) + 1)[layout.targets]
        + effects.shift * draw.normal(size=layout.sources.size)
        + (0.25 / prompts) ** 0.5 * draw.normal(size=layout.sources.size)
    )


def figures_of(layout: Layout, values: Floats) -> list[ShiftFigure]:
    """The values as figures of shifts."""
    return [
        ShiftFigure(np.array([value]), None, 250, target=f"t{target}", source=f"s{source}")
        for value, source, target in zip(values, layout.sources, layout.targets, strict=True)
    ]


def bootstrap_ends(layout: Layout, values: Floats, draw: np.random.Generator, two_way: bool) -> tuple[float, float]:
    """Expanded percentiles of the mean over shifts: shifts drawn as if independent, or products of the weights of
    sources and targets (Owen and Eckles 2012), targets only where they are shared."""

    def weights(labels: npt.NDArray[np.intp]) -> Floats:
        count = int(labels.max()) + 1
        return draw.multinomial(count, np.full(count, 1 / count), size=300)[:, labels].astype(np.float64)

    n = values.size
    if two_way:
        drawn = weights(layout.sources)
        if int(layout.targets.max()) + 1 < n:
            drawn = drawn * weights(layout.targets)
        n = int(layout.sources.max()) + 1
    else:
        drawn = weights(np.arange(n))
    total = drawn.sum(axis=1)
    low, high = np.quantile((drawn @ values)[total > 0] / total[total > 0], expanded_tails(n))
    return float(low), float(high)


def means(trials: int) -> Iterator[list[str]]:
    """Coverage of means over shifts by three ways, of the mean over sources, and false findings of the test."""
    ways = ("shifts as independent", "two-way bootstrap", "ours over shifts", "false findings", "ours over sources")
    yield ["layout", "effects of source, target, shift", *ways]
    for layout in layouts():
        for effects in EFFECTS:
            draw = np.random.default_rng(0)
            counts = np.zeros(5)
            for _ in range(trials):
                values = drawn_values(layout, effects, draw)
                ends = [bootstrap_ends(layout, values, draw, two_way) for two_way in (False, True)]
                figures = figures_of(layout, values)
                over_shifts, over_sources = estimate_mean(figures), estimate_mean(figures, "sources")
                intervals = [each.interval for each in (over_shifts, over_sources) if each.interval]
                held = [low <= 0 <= high for low, high in [*ends, *((each.low, each.high) for each in intervals)]]
                counts += [*held, (over_shifts.p_value or 0.0) < 0.05]
            independent, two_way, shifts, sources, found = (f"{count / trials:.3f}" for count in counts)
            yield [layout.name, str(effects), independent, two_way, shifts, found, sources]


def confidences(prompts: int, pairs: int, spread: float, sharpness: float, draw: np.random.Generator) -> Floats:
    """p of pairs, shape (prompts * pairs,): beta-distributed, nearer to 0 and 1 for a smaller `spread`. The best
    response wins with the chance that p would have at another sharpness (1: calibrated; below 0: worse than chance).
    The pairs of a prompt have one p, and half the time one answer."""
    q = np.repeat(draw.beta(spread, spread, size=prompts), pairs).clip(1e-12, 1 - 1e-12)
    odds = (q / (1 - q)) ** sharpness
    own, common = draw.random(prompts * pairs), np.repeat(draw.random(prompts), pairs)
    alike = np.repeat(draw.random(prompts) < 0.5, pairs)
    won = np.where(alike, common, own) < odds / (1 + odds)
    return np.where(won, q, 1 - q)


@lru_cache
def true_error(spread: float, sharpness: float) -> float:
    """The calibration error of the population, to about 0.002."""
    if sharpness == 1:
        return 0.0
    return rms_calibration_error(confidences(300_000, 1, spread, sharpness, np.random.default_rng(1)))


def calibration_coverage(prompts: int, pairs: int, spread: float, sharpness: float, trials: int) -> float:
    """Share of the intervals of the calibration error that hold it."""
    draw = np.random.default_rng([prompts, pairs])
    truth = true_error(spread, sharpness)
    clusters, held = np.repeat(np.arange(prompts), pairs), 0
    for _ in range(trials):
        interval = calibration_interval(confidences(prompts, pairs, spread, sharpness, draw), clusters)
        held += interval is not None and interval.low <= truth <= interval.high
    return held / trials


def calibration(trials: int) -> Iterator[list[str]]:
    """Coverage of the interval of the calibration error, for calibrated and other scorers."""
    sizes = ((60, 1), (100, 1), (250, 1), (750, 1), (100, 3))
    yield ["spread of p", "sharpness", *(f"{prompts} prompts of {pairs}" for prompts, pairs in sizes)]
    for spread in (0.2, 0.8, 20.0):
        for sharpness in (1.0, 0.9, 0.7, 0.5, 0.2, -0.5):
            held = [calibration_coverage(*size, spread, sharpness, trials) for size in sizes]
            yield [f"{spread}", f"{sharpness}", *(f"{each:.3f}" for each in held)]


def scored_pairs(clusters: npt.NDArray[np.intp], mean: float, draw: np.random.Generator) -> Floats:
    """1 for right and 0 for wrong, shape (pairs,), with a correlation of 0.4 inside a prompt."""
    chances = draw.beta(1.5 * mean, 1.5 * (1 - mean), size=int(clusters.max()) + 1)
    return (draw.random(clusters.size) < chances[clusters]).astype(np.float64)


def prompt_sizes(prompts: int) -> npt.NDArray[np.intp]:
    """The prompt of each pair: prompts of one, two and three pairs in turns."""
    return np.repeat(np.arange(prompts), 1 + np.arange(prompts) % 3)


def accuracy(trials: int) -> Iterator[list[str]]:
    """Coverage of the interval of accuracy, prompts with one, two or three pairs."""
    means_ = (0.6, 0.8, 0.95)
    yield ["prompts", *(f"accuracy {mean}" for mean in means_)]
    for prompts in (5, 8, 15, 29, 60, 250):
        clusters, shown = prompt_sizes(prompts), []
        for mean in means_:
            draw, held = np.random.default_rng(prompts), 0
            for _ in range(trials):
                right = scored_pairs(clusters, mean, draw)
                interval = accuracy_interval(np.where(right == 1, 0.75, 0.25), clusters, resamples=2_000)
                held += interval is not None and interval.low <= mean <= interval.high
            shown.append(f"{held / trials:.3f}")
        yield [str(prompts), *shown]


def differences(trials: int) -> Iterator[list[str]]:
    """Of two interventions on one test set that are equally good: tests that find a difference, and coverage."""
    yield ["prompts", "false findings", "coverage"]
    for prompts in (5, 8, 15, 29, 60, 250):
        clusters, draw = prompt_sizes(prompts), np.random.default_rng(prompts)
        found = held = 0
        for _ in range(trials):
            chances = draw.beta(1.5 * 0.7, 1.5 * 0.3, size=prompts)
            both = [(draw.random(clusters.size) < chances[clusters]).astype(np.float64) for _ in range(2)]
            difference = difference_on_shift(*(sums_by_cluster(each, clusters) for each in both))
            assert difference.p_value is not None
            assert difference.interval is not None
            found += difference.p_value < 0.05
            held += difference.interval.low <= 0 <= difference.interval.high
        yield [str(prompts), f"{found / trials:.3f}", f"{held / trials:.3f}"]


TABLES: dict[str, Callable[[int], Iterator[list[str]]]] = {
    "means": means,
    "calibration": calibration,
    "accuracy": accuracy,
    "differences": differences,
}


def benchmark(arguments: CoverageArguments) -> int:
    """Print the tables."""
    for name, table in TABLES.items():
        if arguments.only in (None, name):
            print(f"\n{table.__doc__}\n")
            for number, line in enumerate(table(arguments.trials)):
                print("| " + " | ".join(line) + " |", flush=True)
                if number == 0:
                    print("|" + "---|" * len(line))
    return 0


if __name__ == "__main__":
    run(benchmark)
