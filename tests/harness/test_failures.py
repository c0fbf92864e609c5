"""Bad input, failing steps, kills: one message, the right exit status, nothing lost, nobody left running."""

import json
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from genies.errors import InputError
from genies.harness.inputs import check_script
from genies.harness.store import Store
from tests.support.project import ARGPARSE_EVAL, ARGPARSE_TRAIN, ROOT, Project


def one_message(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("error: ")
    return done.stderr


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"intervention_dir": "no/such/folder"}, ["no/such/folder", "does not exist"]),
        (
            {"intervention_dir": "zero_shots"},
            ["--intervention_dir: ", "zero_shots does not exist; ", ": src/interventions/zero_shot"],
        ),
        (
            {"target_tuned_capability_intervention": "nope"},
            ["--target_tuned_capability_intervention: ", "nope does not exist; ", "src/interventions/ccs, "],
        ),
        (
            {"baseline_intervention": "src/interventions/zero-shot"},
            ["--baseline_intervention: ", "zero-shot does not exist; ", ": src/interventions/zero_shot"],
        ),
        ({"base_model_dir": "two\nlines"}, ["--base_model_dir: expected the name of a model, one folder name, got"]),
        ({"baseline_intervention": "x\ty"}, ["--baseline_intervention: expected the name of an intervention, one"]),
        ({"base_model_dir": "/"}, ["--base_model_dir", "no folder name"]),
        ({"base_model_dir": "README.md"}, ["--base_model_dir", "README.md is a file; expected a folder"]),
        ({"path_to_distribution_shift_pairs": "none.json"}, ["none.json", "does not exist"]),
        ({"path_to_distribution_shift_pairs": None}, ["--path_to_distribution_shift_pairs", "--source_dirs"]),
        ({"source_dirs": ["long"], "target_dirs": ["short"]}, ["one way"]),
        (
            {"path_to_distribution_shift_pairs": None, "source_dirs": ["long", "short"], "target_dirs": ["short"]},
            ["--source_dirs", "2", "1"],
        ),
        ({"train_kwargs": [1]}, ["--train_kwargs"]),
        ({"eval_kwargs": "{broken"}, ["--eval_kwargs"]),
        ({"train_kwargs": {"output_dir": "x"}}, ["output_dir", "passed by the harness"]),
        ({"train_kwargs": {"a b": 1}}, ["'a b'"]),
        ({"train_kwargs": {"push_to_hub": "me/rewards"}}, ["push_to_hub", "same repository", "api/train.py"]),
        ({"target_tuned_train_kwargs": {"push_to_hub": "me/rewards"}}, ["push_to_hub", "same repository"]),
        ({"timeout": -1}, ["--timeout"]),
        ({"report_dir": "README.md/report"}, ["README.md/report: nothing can be written in", "another folder"]),
        ({"retrain": True}, ["--retrain", "did you mean", "--retrain_models"]),
    ],
)
def test_a_bad_request_is_one_message_and_status_2(project: Project, changes: dict[str, Any], words: list[str]) -> None:
    message = one_message(project.metrics(**changes))
    for word in words:
        assert word in message
    assert project.logs() == []


def test_an_unknown_distribution_is_named_with_its_neighbours(project: Project) -> None:
    project.shifts([("long", "mixd")])
    message = one_message(project.metrics())
    assert "'mixd'" in message
    assert "mixed" in message
    assert message.startswith(f"error: shift file {project.folder / 'shifts.json'}, entry 0, field target: ")


def test_an_unknown_distribution_is_told_with_the_entry_or_the_argument_that_names_it(project: Project) -> None:
    project.shifts([("long", "short"), ("long", "mixed", "shrt")])
    assert "shifts.json, entry 1, field target_reference: unknown distribution 'shrt'" in one_message(project.metrics())
    given = {"source_dirs": ["long", "lnog"], "target_dirs": ["short", "short"]}
    message = one_message(project.metrics(path_to_distribution_shift_pairs=None, **given))
    assert message.startswith("error: --source_dirs, item 1: unknown distribution 'lnog'")


