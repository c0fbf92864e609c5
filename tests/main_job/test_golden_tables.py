"""The published result trees give the published tables, with no model, no data and no training."""

import csv
import os
import shutil
from pathlib import Path

import pytest

from tests.support.project import ROOT, Project

SHARED = Path(os.environ.get("GENIES_SHARED", ROOT.parent / "shared"))
TABLES = SHARED / "golden" / "tables"


@pytest.mark.skipif(not TABLES.is_dir(), reason=f"the published result files are not in {TABLES}")
@pytest.mark.parametrize("intervention", ["mms", "lora_fine_tuning"])
def test_the_published_table_comes_out_to_twelve_digits(project: Project, intervention: str) -> None:
    tree = shutil.copytree(TABLES / intervention, project.folder / "published")
    done = project.metrics(
        base_model_dir="models/llama-30b",
        intervention_dir=f"src/interventions/{intervention}",
        baseline_intervention="src/interventions/zero_shot",
        target_tuned_capability_intervention="src/interventions/published_ttc",
        path_to_distribution_shift_pairs=ROOT / "distribution_shifts" / "GENIES.json",
        results_dir=tree / "results",
    )
    assert done.returncode == 0, done.stderr
    assert "0 jobs run" in done.stdout
    assert project.logs() == []
    with open(TABLES / intervention / "expected_GENIES.csv", newline="") as file:
        expected = list(csv.DictReader(file))
    found = project.table()
    assert len(found) == len(expected) == 15
    for row, published in zip(found, expected, strict=True):
        for column, value in published.items():
            if column == "target_tuned_capability_intervention":
                assert row[column] == "published_ttc"
            elif column in ("source", "target", "target_reference", "baseline_intervention"):
                assert row[column] == value
            else:
                assert float(row[column]) == pytest.approx(float(value), abs=1e-12)
        assert row["RMS_calibration_formula"] == "published"
