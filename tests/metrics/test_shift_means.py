"""Differential elicitation and means over shifts: intervals against the delta method, and how often they hold."""

import math

import numpy as np
import pytest
from benchmarks.coverage import EFFECTS, drawn_values, figures_of, layouts
from scipy import stats

from genies.metrics.elicitation import resampled_elicitation
from genies.metrics.intervals import percentile_interval
from genies.metrics.resampling import ClusterSums
from genies.metrics.shift_means import ShiftFigure, estimate_mean, mean_over_shifts, mean_over_sources
from tests.support.present import present


def answers(right: np.ndarray) -> ClusterSums:
    return ClusterSums(np.arange(right.size), right.astype(float), np.ones(right.size))


@pytest.mark.parametrize("on_target", [True, False])
def test_elicitation_varies_as_the_delta_method_says(on_target) -> None:
    draw = np.random.default_rng(0)
    n = 2_000
    skill = draw.random(n)
    g, b, c = (skill + draw.normal(0, 0.3, n) > level for level in (0.4, 0.6, 0.2))
    drawn = resampled_elicitation(answers(g), answers(b), answers(c), on_target, resamples=8_000)
    means = g.mean(), b.mean(), c.mean()
    gradient = np.array([1 / means[2], -1 / means[2], -(means[0] - means[1]) / means[2] ** 2])
    covariance = np.cov([g, b, c]) / n
    if not on_target:
        covariance[2, :2] = covariance[:2, 2] = 0
    assert present(drawn).std() == pytest.approx(math.sqrt(gradient @ covariance @ gradient), rel=0.05)
    assert present(drawn).mean() == pytest.approx((means[0] - means[1]) / means[2], abs=0.003)


def test_a_capability_that_may_be_nothing_has_no_elicitation() -> None:
    one_right = np.arange(10) == 0
    some = answers(np.arange(10) < 5)
    assert resampled_elicitation(some, some, answers(one_right), True) is None


def test_elicitation_intervals_hold_the_truth_as_often_as_they_say() -> None:
    draw = np.random.default_rng(3)
    held = 0
    for _ in range(400):
        skill = draw.random((100, 1))
        right = skill + draw.normal(0, 0.3, (100, 3)) > [0.4, 0.6, 0.2]
        generalization, baseline, capability = map(answers, right.T)
        drawn = resampled_elicitation(generalization, baseline, capability, True, resamples=1_000)
        interval = percentile_interval(present(drawn), 100, "")
        held += interval.low <= TRUE_ELICITATION <= interval.high
    assert 0.92 <= held / 400 <= 0.98


def _chance(level: float) -> float:
    grid = np.linspace(0, 1, 20_001)
    return float(np.mean(stats.norm.sf((level - grid) / 0.3)))


TRUE_ELICITATION = (_chance(0.4) - _chance(0.6)) / _chance(0.2)


LAYOUTS = [layout for layout in layouts() if layout.sources.size <= 48]  # the larger ones take minutes


def figure(value: float, source: str = "", target: str = "", **more) -> ShiftFigure:
    return ShiftFigure(np.array([value]), None, target=target, source=source, **more)


def drawn_figure(truth: float, prompts: int, draw: np.random.Generator, target: str) -> ShiftFigure:
    estimates = draw.binomial(prompts, truth, size=1) / prompts
    drawn = draw.binomial(prompts, estimates[:, None], size=(1, 500)) / prompts
    return ShiftFigure(estimates, drawn, prompts, target=target, source="s")


# Coverage: of many samples from a known population, how many have an interval that holds the true mean?


@pytest.mark.simulation
@pytest.mark.parametrize("effects", [EFFECTS[0], EFFECTS[3]], ids=str)
@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_means_hold_those_of_other_sources_and_test_sets_as_often_as_they_say(layout, effects) -> None:
    """By benchmarks/coverage.py 93 to 97 %, less two standard errors of 150 samples. Shifts drawn as if independent
    hold it in 51 to 92 % of these layouts."""
    draw = np.random.default_rng(0)
    held = np.zeros(2)
    for _ in range(150):
        figures = figures_of(layout, drawn_values(layout, effects, draw))
        found = [estimate_mean(figures), estimate_mean(figures, "sources")]
        assert all(
            (present(each.p_value) < 0.05) == (not present(each.interval).low <= 0 <= present(each.interval).high)
            for each in found
        )
        held += [present(each.p_value) >= 0.05 for each in found]
    assert np.all(held / 150 >= 0.9)