def test_every_missing_distribution_is_named_at_once(project: Project) -> None:
    project.shifts([("long", "absent_b"), ("absent_a", "mixed")])
    message = one_message(project.metrics())
    assert "unknown distribution 'absent_a'" in message
    assert message.rstrip().endswith("also missing: absent_b")
    assert not (project.folder / "results" / "logs").exists()  # nothing ran


def test_a_folder_without_the_scripts_is_named(project: Project) -> None:
    (project.length / "eval.py").unlink()
    message = one_message(project.metrics())
    assert "eval.py" in message
    assert "interventions/length" in message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[", ["line 1"]),
        ("[]", ["no examples"]),
        ('[{"prompt": "p", "responses": {"a": 0.0, "b": 0.0}}]', ["example 0", "responses", "at least one best"]),
    ],
)
def test_a_malformed_distribution_stops_before_anything_runs(project: Project, content: str, words: list[str]) -> None:
    (project.folder / "distributions" / "long" / "train.json").write_text(content)
    message = one_message(project.metrics())
    for word in ["long/train.json", *words]:
        assert word in message
    assert project.logs() == []


@pytest.mark.parametrize("changes", [{}, {"dry_run": True}, {"emit_commands": "out/commands.jsonl"}])
def test_an_absent_base_model_that_a_step_needs_stops_before_anything_is_written(
    project: Project, changes: dict[str, Any]
) -> None:
    project.output.parent.mkdir()
    project.output.write_text("a good table")
    before = sorted(project.folder.rglob("*"))
    message = one_message(project.metrics(base_model_dir=project.folder / "models" / "bsae", **changes))
    assert message.startswith("error: --base_model_dir: model folder ")
    assert "models/bsae does not exist; " in message
    assert f"{project.base_model} " in message
    assert sorted(project.folder.rglob("*")) == before
    assert project.output.read_text() == "a good table"


def test_a_misspelt_intervention_of_the_project_is_recognized_in_any_folder(tmp_path: Path) -> None:
    (tmp_path / "src" / "interventions" / "lora_fine_tuned").mkdir(parents=True)
    (tmp_path / "src" / "interventions" / "lora_fine_tuned" / "eval.py").touch()
    store = Store(tmp_path, tmp_path / "models", tmp_path / "results")
    with pytest.raises(InputError, match=r"interventions/lora_fine_tuned, lora_fine_tune(,|$)"):
        check_script(tmp_path / "lora_fine_tuned" / "train.py", store)
    with pytest.raises(InputError, match=r"known interventions: anchor, caft, .*, src/interventions/lora_fine_tuned"):
        check_script(tmp_path / "xyzzy" / "train.py", store)


def test_the_name_alone_of_a_base_model_in_models_is_recognized(project: Project) -> None:
    message = one_message(project.metrics(base_model_dir="base"))
    assert f"model folder base does not exist; did you mean {project.base_model}?" in message


def test_an_absent_base_model_stops_only_a_run_with_a_step_that_needs_it(project: Project) -> None:
    assert project.metrics().returncode == 0
    table = project.output.read_bytes()
    shutil.rmtree(project.base_model)
    done = project.metrics()
    assert done.returncode == 0, done.stderr
    assert project.output.read_bytes() == table
    project.evaluation("length", "base-short", "mixed").unlink()
    assert project.metrics().returncode == 0  # the tuned model is there
    assert project.output.read_bytes() == table
    project.evaluation("length", "base-short", "mixed").unlink()
    shutil.rmtree(project.folder / "models" / "length" / "base-short")
    assert "models/base does not exist" in one_message(project.metrics())
    assert project.output.read_bytes() == table


def test_one_reason_is_told_once_however_many_steps_it_fails(project: Project) -> None:
    theirs = project.intervention("stuck", "raise SystemExit('no luck')\n", ARGPARSE_EVAL)
    done = project.metrics(intervention_dir=theirs, train_kwargs={"sign": 1})
    assert done.returncode == 1
    assert "--target_tuned_train_kwargs" not in done.stderr  # the arguments are not what is wrong
    summary = done.stderr[done.stderr.index("jobs failed") :]
    assert summary.count("no luck") == 1
    assert "1 more job for the same reason" in summary
    assert done.stderr.count("FAILED") <= 2  # the reason, and that what depends on it is not run


