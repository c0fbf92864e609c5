"""The status of tests/run.sh is that of the tests, or else that of the type check."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.project import ROOT


@pytest.mark.parametrize(("tests", "types", "status"), [(0, 0, 0), (3, 0, 3), (0, 1, 1), (3, 1, 1)])
def test_the_status_says_whether_all_passed(tmp_path: Path, tests: int, types: int, status: int) -> None:
    """With programs of the environment that only end, because the script cannot run inside of itself."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "examples").mkdir()
    shutil.copy2(ROOT / "tests" / "run.sh", tmp_path / "tests")
    (tmp_path / "examples" / "environment.sh").write_text("ensure_environment() { :; }\n")
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name, ends in (("ruff", 0), ("mypy", types), ("python", tests)):
        (programs / name).write_text(f"#!/bin/sh\necho {name}\nexit {ends}\n")
        (programs / name).chmod(0o755)
    done = subprocess.run(
        ["bash", "tests/run.sh", "--quick"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == status, done.stderr
    assert done.stdout.split() == ["ruff", "ruff", "python", "mypy"]
