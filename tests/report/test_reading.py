"""A results folder read back: from the main job's tables, from a list of shifts, and with damage in it."""

import csv
import json
import os
from pathlib import Path
from typing import Literal

import pytest

from genies.commands.tables import TablesArguments
from genies.data.published_results import install_results
from genies.data.shifts import Shift, read_shifts
from genies.errors import InputError
from genies.report.comparing import PairedDifferences
from genies.report.lines import shift_summaries
from genies.report.reading import check_given_interventions, read_study
from genies.report.summary import summarize
from tests.support.present import present
from tests.support.project import ROOT, Project
from tests.support.written_results import MADE_HERE, WrittenResults

SHARED = Path(os.environ.get("GENIES_SHARED", ROOT.parent / "shared"))
TABLES = SHARED / "golden" / "tables"
AB, AC = Shift("a", "b", "", "extreme", "skill"), Shift("a", "c", "b", "probing", "spurious_cues")


@pytest.fixture
def results(tmp_path: Path) -> WrittenResults:
    written = WrittenResults(tmp_path / "results")
    written.shift("mms", AB, (30, 36, 20, 32))
    written.shift("mms", AC, (10, 36, 20, 32))
    return written


def test_what_the_main_job_wrote_is_read_back_with_the_figures_of_its_table(project: Project) -> None:
    done = project.metrics(
        output_path=project.folder / "results" / "generalization_metrics" / "{intervention}.csv",
        intervention_dir=[str(project.length), str(project.always_longer)],
        target_tuned_train_kwargs={"sign": -1},
    )
    assert done.returncode == 0, done.stderr
    study = read_study(project.folder / "results", distributions_dir=project.folder / "distributions")
    found: dict[tuple[str, ...], dict[str, str]] = {}
    for path in (project.folder / "results" / "generalization_metrics").glob("[!c]*.csv"):
        with open(path, newline="") as file:
            found |= {(row["intervention"], row["source"], row["target"]): row for row in csv.DictReader(file)}
    assert len(study.shifts) == len(found) == 6
    for shift in study.shifts:
        row = found[shift.intervention, shift.shift.source, shift.shift.target]
        for name in ("generalization_accuracy", "source_ID_accuracy", "baseline_accuracy", "target_tuned_capability"):
            assert float(row[name]) == getattr(shift.row, name)
        assert present(shift.generalization).verified
        assert present(shift.generalization).evaluation.eval_example_indices == [0, 1, 2, 3]
    # The reference was tuned with other arguments than the intervention of the same name, in a folder of its own.
    assert all(present(each.capability).target_tuned for each in study.shifts)
    # The project's one intervention gets all right on one source, as the untuned model does, and the rest by luck.
    assert [note for note in study.notes if "differential elicitation means little" not in note] == []
    assert len({reading.path for reading in study.readings}) == len(study.readings)


def test_each_shift_knows_its_four_evaluations(results: WrittenResults) -> None:
    results.table("mms", [AB, AC])
    first, second = read_study(results.folder).shifts
    assert (first.shift, second.shift) == (AB, AC)
    assert present(second.generalization).path.parts[-3:] == ("mms", "base-a", "c.json")
    assert present(second.source_id).path.parts[-3:] == ("mms", "base-a", "a.json")
    assert present(second.baseline).path.parts[-3:] == ("zero_shot", "base", "c.json")
    assert present(second.capability).path.parts[-3:] == ("lora_fine_tune", "base-b", "b.json")
    assert (present(second.baseline).source, present(second.generalization).source) == (None, "a")
    assert first.row.differential_elicitation == pytest.approx((30 / 40 - 20 / 40) / (32 / 40))


def test_an_intervention_that_tunes_nothing_is_a_row_and_can_be_the_reference(results: WrittenResults) -> None:
    identity = {"role": "evaluate", "variant": "length", "base_model": "base", "source": None, "seed": None}
    made = {**MADE_HERE, "tunes": False, "identity": identity}
    for target in ("a", "b", "c"):
        results.evaluation("length", "base", target, [0.9] * 22 + [0.2] * 18, provenance=made)
    study = read_study(results.folder, [AB, AC], capability="length")
    rows = [each for each in study.shifts if each.intervention == "length"]
    assert [each.shift for each in rows] == [AB, AC]
    assert {each.row.generalization_accuracy for each in rows} == {0.55}
    assert {each.row.target_tuned_capability for each in study.shifts} == {0.55}
    assert "length" not in {each.intervention for each in read_study(results.folder, [AB], "length").shifts}


