import csv
import doctest
import importlib
import json
import math
import os
import pkgutil
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.metrics import log_loss as sklearn_log_loss

from genies import metrics
from genies.errors import InputError
from genies.metrics import (
    accuracy,
    accuracy_published,
    auroc,
    average_probability,
    brier_score,
    calibration_error,
    calibration_error_of_calibrated,
    confidence,
    differential_elicitation,
    is_constant_half,
    log_loss,
    margin,
    published_presentation,
    reliability_bins,
    rms_calibration_error,
    rms_calibration_error_published,
    rms_calibration_error_weighted,
    ties,
)
from tests.support.present import present

SHARED = Path(os.environ.get("GENIES_SHARED") or Path(__file__).resolve().parents[3] / "shared")
GOLDEN = SHARED / "golden"
FIGURES = [
    accuracy,
    accuracy_published,
    ties,
    brier_score,
    average_probability,
    rms_calibration_error,
    rms_calibration_error_published,
    published_presentation,
    auroc,
    margin,
    reliability_bins,
    confidence,
    log_loss,
    is_constant_half,
    rms_calibration_error_weighted,
    calibration_error_of_calibrated,
]
probabilities = st.lists(st.floats(0, 1), min_size=1, max_size=60)


MODULES = [importlib.import_module(f"genies.metrics.{each.name}") for each in pkgutil.iter_modules(metrics.__path__)]


def test_the_examples_in_the_docstrings_are_true() -> None:
    results = [doctest.testmod(module) for module in MODULES]
    assert sum(each.failed for each in results) == 0
    assert sum(each.attempted for each in results) >= 20


@pytest.mark.parametrize("figure", FIGURES)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, -1e-9, 1 + 1e-9, -0.5, 2.0])
def test_a_score_that_is_no_probability_is_an_error_and_never_a_point(figure, bad) -> None:
    with pytest.raises(InputError, match=r"at index 1"):
        figure([0.9, bad, 0.9])


@pytest.mark.parametrize("figure", FIGURES)
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([], "at least one pair"),
        ([[0.5, 0.5]], r"shape \(1, 2\)"),
        (0.5, r"shape \(\)"),
        (["0.5"], "numbers from 0 to 1"),
        ([True, False], "bool"),
        ([None, 0.5], "object"),
        ([0.5 + 0j], "complex"),
    ],
)
def test_anything_but_a_flat_list_of_numbers_is_an_error(figure, bad, message) -> None:
    with pytest.raises(InputError, match=message):
        figure(bad)


def test_half_precision_values_are_averaged_in_double_precision() -> None:
    values = np.full(5000, 0.1, dtype=np.float16)
    assert average_probability(values) == pytest.approx(float(np.float16(0.1)), abs=1e-12)
    assert brier_score(values) == pytest.approx((1 - float(np.float16(0.1))) ** 2, abs=1e-12)


def test_a_tie_counts_half_and_the_published_rule_counts_it_whole() -> None:
    values = [0.5, 0.5, 0.5, 0.9, 0.1]
    assert (accuracy(values), accuracy_published(values), ties(values)) == (0.5, 0.8, 3)


def test_a_probability_next_to_one_half_is_no_tie() -> None:
    above, below = math.nextafter(0.5, 1), math.nextafter(0.5, 0)
    assert (accuracy([above]), accuracy([below]), ties([above, below])) == (1.0, 0.0, 0)


@settings(max_examples=60, deadline=None)
@given(probabilities)
def test_figures_stay_in_their_range(values) -> None:
    for figure in (
        accuracy,
        accuracy_published,
        brier_score,
        average_probability,
        rms_calibration_error,
        rms_calibration_error_published,
    ):
        result = figure(values)
        assert result is None or (isinstance(result, float) and 0 <= result <= 1)


@settings(max_examples=60, deadline=None)
@given(probabilities)
def test_accuracy_lies_between_the_strict_and_the_published_rule(values) -> None:
    strict = sum(p > 0.5 for p in values) / len(values)
    assert accuracy(values) == pytest.approx((strict + accuracy_published(values)) / 2, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(probabilities)
def test_brier_agrees_with_scikit_learn(values) -> None:
    assert brier_score(values) == pytest.approx(brier_score_loss(np.ones(len(values)), values), abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(probabilities, st.randoms(use_true_random=False))
def test_the_order_of_the_pairs_does_not_matter(values, shuffle) -> None:
    shuffled = shuffle.sample(values, len(values))
    for figure in (accuracy, brier_score, average_probability, rms_calibration_error, log_loss):
        assert figure(shuffled) == pytest.approx(figure(values), abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1).filter(lambda p: abs(p * 10 - round(p * 10)) > 1e-6), min_size=1, max_size=60))
