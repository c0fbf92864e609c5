"""The launcher that the documentation shows, with a kubectl that runs a pod's command on this machine."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from genies.file_hashes import FileHashes
from genies.harness.decide import Policy, decide
from genies.harness.fingerprint import Identities
from genies.harness.order import Result, Settings
from genies.harness.schedule import Task, run_tasks, tasks
from genies.main_job.request import MetricsRequest
from tests.support.project import ARGPARSE_EVAL, ROOT, Project

KUBECTL = f"""#!{sys.executable}
import json, os, pathlib, subprocess, sys
jobs = pathlib.Path(__file__).parent / "jobs"
jobs.mkdir(exist_ok=True)
if sys.argv[1] == "apply":
    job = json.load(sys.stdin)
    (pod,) = job["spec"]["template"]["spec"]["containers"]
    environment = {{**os.environ, **{{each["name"]: each["value"] for each in pod["env"]}}}}
    command = [sys.executable, *pod["command"][1:]]
    lost = (jobs / "lose").exists()
    done = None if lost else subprocess.run(command, cwd={str(ROOT)!r}, env=environment, capture_output=True, text=True)
    (jobs / job["metadata"]["name"]).write_text(done.stdout + done.stderr if done else "the node went away")
elif sys.argv[1] == "get":
    print("1")
elif sys.argv[1] == "logs":
    print((jobs / sys.argv[2].removeprefix("job/")).read_text())
"""


@pytest.fixture
def documented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The Python file in docs/launchers.md, and a kubectl on the path."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "kubectl").write_text(KUBECTL)
    (tmp_path / "bin" / "kubectl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    text = (ROOT / "docs" / "launchers.md").read_text(encoding="utf-8")
    (source,) = (block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "Kubernetes" in block)
    module = ModuleType("kubernetes_launcher")
    exec(compile(source, "docs/launchers.md", "exec"), module.__dict__)
    return module


def run_with(launcher: Any, project: Project, **changes: Any) -> list[Result]:
    values = {item[2:]: value for item, value in zip(*[iter(project.arguments(**changes))] * 2, strict=True)}
    values |= {name: [values[name]] for name in ("base_model_dir", "intervention_dir")}
    request = MetricsRequest.model_validate(values)
    identities = Identities(FileHashes(None), ROOT)
    results: list[Result] = []

    def report(task: Task, result: Result) -> None:
        results.append(result)

    waiting = tasks(decide(request.plan(ROOT).jobs, Policy(), identities))
    run_tasks(waiting, Settings(request.store(ROOT)), launcher, report)
    return results


def test_the_documented_kubernetes_launcher_runs_a_study(documented: ModuleType, project: Project) -> None:
    results = run_with(documented.KubernetesLauncher(slots=2), project)
    assert [result.failure for result in results] == [None] * 7
    assert sum(len(result.done) for result in results) == 9
    assert "0 to run" in project.metrics(dry_run=True).stdout
    value = json.loads(project.evaluation("length", "base-long", "mixed").read_text())
    assert value["eval_accuracy"] == 0.75
    assert not list((project.folder / "results" / ".orders").glob("*"))


def test_it_reports_a_failed_job_and_a_lost_pod(documented: ModuleType, project: Project, tmp_path: Path) -> None:
    project.shifts([("long", "mixed")])
    theirs = project.intervention("broken", "raise SystemExit('no luck')", ARGPARSE_EVAL)
    results = run_with(documented.KubernetesLauncher(slots=1), project, intervention_dir=theirs)
    failed = [result.failure or "" for result in results if result.failure]
    assert "no luck" in failed[0]
    assert "its model was not trained" in failed[1]
    (tmp_path / "bin" / "jobs" / "lose").touch()
    project.evaluation("length", "base-mixed", "mixed").unlink()
    results = run_with(documented.KubernetesLauncher(slots=1), project)
    lost = [result for result in results if result.infrastructure]
    assert lost
    assert "the node went away" in (lost[0].failure or "")
