"""Every command of the README is run here as it stands, in a copy of the project, or is named as run elsewhere."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness.project import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
STARTER = ROOT / "models" / "SmolLM2-135M-Instruct"

ELSEWHERE = {
    "bash tests/run.sh": "this very run",
    "pip install -e .": "tests/run.sh installs so, with the extra for tests",
    "python download_data.py": "tests/data/test_install.py, against an archive",
    "python download_model_from_hf.py EleutherAI/pythia-410m models/pythia-410m": (
        "tests/test_download_model.py, against a hub of its own"
    ),
    "bash benchmarks/run.sh": "an hour of a machine; tests/benchmarks runs each benchmark in small",
}

AS_THEY_STAND = [
    "python api/check_distributions.py distributions",
    "python api/import_distribution.py --help",
    "python api/tables.py --results results --format markdown|latex|csv|json",
    "python api/tables.py --results results --shifts distribution_shifts/GENIES.json",
    "python api/tables.py --results results --shifts distribution_shifts/starter.json",
    "python api/report.py --results results --output report",
    "python src/interventions/lora_fine_tune/train.py --help",
    "python api/check_intervention.py path/to/mine",
]

OF_THE_MAIN_JOB = "python api/compute_generalization_metrics.py"
REWARD = '{"num_train_steps": 1, "max_examples": 2, "lora_rank": 2, "per_device_train_batch_size": 2}'


def commands() -> list[str]:
    """What a reader would type: lines of the fenced blocks, and code in the text that starts a program."""
    fenced = [
        re.sub(r"\s+#.*", "", line).strip()
        for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
        for line in block.replace("\\\n", " ").splitlines()
    ]
    text = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
    inline = [" ".join(each.split()) for each in re.findall(r"`([^`]+)`", text)]
    found = fenced + [each for each in inline if re.match(r"(python|bash|pip|cp) \S", each)]
    variable = r'^([A-Z_]+=("[^"]*"|\S+) )+'  # set before a command
    return [re.sub(variable, "", " ".join(each.split())) for each in found if each]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory, tiny_model_dir: Callable[..., Path]) -> Iterator[Path]:
    """The project's files, with a tiny model under the names that the README uses."""
    folder = tmp_path_factory.mktemp("checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout.decode()
    for name in filter(None, listed.split("\0")):
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_file():
            shutil.copy2(ROOT / name, place)
    if (ROOT / ".venv").is_dir():
        _borrow_environment(folder)
    for name in ("pythia-410m", "SmolLM2-135M-Instruct"):
        shutil.copytree(tiny_model_dir("gpt_neox" if name.startswith("pythia") else "llama"), folder / "models" / name)
    for name in set(re.findall(r'"(?:source|target|target_reference)": "(\w+)"', _shifts("GENIES") + _shifts("test"))):
        # Stands in for the official distribution of that name, which is not part of the project.
        shutil.copytree(ROOT / "distributions" / "starter_sums", folder / "distributions" / name)
    shutil.copytree(folder / "examples" / "new_intervention", folder / "path" / "to" / "mine")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def _borrow_environment(folder: Path) -> None:
    """Give a copy the project's own environment, marked as installed: an installation from the copy would point the
    environment that runs the tests at files that are deleted after them."""
    (folder / ".venv").mkdir()
    for each in (ROOT / ".venv").iterdir():
        if not each.name.startswith(".installed"):
            (folder / ".venv" / each.name).symlink_to(each)
    marking = "source examples/environment.sh && installation_mark >.venv/.installed"
    subprocess.run(["bash", "-c", marking], cwd=folder, check=True)


def _shifts(name: str) -> str:
    return (ROOT / "distribution_shifts" / f"{name}.json").read_text(encoding="utf-8")


def run(command: str, folder: Path, **more: str) -> str:
    items = [sys.executable if item == "python" else item for item in shlex.split(command)]
    items += [each for name, value in more.items() for each in (f"--{name}", value)]
    done = subprocess.run(items, cwd=folder, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def test_every_command_of_the_readme_is_run_by_a_test() -> None:
    known = [*ELSEWHERE, *AS_THEY_STAND, OF_THE_MAIN_JOB, "bash examples/", "cp -r examples/new_intervention"]
    known += ["python api/train.py", "python api/evaluate.py"]
    assert len(commands()) > 12
    assert [each for each in commands() if not each.startswith(tuple(known))] == []
    for each in [*ELSEWHERE, *AS_THEY_STAND]:
        assert any(command.startswith(each) for command in commands()), f"no longer in the README: {each}"


@pytest.mark.parametrize("command", AS_THEY_STAND)
def test_a_command_works_as_it_stands(command: str, copy: Path) -> None:
    first, bar, rest = command.partition("|")
    for choice in [first.split()[-1], *rest.split("|")] if bar else [""]:
        assert run(f"{first.rpartition(' ')[0]} {choice}" if bar else command, copy).strip()


def test_the_main_job_of_the_readme_plans_the_fifteen_shifts(copy: Path) -> None:
    (command,) = (each for each in commands() if each.startswith(OF_THE_MAIN_JOB) and "pythia-410m" in each)
    said = run(command, copy, dry_run="True")
    assert "nothing was written" in said
    assert not (copy / "results/generalization_metrics/pythia-410m").exists()


@pytest.mark.parametrize("name", ["train.sh", "eval.sh", "compute_generalization_metrics.sh"])
def test_a_documented_example_runs_as_it_stands(name: str, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL", "models/pythia-410m")
    tuned = copy / "models/first_look/lora_fine_tune/pythia-410m-us_history_textbook"
    if name == "eval.sh" and not tuned.is_dir():  # this test may be the first of its process
        run("bash examples/train.sh", copy)
    run(f"bash examples/{name}", copy)
    assert tuned.is_dir()
    of_a_real_run = ("models", "results/evaluations")
    assert not any((copy / each / "lora_fine_tune/pythia-410m-us_history_textbook").exists() for each in of_a_real_run)


def test_a_sweep_runs_every_intervention_and_ends_with_the_means(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"MODEL": "models/pythia-410m", "SHIFTS": "starter_three", "INTERVENTIONS": "random few_shot mms"}
    small |= {"TRAIN_EXAMPLES": "8", "TEST_EXAMPLES": "3", "STEPS": "1", "SEEDS": "[0, 1]", "ARGUMENTS": "--slots 2"}
    for key, value in small.items():
        monkeypatch.setenv(key, value)
    said = run("bash examples/sweep_all.sh", copy)
    assert "**Means over 3 shifts**" in said
    table = copy / "results/generalization_metrics/pythia-410m/mms/starter_three.csv"
    assert len(table.read_text().splitlines()) == 1 + 2 * 3


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"MODEL": "models/nowhere"}, "error: MODEL: expected the folder of a base model, got models/nowhere;"),
        ({"MODEL": "src", "SHIFTS": "distribution_shifts/nope.json"}, "and distribution_shifts/nope.json is no file;"),
    ],
)
def test_a_sweep_of_what_is_not_there_ends_with_one_message(given: dict[str, str], said: str) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "examples/sweep_all.sh"],
        cwd=ROOT,
        env={**os.environ, "VIRTUAL_ENV": sys.prefix, "PATH": path, **given},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert said in done.stderr
    assert not done.stdout