def test_calibration_agrees_with_scikit_learns_reliability_curve(values) -> None:
    r = np.concatenate([values, 1 - np.array(values)])
    y = np.concatenate([np.ones(len(values)), np.zeros(len(values))])
    observed, predicted = calibration_curve(y, r, n_bins=5)
    sizes = np.histogram(r, bins=5, range=(0, 1))[0]
    expected = math.sqrt(np.dot(sizes[sizes > 0], (observed - predicted) ** 2) / len(r))
    assert rms_calibration_error_weighted(values) == pytest.approx(expected, abs=1e-9)


edges_left_out = st.floats(0, 1).filter(lambda p: abs(p * 20 - round(p * 20)) > 1e-6)


@settings(max_examples=60, deadline=None)
@given(st.lists(edges_left_out, min_size=1, max_size=60))
def test_the_confidence_error_is_that_of_both_orders_in_twenty_bins(values) -> None:
    """scikit-learn's curve over [0, 1]: without a middle bin p and 1 - p are in mirrored bins with the same gap."""
    r = np.concatenate([values, 1 - np.array(values)])
    y = np.concatenate([np.ones(len(values)), np.zeros(len(values))])
    observed, predicted = calibration_curve(y, r, n_bins=20)
    sizes = np.histogram(r, bins=20, range=(0, 1))[0]
    expected = math.sqrt(np.dot(sizes[sizes > 0], (observed - predicted) ** 2) / len(r))
    assert rms_calibration_error(values) == pytest.approx(expected, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.lists(edges_left_out, min_size=1, max_size=60))
def test_the_confidence_error_agrees_with_a_reliability_curve_of_being_right(values) -> None:
    p = np.array(values)
    scaled = 2 * np.maximum(p, 1 - p) - 1
    observed, predicted = calibration_curve(p > 0.5, scaled, n_bins=10)
    sizes = np.histogram(scaled, bins=10, range=(0, 1))[0]
    expected = math.sqrt(np.dot(sizes[sizes > 0], (observed - (predicted + 1) / 2) ** 2) / p.size)
    assert rms_calibration_error(values) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("n", [1, 7, 250])
@pytest.mark.parametrize(("p", "expected"), [(0.55, 0.45), (0.45, 0.55), (0.5, 0.0), (1.0, 0.0), (0.0, 1.0)])
def test_unsure_models_are_not_perfectly_calibrated(p, expected, n) -> None:
    assert rms_calibration_error([p] * n) == pytest.approx(expected, abs=1e-12)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_log_loss_agrees_with_scikit_learn(values) -> None:
    expected = sklearn_log_loss(np.ones(len(values)), values, labels=[0, 1])
    assert log_loss(values) == pytest.approx(expected, abs=1e-9)


def test_log_loss_is_finite_for_a_model_that_is_sure_and_wrong() -> None:
    assert log_loss([0.0]) == pytest.approx(52 * math.log(2))
    assert log_loss([0.5] * 9) == pytest.approx(math.log(2))
    assert math.copysign(1, log_loss([1.0])) == 1


@pytest.mark.parametrize("n", [30, 100, 750])
def test_a_calibrated_scorer_shows_what_simulated_calibrated_scorers_show(n) -> None:
    """Confidences spread evenly: 0.125 for 100 pairs and about 0.23 for 30."""
    draw = np.random.default_rng(0)
    errors = []
    for _ in range(2_000):
        sure = draw.uniform(0.5, 1, n)
        errors.append(rms_calibration_error(np.where(draw.random(n) < sure, sure, 1 - sure)))
    even = 0.5 + (np.arange(n) + 0.5) / (2 * n)
    assert calibration_error_of_calibrated(even) == pytest.approx(np.mean(errors), rel=0.03)
    if n != 750:
        assert np.mean(errors) == pytest.approx({30: 0.23, 100: 0.125}[n], rel=0.03)


def test_pairs_that_belong_together_are_noisier_than_as_many_that_do_not() -> None:
    draw = np.random.default_rng(0)
    sure, right = np.repeat(draw.uniform(0.5, 1, 100), 4), np.repeat(draw.random(100), 4)
    p = np.where(right < sure, sure, 1 - sure)  # the four pairs of a prompt are right or wrong together
    together = calibration_error_of_calibrated(p, np.repeat(range(100), 4))
    assert together == pytest.approx(calibration_error_of_calibrated(p[::4]), rel=0.1)
    assert together > 1.7 * calibration_error_of_calibrated(p)


def test_a_scorer_that_always_says_one_half_is_known_by_it() -> None:
    assert is_constant_half([0.5] * 3)
    assert not is_constant_half([0.5, 0.5, 0.5001])