def test_the_shifts_of_one_source_are_no_more_evidence_than_one() -> None:
    """Eight shifts that agree because they share a model: the interval must be about as wide as with one of them."""
    values = [0.9, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75]
    once = estimate_mean([figure(value, f"s{number}") for number, value in enumerate(values)], "sources")
    shared = [figure(0.9 + 0.001 * number, "s0") for number in range(8)]
    others = [figure(value, f"s{number}") for number, value in enumerate(values[1:], 1)]
    often = estimate_mean([*shared, *others], "sources")
    assert (often.n_sources, often.n_shifts) == (7, 14)
    width = present(once.interval).high - present(once.interval).low
    assert present(often.interval).high - present(often.interval).low == pytest.approx(width, rel=0.05)
    # The mean over shifts leans on that one source, and is less sure for it.
    leaning = estimate_mean([*shared, *others])
    assert leaning.effective_sources == pytest.approx(196 / (64 + 6))
    assert present(leaning.interval).high - present(leaning.interval).low > 1.3 * width


def test_one_shift_a_source_gives_students_interval() -> None:
    values = np.random.default_rng(1).normal(0.1, 0.2, size=9)
    found = estimate_mean([figure(value, f"s{number}", f"t{number}") for number, value in enumerate(values)])
    expected = stats.t.interval(0.95, 8, loc=values.mean(), scale=stats.sem(values))
    assert (present(found.interval).low, present(found.interval).high) == pytest.approx(expected, abs=1e-9)
    assert found.p_value == pytest.approx(stats.ttest_1samp(values, 0).pvalue, abs=1e-9)
    assert present(found.interval).method == "Student's t over sources"
    assert found.about == "other sources"


def test_the_balanced_mean_of_sources_gives_students_interval_of_their_means() -> None:
    """Two shifts a source with test sets of their own: the classical analysis of a nested design."""
    draw = np.random.default_rng(2)
    values = np.repeat(draw.normal(0.6, 0.1, 8), 2) + draw.normal(0, 0.02, 16)
    found = estimate_mean([figure(value, f"s{number // 2}", f"t{number}") for number, value in enumerate(values)])
    means = values.reshape(8, 2).mean(axis=1)
    expected = stats.t.interval(0.95, 7, loc=means.mean(), scale=stats.sem(means))
    assert (present(found.interval).low, present(found.interval).high) == pytest.approx(expected, rel=0.02)


def test_shared_test_sets_make_the_interval_wider() -> None:
    draw = np.random.default_rng(3)
    of_target = draw.normal(0, 0.2, 6)
    values = 0.5 + of_target[np.tile(range(6), 8)] + draw.normal(0, 0.02, 48)
    shared = [figure(value, f"s{number // 6}", f"t{number % 6}") for number, value in enumerate(values)]
    own = [figure(value, f"s{number // 6}", f"t{number}") for number, value in enumerate(values)]
    wide, narrow = estimate_mean(shared).interval, estimate_mean(own).interval
    assert present(wide).method == "Student's t over sources and test sets"
    assert present(wide).high - present(wide).low == pytest.approx(
        2 * stats.t.ppf(0.975, 5) * of_target.std(ddof=1) / 6**0.5, rel=0.1
    )
    assert present(narrow).high - present(narrow).low < 0.5 * (present(wide).high - present(wide).low)


def test_few_shared_test_sets_are_taken_as_they_are() -> None:
    draw = np.random.default_rng(4)
    source = draw.normal(0, 0.05, 8)
    values = source.repeat(2) + np.tile([0.2, 0.8], 8) + draw.normal(0, 0.001, 16)
    found = estimate_mean([figure(value, f"s{number // 2}", f"t{number % 2}") for number, value in enumerate(values)])
    assert present(found.interval).method == "Student's t over sources for these test sets"
    expected = stats.t.interval(0.95, 7, loc=0.5 + source.mean(), scale=stats.sem(source))
    assert (present(found.interval).low, present(found.interval).high) == pytest.approx(expected, abs=0.002)


def test_an_untuned_model_has_no_source_and_what_many_shifts_repeat_counts_once() -> None:
    values = [0.2, 0.4, 0.5, 0.6, 0.9]
    alone = estimate_mean([figure(value, target=f"t{number}", model="") for number, value in enumerate(values)])
    assert present(alone.interval).method == "Student's t over test sets"
    assert alone.about == "other test sets"
    twice = [figure(value, f"s{n}", f"t{n % 5}", model="") for n, value in enumerate([*values, *values])]
    again = estimate_mean(twice)
    assert (present(again.interval).low, present(again.interval).high) == pytest.approx(
        (present(alone.interval).low, present(alone.interval).high)
    )
    assert (again.n_shifts, again.n_sources) == (10, 5)
    # The accuracy of a source on itself, listed by each of its shifts.
    of_sources = [figure(value, f"s{n // 2}", f"s{n // 2}") for n, value in enumerate(np.repeat(values, 2))]
    itself = estimate_mean(of_sources)
    assert (present(itself.interval).low, present(itself.interval).high) == pytest.approx(
        (present(alone.interval).low, present(alone.interval).high)
    )


