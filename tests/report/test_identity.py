"""What an evaluation is stands in its provenance; names of folders are read for files that record nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from genies.data.shifts import Shift
from genies.report.reading import read_study


def evaluation(results: Path, place: str, accuracy: float, **identity: Any) -> None:
    path = results / "evaluations" / place
    path.parent.mkdir(parents=True, exist_ok=True)
    recorded = {"identity": {"role": "evaluate", **identity}} if identity else {}
    path.write_text(json.dumps({"eval_accuracy": accuracy, "provenance": {"fingerprint": "0", **recorded}}))


SHIFTS = [Shift("b-c", "t"), Shift("c", "t")]


def found(results: Path) -> list[tuple[str, str, str, int | None]]:
    study = read_study(results, SHIFTS)
    return [
        (each.base_model, each.intervention, each.shift.source, each.seed)
        for each in study.shifts
        if each.generalization is not None
    ]


def test_base_model_source_and_seed_are_read_from_the_record(tmp_path: Path) -> None:
    evaluation(tmp_path, "mms/a-b-c-seed1/t.json", 0.5, variant="mms", base_model="a-b", source="c", seed=1)
    assert found(tmp_path) == [("a-b", "mms", "c", 1)]


def test_without_a_record_they_are_read_from_the_folder_s_name(tmp_path: Path) -> None:
    evaluation(tmp_path, "mms/a-b-c-seed1/t.json", 0.5)
    assert found(tmp_path)[0] == ("a", "mms", "b-c", 1)


def test_an_intervention_that_tunes_nothing_has_the_evaluations_of_the_baseline(tmp_path: Path) -> None:
    untuned = {"variant": "zero_shot", "base_model": "a", "source": None, "seed": None}
    for target, accuracy in (("t", 0.6), ("c", 0.7)):
        evaluation(tmp_path, f"zero_shot/a/{target}.json", accuracy, **untuned)
    columns = "source,target,target_reference,baseline_intervention,target_tuned_capability_intervention"
    table = tmp_path / "generalization_metrics" / "a" / "zero_shot" / "table.csv"
    table.parent.mkdir(parents=True)
    table.write_text(f"{columns}\nc,t,t,zero_shot,lora_fine_tune\n")
    (read,) = read_study(tmp_path).shifts
    assert (read.row.generalization_accuracy, read.row.source_ID_accuracy) == (0.6, 0.7)
    assert read.row.baseline_source_accuracy == 0.7
    evaluation(tmp_path, "zero_shot/a-x/t.json", 0.5)  # a tuned model: what is missing of another is a hole
    assert read_study(tmp_path).shifts[0].row.generalization_accuracy is None


def test_a_variant_that_tunes_nothing_is_known_by_its_provenance(tmp_path: Path) -> None:
    untuned = {"variant": "two_shots", "base_model": "a", "source": None, "seed": None}
    evaluation(tmp_path, "two_shots/a/t.json", 0.6, **untuned)
    columns = "source,target,target_reference,baseline_intervention,target_tuned_capability_intervention"
    table = tmp_path / "generalization_metrics" / "a" / "two_shots" / "table.csv"
    table.parent.mkdir(parents=True)
    table.write_text(f"{columns}\nc,t,t,zero_shot,lora_fine_tune\n")
    assert read_study(tmp_path).shifts[0].row.generalization_accuracy is None
    path = tmp_path / "evaluations" / "two_shots" / "a" / "t.json"
    value = json.loads(path.read_text())
    path.write_text(json.dumps({**value, "provenance": {**value["provenance"], "tunes": False}}))
    assert read_study(tmp_path).shifts[0].row.generalization_accuracy == 0.6