def test_a_misspelt_baseline_or_reference_is_answered_with_the_nearest(results: WrittenResults) -> None:
    for argument in ("baseline", "reference"):
        given = TablesArguments.model_validate({argument: "zeroshot"})
        with pytest.raises(InputError, match=f"--{argument} zeroshot: .* did you mean zero_shot"):
            check_given_interventions(results.folder, given)
    check_given_interventions(results.folder, TablesArguments(baseline="zero_shot", reference="best"))


def test_a_list_of_shifts_stands_in_for_tables(results: WrittenResults) -> None:
    by_table = results.table("mms", [AB, AC]) and read_study(results.folder)
    by_list = read_study(results.folder, [AB, AC])
    assert by_list == by_table


def test_a_shift_named_twice_is_read_once_and_its_count_kept(results: WrittenResults) -> None:
    results.table("mms", [AB, AC, AB], name="all.csv")
    results.table("mms", [AB], name="one.csv")
    results.table("mms", [AB, AC], name="combined-all.csv")
    assert [(each.shift, each.listed) for each in read_study(results.folder).shifts] == [(AB, 2), (AC, 1)]
    assert [each.listed for each in read_study(results.folder, [AB, AC, AB]).shifts] == [2, 1]


def test_a_shift_in_two_tables_is_one_with_the_label_of_either(results: WrittenResults) -> None:
    results.table("mms", [Shift("a", "b")], name="1.csv")
    results.table("mms", [AB], name="2.csv")
    (shift,) = read_study(results.folder).shifts
    assert (shift.shift, shift.listed) == (AB, 1)


def test_a_shift_that_one_intervention_was_given_without_its_label_is_the_same_shift(results: WrittenResults) -> None:
    for name in ("mms", "lora_fine_tune"):
        for shift in (AB, AC):
            results.shift(name, shift, (31, 36, 20, 32))
    results.table("lora_fine_tune", [Shift("a", "b"), Shift("a", "c", "b")])
    results.table("mms", [AB, AC])
    study = read_study(results.folder)
    assert [(each.intervention, each.shift) for each in study.shifts] == [
        (name, shift) for name in ("lora_fine_tune", "mms") for shift in (AB, AC)
    ]
    summary = summarize(study)
    assert [len(group.shifts) for group in summary.groups if group.kind == "all"] == [2]
    summary = summarize(study)
    pair = ("base", "mms"), ("base", "lora_fine_tune")
    assert len(PairedDifferences(summary).compare(summary.groups[0], *pair).shifts) == 2


def test_tables_that_disagree_about_the_reference_are_noted(results: WrittenResults) -> None:
    results.table("mms", [AB], name="1.csv")
    other = results.table("mms", [AB, AC], name="2.csv")
    other.write_text(other.read_text().replace("lora_fine_tune", "prompt_tuning"))
    study = read_study(results.folder)
    references = [each.row.target_tuned_capability_intervention for each in study.shifts]
    assert references == ["lora_fine_tune", "prompt_tuning"]
    assert len([note for note in study.notes if "zero_shot and prompt_tuning" in note]) == 1


def test_several_seeds_are_told_apart(results: WrittenResults) -> None:
    for seed, right in ((0, 31), (1, 29)):
        results.shift("mms", AB, (right, 36, 20, 32), seed=seed)
    results.table("mms", [AB], seeds=[0, 1])
    shifts = read_study(results.folder).shifts
    assert [(each.seed, each.row.generalization_accuracy) for each in shifts] == [(0, 31 / 40), (1, 29 / 40)]
    assert [present(each.generalization).seed for each in shifts] == [0, 1]
    assert shifts[0].baseline is shifts[1].baseline
    assert {each.seed for each in read_study(results.folder, [AB]).shifts} == {None, 0, 1}


