"""What the notes say of a study: older rules, seeds, prompts, GENIES, and runs that gained nothing from tuning."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import genies
from genies.data.shifts import Shift, read_shifts
from genies.harness.store import evaluation_content
from genies.metrics.intervals import wilson_interval
from genies.report import notes as module
from genies.report.reading import read_study
from genies.report.summary import Summary, summarize
from tests.support.present import present
from tests.support.project import ROOT
from tests.support.written_results import MADE_HERE, WrittenResults

SHIFT = Shift("a", "b")
P = [0.9] * 30 + [0.2] * 10


@pytest.fixture
def results(tmp_path: Path) -> WrittenResults:
    written = WrittenResults(tmp_path / "results")
    written.shift("mms", SHIFT, (30, 36, 20, 38))
    written.table("mms", [SHIFT])
    return written


def notes(results: WrittenResults, words: str, distributions: Path | None = None) -> list[str]:
    return [note for note in read_study(results.folder, distributions_dir=distributions).notes if words in note]


def test_an_evaluation_that_changed_after_the_harness_wrote_it_is_not_used(results: WrittenResults) -> None:
    value = {"eval_accuracy": 0.75, "eval_probabilities": P, "eval_example_indices": list(range(40))}
    made = {**MADE_HERE, "content": evaluation_content(value)}
    path = results.evaluation("mms", "base-a", "b", P, provenance=made)
    assert notes(results, "changed") == []
    path.write_text(path.read_text().replace('"eval_accuracy": 0.75', '"eval_accuracy": 0.99'))
    study = read_study(results.folder)
    assert [each.generalization for each in study.shifts] == [None]
    assert any(f"{path}: its values changed after the evaluation" in each for each in study.faults)
    assert set(study.faults) <= set(study.notes)


def test_an_evaluation_of_another_model_than_its_folder_says_is_named(results: WrittenResults) -> None:
    def made(source: str, seed: int | None) -> dict[str, object]:
        identity = {"role": "evaluate", "variant": "mms", "base_model": "base", "source": source, "seed": seed}
        return {**MADE_HERE, "identity": identity}

    results.evaluation("mms", "base-a", "b", P, provenance=made("a", None))
    assert notes(results, "another model") == []
    for source, seed in (("c", None), ("a", 3)):
        path = results.evaluation("mms", "base-a", "b", P, provenance=made(source, seed))
        (said,) = notes(results, "another model")
        assert said.startswith(f"1 evaluation of another model than the name of the folder says: {path} (of mms, base")


def test_evaluations_on_different_test_data_of_one_target_are_named(results: WrittenResults) -> None:
    for intervention, model, data in (("mms", "base-a", "new"), ("zero_shot", "base", "old")):
        made = {**MADE_HERE, "parts": {"distribution": data}}
        results.evaluation(intervention, model, "b", P, provenance=made)
    (said,) = notes(results, "test data changed")
    assert said.startswith("b: its test data changed between evaluations, so they cannot be compared: ")
    results.evaluation("mms", "base-a", "b", P, provenance={**MADE_HERE, "parts": {"distribution": "old"}})
    assert notes(results, "test data changed") == []


def test_evaluations_of_an_older_numerics_version_are_counted(
    results: WrittenResults, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in (1, 0, genies.NUMERICS_VERSION + 1):  # 0 stands for an intervention that does not use the library
        monkeypatch.setattr(module, "NUMERICS_VERSION", genies.NUMERICS_VERSION + 1)
        results.evaluation("mms", "base-a", "b", P, provenance={**MADE_HERE, "parts": {"numerics_version": version}})
        found = notes(results, "numerics version")
        assert len(found) == (version == 1)
        if found:
            now = genies.NUMERICS_VERSION + 1
            assert found[0].startswith(
                f"1 of 4 evaluations are from an older version of the library (numerics version 1; now {now})"
            )


def test_an_intervention_with_one_seed_beside_others_is_named(results: WrittenResults) -> None:
    assert notes(results, "one seed") == []
    for seed in range(3):
        results.shift("cra", SHIFT, (30 + seed, 36, 20, 38), seed=seed)
    results.table("cra", [SHIFT], seeds=range(3))
    (note,) = notes(results, "one seed")
    assert note.startswith("base: mms has one seed, others have up to 3")


def test_what_genies_is_a_sample_of_is_said_of_its_fifteen_shifts_only(tmp_path: Path) -> None:
    shifts = read_shifts(ROOT / "distribution_shifts" / "GENIES.json")
    written = WrittenResults(tmp_path / "results")
    for shift in shifts:
        written.shift("mms", shift, (30, 36, 20, 38))
    for listed, count in ((shifts, 1), (shifts[:14], 0)):
        written.table("mms", listed)
        assert len(notes(written, "not a random sample of shifts")) == count


def test_a_run_that_gained_nothing_from_tuning_is_named_where_that_is_known(results: WrittenResults) -> None:
    assert notes(results, "differential elicitation means little") == []
    results.evaluation("zero_shot", "base", "a", [0.9] * 37 + [0.2] * 3)
    (note,) = notes(results, "differential elicitation means little")
    assert "mms on a: 0.900 against 0.925" in note


def summary(results: WrittenResults, distributions: Path | None) -> Summary:
    return summarize(read_study(results.folder, distributions_dir=distributions))


def test_test_examples_with_one_prompt_are_one_where_the_data_or_the_evaluation_says_so(
    results: WrittenResults, tmp_path: Path
) -> None:
    responses = {"yes": 1.0, "no": 0.0}
    prompts = [f"prompt {number // 2}" for number in range(40)]  # every prompt twice
    (tmp_path / "distributions" / "b").mkdir(parents=True)
    for split in ("train", "test"):
        examples = json.dumps([{"prompt": prompt, "responses": responses} for prompt in prompts])
        (tmp_path / "distributions" / "b" / f"{split}.json").write_text(examples)

    def found(distributions: Path | None) -> tuple[int, str]:
        (line,) = summary(results, distributions).shifts
        interval = line.estimate("generalization_accuracy").interval
        assert interval is not None
        assert line.shift_figure("generalization_accuracy") is not None
        return present(line.shift_figure("generalization_accuracy")).clusters, interval.method

    assert found(None) == (40, wilson_interval(30, 40).method)
    assert found(tmp_path / "distributions") == (20, "bootstrap over prompts")
    clusters = [number - number % 2 for number in range(40)]
    results.evaluation("mms", "base-a", "b", P, eval_prompt_clusters=clusters)
    assert found(None) == (20, "bootstrap over prompts")
    assert len(notes(results, "prompt clusters")) == 1  # the other three evaluations do not say


def test_with_fewer_than_five_prompts_there_is_no_interval_and_no_test(results: WrittenResults) -> None:
    for name, model in (("mms", "base-a"), ("zero_shot", "base")):
        results.evaluation(name, model, "b", P, eval_prompt_clusters=[number // 10 for number in range(40)])
    found = summary(results, None)
    (line,) = found.shifts
    estimate = line.estimate("generalization_accuracy")
    assert estimate.interval is None
    assert estimate.missing == "the test examples have 4 different prompts; an interval needs at least 5"
    difference = found.verdict(line).against_baseline
    assert difference is not None
    assert (difference.verdict, difference.p_value) == ("unknown", None)


def test_a_best_reference_that_differs_by_shift_but_not_by_intervention_is_no_mixture(results: WrittenResults) -> None:
    other = Shift("a", "c")
    results.shift("mms", other, (30, 36, 20, 30))
    results.evaluation("prompt_tuning", "base-c", "c", [0.9] * 39 + [0.2])
    for name in ("mms", "cra"):
        for shift in (SHIFT, other):
            results.shift(name, shift, (30, 36, 20, 38))
        table = results.table(name, [SHIFT, other])
        lines = table.read_text().splitlines()
        lines[2] = lines[2].replace("lora_fine_tune", "prompt_tuning")
        table.write_text("\n".join(lines) + "\n")
    study = read_study(results.folder)
    found = {(each.shift.target, each.row.target_tuned_capability_intervention) for each in study.shifts}
    assert found == {("b", "lora_fine_tune"), ("c", "prompt_tuning")}
    assert not notes(results, "different references")
