"""The results of the 2023 release are read as its repository contains them."""

import csv
import json
import lzma
import os
import tarfile
from pathlib import Path

import pytest

from genies.data.shifts import Shift
from genies.report.frames import read_results
from genies.report.reading import read_study
from genies.report.study import Study
from genies.report.summary import summarize
from genies.report.tables import to_markdown
from tests.support.present import present
from tests.support.project import ROOT

GOLDEN = Path(os.environ.get("GENIES_SHARED", ROOT.parent / "shared")) / "golden"
COLUMNS = (
    "generalization_accuracy",
    "baseline_accuracy",
    "target_tuned_capability",
    "source_ID_accuracy",
    "differential_elicitation",
    "RMS_calibration_error",
)
SHIFTS = [Shift("a-b", "t", "r"), Shift("a-b", "u")]
HEADER = (
    "source,target,target_reference,generalization_accuracy,baseline_accuracy,baseline_intervention,"
    "target_tuned_capability,target_tuned_capability_intervention,source_ID_accuracy,RMS_calibration_error,"
    "differential_elicitation\n"
)


def write(path: Path, value: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def evaluation(p: list[float], **more: object) -> dict[str, object]:
    right = sum(each >= 0.5 for each in p) / len(p)
    return {"eval_accuracy": right, "eval_probabilities": p, "eval_rms_calibration_error": 0.25, **more}


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """One model with mms, ccs and the baseline, a mixture, and a reference that no evaluation has."""
    folder = tmp_path / "results"
    made = folder / "evaluations"
    for target, right in (("t", 6), ("u", 5), ("a-b", 9)):
        write(made / f"mms/m-1-a-b/{target}.json", evaluation([0.9] * right + [0.2] * (10 - right)))
        write(made / f"zero_shot/m-1-a-b/{target}.json", evaluation([1.0] * 4 + [0.0] * 6))
        write(made / f"ccs/m-1-a-b/{target}.json", {"eval_accuracy": 0.504, "eval_score": 0.504})
    write(made / "mms/m-1-r/r.json", evaluation([0.9] * 7 + [0.2] * 3))
    write(made / "mms/m-1-a-b-t-5%/t.json", evaluation([0.9] * 10))
    for target, reference, best in (("t", "r", "classify_lora"), ("u", "u", "mms")):
        value = {"best_intervention": best, "best_intervention_accuracy": 0.8, "target_reference": reference}
        write(folder / f"target_tuned_capability/m-1/{target}.json", {**value, "target": target})
    for name in ("mms", "ccs", "zero_shot"):
        rows = "a-b,t,r,0,0,zero_shot,0.8,classify_lora,0,0,0\na-b,u,u,0,0,zero_shot,0.8,mms,0,,0\n"
        write(folder / f"generalization_metrics/m-1/{name}/all.csv", HEADER + rows)
    return folder


@pytest.mark.parametrize("shifts", [None, SHIFTS])
def test_baseline_and_capability_of_the_release_are_found(release: Path, shifts: list[Shift] | None) -> None:
    study = read_study(release, shifts)
    assert {(each.base_model, each.intervention) for each in study.shifts} == {
        ("m-1", "mms"),
        ("m-1", "ccs"),
        ("m-1", "zero_shot"),
    }
    row = next(each for each in study.shifts if each.intervention == "mms" and each.shift.target == "t").row
    assert (row.generalization_accuracy, row.baseline_accuracy, row.source_ID_accuracy) == (0.6, 0.4, 0.9)
    assert (row.target_tuned_capability, row.target_tuned_capability_intervention) == (0.8, "classify_lora")
    assert row.differential_elicitation == pytest.approx((0.6 - 0.4) / 0.8)
    assert (row.RMS_calibration_error, row.RMS_calibration_formula) == (0.25, "published")
    assert not any(each.missing for each in study.shifts)
    notes = "\n".join(study.notes)
    assert "best of all interventions" in notes
    assert "classify_lora on 1, mms on 1" in notes
    assert "m-1-a-b-t-5%" in notes
    assert "3 evaluations of ccs" in notes


def test_a_reference_that_is_asked_for_and_evaluated_is_used(release: Path) -> None:
    rows = {each.shift.target: each.row for each in read_study(release, SHIFTS, capability="mms").shifts}
    assert (rows["t"].target_tuned_capability, rows["t"].target_tuned_capability_intervention) == (0.7, "mms")
    assert rows["u"].target_tuned_capability == 0.8


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        ("{", "t.json"),
        ({"best_intervention": "mms", "target_reference": "r"}, "best_intervention_accuracy"),
        ({"best_intervention": "mms", "best_intervention_accuracy": 80, "target_reference": "r"}, "number from 0 to 1"),
        ({"best_intervention": "../x", "best_intervention_accuracy": 0.8, "target_reference": "r"}, "../x"),
    ],
)
def test_damaged_files_are_named_and_their_values_missing(release: Path, content: object, fact: str) -> None:
    write(release / "target_tuned_capability/m-1/t.json", content)
    write(release / "evaluations/zero_shot/m-1-a-b/u.json", '{"eval_accuracy": NaN}')
    study = read_study(release)
    assert any(fact in note for note in study.notes)
    assert any("m-1-a-b/u.json" in note for note in study.notes)
    missing = {each.shift.target: each.missing for each in study.shifts if each.intervention == "mms"}
    assert missing == {"t": ["target_tuned_capability"], "u": ["baseline_accuracy"]}