def test_of_two_reference_evaluations_the_one_the_table_was_made_from_is_meant(results: WrittenResults) -> None:
    results.evaluation("lora_fine_tune", "base-b-target_tuned", "b", [0.9] * 39 + [0.1])
    path = results.table("mms", [AB])
    assert present(read_study(results.folder).shifts[0].capability).target_tuned
    header, line = path.read_text().splitlines()
    fields = dict(zip(header.split(","), line.split(","), strict=True)) | {"target_tuned_capability": str(32 / 40)}
    path.write_text(f"{header}\n{','.join(fields.values())}\n")
    assert not present(read_study(results.folder).shifts[0].capability).target_tuned


def test_a_list_of_shifts_takes_the_reference_that_the_table_was_made_from(results: WrittenResults) -> None:
    results.shift("mms", AB, (31, 36, 20, 32), seed=0)
    results.evaluation("lora_fine_tune", "base-b-seed0", "b", [0.9] * 38 + [0.1] * 2)
    (alone,) = (each for each in read_study(results.folder, [AB]).shifts if each.seed == 0)
    assert present(alone.capability).seed == 0  # nothing says otherwise
    path = results.table("mms", [AB], seeds=[0])
    header, line = path.read_text().splitlines()
    fields = dict(zip(header.split(","), line.split(","), strict=True)) | {"target_tuned_capability": str(32 / 40)}
    path.write_text(f"{header}\n{','.join(fields.values())}\n")
    (told,) = (each for each in read_study(results.folder, [AB]).shifts if each.seed == 0)
    assert (present(told.capability).seed, told.row.target_tuned_capability) == (None, 32 / 40)


def test_a_damaged_evaluation_is_named_once_and_left_out(results: WrittenResults) -> None:
    results.table("mms", [AB, AC])
    broken = results.folder / "evaluations" / "mms" / "base-a" / "a.json"
    broken.write_text('{"eval_accuracy": 0.')
    study = read_study(results.folder)
    assert [each.missing for each in study.shifts] == [["source_ID_accuracy"]] * 2
    assert len([note for note in study.notes if str(broken) in note]) == 1
    assert any("2 of 2 rows have missing evaluations" in note for note in study.notes)
    assert all("\n" not in note for note in study.notes)


HEADER = b"source,target,target_reference,baseline_intervention,target_tuned_capability_intervention"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no column source"),
        (b"source,target\na,b\n", "has no column target_reference"),
        (b"\xff\xfe\x00", "is not UTF-8"),
        (
            HEADER + b'\n"a',
            "not valid CSV",
        ),
        (HEADER + b"\na,b\n", "line 2"),
        (
            HEADER + b"\n../x,b,b,z,l\n",
            "line 2, source: expected the name of a distribution",
        ),
        (
            HEADER + b",seed\na,b,b,z,l,one\n",
            "seed: expected a whole number",
        ),
    ],
)
def test_a_damaged_table_is_named_and_the_others_are_read(
    results: WrittenResults, content: bytes, message: str
) -> None:
    good = results.table("mms", [AB])
    bad = good.with_name("bad.csv")
    bad.write_bytes(content)
    study = read_study(results.folder)
    assert [each.shift for each in study.shifts] == [AB]
    (note,) = [note for note in study.notes if "bad.csv" in note]
    assert message in note
    good.unlink()
    with pytest.raises(InputError, match=r"bad\.csv"):
        read_study(results.folder)


def test_a_table_with_the_documented_columns_alone_is_known_by_its_place(results: WrittenResults) -> None:
    path = results.table("mms", [AB])
    header, line = path.read_text().splitlines()
    documented = header.split(",")[:11]
    path.write_text(",".join(documented) + "\n" + ",".join(line.split(",")[:11]) + "\n")
    (shift,) = read_study(results.folder).shifts
    assert (shift.intervention, shift.base_model, present(shift.generalization).base_model) == ("mms", "base", "base")


