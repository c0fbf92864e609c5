"""A wheel, installed away from the checkout: the library, the commands and the project's own files are in it."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.project import ROOT

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the folders of an environment have other names")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The bin folder of a fresh environment with the wheel, which finds the packages that genies needs in this one."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # a build leaves files beside the sources
    suite = [path.relative_to(ROOT) for path in sorted((ROOT / "distributions").glob("starter_*"))]
    for name in (Path("src"), Path("distribution_shifts"), *suite):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for file in ("setup.py", "pyproject.toml", "LICENSE", "MANIFEST.in"):
        shutil.copy2(ROOT / file, source / file)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    building = ["wheel", ".", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder)]
    subprocess.run([*pip, *building], cwd=source, check=True)
    (wheel,) = folder.glob("genies-*.whl")
    assert wheel.stat().st_size < 2_000_000
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
    python = folder / "venv" / "bin" / "python"
    installing = ["--python", str(python), "install", "--no-deps", "--no-index", str(wheel)]
    subprocess.run([*pip, *installing], check=True)
    shutil.rmtree(source)
    (packages,) = (folder / "venv" / "lib").glob("python*/site-packages")
    # A path in a .pth file comes after the environment's own packages, and .pth files there are not read.
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    yield python.parent
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def genies(environment: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a command in an empty folder, as a user with a home folder of its own."""
    (tmp_path / "home").mkdir()
    (tmp_path / "work").mkdir()
    kept = {name: value for name, value in os.environ.items() if name not in ("GENIES_CACHE", "PYTHONPATH")}

    def run(*items: str, program: str = "genies") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(environment / program), *items],
            cwd=tmp_path / "work",
            env={**kept, "HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": ""},
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )

    return run


def test_the_help_lists_the_commands_and_theirs_speaks_of_genies(
    genies: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    listed = genies("--help")
    assert listed.returncode == 0
    for name in ("run", "train", "evaluate", "check", "tables", "report", "import", "audit"):
        assert f"\n  {name} " in listed.stdout
    for name in ("run", "import", "audit"):
        shown = genies(name, "--help")
        assert (shown.returncode, shown.stderr) == (0, "")
        assert f"usage: genies {name} --name value" in shown.stdout
        assert "api/" not in shown.stdout
    wrong = genies("rnu")
    assert wrong.returncode == 2
    assert "did you mean run?" in wrong.stderr


def test_a_run_in_an_empty_folder_uses_the_installed_interventions_and_starter_suite(
    genies: Callable[..., subprocess.CompletedProcess[str]], tiny_model_dir: Callable[..., Path], tmp_path: Path
) -> None:
    model = tiny_model_dir("llama")
    arguments = ["--base_model_dir", str(model), "--intervention_dir", "src/interventions/mms"]
    arguments += ["--target_tuned_capability_intervention", "mms", "--output_path", "table.csv"]
    arguments += ["--source_dirs", "starter_sums", "--target_dirs", "starter_scenes"]
    arguments += ["--train_kwargs", '{"max_examples": 8}', "--eval_kwargs", '{"max_examples": 8}']
    done = genies("run", *arguments)
    assert done.returncode == 0, done.stderr
    with open(tmp_path / "work" / "table.csv", encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["source"], row["target"], row["intervention"]) == ("starter_sums", "starter_scenes", "mms")
    assert 0 <= float(row["generalization_accuracy"]) <= 1
    assert (tmp_path / "work" / "models" / "mms" / f"{model.name}-starter_sums" / "directions.json").is_file()
    assert not (tmp_path / "work" / ".cache").exists()
    assert (tmp_path / "home" / ".cache" / "genies" / "file_hashes.json").is_file()
    again = genies("run", *arguments)
    assert " 0 jobs run" in again.stdout
    planned = genies("run", *arguments[:-4], "--emit_commands", "commands.jsonl")  # other arguments: all must run
    assert planned.returncode == 0, planned.stderr
    assert '"-m", "genies.commands.run_step"' in (tmp_path / "work" / "commands.jsonl").read_text(encoding="utf-8")


def test_an_audit_reads_the_starter_suite_and_the_installed_shift_files(
    genies: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = genies("audit", "--json", "audit.json")
    assert done.returncode == 0, done.stderr
    assert "starter_sums" in done.stdout
    assert "starter_sums > " in done.stdout or "shift" in done.stdout


def test_the_library_reads_what_the_wheel_brings(genies: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    code = """
import genies, pathlib
assert "site-packages" in genies.__file__
shifts = genies.read_shifts("distribution_shifts/starter.json")
for shift in shifts:
    for name in (shift.source, shift.target, shift.target_reference):
        examples = genies.Distribution(f"distributions/{name}").test
        assert len(genies.pairs(examples)) >= len(examples) > 0
assert len(genies.read_shifts("distribution_shifts/GENIES.json")) == 15
assert not list(pathlib.Path().iterdir())
"""
    done = genies("-c", code, program="python")
    assert done.returncode == 0, done.stderr


def test_bad_input_is_one_line_with_the_name_that_the_user_knows(
    genies: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = genies("evaluate", "--model_dir", "absent", "--intervention_dir", "mms", "--distributions", "starter_sums")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "genies train makes" in done.stderr
    assert "api/" not in done.stderr