def test_an_interval_is_cut_to_the_range_of_the_metric() -> None:
    values = [0.2, 1.0, 1.0, 1.0, 1.0]
    figures = [figure(value, f"s{n}", f"t{n}", bounds=(0, 1)) for n, value in enumerate(values)]
    assert present(estimate_mean(figures).interval).high == 1


def test_few_sources_are_not_drawn_and_the_interval_is_about_these_shifts() -> None:
    draw = np.random.default_rng(6)
    held, widths = 0, []
    truths = np.array([0.3, 0.6, 0.9])
    for _ in range(300):
        found = estimate_mean([drawn_figure(truth, 100, draw, f"t{truth}") for truth in truths])
        held += present(found.interval).low <= truths.mean() <= present(found.interval).high
        widths.append(present(found.interval).high - present(found.interval).low)
    assert 0.91 <= held / 300 <= 0.985
    error = math.sqrt(np.sum(truths * (1 - truths)) / 100) / 3
    assert np.mean(widths) == pytest.approx(2 * 1.96 * error, rel=0.15)
    assert present(found.interval).method == "bootstrap over prompts of these shifts"
    assert found.about == "these shifts"
    assert found.reason == "an interval about other sources needs 5 sources, and there is 1"


@pytest.mark.parametrize("value", [0.05, 0.1, 0.15, -0.1])
def test_a_p_value_about_these_shifts_agrees_with_its_interval(value) -> None:
    draw = np.random.default_rng(7)
    for _ in range(100):
        drawn = draw.normal(value, 0.05, size=(1, 400))
        found = estimate_mean([ShiftFigure(np.array([value]), drawn, 60)])
        assert (present(found.p_value) < 0.05) == (not present(found.interval).low <= 0 <= present(found.interval).high)
    z = abs(value) / 0.05
    assert found.p_value == pytest.approx(2 * stats.t.sf(z * (59 / 60) ** 0.5, 59), abs=0.04)


def test_test_sets_that_share_their_draws_do_not_move_hand_in_hand_but_shifts_of_one_do() -> None:
    """The same resamples on three shifts: the mean must vary by a root of three less than each."""
    one = np.random.default_rng(8).normal(0.5, 0.1, size=(1, 2_000))
    apart = estimate_mean([ShiftFigure(np.array([0.5]), one, 1_000, target=t, source="s") for t in "abc"]).interval
    assert present(apart).high - present(apart).low == pytest.approx(2 * 1.96 * 0.1 / math.sqrt(3), rel=0.1)
    together = [ShiftFigure(np.array([0.5]), one, 1_000, target="t", source=s) for s in "abc"]
    interval = estimate_mean(together).interval
    assert present(interval).high - present(interval).low == pytest.approx(2 * 1.96 * 0.1, rel=0.1)


def test_seeds_widen_the_interval_about_these_shifts_when_they_differ() -> None:
    drawn = np.full((3, 2_000), 0.0)
    alike = ShiftFigure(np.array([0.5, 0.5, 0.5]), drawn + 0.5, 100)
    apart = ShiftFigure(np.array([0.4, 0.5, 0.6]), drawn + np.array([[0.4], [0.5], [0.6]]), 100)
    assert estimate_mean([alike]).interval is None
    interval = estimate_mean([apart]).interval
    assert present(interval).low < 0.45
    assert present(interval).high > 0.55
    assert present(interval).method == "bootstrap over seeds and prompts"


def test_what_seeds_have_in_common_widens_the_interval_about_other_sources() -> None:
    draw = np.random.default_rng(9)
    sources = 0.5 + draw.normal(0, 0.02, size=(8, 1))
    common = np.array([[-0.1, 0.0, 0.1]])

    def width(estimates: np.ndarray) -> float:
        figures = [ShiftFigure(row, None, source=f"s{n}", target=f"t{n}") for n, row in enumerate(estimates)]
        interval = estimate_mean(figures).interval
        return present(interval).high - present(interval).low

    assert width(sources + common) > 3 * width(sources + 0 * common)
    own = np.stack([draw.permutation(common[0]) for _ in range(8)])  # in the differences between sources already
    assert width(sources + own) < 1.6 * width(sources + 0 * common)