def test_what_a_reader_must_know_is_noted(results: WrittenResults) -> None:
    assumed = ["the reward is the mean of two outputs"]
    results.evaluation("mms", "base-a", "b", [0.9] * 4, dtype="float32", assumptions=assumed)
    results.evaluation("mms", "base-a", "c", [0.9] * 4, dtype="bfloat16", assumptions=assumed)
    results.evaluation("zero_shot", "base", "b", [0.5], eval_probabilities=None, eval_example_indices=None)
    results.evaluation("zero_shot", "base", "c", [0.5, 0.6], eval_example_indices=None, provenance=None)
    results.table("mms", [AB, AC])
    notes = "\n".join(read_study(results.folder).notes)
    assert "different number formats are compared (bfloat16 1, float32 1)" in notes
    assert "1 of 6 evaluations contain no probabilities" in notes
    assert "1 of 6 evaluations do not contain the example of each pair" in notes
    assert "1 of 6 evaluations have no provenance and are unverified" in notes
    assert notes.count("mms, base: assumption about the model: the reward is the mean of two outputs") == 1


def test_a_base_model_and_a_source_may_hold_dashes(tmp_path: Path) -> None:
    results = WrittenResults(tmp_path / "results")
    results.evaluation("mms", "my-model-b-a", "b", [0.9])
    shifts = [Shift("b-a", "b"), Shift("a", "b")]
    assert {each.base_model for each in read_study(results.folder, shifts).shifts} == {"my-model"}
    results.evaluation("zero_shot", "my-model-b", "b", [0.9])
    assert {each.base_model for each in read_study(results.folder, shifts).shifts} == {"my-model-b"}


def test_an_empty_or_absent_folder_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_study(tmp_path / "nothing")
    with pytest.raises(InputError, match="--shifts FILE"):
        read_study(tmp_path)
    with pytest.raises(InputError, match="no evaluation of a model"):
        read_study(tmp_path, [AB])


@pytest.mark.skipif(not TABLES.is_dir(), reason=f"the published result files are not in {TABLES}")
@pytest.mark.parametrize("intervention", ["mms", "lora_fine_tuning"])
def test_the_published_result_trees_are_read_from_their_shifts(intervention: str) -> None:
    shifts = read_shifts(ROOT / "distribution_shifts" / "GENIES.json")
    study = read_study(TABLES / intervention / "results", shifts, capability="published_ttc")
    assert [each.shift for each in study.shifts] == shifts
    assert {(each.base_model, each.intervention) for each in study.shifts} == {("llama-30b", intervention)}
    assert not any(each.missing for each in study.shifts)
    assert not any(each.verified for each in study.readings)


RELEASE = SHARED / "golden" / "release-2023" / "results.tar.xz"
MEANS = SHARED / "golden" / "published_means.csv"


@pytest.mark.skipif(not RELEASE.is_file(), reason="the release's results are not here (GENIES_SHARED)")
@pytest.mark.parametrize("weights", ["unique", "published"])
def test_the_results_of_the_release_give_its_published_means(
    tmp_path_factory: pytest.TempPathFactory, weights: Literal["unique", "published"]
) -> None:
    folder = tmp_path_factory.getbasetemp() / "release"
    if not folder.exists():
        assert install_results(RELEASE, folder) > 5000
    study = read_study(folder)
    lines = shift_summaries(study.shifts, weights == "unique")
    assert len({(line.base_model, line.intervention) for line in lines}) == 25
    assert len(lines) == 25 * 56
    chosen = {"unique": "all56_unique", "published": "all69_rows"}[weights]
    genies = read_shifts(ROOT / "distribution_shifts" / "GENIES.json")
    keys = {(each.source, each.target, each.target_reference) for each in genies}
    compared = 0
    with open(MEANS, newline="") as file:
        for row in csv.DictReader(file):
            if row["set"] not in (chosen, "GENIES15"):
                continue
            readings = [
                (each.row, each.listed if row["set"] == "all69_rows" else 1)
                for each in study.shifts
                if (each.base_model, each.intervention) == (row["model"], row["intervention"])
                and (row["set"] != "GENIES15" or _key(each.shift) in keys)
            ]
            total = sum(weight for _, weight in readings)
            assert total == int(row["n_rows"])
            for name in (
                *("generalization_accuracy", "differential_elicitation", "target_tuned_capability"),
                *("baseline_accuracy", "source_ID_accuracy"),
            ):
                mean = sum(getattr(each, name) * weight for each, weight in readings) / total
                assert mean == pytest.approx(float(row[name]), abs=1e-6), (row["model"], row["intervention"], name)
                compared += 1
    assert compared == 2 * 25 * 5
    notes = " ".join(study.notes)
    assert "29 folders of models tuned on mixtures" in notes
    assert "llama-13b-alpaca_hard/alpaca_hard.json: field eval_loss: expected a finite number, got nan" in notes