def test_calibration_by_hand() -> None:
    # Confidences 0.92, 0.91 (right) and 0.72 (wrong): bins [.9, .95) with gap 1 - 0.915 and [.7, .75) with gap 0.72.
    expected = math.sqrt((2 * 0.085**2 + 0.72**2) / 3)
    assert rms_calibration_error([0.92, 0.91, 0.28]) == pytest.approx(expected, abs=1e-12)
    # As (p, 1): 0.9, 0.9, 0.3; as (1 - p, 0): 0.1, 0.1, 0.7. Bins: [0, .2) holds two 0.1 with label 0;
    # [.2, .4) 0.3 with label 1; [.6, .8) 0.7 with label 0; [.8, 1] two 0.9 with label 1.
    expected = math.sqrt((2 * 0.1**2 + 0.7**2 + 0.7**2 + 2 * 0.1**2) / 6)
    assert rms_calibration_error_weighted([0.9, 0.9, 0.3]) == pytest.approx(expected, abs=1e-12)


@given(probabilities)
def test_the_reliability_bins_are_those_of_the_calibration_error(values) -> None:
    bins = reliability_bins(values)
    assert len(bins) == 10
    assert sum(each.count for each in bins) == len(values)
    filled = [each for each in bins if each.count]
    squares = [each.count * (present(each.accuracy) - present(each.mean_confidence)) ** 2 for each in filled]
    assert math.sqrt(sum(squares) / len(values)) == pytest.approx(rms_calibration_error(values), abs=1e-9)
    assert all(each.mean_confidence is None for each in bins if not each.count)
    assert all(each.low - 1e-12 <= present(each.mean_confidence) <= each.high + 1e-12 for each in filled)


@given(probabilities)
def test_auroc_agrees_with_scikit_learn(values) -> None:
    p = np.array(values)
    expected = roc_auc_score(np.repeat([1, 0], p.size), np.concatenate([p, 1 - p]))
    assert auroc(values) == pytest.approx(expected, abs=1e-9)


@given(probabilities)
def test_the_margin_is_the_lead_of_the_best_response(values) -> None:
    assert margin(values) == pytest.approx(np.mean([p - (1 - p) for p in values]), abs=1e-12)


def test_certainty_counts_in_the_last_bin() -> None:
    assert rms_calibration_error([1.0, 0.96]) == pytest.approx(0.02, abs=1e-12)
    assert calibration_error([1.0, 0.9], [1, 0]) == pytest.approx(0.45, abs=1e-12)


def test_calibration_tells_always_right_from_always_wrong_where_the_published_figure_does_not() -> None:
    right, wrong = [1.0] * 100, [0.0] * 100
    assert (rms_calibration_error(right), rms_calibration_error(wrong)) == (0.0, 1.0)
    assert rms_calibration_error_published(right) == rms_calibration_error_published(wrong)


def test_the_published_figure_is_none_when_no_bin_has_twenty_members() -> None:
    assert rms_calibration_error_published([0.5] * 19) is None
    assert rms_calibration_error_published([0.5] * 20) is not None


def test_the_published_draw_leaves_the_callers_random_numbers_alone() -> None:
    random.seed(1)
    expected = random.random()
    random.seed(1)
    rms_calibration_error_published([0.5] * 30)
    assert random.random() == expected


def test_calibration_refuses_no_bins_and_labels_that_do_not_fit() -> None:
    with pytest.raises(InputError, match="at least 1 calibration bin"):
        rms_calibration_error([0.5], n_bins=0)
    with pytest.raises(InputError, match="one label for each of 2"):
        calibration_error([0.5, 0.5], [1.0])


def test_one_bin_compares_the_means() -> None:
    assert calibration_error([0.2, 0.4, 0.9], [1, 0, 1], n_bins=1) == pytest.approx(2 / 3 - 0.5, abs=1e-12)


def test_differential_elicitation_by_hand_and_its_hole() -> None:
    assert differential_elicitation(0.75, 0.5, 0.8) == 0.3125
    assert differential_elicitation(0.25, 0.5, 1.0) == -0.25
    assert differential_elicitation(0.25, 0.5, 0.0) is None


@pytest.mark.parametrize("bad", [math.nan, math.inf, -0.1, 1.1])
@pytest.mark.parametrize("position", [0, 1, 2])
def test_differential_elicitation_names_the_figure_that_is_no_accuracy(bad, position) -> None:
    values = [0.5, 0.5, 0.5]
    values[position] = bad
    name = ("generalization_accuracy", "baseline_accuracy", "target_tuned_capability")[position]
    with pytest.raises(InputError, match=name):
        differential_elicitation(*values)


