"""tests/run.sh ends with the status of the tests, or else of the type check; tests/versions.sh runs all versions."""

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


def test_the_quick_tests_run_with_each_python_that_is_there(tmp_path: Path) -> None:
    """With interpreters that only say their version, one of which fails the tests."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "examples").mkdir()
    shutil.copy2(ROOT / "tests" / "versions.sh", tmp_path / "tests")
    (tmp_path / "examples" / "environment.sh").write_text(
        "ensure_environment() {\n"
        '  mkdir -p "$ENVIRONMENT/bin"\n  cp "$(command -v "$PYTHON")" "$ENVIRONMENT/bin/python"\n}\n'
    )
    for version, status in (("3.12", 3), ("3.13", 0)):
        program = tmp_path / "bin" / f"python{version}"
        program.parent.mkdir(exist_ok=True)
        cases = f'-c) echo {version};; --version) echo Python {version};; *) echo "$@"; exit {status};;'
        program.write_text(f'#!/bin/sh\ncase "$1" in {cases} esac\n')
        program.chmod(0o755)
    environment = {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "HOME": str(tmp_path), "VERSIONS": "3.12 3.13 3.99"}
    done = subprocess.run(
        ["bash", "tests/versions.sh", "-k", "reuse"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert "Python 3.99 is not installed" in done.stdout
    assert done.stdout.count("--quick -k reuse") == 2
    assert "2 versions" in done.stdout