def test_arguments_for_one_intervention_that_reach_the_reference_too_are_told_of(project: Project) -> None:
    own = project.intervention(
        "own", ARGPARSE_TRAIN.replace('"--sign"', '"--passes", type=int)\nparser.add_argument("--sign"'), ARGPARSE_EVAL
    )
    done = project.metrics(intervention_dir=own, train_kwargs={"passes": 3})
    assert done.returncode == 2
    assert "--target_tuned_train_kwargs" in done.stderr
    done = project.metrics(intervention_dir=own, train_kwargs={"passes": 3}, target_tuned_train_kwargs={})
    assert done.returncode == 0, done.stderr


def test_two_folders_of_one_name_are_refused(project: Project) -> None:
    other = project.folder / "elsewhere" / "length"
    other.mkdir(parents=True)
    assert "two folders" in one_message(project.metrics(baseline_intervention=other))


WRONG = {
    "nan": ('{"eval_accuracy": NaN}', "eval_accuracy"),
    "boolean": ('{"eval_accuracy": true}', "eval_accuracy"),
    "out of range": ('{"eval_accuracy": 1.2}', "eval_accuracy"),
    "text": ('{"eval_accuracy": "0.5"}', "eval_accuracy"),
    "missing key": ("{}", "eval_accuracy"),
    "half a file": ('{"eval_accuracy": 0.', "truncated"),
    "empty file": ("", "empty"),
    "another accuracy": ('{"eval_accuracy": 0.5, "eval_probabilities": [0.9, 0.5]}', "got 0.5 instead of 0.75"),
    "bad probability": ('{"eval_accuracy": 0.5, "eval_probabilities": [0.5, 2]}', "eval_probabilities.1"),
}


@pytest.mark.parametrize("case", [*WRONG, "missing file"])
def test_a_wrong_evaluation_fails_its_step_and_the_other_files_count(project: Project, case: str) -> None:
    text, word = WRONG.get(case, ("", "does not exist"))
    spoil = f"pathlib.Path(output).write_text({text!r})" if case in WRONG else "pathlib.Path(output).unlink()"
    source = ARGPARSE_EVAL + f"    if folder.endswith('mixed'): {spoil}\n"
    theirs = project.intervention("wrong", (project.length / "train.py").read_text(), source)
    project.shifts([("long", "mixed"), ("long", "short")])
    done = project.metrics(intervention_dir=theirs)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    for expected in ("wrong", "mixed.json", word, "evaluate-1.log"):
        assert expected in done.stderr
    first, second = project.table()
    assert (first["generalization_accuracy"], second["generalization_accuracy"]) == ("", "0.0")
    assert first["baseline_accuracy"] == "0.75"
    assert not project.evaluation("wrong", "base-long", "mixed").exists()


def test_a_fault_of_many_evaluations_is_told_once(project: Project) -> None:
    percent = ARGPARSE_EVAL.replace('"eval_accuracy": accuracy', '"eval_accuracy": 71 + len(folder) + accuracy')
    theirs = project.intervention("percent", ARGPARSE_TRAIN, percent)
    done = project.metrics(intervention_dir=theirs)
    assert done.returncode == 1
    assert done.stderr.count("FAILED") == 1
    assert done.stderr.count("expected a number of at most 1.0, got ") == 2  # as it failed, and in the summary
    assert done.stderr.count("an accuracy is a share: 0.71, not 71") == 2
    assert re.search(r"FAILED evaluate percent, base-long.*, distributions \w+, \w+, \w+: eval", done.stderr), (
        done.stderr
    )
    assert "and 1 more job for the same reason" in done.stderr


def test_an_accuracy_may_be_rounded_to_three_decimals(project: Project) -> None:
    text = '{"eval_accuracy": 0.667, "eval_probabilities": [0.9, 0.8, 0.1]}'
    source = ARGPARSE_EVAL + f"    pathlib.Path(output).write_text({text!r})\n"
    theirs = project.intervention("rounded", (project.length / "train.py").read_text(), source)
    assert project.metrics(intervention_dir=theirs).returncode == 0
    assert {row["generalization_accuracy"] for row in project.table()} == {"0.667"}