def test_sources_that_agree_are_no_surer_than_their_prompts() -> None:
    """Five equal values have no spread; the noise of their own prompts is the least there is."""
    draw = np.random.default_rng(10)
    figures = [
        ShiftFigure(np.array([0.9]), draw.normal(0.9, 0.05, size=(1, 2_000)), 100, target=f"t{n}", source=f"s{n}")
        for n in range(5)
    ]
    interval = estimate_mean(figures).interval
    assert present(interval).high - present(interval).low == pytest.approx(
        2 * stats.t.ppf(0.975, 4) * 0.05 / 5**0.5, rel=0.1
    )
    bare = estimate_mean([figure(0.9, f"s{n}") for n in range(5)])
    assert bare.interval is None
    assert bare.reason == "the values of all shifts are the same"


def test_what_cannot_be_drawn_has_no_interval_and_the_reason_says_so() -> None:
    assert estimate_mean([figure(0.5)]).interval is None
    found = estimate_mean([figure(0.5, "a"), figure(0.6, "b"), figure(0.7, "b")])
    assert (found.interval, found.p_value, found.about) == (None, None, "these shifts")
    assert found.reason == "an interval about other sources needs 5 sources, and there are 2"


def test_a_shift_that_counts_twice_is_twice_in_the_mean() -> None:
    once, twice = figure(0.2, "a"), figure(0.8, "a", weight=2)
    assert mean_over_shifts([once, twice]) == pytest.approx(0.6)
    assert mean_over_sources([once, twice, figure(0.2, "b")]) == pytest.approx(0.4)
    assert estimate_mean([once, twice, figure(0.2, "b")], "sources").value == pytest.approx(0.4)


def constant(value: float, source: str, bounds: tuple[float, float] = (-1.0, 1.0)) -> ShiftFigure:
    """A shift on which all prompts score alike, so that every resample has the same value."""
    return ShiftFigure(np.array([value]), np.full((1, 500), value), 40, 1.0, f"on {source}", source, None, bounds)


@pytest.mark.parametrize("sources", [1, 4, 5, 8])
@pytest.mark.parametrize("value", [0.3, -1.0, 0.0])
def test_a_mean_of_shifts_without_any_variation_has_a_test_but_no_interval(sources: int, value: float) -> None:
    found = estimate_mean([constant(value, f"s{number}") for number in range(sources)])
    assert found.interval is None
    assert found.reason
    # The bootstrap cannot give less than one in its number of resamples.
    assert found.p_value == 1.0 if value == 0 else 0 < present(found.p_value) < 0.01


def test_differences_that_cancel_out_are_no_difference() -> None:
    values = (0.3, -0.1, -0.2)
    found = estimate_mean([constant(value, f"s{number}") for number, value in enumerate(values)])
    assert sum(values) != 0  # by rounding
    assert found.p_value == 1.0


@pytest.mark.parametrize("sources", [4, 8])
def test_the_order_of_shifts_changes_no_interval(sources: int) -> None:
    draw = np.random.default_rng(0)
    figures = []
    for number in range(sources):
        value = draw.normal(0, 0.02)
        drawn = value + draw.normal(0, 0.05, (1, 500))
        figures.append(ShiftFigure(np.array([value]), drawn, 40, 1.0, f"t{number}", f"s{number}"))
    one, other = estimate_mean(figures), estimate_mean(figures[::-1])
    assert one.interval is not None
    assert (present(other.interval).low, present(other.interval).high) == pytest.approx(
        (one.interval.low, one.interval.high), abs=1e-12
    )
    assert other.p_value == pytest.approx(one.p_value, abs=1e-12)


def test_the_interval_of_a_metric_that_cannot_be_negative_is_not_drawn_to_zero() -> None:
    """Three seeds allow no p-value below 0.05, which says nothing about the interval of an AUROC."""
    values = np.array([0.77, 0.80, 0.76])
    signed = estimate_mean([ShiftFigure(values, None)])
    assert signed.interval is not None
    assert signed.p_value is not None
    assert signed.interval.low == 0
    estimate = estimate_mean([ShiftFigure(values, None, bounds=(0.0, 1.0))])
    assert estimate.p_value is None
    assert estimate.interval is not None
    assert (estimate.interval.low, estimate.interval.high) == pytest.approx((0.76, 0.80))
