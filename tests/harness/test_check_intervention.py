"""check_intervention: what honours the contract passes, and each breach fails the one check that is for it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from genies.command_line import parse
from genies.data.distribution import Distribution, pairs
from genies.errors import InputError
from genies.harness.checking.check import CHECKS, CheckRequest, check_intervention
from genies.harness.checking.made_project import EVALUATED, make_project
from genies.harness.checking.tiny_model import write_tiny_model
from genies.locks import locked
from tests.support.commands import run_command
from tests.support.project import ARGPARSE_EVAL, ARGPARSE_TRAIN, LITERAL_EVAL, LITERAL_TRAIN, ROOT
from tests.support.scripts import planted_examples, write_distribution

TEMPLATE = ROOT / "examples" / "new_intervention"


class Bench:
    """A project root of its own, the template to break in it, and a temporary folder that the check uses."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "project root"
        self.temporary = folder / "tmp"
        self.intervention = self.root / "mine"
        self.temporary.mkdir()
        shutil.copytree(TEMPLATE, self.intervention, ignore=shutil.ignore_patterns("__pycache__"))
        (self.root / "results" / "evaluations").mkdir(parents=True)
        (self.root / "results" / "evaluations" / "other.json").write_text('{"eval_accuracy": 0.5}')

    def change(self, script: str, old: str, new: str) -> None:
        path = self.intervention / script
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {script}"
        path.write_text(text.replace(old, new), encoding="utf-8")

    def check(self, **arguments: Any) -> int:
        values = {"intervention_dir": str(self.intervention), **arguments}
        items = [item for name, value in values.items() for item in (f"--{name}", str(value))]
        return check_intervention(parse(CheckRequest, items), self.root)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    bench = Bench(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(bench.temporary))
    return bench


def states(report: str) -> dict[str, str]:
    """State by check, read from the report's lines."""
    found = {}
    for line in report.splitlines():
        state, _, rest = line.partition(" ")
        if state in ("ok", "FAILED", "skipped"):
            found[next(check for check in CHECKS if rest.strip().startswith(check))] = state
    return found


def test_the_template_honours_the_contract_and_nothing_is_left_behind(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.check() == 0
    found = states(capsys.readouterr().out)
    assert found == dict.fromkeys(CHECKS, "ok")
    assert list(found) == list(CHECKS)
    assert not list(bench.temporary.iterdir())


@pytest.mark.parametrize(
    ("train", "evaluate"), [(ARGPARSE_TRAIN, ARGPARSE_EVAL), (LITERAL_TRAIN, LITERAL_EVAL)], ids=["argparse", "literal"]
)
def test_scripts_of_other_styles_honour_it(
    bench: Bench, capsys: pytest.CaptureFixture[str], train: str, evaluate: str
) -> None:
    (bench.intervention / "train.py").write_text(train, encoding="utf-8")
    (bench.intervention / "eval.py").write_text(evaluate, encoding="utf-8")
    assert bench.check() == 0
    report = capsys.readouterr().out
    assert "FAILED" not in states(report).values()
    seeds = next(line for line in report.splitlines() if line.startswith("ok       seeds "))
    argparse = "not usable with --seeds: train.py and eval.py do not accept --seed"
    assert seeds.endswith(argparse if train == ARGPARSE_TRAIN else "accepts --seed")


@pytest.mark.parametrize("script", ["train.py", "eval.py"])
def test_a_script_that_takes_no_seed_is_named_and_nothing_fails_for_it(
    bench: Bench, capsys: pytest.CaptureFixture[str], script: str
) -> None:
    path = bench.intervention / script
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('"--seed"', '"--start"').replace("args.seed", "args.start"), encoding="utf-8")
    assert bench.check() == 0
    report = capsys.readouterr().out
    assert states(report) == dict.fromkeys(CHECKS, "ok")
    assert f"not usable with --seeds: {script} does not accept --seed" in report


