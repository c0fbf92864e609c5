"""Check how eval.py handles distributions that it cannot read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from genies.harness.checking.made_project import Role
from genies.harness.checking.outputs import read_outputs
from genies.harness.checking.report import Verdict, failed, ok
from genies.harness.checking.runs import Runs


def judge_bad_input(runs: Runs, model_dir: Path) -> Iterator[Verdict]:
    """Verdicts on evaluating a truncated and a missing distribution."""
    plain = runs.project.plain
    cases: list[tuple[str, Role, str]] = [
        ("malformed distribution", "malformed", "whose test.json is truncated"),
        ("missing distribution", "absent", "whose folder does not exist"),
    ]
    runs_done = runs.evaluate(*((plain, model_dir, [role]) for _, role, _ in cases))
    for (check, role, what), ran in zip(cases, runs_done, strict=True):
        valid = read_outputs({role: ran}).valid.get(role)
        if valid is None and ran.outcome.returncode != 0 and not ran.outcome.timed_out:
            yield ok(check, ran.outcome.describe())
            continue
        written = "no evaluation" if valid is None else f"a valid evaluation (eval_accuracy {valid.eval_accuracy:.6g})"
        yield failed(
            check,
            expected=f"eval.py exits with a status other than 0, preferably 2, and writes no evaluation for a "
            f"distribution {what}",
            came=f"{written}, and {ran.describe()}",
            log=ran.log,
            change="let the error end the script (do not catch and ignore it), and write a file only when all its "
            "values are computed: otherwise the table would contain values for data that was not read",
        )
