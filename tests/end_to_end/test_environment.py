"""examples/environment.sh, with a stand-in for the environment's Python that writes down what it is asked for."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.project import ROOT

STAND_IN = '#!/bin/sh\n[ "$3" = --version ] || echo "$@" >>"$(dirname "$0")/../asked"\n'


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project folder with an environment into which nothing has been installed."""
    folder = tmp_path / "project"
    for name in ("setup.py", "constraints.txt", "examples/environment.sh"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    python = folder / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(STAND_IN)
    python.chmod(0o755)
    return folder


def installed(folder: Path, extra: str = "") -> list[str]:
    """What ensure_environment has the environment install."""
    asked = folder / ".venv" / "asked"
    asked.unlink(missing_ok=True)
    command = f"set -euo pipefail; source examples/environment.sh; ensure_environment {extra}"
    subprocess.run(["bash", "-c", command], cwd=folder, check=True, capture_output=True)
    return [line.split()[-1] for line in asked.read_text().splitlines()] if asked.exists() else []


def test_a_second_run_installs_nothing_and_an_extra_is_installed_once(project: Path) -> None:
    assert installed(project) == ["."]
    assert installed(project) == []
    assert installed(project, "test") == [".[test]"]
    assert installed(project, "test") == []


def test_what_an_extra_brought_is_not_installed_again_without_it(project: Path) -> None:
    assert installed(project, "test") == [".[test]"]
    assert installed(project) == []
    assert installed(project, "bench") == [".[bench]"]


def test_other_versions_are_installed(project: Path) -> None:
    assert installed(project, "test") == [".[test]"]
    with (project / "constraints.txt").open("a") as file:
        file.write("another==1.0\n")
    assert installed(project) == ["."]
    assert installed(project, "test") == [".[test]"]


def test_a_project_that_was_moved_is_installed_where_it_is(project: Path) -> None:
    assert installed(project) == ["."]
    moved = project.rename(project.with_name("moved"))
    assert installed(moved) == ["."]
    assert installed(moved) == []
