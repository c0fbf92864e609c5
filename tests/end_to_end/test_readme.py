"""Every command of the README and of docs/ is run here unchanged, in a copy of the project, or is named as run
elsewhere."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import get_type_hints

import pytest

from genies.command_line import parse
from genies.spelling import COMMANDS
from tests.support.commands import ROOT, run_command

STARTER = ROOT / "models" / "SmolLM2-135M-Instruct"
README = ROOT / "README.md"
TUTORIAL = ROOT / "docs" / "tutorial.md"
RECIPE = ROOT / "docs" / "recipe.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md")), ROOT / "results" / "README.md", ROOT / "CONTRIBUTING.md"]

ELSEWHERE = {
    "bash tests/run.sh": "tests/run.sh",  # this very run
    "bash tests/versions.sh": "tests/end_to_end/test_run_script.py",
    "bash benchmarks/run.sh": "tests/benchmarks/test_benchmarks.py",
    "genies run": "tests/test_wheel.py",
    "pip wheel . --no-deps": "tests/test_wheel.py",
    "pip install ./genies-*.whl": "tests/test_wheel.py",
    "bash examples/quickstart.sh": "tests/end_to_end/test_readme.py",  # with the real model, below
    "bash examples/ray_local.sh": "tests/harness/test_ray.py",
    "bash examples/slurm/submit.sh": "tests/harness/test_ray.py",
    "pip install -e .": "tests/end_to_end/test_environment.py",
    "python api/train.py --model_dir models/SmolLM2-135M-Instruct "
    "--intervention_dir src/interventions/ccs_target": "tests/harness/test_unlabelled.py",
    "python api/train.py --model_dir models/SmolLM2-135M-Instruct "
    "--intervention_dir src/interventions/lora_fine_tune": "tests/learning_curve/test_learning_curve.py",
    "python api/learning_curve.py": "tests/learning_curve/test_learning_curve.py",
    "python -m genies.declaration": "tests/interventions/test_declarations.py",
    "python api/compute_generalization_metrics.py --base_model_dir models/SmolLM2-135M-Instruct "
    '--intervention_dir \'["path/to/probe"': "tests/interventions/test_representations.py",
    "python api/tables.py --results_dir results/probe": "tests/report/test_tables.py",
    "python api/evaluate.py --model_dir models/theirs": "tests/methods/test_published_rewards.py",
    "python api/compute_generalization_metrics.py --base_model_dir models/SmolLM2-135M-Instruct "
    "--intervention_dir src/interventions/mms --target_tuned_capability_intervention src/interventions/mms "
    "--path_to_distribution_shift_pairs distribution_shifts/starter_three.json --train_kwargs": (
        "tests/interventions/test_chat_format.py"
    ),
    "python api/compute_generalization_metrics.py --base_model_dir models/SmolLM2-135M-Instruct "
    "--intervention_dir src/interventions/mms --target_tuned_capability_intervention src/interventions/mms "
    "--source_dirs": "tests/end_to_end/test_imported_suite.py",
    "python api/compute_generalization_metrics.py --intervention_dir src/interventions/reward_model": (
        "tests/interventions/test_reward_model.py"
    ),
    "python api/import_distribution.py --hub_dataset": "tests/data/test_import_hub.py",
    "python api/import_distribution.py --preset rm_bench": "tests/data/test_import_presets.py",
    "python api/card.py": "tests/card/test_card.py",
    "python api/reanalyse_release.py": "tests/reanalysis/test_release.py",
    "python api/report.py --results_dir results --output report --token_scores": "tests/report/test_token_scores.py",
    "python api/tables.py --results_dir results/release-2023": "tests/report/test_reading.py",
    "python download_data.py": "tests/test_download_data.py",
    "python download_model_from_hf.py EleutherAI/pythia-410m models/pythia-410m": "tests/test_download_model.py",
}
"""Commands, by how they begin, and the file whose tests run them."""

AS_THEY_STAND = [
    "python api/check_distributions.py distributions",
    "python api/check_intervention.py path/to/mine",
    "python api/check_intervention.py path/to/probe",
    "python api/compute_generalization_metrics.py --study examples/configs/study.yaml "
    "--results_dir results/study "
    "--output_path 'results/study/generalization_metrics/{model}/{intervention}/study.csv' --dry_run",
    "python api/import_distribution.py --data_path preferences.jsonl --output_dir distributions/mine",
    "python api/import_distribution.py --help",
    "python api/import_distribution.py --list_presets True",
    "python api/report.py --distributions_dir distributions --output samples",
    "python api/report.py --results_dir results --output report",
    "python api/compute_generalization_metrics.py --study examples/configs/results_starter.yaml "
    "--output_path 'results/generalization_metrics/{model}/{intervention}/starter_all.csv' --dry_run",
    "python api/report.py --results_dir results --shifts distribution_shifts/starter_all.json --reference mms "
    "--output report",
    "python api/tables.py --results_dir results --format latex",
    "python api/tables.py --results_dir results --format markdown",
    "python api/tables.py --results_dir results/everyday --against lora_24_steps",
    "python api/transform_distribution.py --distribution distributions/starter_everyday --name "
    """'["upper_case", "pad_worse"]'""",
    "python api/tables.py --results_dir results --shifts distribution_shifts/starter_all.json --reference mms "
    "--full True",
    "python src/interventions/lora_fine_tune/train.py --help",
    "python src/interventions/mms/train.py --help",
]
"""Commands that are run one by one, each by itself."""

OF_THE_MAIN_JOB = "python api/compute_generalization_metrics.py"
REWARD = '{"num_train_steps": 1, "max_examples": 2, "lora_rank": 2, "per_device_train_batch_size": 2}'


def fenced_commands(page: Path) -> list[str]:
    """The command lines in a page's blocks of shell code, without comments and variables set before a command."""
    blocks = re.findall(r"^( *)```bash\n(.*?)^ *```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    lines = [line for _, block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [each for line in lines if (each := _plain(re.sub(r"\s+#.*", "", line)))]


def inline_commands(page: Path) -> list[str]:
    """Code in a page's text that starts a program."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    found = [_plain(each) for each in re.findall(r"`([^`]+)`", text)]
    return [each for each in found if re.match(r"(python|bash|pip|cp) \S", each)]


def python_blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def _plain(command: str) -> str:
    return re.sub(r'^([A-Z_]+=("[^"]*"|\S+) )+', "", " ".join(command.split()))


def commands() -> dict[str, Path]:
    """Every command that a reader would type, with the page where it is."""
    return {each: page for page in PAGES for each in [*fenced_commands(page), *inline_commands(page)]}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory, tiny_model_dir: Callable[..., Path]) -> Iterator[Path]:
    """The project's files, with a tiny model under the names that the documentation uses, and data to import."""
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
    (folder / "path" / "to" / "probe").mkdir()
    for name, script in zip(("train.py", "eval.py"), python_blocks(RECIPE), strict=True):
        (folder / "path" / "to" / "probe" / name).write_text(script, encoding="utf-8")
    rows = [{"prompt": f"{n} + {n}?", "chosen": str(2 * n), "rejected": str(2 * n + 1)} for n in range(10)]
    (folder / "preferences.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
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
    program, *items = shlex.split(command)
    items += [each for name, value in more.items() for each in (f"--{name}", value)]
    if program == "python":
        done = run_command(folder / items[0], items[1:], cwd=folder)
    else:
        done = subprocess.run([program, *items], cwd=folder, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def test_every_command_of_the_documentation_is_run_by_a_test() -> None:
    known = [
        *ELSEWHERE,
        *AS_THEY_STAND,
        "bash examples/",
        "cp -r examples/new_intervention",
        "source .venv/bin/activate",
    ]
    known += [*fenced_commands(TUTORIAL), *main_jobs()]
    in_part = [f"{OF_THE_MAIN_JOB} --intervention_dir path/to/mine"]  # the tutorial has it whole
    found = commands()
    assert len(found) > 30
    unknown = {each: page.name for each, page in found.items() if not each.startswith((*known, *in_part))}
    assert unknown == {}
    for each in [*ELSEWHERE, *AS_THEY_STAND]:
        assert any(command.startswith(each) for command in found), f"no longer in the documentation: {each}"
    assert [file for file in ELSEWHERE.values() if not (ROOT / file).is_file()] == []


def test_the_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").split()) <= 900


def fenced_jobs() -> list[tuple[str, str, list[str]]]:
    """The commands of the project in blocks of shell code: the page, the command's name and its arguments."""
    modules = {f"api/{module}.py": name for name, module in COMMANDS.items()}
    found = []
    for page in PAGES:
        for program, *items in map(shlex.split, fenced_commands(page)):
            if program == "genies":
                found.append((page.name, items[0], items[1:]))
            elif program == "python" and items[0] in modules:
                found.append((page.name, modules[items[0]], items[1:]))
    return found


@pytest.mark.parametrize(("page", "name", "items"), fenced_jobs())
def test_the_arguments_of_a_documented_command_are_complete(page: str, name: str, items: list[str]) -> None:
    """Also of those whose test elsewhere passes other arguments."""
    if "--help" in items:
        return
    model = next(iter(get_type_hints(import_module(f"genies.commands.{COMMANDS[name]}").main).values()))
    parse(model, items)


def test_the_library_page_lists_every_command() -> None:
    text = (ROOT / "docs" / "library.md").read_text(encoding="utf-8")
    for name, module in COMMANDS.items():
        assert re.search(rf"^\|.*`genies {name}`.*`api/{module}\.py`.*\|$", text, re.MULTILINE), name


@pytest.mark.parametrize("page", [README, ROOT / "CONTRIBUTING.md", ROOT / "results" / "README.md"])
def test_every_link_to_a_file_leads_to_one(page: Path) -> None:
    """For pages outside the site, whose own links are checked when it is built."""
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    files = [link for link in links if "://" not in link]
    assert [link for link in files if not (page.parent / link).exists()] == []
    assert files or page.name == "CONTRIBUTING.md"


def main_jobs() -> list[str]:
    return [each for each in fenced_commands(README) if each.startswith(OF_THE_MAIN_JOB)]


@pytest.mark.parametrize("command", AS_THEY_STAND)
def test_a_command_works_as_it_stands(command: str, copy: Path) -> None:
    assert run(command, copy).strip()


def test_the_main_job_of_the_readme_plans_the_fifteen_shifts(copy: Path) -> None:
    (command,) = main_jobs()
    said = run(command, copy, dry_run="True")
    assert "nothing was written" in said
    assert not (copy / "results/generalization_metrics/pythia-410m").exists()


def test_the_tutorial_runs_from_top_to_bottom(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for the installation, downloads and the examples, which have tests of their own."""
    monkeypatch.setenv("GENIES_CACHE", str(copy / "cache"))
    shutil.rmtree(copy / "path")  # which the tutorial makes
    (copy / "path" / "to").mkdir(parents=True)
    others = ("source", "bash", "pip", "python download_")
    for command in fenced_commands(TUTORIAL):
        if command.startswith(others):
            continue
        run(command, copy)
        if command.endswith(" --dry_run True"):
            assert not (copy / "results" / "tutorial").exists()
            run(command.removesuffix(" --dry_run True"), copy)
    rows = (copy / "results/tutorial/generalization_metrics/combined-starter_three.csv").read_text().splitlines()
    assert len(rows) == 1 + 2 * 3
    assert (copy / "results/mine/generalization_metrics/mine/starter_three.csv").is_file()
    remote = (
        copy / "results/evaluations/mms/SmolLM2-135M-Instruct-starter_known_countries/starter_remote_countries.json"
    )
    assert 0 <= json.loads(remote.read_text())["eval_accuracy"] <= 1


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
    small = {"MODEL": "models/pythia-410m", "SHIFTS": "starter_three", "INTERVENTIONS": "random mms"}
    small |= {"TRAIN_EXAMPLES": "8", "TEST_EXAMPLES": "3", "STEPS": "1", "SEEDS": "[0, 1]", "ARGUMENTS": "--slots 2"}
    for key, value in small.items():
        monkeypatch.setenv(key, value)
    said = run("bash examples/sweep_all.sh", copy)
    assert "All metrics, differences, shifts and notes: --full True" in said  # the end of the table of means
    table = copy / "results/generalization_metrics/pythia-410m/mms/starter_three.csv"
    assert len(table.read_text().splitlines()) == 1 + 2 * 3


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"MODEL": "models/nowhere"}, "error: MODEL: expected the folder of a base model, got models/nowhere;"),
        ({"MODEL": "src", "SHIFTS": "distribution_shifts/nope.json"}, "and distribution_shifts/nope.json is no file;"),
        ({"MODEL": "src", "SHIFTS": "starter_three", "ARGUMENTS": "--slotz 2"}, "unknown argument --slotz"),
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
    assert done.stdout in ("", "== lora_fine_tune\n")  # what is wrong for all is reported for the first


def test_a_sweep_takes_no_arguments() -> None:
    done = subprocess.run(
        ["bash", "examples/sweep_all.sh", "--help"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "takes no arguments, got --help; the head of the script lists the variables" in done.stderr


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
    # The eval.py of another intervention can read the model, and the result is stored under its name.
    other = run_command(
        copy / "api" / "evaluate.py",
        ["--model_dir", "models/lora_fine_tune/pythia-410m-starter_sums", "--intervention_dir", "warm",
         "--distributions", "starter_sums", "--eval_kwargs", '{"max_examples": 2}', "--results_dir", "results/by_hand"],
        cwd=copy,
    )  # fmt: skip
    assert other.returncode == 0, other.stderr
    assert "was tuned by lora_fine_tune; this evaluation by warm is stored as a result of warm\n" in other.stderr


def mean_row(text: str) -> list[float]:
    """The values in the row of means of a table in Markdown."""
    (line,) = (line for line in text.splitlines() if line.startswith("| mean of 3 shifts"))
    return [float(cell) for cell in line.split("|")[2:-1]]


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
    means = mean_row(said)
    assert len(means) == 6
    assert means == pytest.approx(mean_row(TUTORIAL.read_text(encoding="utf-8")), abs=0.03)
    assert (copy / "report/index.html").is_file()
    quick = copy / "results" / "quickstart"
    assert sorted(each for each in (copy / "results").rglob("*.json") if quick not in each.parents) == committed