def test_importing_the_metrics_loads_no_torch() -> None:
    code = "import genies.metrics, sys; sys.exit(not {'torch', 'sklearn', 'scipy'}.isdisjoint(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# The figures of the 2023 release.


def golden_rows() -> list[dict[str, str]]:
    path = GOLDEN / "metrics" / "expected.csv"
    if not path.exists():
        return []
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def golden_probabilities(row: dict[str, str]) -> list[float]:
    value = json.loads((GOLDEN / "metrics" / row["path"]).read_text(encoding="utf-8"))
    # The release's human evaluation writes its keys bare.
    return value["eval_probabilities"] if "eval_probabilities" in value else value["probabilities"]


def figure(row: dict[str, str], column: str) -> float | None:
    return float(row[column]) if row[column] else None


needs_golden = pytest.mark.skipif(
    not golden_rows(), reason=f"the golden figures of the 2023 release are not at {GOLDEN} (set GENIES_SHARED)"
)
each_file = pytest.mark.parametrize("row", golden_rows() or [{"path": "absent"}], ids=lambda row: row["path"])


@needs_golden
def test_there_are_forty_golden_files() -> None:
    assert len(golden_rows()) == 40


@needs_golden
@each_file
def test_figures_equal_those_of_the_release(row) -> None:
    p = golden_probabilities(row)
    assert len(p) == int(row["n"])
    assert accuracy_published(p) == figure(row, "acc_ge")
    assert accuracy(p) == pytest.approx(
        (present(figure(row, "acc_ge")) + present(figure(row, "acc_gt"))) / 2, abs=1e-12
    )
    assert ties(p) == round((present(figure(row, "acc_ge")) - present(figure(row, "acc_gt"))) * len(p))
    assert brier_score(p) == pytest.approx(figure(row, "brier_f64"), abs=1e-12)
    assert average_probability(p) == pytest.approx(figure(row, "avg_f64"), abs=1e-12)
    assert rms_calibration_error_published(p) == pytest.approx(figure(row, "rms_original_formula"), abs=1e-12)


@needs_golden
@each_file
def test_the_published_columns_follow_from_the_formulas(row) -> None:
    """What the release itself wrote: accuracy but for four files, Brier in double or half precision, calibration."""
    p = golden_probabilities(row)
    if "NOT recomputable" not in row["why"]:
        assert accuracy_published(p) == figure(row, "pub_accuracy")
    halves = np.asarray(p, dtype=np.float16)
    assert float(np.mean((1 - halves) ** 2)) == figure(row, "brier_f16")
    nearest = min(figure(row, "brier_f64"), figure(row, "brier_f16"), key=lambda b: abs(b - figure(row, "pub_brier")))
    assert figure(row, "pub_brier") == pytest.approx(nearest, abs=1e-7)  # some files hold single precision
    if row["pub_rms"]:
        assert rms_calibration_error_published(p) == figure(row, "pub_rms")


@needs_golden
@each_file
def test_corrected_calibration_of_the_drawn_presentation_equals_the_golden_columns(row) -> None:
    """The golden corrections keep the release's one drawn order of a pair; the bin rule and the weights are ours."""
    r, labels = published_presentation(golden_probabilities(row))
    assert calibration_error(r, labels) == pytest.approx(figure(row, "rms_weighted"), abs=1e-12)
    unweighted = calibration_error(r, labels, smallest_bin=20, weighted=False)
    assert unweighted == pytest.approx(figure(row, "rms_bin_labels"), abs=1e-12)


@needs_golden
@each_file
def test_the_weighted_formula_of_both_presentations_is_close_to_the_drawn_one_for_large_sets(row) -> None:
    """Each draw is a sample of both presentations, so that the mean over many draws comes near our figure."""
    p = np.array(golden_probabilities(row))
    draw = np.random.default_rng(0)
    squares = []
    for _ in range(100):
        labels = draw.integers(0, 2, p.size).astype(float)
        squares.append(present(calibration_error(np.where(labels == 1, p, 1 - p), labels)) ** 2)
    # A drawn sample's error is at least as large on average (Jensen); its spread is that of n pairs in five bins.
    assert math.sqrt(np.mean(squares)) == pytest.approx(rms_calibration_error_weighted(p), abs=1.5 / math.sqrt(p.size))


@needs_golden
@pytest.mark.parametrize("table", ["mms", "lora_fine_tuning"])
def test_differential_elicitation_equals_the_published_tables(table) -> None:
    with open(GOLDEN / "tables" / table / "expected_GENIES.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 15
    for row in rows:
        accuracies = (row["generalization_accuracy"], row["baseline_accuracy"], row["target_tuned_capability"])
        assert differential_elicitation(*map(float, accuracies)) == pytest.approx(
            float(row["differential_elicitation"]), abs=1e-12
        )
