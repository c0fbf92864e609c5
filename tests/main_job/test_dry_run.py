"""What a dry run says of the work: how much is to be done, what is not, and how long it may take."""

import json
from pathlib import Path

from tests.support.project import ARGPARSE_EVAL, Project


def counts(said: str, kind: str) -> list[int]:
    """To run, reused, unverified, not needed."""
    (line,) = (line for line in said.splitlines() if line.split()[:1] == [kind] and line.split()[-1].isdigit())
    return [int(word.replace(",", "")) for word in line.split()[1:]]


def test_trainings_and_evaluations_are_counted_by_what_becomes_of_them(project: Project) -> None:
    said = project.metrics(dry_run=True).stdout
    assert counts(said, "train") == [3, 0, 0, 0]
    assert counts(said, "evaluate") == [9, 0, 0, 0]
    assert project.metrics().returncode == 0
    project.evaluation("length", "base-long", "mixed").unlink()
    project.evaluation("length", "base-short", "mixed").write_text('{"eval_accuracy": 0.5}')
    (project.folder / "models" / "length" / "base-short").rename(project.folder / "elsewhere")
    said = project.metrics(dry_run=True).stdout
    assert counts(said, "train") == [0, 2, 0, 1]
    assert counts(said, "evaluate") == [1, 7, 1, 0]
    assert "all its evaluations exist" in said


def test_the_work_is_what_the_steps_that_run_have_to_read(project: Project) -> None:
    project.shifts([("long", "mixed")])
    said = project.metrics(dry_run=True).stdout
    # 6 and 4 examples are trained on; mixed is evaluated by three models, long by two: 4 examples of 2 responses each.
    each = len("Question 0?") + len("short") + len("a long response")
    assert f"to train on: 10 examples, 10 pairs, {10 * each} characters" in said
    assert f"to evaluate: 20 examples, 20 pairs, {20 * each} characters" in said
    said = project.metrics(dry_run=True, train_kwargs={"max_examples": 3}, eval_kwargs={"max_examples": 1}).stdout
    assert "to train on: 6 examples, 6 pairs" in said
    assert "to evaluate: 5 examples, 5 pairs" in said


def test_the_time_is_told_from_what_the_same_interventions_took_before(project: Project) -> None:
    project.shifts([("long", "mixed")])
    assert "time: unknown" in project.metrics(dry_run=True).stdout
    assert project.metrics().returncode == 0

    def took(path: Path, seconds: float) -> None:
        value = json.loads(path.read_text())
        value["provenance"]["seconds"] = seconds
        path.write_text(json.dumps(value))

    for target in ("long", "mixed"):  # one process evaluated both
        took(project.evaluation("length", "base-long", target), 200)
    took(project.evaluation("length", "base-mixed", "mixed"), 100)
    took(project.evaluation("always_longer", "base", "mixed"), 60)
    # 100 s a distribution of four examples: three of them again, and the baseline's minute.
    said = project.metrics(dry_run=True, eval_kwargs={"confidence": 0.9}, slots=5).stdout
    assert "time: about 72 s for all jobs, 5 at once" in said
    said = project.metrics(dry_run=True, eval_kwargs={"confidence": 0.9, "max_examples": 2}, slots=3).stdout
    assert "time: about 60 s for all jobs, 3 at once" in said


def test_steps_that_failed_before_are_named_and_not_counted_as_work(project: Project) -> None:
    theirs = project.intervention("broken", "raise SystemExit('no luck')", ARGPARSE_EVAL)
    project.shifts([("long", "mixed")])
    assert project.metrics(intervention_dir=theirs).returncode == 1
    said = project.metrics(intervention_dir=theirs, dry_run=True).stdout
    (line,) = (line for line in said.splitlines() if "train broken" in line)
    assert "failed in an earlier run" in line
    assert "--retry_failed" in line
    said = project.metrics(intervention_dir=theirs, dry_run=True, retry_failed=True).stdout
    assert "failed in an earlier run" not in said


def test_the_size_of_kept_activations_is_that_of_every_text_once(project: Project) -> None:
    project.shifts([("long", "mixed")])
    assert "activations" not in project.metrics(dry_run=True).stdout  # the model does not say how large it is
    llama_7b = {"num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32}
    (project.base_model / "config.json").write_text(json.dumps(llama_7b))
    # 6 + 4 training examples and 4 + 4 test examples of two responses each: 36 texts of 32 * (4096 + 4096) numbers.
    said = project.metrics(dry_run=True).stdout
    assert "at most 38 MB " in said
    assert " 1.0 MB per text" in said
    said = project.metrics(dry_run=True, train_kwargs={"dtype": "bfloat16"}, eval_kwargs={"dtype": "bfloat16"}).stdout
    assert "at most 19 MB " in said
    assert " 524 kB per text" in said