def test_an_evaluation_that_writes_nothing_is_not_said_not_to_run(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.change("eval.py", LOOP, LOOP.replace("zip(args", "[] and zip(args"))
    assert bench.check() == 1
    report = capsys.readouterr().out
    found = states(report)
    assert found["eval.py runs"] == "ok"
    assert "does not run" not in report
    assert next(line for line in report.splitlines() if "several distributions" in line).endswith("no file was written")
    assert (found["valid evaluations"], found["paths"], found["seeds"]) == ("FAILED", "skipped", "ok")


ARGUMENT = '    parser.add_argument("--model_dir"'
LOOP = "for distribution_dir, output_path in zip(args.distribution_dirs, args.output_paths, strict=True):\n"
READING = 'examples = read_examples(Path(distribution_dir) / "test.json", args.max_examples)'
DIFFERENCE = "            p.append(sigmoid(difference))\n"
WRITING = 'with open(args.output_dir / "weights.json", "w", encoding="utf-8") as file:\n'

BREACHES = {
    "train.py requires another argument": (
        "train.py runs",
        ("train.py", ARGUMENT, '    parser.add_argument("--task", required=True)\n' + ARGUMENT),
        ["--task", "--train_kwargs"],
    ),
    "train.py takes the output folder away": (
        "train.py runs",
        ("train.py", "def train(", "import shutil\n\n\ndef train("),
        ("train.py", WRITING, "shutil.rmtree(args.output_dir)\n    with open('/dev/null', 'w') as file:\n"),
        ["deleted the folder of --output_dir", "change: correct the error above"],
    ),
    "eval.py has another name for an argument": (
        "eval.py runs",
        ("eval.py", '"--distribution_dirs"', '"--distributions", dest="distribution_dirs"'),
        ["--distribution_dirs", "--eval_kwargs", "exited with status 2"],
    ),
    "eval.py reads lists as plain text": (
        "eval.py runs",
        ("eval.py", '"--output_paths", type=json.loads', '"--output_paths", type=lambda text: text.split(",")'),
        ["read the lists with json.loads"],
    ),
    "eval.py takes one distribution": (
        "several distributions",
        ("eval.py", LOOP, "[_] = args.distribution_dirs\n    " + LOOP),
        ["keep no state between distributions", "too many values to unpack"],
    ),
    "eval.py does the first distribution only": (
        "several distributions",
        ("eval.py", LOOP, LOOP.replace("zip(", "[*zip(").replace("True)", "True)][:1]")),
        ["no file at", "target.json"],
    ),
    "eval.py writes elsewhere": (
        "valid evaluations",
        ("eval.py", "open(output_path,", 'open(output_path + "l",'),
        ["no file at", "exactly the given paths"],
    ),
    "eval.py writes NaN": (
        "valid evaluations",
        ("eval.py", '"eval_accuracy": accuracy', '"eval_accuracy": float("nan")'),
        ["eval_accuracy", "nan", "from 0 to 1"],
    ),
    "eval.py writes half a file for one distribution": (
        "valid evaluations",
        (
            "eval.py",
            "            json.dump(evaluate(examples, weights), file)",
            "            text = json.dumps(evaluate(examples, weights))\n"
            '            file.write(text[:20] if "two" in distribution_dir else text)',
        ),
        ["two.json", "not valid JSON", "write all of it, and close the file"],
    ),
    "eval.py writes an accuracy in percent": (
        "valid evaluations",
        ("eval.py", '"eval_accuracy": accuracy', '"eval_accuracy": 71.0'),
        ["got 71.0; an accuracy is a share: 0.71, not 71", "NaN or out of range"],
    ),
    "train.py raises": (
        "train.py runs",
        ("train.py", WRITING, "int('x')\n    " + WRITING),
        ["ValueError", "change: correct the error above"],
    ),
    "train.py is no Python": (
        "train.py runs",
        ("train.py", WRITING, "with with\n    " + WRITING),
        ["SyntaxError", "change: correct the error above"],
    ),
    "eval.py raises": (
        "eval.py runs",
        ("eval.py", LOOP, "{}['absent']\n    " + LOOP),
        ["KeyError", "change: correct the error above"],
    ),
    "train.py leaves out what eval.py reads": (
        "eval.py runs",
        ("train.py", WRITING, WRITING.replace("weights.json", "weight.json")),
        ["FileNotFoundError", "change: train.py must write to --output_dir every file"],
    ),
    "one probability an example": (
        "values of pairs",
        ("eval.py", "in pairs(example):\n", "in pairs(example)[:1]:\n"),
        ["n - 1", "eval_probabilities"],
    ),
    "a tie counts as right": (
        "values of pairs",
        ("eval.py", DIFFERENCE, "            p.append(0.5 if index == 0 else sigmoid(difference))\n"),
        ("eval.py", "0.5 if each == 0.5", "1.0 if each == 0.5"),
        ["a tie counts half", "eval_accuracy"],
    ),
    "indices count pairs": (
        "values of pairs",
        ("eval.py", "indices.append(index)", "indices.append(len(indices))"),
        ["eval_example_indices [0, "],
    ),
    "train.py takes two responses": (
        "2 to 4 responses",
        ("train.py", "    draw = ", "    assert all(len(each['responses']) == 2 for each in examples)\n    draw = "),
        ["train.py accepts a source", "AssertionError"],
    ),
    "eval.py takes two responses": (
        "2 to 4 responses",
        ("eval.py", "in pairs(example):\n", "in [[*example['responses']]]:\n"),
        ["it accepts those with 2", "values to unpack"],
    ),
    "eval.py refuses the source": (
        "source as target",
        ("eval.py", READING, 'assert not distribution_dir.endswith(("source", "source (é, 2)"))\n        ' + READING),
        ["AssertionError", "test.json"],
    ),
    "train.py splits paths at spaces": (
        "paths",
        ("train.py", WRITING, WRITING.replace("args.output_dir", "Path(str(args.output_dir).split()[0])")),
        ["train.py", "relative to the working directory", "do not split it at spaces"],
    ),
    "eval.py goes to another folder": (
        "paths",
        ("eval.py", "    args = arguments()\n", "    args = arguments()\n    __import__('os').chdir('/')\n"),
        ["eval.py", "os.chdir", "No such file"],
    ),
    "eval.py leaves out what is not ASCII": (
        "paths",
        ("eval.py", READING, "output_path = output_path.encode('ascii', 'ignore').decode()\n        " + READING),
        ["eval.py"],
    ),
    "training is not seeded": (
        "same values again",
        ("train.py", "random.Random(args.seed)", "random.Random()"),
        ["--seed", "eval_", "whatever the paths"],
    ),
    "evaluation goes by the hash of text": (
        "same values again",
        ("eval.py", DIFFERENCE, "            p.append(sigmoid(difference + hash(best) % 7 - hash(worse) % 7))\n"),
        ["order of a set"],
    ),
    "the first response is preferred": (
        "order of responses",
        (
            "eval.py",
            DIFFERENCE,
            "            order = list(example['responses'])\n"
            "            p.append(sigmoid(difference + (order.index(best) < order.index(worse))))\n",
        ),
        ["pairs have another probability", "must not depend on the best response"],
    ),
    "a tie goes to the first response, and there are no probabilities": (
        "order of responses",
        (
            "eval.py",
            DIFFERENCE,
            "            order = list(example['responses'])\n"
            "            p.append(float(order.index(best) < order.index(worse)))\n",
        ),
        ("eval.py", '        "eval_probabilities": p,\n', ""),
        ["eval_accuracy", "when reordered"],
    ),
    "worse responses are sorted": (
        "order of responses",
        ("eval.py", "in pairs(example):\n", "in sorted(pairs(example)):\n"),
        ["in another order", "file's order"],
    ),
    "train.py keeps a cache in the distribution": (
        "nothing else written",
        ("train.py", WRITING, '(args.train_distribution / "cache.bin").write_text("x")\n    ' + WRITING),
        ["in training, new: ", "source/cache.bin"],
    ),
    "train.py empties the test split": (
        "nothing else written",
        ("train.py", WRITING, '(args.train_distribution / "test.json").unlink()\n    ' + WRITING),
        ["in training, deleted: ", "source/test.json"],
    ),
    "train.py writes into the base model": (
        "nothing else written",
        ("train.py", WRITING, '(args.model_dir / "config.json").write_text("{}")\n    ' + WRITING),
        ["in training, changed: ", "base_model/config.json"],
    ),
    "eval.py writes into the tuned model": (
        "nothing else written",
        ("eval.py", LOOP, '(args.model_dir / "activations").mkdir()\n    ' + LOOP),
        ["in evaluation, new: ", "/activations"],
    ),
    "eval.py writes into its own folder": (
        "nothing else written",
        ("eval.py", LOOP, 'Path(__file__).with_name("last.txt").write_text("x")\n    ' + LOOP),
        ["in evaluation, new: ", "mine/last.txt"],
    ),
    "train.py writes into the working directory": (
        "nothing else written",
        ("train.py", WRITING, 'Path("runs").mkdir(exist_ok=True)\n    ' + WRITING),
        ["in training, new: ", "project root/runs"],
    ),
    "eval.py writes over a result of another intervention": (
        "nothing else written",
        ("eval.py", LOOP, 'Path("results/evaluations/other.json").write_text("{}")\n    ' + LOOP),
        ["in evaluation, changed: ", "project root/results/evaluations/other.json"],
    ),
    "eval.py makes up figures for what it cannot read": (
        "malformed distribution",
        (
            "eval.py",
            READING,
            'try: examples = json.loads((Path(distribution_dir) / "test.json").read_text(encoding="utf-8"))\n'
            "        except ValueError: examples = [{'prompt': '', 'responses': {'a': 1.0, 'b': 0.0}}]",
        ),
        ["truncated", "a valid evaluation (eval_accuracy ", "preferably 2"],
    ),
    "eval.py leaves out what is not there": (
        "missing distribution",
        ("eval.py", READING, "if not Path(distribution_dir).exists(): continue\n        " + READING),
        ["whose folder does not exist", "no evaluation, and eval.py exited with status 0"],
    ),
}


@pytest.mark.parametrize("breach", BREACHES)
def test_a_breach_fails_the_check_that_is_for_it_and_no_other(
    bench: Bench, capsys: pytest.CaptureFixture[str], breach: str
) -> None:
    check, *changes, said = BREACHES[breach]
    for change in changes:
        bench.change(*change)
    assert bench.check() == 1
    report = capsys.readouterr().out
    failed = [name for name, state in states(report).items() if state == "FAILED"]
    assert failed == [check], report
    flat = " ".join(report.split())
    for part in said:
        assert part in flat, report
    for head in ("expected:", "found:", "change:"):
        assert flat.count(f" {head} ") >= 1
    (kept,) = bench.temporary.iterdir()
    assert str(kept) in report
    logs = [Path(line.split(":", 1)[1].strip()) for line in report.splitlines() if line.strip().startswith("log:")]
    assert all(log.is_file() for log in logs)
    assert bool(logs) == (check != "nothing else written")


def test_what_another_run_writes_meanwhile_is_not_taken_for_the_interventions_doing(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    # The script stands in for a harness at work on the same project: while a lock is held, results may change.
    results = bench.root / "results"
    bench.change(
        "eval.py", LOOP, f"Path({str(results / 'evaluations' / 'other.json')!r}).write_text('new')\n    " + LOOP
    )
    with locked([results / ".locks" / "step.lock"], "a step", None):
        assert bench.check() == 0
    assert bench.check() == 1
    assert "results/evaluations/other.json" in capsys.readouterr().out


def test_a_script_that_hangs_is_stopped_and_not_tried_again(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.change("eval.py", LOOP, "__import__('time').sleep(600)\n    " + LOOP)
    assert bench.check(timeout=2) == 1
    report = capsys.readouterr().out
    assert states(report)["eval.py runs"] == "FAILED"
    assert "time limit of 2 s" in report
    assert "change:   look for an infinite loop, or give a longer --timeout" in report
    (kept,) = bench.temporary.iterdir()
    assert sorted(path.name for path in (kept / "logs").iterdir())[2:] == ["3-eval.log", "4-eval.log"]


def test_kwargs_reach_the_scripts_and_max_examples_shortens_what_is_expected(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.check(train_kwargs='{"passes": 2, "seed": 5}', eval_kwargs='{"max_examples": 5}') == 0
    report = capsys.readouterr().out
    assert states(report)["values of pairs"] == "ok"
    assert "not tried: the kwargs contain a seed" in report
    bench.change("eval.py", "type=int, default=None, help=", "type=int, default=4, help=")
    assert bench.check() == 1


def test_a_given_base_model_is_the_one_that_is_passed(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    model = bench.root / "models" / "given"
    model.mkdir(parents=True)
    (model / "here.txt").write_text("x")
    bench.change("train.py", WRITING, '(args.model_dir / "here.txt").read_text()\n    ' + WRITING)
    assert bench.check(base_model_dir=model) == 0
    assert bench.check() == 1
    assert "here.txt" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"intervention_dir": "nowhere"}, "nowhere does not exist"),
        ({"base_model_dir": "nowhere"}, "nowhere does not exist"),
        ({"train_kwargs": '{"output_dir": "x"}'}, "output_dir"),
    ],
)
def test_bad_input_is_named(bench: Bench, changes: dict[str, str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        bench.check(**changes)
    assert not list(bench.temporary.iterdir())


def test_a_folder_without_a_script_is_named(bench: Bench) -> None:
    (bench.intervention / "eval.py").unlink()
    with pytest.raises(InputError, match=r"has no eval\.py"):
        bench.check()


def command(*items: str) -> subprocess.CompletedProcess[str]:
    return run_command("api/check_intervention.py", items, env={**os.environ, "OMP_NUM_THREADS": "1"})


# tests/end_to_end/test_readme.py checks one that trains, logistic_probe.
@pytest.mark.parametrize("name", ["random", "zero_shot"])
def test_our_interventions_honour_it_with_the_made_model(name: str) -> None:
    done = command(f"src/interventions/{name}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert states(done.stdout) == dict.fromkeys(CHECKS, "ok")


def test_the_command_ends_with_2_for_a_folder_that_is_not_there_and_takes_it_first_or_last() -> None:
    for items in (["no/folder", "--timeout", "9"], ["--timeout=9", "no/folder"], ["--intervention_dir", "no/folder"]):
        done = command(*items)
        assert done.returncode == 2
        assert done.stderr.startswith("error: --intervention_dir: intervention folder no/folder does not exist")


def test_the_check_loads_no_torch() -> None:
    code = (
        "import sys, genies.harness.checking.check; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_made_model_is_the_same_each_time_and_transformers_finds_every_weight(tmp_path: Path) -> None:
    first, second = write_tiny_model(tmp_path / "a"), write_tiny_model(tmp_path / "b")
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes()

    from transformers import AutoTokenizer
    from transformers.models.auto.modeling_auto import AutoModelForCausalLM

    loaded: Any = AutoModelForCausalLM.from_pretrained(first, output_loading_info=True)
    model, loading = loaded
    assert not any(loading.values())
    tokenizer = AutoTokenizer.from_pretrained(first)
    ids = tokenizer("Zürich, 東京?\n", return_tensors="pt")
    assert tokenizer.decode(ids["input_ids"][0]) == "Zürich, 東京?\n"
    assert tokenizer.eos_token_id == model.config.eos_token_id == 2
    assert model(**ids).logits.std() > 0.1


def test_the_made_distributions_are_sound_and_alike_under_both_kinds_of_name(tmp_path: Path) -> None:
    project = make_project(tmp_path, None)
    for role in EVALUATED:
        plain, awkward = (Distribution(copy.distributions[role]) for copy in (project.plain, project.awkward))
        assert (plain.train, plain.test) == (awkward.train, awkward.test)
        assert len({example.prompt for example in plain.train}) == len(plain.train)
        counts = {len(example.responses) for example in plain.test}
        assert counts == ({2} if role == "two" else {2, 3, 4})
    with pytest.raises(InputError, match="not valid JSON"):
        _ = Distribution(project.plain.distributions["malformed"]).test
    assert not project.plain.distributions["absent"].exists()


def test_preferring_the_first_response_scores_differently_on_the_reordered_examples(tmp_path: Path) -> None:
    project = make_project(tmp_path, None)
    shares = []
    for role in ("target", "reordered"):
        test = Distribution(project.plain.distributions[role]).test
        right = [
            test[pair.example_index].responses.index(pair.best) < test[pair.example_index].responses.index(pair.worse)
            for pair in pairs(test)
        ]
        shares.append(sum(right) / len(right))
    assert shares[0] > 0.6
    assert shares[0] + shares[1] == pytest.approx(1)


def test_the_template_learns_what_its_data_say(tmp_path: Path) -> None:
    source = write_distribution(tmp_path / "d", planted_examples(40, 1, responses=3), planted_examples(20, 2, 4))
    output, evaluation = tmp_path / "model", tmp_path / "e.json"
    output.mkdir()
    arguments = {"model_dir": tmp_path, "train_distribution": source, "output_dir": output}
    items = [item for name, value in arguments.items() for item in (f"--{name}", str(value))]
    subprocess.run([sys.executable, TEMPLATE / "train.py", *items], check=True, capture_output=True)
    lists = ["--distribution_dirs", json.dumps([str(source)]), "--output_paths", json.dumps([str(evaluation)])]
    subprocess.run([sys.executable, TEMPLATE / "eval.py", "--model_dir", output, *lists], check=True)
    assert json.loads(evaluation.read_text())["eval_accuracy"] == 1.0
    for script in ("train.py", "eval.py"):
        assert "genies" not in (TEMPLATE / script).read_text(encoding="utf-8")


def test_the_template_refuses_abbreviated_arguments(tmp_path: Path) -> None:
    arguments: dict[str, list[str | Path]] = {
        "train.py": ["--train_distribution", tmp_path, "--output_dir", tmp_path],
        "eval.py": ["--distribution_dirs", "[]", "--output_paths", "[]"],
    }
    for script, others in arguments.items():
        command = [sys.executable, TEMPLATE / script, "--model_dir", tmp_path, *others, "--max_example", "5"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert "unrecognized arguments: --max_example 5" in done.stderr