def test_an_evaluation_from_elsewhere_may_have_another_accuracy_than_its_probabilities(project: Project) -> None:
    project.shifts([("long", "mixed")])
    model = project.folder / "models" / "length" / "base-long"
    model.mkdir(parents=True)
    (model / "model.json").write_text("{}")
    path = project.evaluation("length", "base-long", "mixed")
    path.parent.mkdir(parents=True)
    path.write_text('{"eval_accuracy": 0.5, "eval_probabilities": [0.9, 0.5, 0.9, 0.9]}')
    project.metrics()
    assert project.table()[0]["generalization_accuracy"] == "0.5"


def test_a_failing_step_fails_what_depends_on_it_and_the_rest_runs_on(project: Project) -> None:
    train = "import sys\nif 'short' in str(sys.argv): print('no luck'); sys.exit(3)\n"
    theirs = project.intervention("unlucky", train + (project.length / "train.py").read_text(), ARGPARSE_EVAL)
    done = project.metrics(intervention_dir=theirs)
    assert done.returncode == 1
    assert "status 3" in done.stderr
    assert "| no luck" in done.stderr
    assert "train-1.log" in done.stderr
    assert [row["generalization_accuracy"] for row in project.table()] == ["0.0", "0.75", ""]
    assert not (project.folder / "models" / "unlucky" / "base-short").exists()


def test_valid_files_of_a_crashed_evaluation_are_kept(project: Project) -> None:
    theirs = project.intervention(
        "crashing", (project.length / "train.py").read_text(), ARGPARSE_EVAL + "raise SystemExit(5)\n"
    )
    done = project.metrics(intervention_dir=theirs)
    assert done.returncode == 1
    assert [row["generalization_accuracy"] for row in project.table()] == ["0.0", "0.75", "0.25"]


def test_an_intervention_that_calls_its_input_bad_makes_status_2(project: Project) -> None:
    done = project.metrics(train_kwargs={"misspelt": 1})  # argparse ends with 2 and says why
    assert done.returncode == 2
    assert "unrecognized arguments: --misspelt 1" in done.stderr


def test_a_hanging_step_is_stopped_with_all_its_processes(project: Project) -> None:
    mark = f"{random.randrange(10**9)}"
    child = f"[sys.executable, '-c', 'import time; time.sleep(600) # {mark}']"
    train = f"import subprocess, sys, time\nsubprocess.Popen({child})\ntime.sleep(600)\n"
    theirs = project.intervention("hanging", train, ARGPARSE_EVAL)
    project.shifts([("long", "mixed")])
    done = project.metrics(intervention_dir=theirs, timeout=1)
    assert done.returncode == 1
    assert "time limit" in done.stderr
    assert running(mark) == []
    assert project.table()[0]["baseline_accuracy"] == "0.75"


def running(mark: str) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and mark in (folder / "cmdline").read_text():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def slow(project: Project, mark: str) -> Path:
    """An intervention whose every step takes a third of a second."""
    wait = f"import time; time.sleep(0.3)  # {mark}\n"
    return project.intervention(f"slow{mark}", wait + (project.length / "train.py").read_text(), wait + ARGPARSE_EVAL)