def _key(shift: Shift) -> tuple[str, str, str]:
    return shift.source, shift.target, shift.target_reference


def test_a_folder_laid_out_like_the_release_is_read(tmp_path: Path) -> None:
    """Baseline stored for every source, best capability in files of its own or in the table alone, mixtures."""
    results = tmp_path / "results"

    def write(path: str, **content: object) -> None:
        (results / path).parent.mkdir(parents=True, exist_ok=True)
        (results / path).write_text(json.dumps(content))

    for intervention, accuracy in (("mms", 0.8), ("zero_shot", 0.5)):
        for target in "ab":
            write(f"evaluations/{intervention}/m-a/{target}.json", eval_accuracy=accuracy)
    write("evaluations/mms/m-a-b-35%/a.json", eval_accuracy=1.0)
    write("target_tuned_capability/m/b.json", best_intervention="classify_lora", best_intervention_accuracy=0.75)
    table = results / "generalization_metrics" / "m" / "mms" / "GENIES.csv"
    table.parent.mkdir(parents=True)
    columns = "source,target,target_reference,baseline_intervention,target_tuned_capability"
    table.write_text(
        f"{columns},target_tuned_capability_intervention\na,b,b,zero_shot,0.7,classify_lora\na,a,c,zero_shot,0.6,x\n"
    )
    study = read_study(results)
    first, second = (each.row for each in study.shifts)
    assert (first.generalization_accuracy, first.baseline_accuracy, first.target_tuned_capability) == (0.8, 0.5, 0.75)
    assert first.target_tuned_capability_intervention == "best of all interventions"
    assert first.differential_elicitation == pytest.approx((0.8 - 0.5) / 0.75)
    assert second.target_tuned_capability == 0.6
    assert any("1 folders of models tuned on mixtures of two distributions are left out: mms/m-a-b-35%" in note
               for note in study.notes)  # fmt: skip
    write("target_tuned_capability/m/b.json", best_intervention_accuracy="high")
    damaged = read_study(results)
    assert damaged.shifts[0].missing == ["target_tuned_capability"]
    assert any("field best_intervention_accuracy: expected a number" in note for note in damaged.notes)


def test_the_capability_of_the_release_is_found_by_target_without_a_table(tmp_path: Path) -> None:
    """The file is named after the target, not after the target reference; one about another reference is not used."""
    results = tmp_path / "results"
    for path, content in (
        ("evaluations/mms/m-a/b.json", {"eval_accuracy": 0.8}),
        ("evaluations/mms/m-a/r.json", {"eval_accuracy": 0.7}),
        ("target_tuned_capability/m/b.json", {"best_intervention_accuracy": 0.75, "target_reference": "r"}),
        ("target_tuned_capability/m/r.json", {"best_intervention_accuracy": 0.25, "target_reference": "s"}),
    ):
        (results / path).parent.mkdir(parents=True, exist_ok=True)
        (results / path).write_text(json.dumps(content))
    rows = [each.row for each in read_study(results, [Shift("a", "b", "r"), Shift("a", "r")]).shifts]
    assert [each.target_tuned_capability for each in rows] == [0.75, None]


@pytest.mark.skipif(not RELEASE.is_file(), reason="the release's results are not here (GENIES_SHARED)")
def test_every_shift_of_the_release_has_a_capability_without_its_tables(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.getbasetemp() / "release"
    if not folder.exists():
        install_results(RELEASE, folder)
    study = read_study(folder, read_shifts(ROOT / "distribution_shifts" / "all.json"))
    models = [each for each in study.shifts if each.base_model.startswith(("llama", "openllama"))]
    assert len(models) == 25 * 56
    assert not [each.shift for each in models if each.row.target_tuned_capability is None]