def test_a_stored_accuracy_that_its_probabilities_do_not_give_is_named(release: Path) -> None:
    write(release / "evaluations/mms/m-1-a-b/t.json", evaluation([0.9] * 6 + [0.2] * 4, eval_accuracy=0.75))
    study = read_study(release)
    assert any("mms/m-1-a-b/t.json: 0.750" in note for note in study.notes)


def test_frames_and_tables_contain_the_release(release: Path) -> None:
    frames = read_results(release, distributions_dir=None)
    assert sorted(frames.shifts["intervention"].unique()) == ["ccs", "mms", "zero_shot"]
    assert frames.shifts["target_tuned_capability"].eq(0.8).all()
    assert "best of all interventions" in to_markdown(summarize(read_study(release)))


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    archive = GOLDEN / "release-2023" / "results.tar.xz"
    if not archive.exists():
        pytest.skip(f"{archive} is not there")
    folder = tmp_path_factory.mktemp("release")
    with lzma.open(archive) as opened, tarfile.open(fileobj=opened) as tar:
        tar.extractall(folder, filter="data")
    return folder / "results"


def _mean(study: Study, line: dict[str, str], column: str, listed: bool) -> float | None:
    rows = [
        each for each in study.shifts if (each.base_model, each.intervention) == (line["model"], line["intervention"])
    ]
    values = [(getattr(each.row, column), each.listed if listed else 1) for each in rows]
    if any(value is None for value, _ in values):
        return None
    return sum(value * weight for value, weight in values) / sum(weight for _, weight in values)


def test_means_over_15_56_and_69_are_those_published(published: Path) -> None:
    with open(GOLDEN / "published_means.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    with open(ROOT / "distribution_shifts" / "GENIES.json") as opened:
        genies = [Shift(each["source"], each["target"], each.get("target_reference", "")) for each in json.load(opened)]
    every, few = read_study(published), read_study(published, genies)
    assert len({(each.base_model, each.intervention) for each in every.shifts}) == 25
    compared = 0
    for line in lines:
        study = few if line["set"] == "GENIES15" else every
        for column in COLUMNS:
            mean = _mean(study, line, column, listed=line["set"] == "all69_rows")
            assert (mean is None) == (line[column] == ""), (line, column)
            if mean is not None:
                assert mean == pytest.approx(float(line[column]), abs=1e-6), (line, column)
                compared += 1
    assert compared == 3 * (25 * 6 - 1)  # ccs stores no probabilities, so it has no calibration error
    assert any(present(each.capability).intervention == "classify_lora" for each in every.shifts)
    assert any("zero_shot/llama-13b-alpaca_hard/alpaca_hard.json" in note for note in every.notes)
    assert any("29 models were tuned on a mixture" in note for note in every.notes)
