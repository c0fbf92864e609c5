"""run_study and check_intervention from Python: the command's results, as values."""

import threading
import warnings

import pandas as pd
import pytest

import genies
from genies import InputError, Shift

SHIFTS = [
    Shift("long", "short"),
    Shift("long", "mixed", label="extreme", category="difficulty"),
    Shift("short", "mixed"),
]


@pytest.fixture
def arguments(project, monkeypatch):
    """Those of run_study, away from any project root."""
    monkeypatch.setenv("GENIES_CACHE", str(project.folder / "cache"))
    (project.folder / "elsewhere").mkdir()
    monkeypatch.chdir(project.folder / "elsewhere")
    return {
        "base_model_dir": project.base_model,
        "intervention_dir": project.length,
        "shifts": SHIFTS,
        "baseline_intervention": project.always_longer,
        "target_tuned_capability_intervention": project.length,
        **project.places(),
    }


def test_the_frame_has_the_values_of_the_command_and_nothing_is_printed_or_written(project, arguments, capfd):
    table = genies.run_study(**arguments)
    assert capfd.readouterr() == ("", "")
    assert list((project.folder / "elsewhere").iterdir()) == []
    started = len(project.logs())
    assert started > 0
    command = project.metrics()
    assert (command.returncode, len(project.logs())) == (0, started)  # all of it reused
    of_command = pd.read_csv(project.output)
    shared = ["source", "target", "target_reference", "generalization_accuracy", "baseline_accuracy", "pairs"]
    shared += ["target_tuned_capability", "source_ID_accuracy", "RMS_calibration_error", "differential_elicitation"]
    pd.testing.assert_frame_equal(table[shared], of_command[shared], check_dtype=False)
    # By hand: what is tuned on long answers takes the longer response, which is never best in short.
    assert table["generalization_accuracy"].tolist() == [0.0, 0.75, 0.25]
    assert table["label"].dropna().tolist() == ["extreme"]


def test_a_table_is_written_where_it_is_asked_for(project, arguments):
    table = genies.run_study(**arguments, output_path=project.output)
    assert pd.read_csv(project.output)["generalization_accuracy"].tolist() == table["generalization_accuracy"].tolist()


def test_it_runs_in_a_thread(arguments):
    found = []
    thread = threading.Thread(target=lambda: found.append(genies.run_study(**{**arguments, "shifts": SHIFTS[:1]})))
    thread.start()
    thread.join()
    assert [len(table) for table in found] == [1]


def test_a_failed_step_is_an_exception_with_the_table_of_the_others(project, arguments, capfd):
    broken = project.intervention("broken", "import sys; sys.exit('no luck')", "")
    with pytest.raises(genies.StudyFailed, match="no luck") as failed:
        genies.run_study(**{**arguments, "intervention_dir": [project.length, broken]})
    table = failed.value.table.set_index("intervention")["generalization_accuracy"]
    assert table["length"].notna().all()
    assert table["broken"].isna().all()
    assert capfd.readouterr() == ("", "")


def test_reused_evaluations_that_cannot_be_verified_are_warned_of(project, arguments):
    genies.run_study(**arguments)
    path = project.evaluation("length", "base-long", "short")
    path.write_text('{"eval_accuracy": 0.5}', encoding="utf-8")
    with pytest.warns(UserWarning, match=r"could not be verified.*short\.json"):
        table = genies.run_study(**arguments)
    assert table.loc[0, "generalization_accuracy"] == 0.5
    path.unlink()
    with warnings.catch_warnings():
        warnings.filterwarnings("error", ".*could not be verified")
        genies.run_study(**arguments)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"shifts": [("long", "short")]}, r"^shifts: expected genies\.Shift"),
        ({"shifts": []}, "^shifts .*at least one"),
        ({"shifts": [Shift("long", "shrot")]}, "^shifts, entry 0, field target: unknown distribution 'shrot'"),
        ({"shifts": None}, "give the shifts one way: shifts FILE, or source_dirs and target_dirs"),
        ({"study": "study.yaml"}, "base_model_dir .*study"),
        ({"dry_run": True}, "^dry_run: this is an argument of the command"),
        ({"slots": "many"}, "^slots: expected a whole number, got 'many'"),
        ({"train_kwargs": {"model_dir": "x"}}, "train_kwargs"),
    ],
)
def test_bad_arguments_are_named_as_they_were_given(project, arguments, changes, said):
    with pytest.raises(InputError, match=said) as refused:
        genies.run_study(**{**arguments, **changes})
    assert "--" not in str(refused.value)
    assert project.logs() == []


def test_a_check_returns_its_verdicts_and_prints_nothing(project, arguments, capfd):
    verdicts = genies.check_intervention(project.length)
    assert capfd.readouterr() == ("", "")
    states = {verdict.check: verdict.state for verdict in verdicts}
    assert states["train.py runs"] == states["eval.py runs"] == states["order of responses"] == "ok"
    broken = project.intervention("broken", "import sys; sys.exit('no luck')", "")
    (failed,) = [each for each in genies.check_intervention(broken) if each.state == "FAILED"]
    assert failed.check == "train.py runs"
    assert failed.log is not None
    assert "no luck" in failed.log.read_text(encoding="utf-8")
    with pytest.raises(InputError, match="name another with base_model_dir"):
        genies.check_intervention(project.length, base_model_dir="absent")