def test_one_step_by_itself_and_the_next_one_on_what_it_left(copy: Path) -> None:
    given = {"intervention_dir": "src/interventions/lora_fine_tune", "results_dir": "results/by_hand"}
    run(
        "python api/train.py", copy, model_dir="models/pythia-410m", train_distribution="starter_sums",
        train_kwargs=REWARD, **given,
    )  # fmt: skip
    run(
        "python api/evaluate.py", copy, model_dir="models/lora_fine_tune/pythia-410m-starter_sums",
        distributions='["starter_sums"]', eval_kwargs='{"max_examples": 2}', **given,
    )  # fmt: skip
    assert (copy / "results/by_hand/evaluations/lora_fine_tune/pythia-410m-starter_sums/starter_sums.json").is_file()


@pytest.mark.real_model
@pytest.mark.skipif(not (STARTER / "model.safetensors").exists(), reason=f"the starter model is not in {STARTER}")
def test_the_quickstart_ends_with_its_table_and_a_report(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not (copy / ".venv").is_dir():
        pytest.skip("the quickstart works in the project's own environment, .venv")
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # should it install after all, it fails
    shutil.rmtree(copy / "models" / "SmolLM2-135M-Instruct")
    (copy / "models" / "SmolLM2-135M-Instruct").symlink_to(STARTER)
    committed = sorted((copy / "results").rglob("*.json"))
    said = run("bash examples/quickstart.sh", copy)
    (mean,) = (line for line in said.splitlines() if line.startswith("| mean of 3 shifts"))
    assert [float(cell) for cell in mean.split("|")[2:-1]] == pytest.approx(
        [0.311, 0.342, 0.733, 0.867, 0.557, -0.058], abs=0.03
    )
    assert (copy / "report/index.html").is_file()
    quick = copy / "results" / "quickstart"
    assert sorted(each for each in (copy / "results").rglob("*.json") if quick not in each.parents) == committed
