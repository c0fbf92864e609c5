"""What a run that was killed had finished is not done again."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import pytest

from tests.harness.test_failures import start, wait_for_no
from tests.support.project import ARGPARSE_EVAL, Project


def hanging(project: Project, mark: str, last: str) -> Path:
    """An intervention whose eval.py writes all but the last evaluation, does `last` with that one, and hangs; once."""
    hang = f"""import os, time
asked = os.path.join({str(project.folder)!r}, "asked")
with open(asked, "a") as ledger: ledger.write(",".join(pathlib.Path(p).stem for p in args.output_paths) + "\\n")
hung = os.path.join({str(project.folder)!r}, "hung")
if not os.path.exists(hung) and len(args.output_paths) == 2:
    output = args.output_paths[-1]
    {last}
    open(hung, "w").close()
    time.sleep(600)  # {mark}
"""
    return project.intervention(f"hanging{mark}", (project.length / "train.py").read_text(), ARGPARSE_EVAL + hang)


def killed(project: Project, last: str, **changes: object) -> tuple[Path, str]:
    """A project whose evaluation of base-long on two distributions was killed with SIGKILL, with its harness."""
    mark = f"{random.randrange(10**9)}"
    theirs = hanging(project, mark, last)
    project.shifts([("long", "mixed")])
    process = start(project, intervention_dir=theirs, **changes)
    deadline = time.monotonic() + 60
    while not (project.folder / "hung").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.communicate(timeout=20)
    assert wait_for_no(mark) == []
    return theirs, (project.folder / "asked").read_text()


@pytest.mark.parametrize(
    ("last", "again"),
    [
        ("os.unlink(output)", "mixed"),
        ("open(output, 'r+').truncate(30)", "mixed"),
        ("pathlib.Path(output).write_text('{\"eval_accuracy\": 71}')", "mixed"),
        ("pass", None),
    ],
    ids=["missing", "half written", "not valid", "valid"],
)
def test_valid_evaluations_that_a_killed_step_left_are_kept(project: Project, last: str, again: str | None) -> None:
    theirs, asked = killed(project, last)
    assert asked == "long,mixed\n"
    assert not project.evaluation(theirs.name, "base-long", "long").exists()
    done = project.metrics(intervention_dir=theirs)
    assert done.returncode == 0, done.stderr
    assert (project.folder / "asked").read_text() == asked + (f"{again}\n" if again else "")
    assert project.table()[0]["generalization_accuracy"] == "0.75"
    provenance = json.loads(project.evaluation(theirs.name, "base-long", "long").read_text())["provenance"]
    assert provenance["identity"]["source"] == "long"
    assert provenance["seconds"] > 0
    logs = project.logs()
    assert project.metrics(intervention_dir=theirs).returncode == 0
    assert project.logs() == logs


def test_nothing_is_kept_that_was_made_from_something_else(project: Project) -> None:
    theirs, asked = killed(project, "pass")
    done = project.metrics(intervention_dir=theirs, eval_kwargs={"confidence": 0.9})
    assert done.returncode == 0, done.stderr
    assert (project.folder / "asked").read_text() == asked + "long,mixed\n"


def test_nothing_is_kept_where_evaluations_are_not_to_be_reused(project: Project) -> None:
    theirs, asked = killed(project, "pass")
    done = project.metrics(intervention_dir=theirs, use_cached_evaluations=False)
    assert done.returncode == 0, done.stderr
    assert (project.folder / "asked").read_text() == asked + "long,mixed\n"


def test_nothing_is_kept_of_a_step_whose_input_changed_while_it_ran(project: Project) -> None:
    file = project.folder / "distributions" / "mixed" / "test.json"
    before = file.read_text()
    meddle = f"p = pathlib.Path({str(file)!r})\nif not p.with_name('once').exists(): p.write_text('[]')\n"
    meddle = "import pathlib\n" + meddle + "p.with_name('once').touch()\n"
    theirs = project.intervention("meddling", (project.length / "train.py").read_text(), ARGPARSE_EVAL + meddle)
    project.shifts([("long", "mixed")])
    assert project.metrics(intervention_dir=theirs, protect=False).returncode == 1
    file.write_text(before)
    logs = project.logs()
    assert project.metrics(intervention_dir=theirs, protect=False).returncode == 0
    assert len([log for log in set(project.logs()) - set(logs) if "meddling" in log.parts]) == 1