def start(project: Project, **changes: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "api/compute_generalization_metrics.py"), *project.arguments(**changes)],
        cwd=ROOT,
        env=project.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for_no(mark: str) -> list[int]:
    """The processes with the mark that are left after 10 s.

    The last look counts, without another one after it: when a harness is killed between fork and exec of a supervisor,
    that supervisor gets its command line only afterwards, sees that the harness has ended, and exits.
    """
    deadline = time.monotonic() + 10
    while (found := running(mark)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_the_step_keeps_the_table_and_says_130(project: Project, number: signal.Signals) -> None:
    mark = f"{random.randrange(10**9)}"
    theirs = slow(project, mark)
    project.shifts([("long", "mixed")])
    assert project.metrics(intervention_dir=project.length).returncode == 0
    complete = project.output.read_bytes()
    process = start(project, intervention_dir=theirs)
    deadline = time.monotonic() + 20
    while not (project.folder / "results" / "logs" / theirs.name).exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    process.send_signal(number)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert running(mark) == []
    # The table is this request's, with empty fields for what had not finished; the earlier one is made at no cost.
    assert project.table()[0]["generalization_accuracy"] == ""
    assert project.metrics(intervention_dir=project.length).returncode == 0
    assert project.output.read_bytes() == complete


def test_an_output_that_cannot_be_written_is_refused_before_anything_runs(project: Project) -> None:
    folder = project.folder / "out"
    folder.mkdir()
    message = one_message(project.metrics(output_path=folder))
    assert "is a folder" in message
    file = project.folder / "file"
    file.write_text("mine")
    message = one_message(project.metrics(output_path=file / "table.csv"))
    assert f"{file} is a file; expected a folder" in message
    for path in (folder, file / "table.csv", file):
        assert one_message(project.metrics(output_path=path, dry_run=True)).startswith("error: --output_path")
    message = one_message(project.metrics(output_path=project.folder / "table.txt", dry_run=True))
    assert "expected a name that ends in .csv" in message
    assert project.logs() == []
    assert file.read_text() == "mine"


def test_the_table_replaces_no_file_that_is_none(project: Project) -> None:
    notes = project.folder / "notes.md"
    notes.write_text("# What I found\n")
    message = one_message(project.metrics(output_path=notes))
    assert f"--output_path {notes}" in message
    assert notes.read_text() == "# What I found\n"
    assert project.logs() == []


def test_a_full_disk_is_one_message_and_the_table_stays_whole(project: Project) -> None:
    assert project.metrics().returncode == 0
    before = project.output.read_bytes()
    # A size limit of 1 KiB a file stands for the full disk: evaluations with provenance are larger.
    command = [sys.executable, str(ROOT / "api/compute_generalization_metrics.py")]
    command += project.arguments(use_cached_evaluations=False)
    limit = "import resource, os, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024)); "
    limit += "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", limit, *command],
        cwd=ROOT,
        env={**project.environment(), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "file size limit" in done.stderr
    assert project.output.read_bytes() == before
    for path in (project.folder / "results").rglob("*.json"):
        json.loads(path.read_text())
    assert list(project.folder.rglob("*.partial")) == []


def test_an_evaluation_that_is_no_file_or_too_large_fails_its_step(project: Project) -> None:
    for name, spoil in {
        "pipe": "import os; os.unlink(output); os.mkfifo(output)",
        "link": "import os; os.rename(output, output + '.x'); os.symlink(output + '.x', output)",
        "huge": "open(output, 'a').truncate(100 << 20)",
    }.items():
        source = ARGPARSE_EVAL + f"    if folder.endswith('mixed'): {spoil}\n"
        theirs = project.intervention(name, (project.length / "train.py").read_text(), source)
        done = project.metrics(intervention_dir=theirs)
        assert done.returncode == 1, done.stderr
        assert "mixed.json" in done.stderr
        assert [row["generalization_accuracy"] for row in project.table()] == ["0.0", "", ""]


def test_a_step_never_counts_for_what_was_changed_while_it_ran(project: Project) -> None:
    file = project.folder / "distributions" / "mixed" / "test.json"
    meddle = f"import pathlib; p = pathlib.Path({str(file)!r}); p.write_text(p.read_text() + ' ')\n"
    theirs = project.intervention("meddling", (project.length / "train.py").read_text(), meddle + ARGPARSE_EVAL)
    done = project.metrics(intervention_dir=theirs)
    assert done.returncode == 1
    assert "distribution" in done.stderr
    assert not project.evaluation("meddling", "base-long", "mixed").exists()


def test_an_intervention_that_writes_into_its_own_folder_is_told(project: Project) -> None:
    write = "open(__file__.replace('train.py', 'history.txt'), 'a').write('again')\n"
    theirs = project.intervention("diary", write + (project.length / "train.py").read_text(), ARGPARSE_EVAL)
    done = project.metrics(intervention_dir=theirs)
    assert done.returncode == 1
    assert "--output_dir" in done.stderr


def test_a_text_about_a_full_disk_fails_one_step_and_not_the_run(project: Project) -> None:
    train = "import sys\nif 'short' in str(sys.argv): sys.exit('No space left on device')\n"
    theirs = project.intervention("talking", train + (project.length / "train.py").read_text(), ARGPARSE_EVAL)
    done = project.metrics(intervention_dir=theirs)
    assert done.returncode == 2
    assert [row["generalization_accuracy"] for row in project.table()] == ["0.0", "0.75", ""]


def test_models_may_lie_on_another_disk(project: Project, tmp_path: Path) -> None:
    elsewhere = Path("/dev/shm") / f"genies-test-{random.randrange(10**9)}"
    if not elsewhere.parent.is_dir() or elsewhere.parent.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system here")
    elsewhere.mkdir()
    try:
        (project.folder / "models" / "length").symlink_to(elsewhere)
        done = project.metrics()
        assert done.returncode == 0, done.stderr
        assert (elsewhere / "base-long" / "training_step.json").exists()
    finally:
        shutil.rmtree(elsewhere)


def test_a_model_whose_harness_died_before_the_last_move_is_not_trained_again(project: Project) -> None:
    project.shifts([("long", "mixed")])
    assert project.metrics().returncode == 0
    model = project.folder / "models" / "length" / "base-long"
    record = json.loads((model / "training_step.json").read_text())
    staging = model.parent / ".staging" / f"base-long-{record['fingerprint'][:16]}" / "base-long"
    staging.parent.mkdir(parents=True)
    model.rename(staging)
    project.evaluation("length", "base-long", "mixed").unlink()
    trained = project.trained()
    assert project.metrics().returncode == 0
    assert project.trained() == trained
    assert model.exists()
    assert not staging.exists()


def test_two_runs_with_other_arguments_never_store_each_others_figures(project: Project) -> None:
    project.shifts([("long", "mixed")])
    lines = {}
    for sign in (1, -1):
        path = project.folder / f"{sign}.jsonl"
        project.metrics(emit_commands=path, train_kwargs={"sign": sign})
        for line in map(json.loads, path.read_text().splitlines()):
            lines[sign, line["step"].split(",")[0], line["step"].count("base-long")] = line["argv"]

    def step(sign: int, kind: str) -> subprocess.CompletedProcess[str]:
        argv = lines[sign, f"{kind} length", 1]
        return subprocess.run(
            argv, cwd=ROOT, env=project.environment(), capture_output=True, text=True, check=False, timeout=60
        )

    assert step(1, "train").returncode == 0
    assert step(-1, "train").returncode == 0  # takes the place of the other
    late = step(1, "evaluate")
    assert late.returncode == 1
    assert "replaced by another run" in late.stderr
    assert project.metrics(train_kwargs={"sign": 1}).returncode == 0
    assert float(project.table()[0]["generalization_accuracy"]) == 0.75


def test_two_harnesses_at_once_share_the_work(project: Project) -> None:
    theirs = slow(project, f"{random.randrange(10**9)}")
    both = [start(project, intervention_dir=theirs, output_path=project.folder / f"{n}.csv") for n in range(2)]
    for process in both:
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
    assert (project.folder / "0.csv").read_bytes() == (project.folder / "1.csv").read_bytes()
    trained = [str(log.parent) for log in project.logs() if log.name.startswith("train-")]
    assert len(trained) == len(set(trained)) == 4  # ours on long and short, the reference on short and mixed


def test_of_two_harnesses_at_once_one_tries_a_step_that_fails_and_both_tell(project: Project) -> None:
    train = "import sys, time\ntime.sleep(1)\nsys.exit('no luck')\n"
    theirs = project.intervention("unlucky", train, ARGPARSE_EVAL)
    project.shifts([("long", "mixed")])
    both = [start(project, intervention_dir=theirs, output_path=project.folder / f"{n}.csv") for n in range(2)]
    for process in both:
        _, said = process.communicate(timeout=60)
        assert process.returncode == 1, said
        assert "| no luck" in said
    assert len([log for log in project.logs() if log.match("unlucky/*/train-*.log")]) == 1
