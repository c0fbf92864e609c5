"""Data frames of a results folder, and the worked example of the documentation."""

import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from scipy.stats import binomtest

from genies.data.shifts import Shift
from genies.errors import InputError
from genies.metrics.intervals import wilson_interval
from genies.report.frames import read_results
from genies.table.rows import COLUMNS
from tests.support.project import ROOT
from tests.support.written_results import WrittenResults

SHIFTS = [Shift("a", "b"), Shift("a", "c", "b")]


@pytest.fixture
def results(tmp_path: Path) -> WrittenResults:
    written = WrittenResults(tmp_path / "results")
    for shift, right in zip(SHIFTS, (38, 10), strict=True):
        written.shift("mms", shift, (right, 36, 18, 38))
    written.evaluation("zero_shot", "base", "c", [0.5], eval_probabilities=None, eval_example_indices=None)
    written.table("mms", SHIFTS)
    return written


def test_there_is_a_row_for_each_evaluation_pair_and_shift(results: WrittenResults) -> None:
    frames = read_results(results.folder)
    evaluations, pairs, shifts = frames.evaluations, frames.pairs, frames.shifts
    assert len(evaluations) == 6
    assert evaluations["path"].is_unique
    assert list(evaluations["pairs"].dropna()) == [40] * 5
    assert evaluations["source"].isna().sum() == 2  # the untuned model, on two targets
    assert len(pairs) == 5 * 40
    assert len(shifts) == 2
    assert list(shifts.columns[: len(COLUMNS)]) == COLUMNS
    assert shifts.loc[0, "generalization_accuracy_high"] == wilson_interval(38, 40).high
    assert any("no probabilities" in note for note in frames.notes)


def test_accuracies_can_be_computed_from_the_pairs(results: WrittenResults) -> None:
    frames = read_results(results.folder)
    which = ["intervention", "base_model", "source", "target"]
    computed = frames.pairs.groupby(which, dropna=False)["score"].mean()
    stored = frames.evaluations.dropna(subset="pairs").set_index(which)["accuracy"]
    assert computed.sort_index().tolist() == pytest.approx(stored.sort_index().tolist())


def test_differences_are_those_of_the_tables(results: WrittenResults) -> None:
    results.shift("cra", SHIFTS[0], (20, 36, 18, 38))
    results.table("cra", SHIFTS[:1])
    found = read_results(results.folder, against="cra").differences
    assert set(found["group"]) == {"all", "shift"}
    row = found[(found["group"] == "shift") & (found["intervention"] == "mms") & (found["target"] == "b")]
    by_other = row.set_index("against")
    assert by_other.loc["baseline", "difference"] == pytest.approx((38 - 18) / 40)
    assert by_other.loc["cra", "difference"] == pytest.approx((38 - 20) / 40)
    assert by_other.loc["cra", "p_value"] == binomtest(18, 18).pvalue
    assert set(by_other["verdict"]) == {"higher"}
    unknown = found[(found["group"] == "shift") & (found["target"] == "c")]
    assert set(unknown["verdict"]) == {"unknown"}  # the baseline has no probabilities there
    with pytest.raises(InputError, match="expected an intervention of the study: cra, mms"):
        read_results(results.folder, against="lora")


def test_columns_have_types_to_calculate_with(results: WrittenResults) -> None:
    results.shift("mms", SHIFTS[0], (30, 36, 18, 38), seed=3)
    results.table("mms", SHIFTS[:1], seeds=[3], name="seeds.csv")
    frames = read_results(results.folder)
    assert frames.shifts["seed"].dtype == frames.pairs["seed"].dtype == "Int64"
    assert frames.pairs["example"].dtype == "Int64"
    assert frames.pairs["probability"].dtype == float
    assert set(frames.shifts["seed"].dropna()) == {3}
    assert pd.api.types.is_float_dtype(frames.shifts["differential_elicitation_low"])


def test_the_example_in_the_documentation_runs(results: WrittenResults) -> None:
    text = (ROOT / "docs" / "notebook.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    folder = results.folder.parent
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "mms" in done.stdout
    assert len(pd.read_csv(folder / "shifts.csv")) == 2
    assert (folder / "shifts.png").read_bytes().startswith(b"\x89PNG")


def test_nothing_but_the_frames_needs_pandas_and_nothing_needs_torch() -> None:
    code = (
        "import sys, genies.report.tables, genies.report.comparing, genies.report.leaks; "
        "sys.exit(not {'pandas', 'torch'}.isdisjoint(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
