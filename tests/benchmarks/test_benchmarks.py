"""Every benchmark runs on a tiny model and reports its measurements. Their values are not tested: they need a quiet
machine."""

import contextlib
import importlib
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from genies.command_line import parse, validate
from genies.errors import InputError
from tests.support.project import ROOT
from tests.support.scripts import load_script, planted_examples, write_distribution

FOLDER = ROOT / "benchmarks"


@pytest.fixture
def load(monkeypatch):
    """A function from a benchmark's name to its module, as `python benchmarks/<name>.py` finds it."""
    monkeypatch.syspath_prepend(str(FOLDER))
    # They set environment variables for the peers when they are imported: those are not for other tests.
    monkeypatch.setattr(os, "environ", os.environ.copy())
    threads = torch.get_num_threads()
    yield importlib.import_module
    torch.set_num_threads(threads)


@pytest.fixture
def options(tiny_model_dir, tmp_path):
    """What all benchmarks take: a tiny model, small distributions, one round."""
    for seed, name in enumerate(("first", "second", "third")):
        train, test = planted_examples(8, seed), planted_examples(4, seed + 10, responses=3)
        write_distribution(tmp_path / "distributions" / name, train, test)
    return {
        "base_model_dir": tiny_model_dir("llama"),
        "distributions_dir": tmp_path / "distributions",
        "repeats": 1,
        "threads": 1,
        "json": tmp_path / "measurements.json",
    }


def measured(module: ModuleType, arguments: type, options: dict[str, Any]) -> dict[tuple[str, str], float]:
    """Run a benchmark and return its measurements by subject and name, from its --json file."""
    assert module.benchmark(validate(arguments, options)) == 0
    found = json.loads(options["json"].read_text())
    assert found["machine"]["threads"] == 1
    return {(each["subject"], each["name"]): each["value"] for each in found["measurements"]}


@pytest.fixture
def steps_in_this_process(load, monkeypatch):
    """Intervention scripts run here instead of in processes of their own, which take seconds to start."""
    steps = load("steps")

    def run_step(_arguments: Any, script: str, items: dict[str, Any], _folder: Path, cache: Path) -> Any:
        intervention, _, name = script.removesuffix(".py").partition("/")
        body = getattr(load_script(intervention, name), "train" if name == "train" else "evaluate")
        kind = next(iter(__import__("typing").get_type_hints(body).values()))
        started, said = time.perf_counter(), io.StringIO()
        monkeypatch.setenv("GENIES_CACHE", str(cache))
        with contextlib.redirect_stderr(said):
            body(parse(kind, steps.argument_items(items)))
        return steps.Finished(time.perf_counter() - started, 0.0, 0.0, said.getvalue())

    monkeypatch.setattr(steps, "run_step", run_step)


def test_scoring_agrees_with_its_peer_token_by_token(load, options, capsys):
    pytest.importorskip("lm_eval", reason="the peer is not installed (pip install -e '.[bench]')")
    scoring = load("scoring")
    more = {"distributions": ["first"], "examples": 3, "few_shot_examples": 2, "batch_sizes": [1, 2], "num_shots": 2}
    more |= {"process_distributions": ["first", "second"], "process_examples": 2}
    found = measured(scoring, scoring.ScoringArguments, options | more)
    for way in ("zero_shot", "few_shot"):
        subject = f"{way}, first"
        assert found[subject, "largest difference of a total log-probability"] < 1e-3
        assert found[subject, "tokens through the model"] < found[subject, "tokens of the sequences"]
    subject = "whole processes, 2 distributions"
    assert found[subject, "largest difference of a probability"] < 1e-4
    assert found[subject, "times as fast, seconds"] > 0
    assert "| zero_shot, first | times as fast |" in capsys.readouterr().out


def test_rewards_agree_with_padded_batches(load, options):
    rewards = load("rewards")
    found = measured(rewards, rewards.RewardArguments, options | {"distributions": ["first"], "examples": 3})
    assert found["reward_model, first, raw", "sequences"] == 9
    assert found["reward_model, first, raw", "largest difference of a reward"] < 1e-4


def test_precision_is_told_from_that_of_a_peer(load, options):
    pytest.importorskip("lm_eval", reason="the peer is not installed (pip install -e '.[bench]')")
    precision = load("precision")
    found = measured(precision, precision.PrecisionArguments, options | {"distributions": ["first"], "examples": 2})
    assert found["first", "sequences"] == 6
    assert 0 < found["first", "largest distance from float64, genies"] < 1e-3


def test_activations_agree_with_plain_forward_passes(load, options):
    activations = load("activations")
    found = measured(
        activations, activations.ActivationArguments, options | {"distributions": ["first"], "examples": 3}
    )
    assert found["first", "sequences"] == 9
    assert found["first", "largest difference over the largest value"] < 1e-4
    assert found["first", "tokens through the model"] >= found["first", "tokens of their prefix trees"]


def test_steps_are_measured_with_everything_in_the_store_and_until_they_run_the_model(load, options):
    imports = load("imports")
    more = {"interventions": ["mms"], "distribution": "first", "examples": 8}
    found = measured(imports, imports.ImportArguments, options | more)
    assert 0 < found["mms, eval, all in the store", "processor seconds over import torch"] < 1
    over = "processor seconds over import torch, without the end of the process"
    for case in ("zero_shot, eval", "mms, train"):
        assert found[f"{case}, before the first forward pass", over] > 0


@pytest.mark.usefixtures("steps_in_this_process")
def test_shared_work_counts_no_forward_tokens_where_others_have_read(load, options):
    shared_work = load("shared_work")
    more = {"shifts": ["first>second", "first>third"], "examples": 8}
    found = measured(shared_work, shared_work.SharedWorkArguments, options | more)
    assert found["cold store, mms", "forward tokens"] > 0
    assert found["cold store, lat_stim_1", "forward tokens"] == 0
    assert all(found[f"warm store, {name}", "forward tokens"] == 0 for name in ("mms", "lat_stim_1", "cra", "ccs"))
    unique = found["all four", "tokens of each template's trees"]
    assert found["all four", "forward tokens over those of the trees"] == pytest.approx(
        sum(found[f"cold store, {name}", "forward tokens"] for name in ("mms", "lat_stim_1", "cra", "ccs")) / unique
    )
    assert found["all four", "forward tokens over those of the trees"] >= 1


@pytest.mark.usefixtures("steps_in_this_process")
def test_growth_reads_new_targets_only(load, options):
    growth = load("growth")
    more = {"source": "first", "targets": ["second", "third"], "counts": [1, 2], "examples": 8}
    found = measured(growth, growth.GrowthArguments, options | more)
    assert found["2 targets again", "growing store, forward tokens"] == 0
    assert found["2 targets", "tokens of the targets' trees"] > found["1 target", "tokens of the targets' trees"]
    assert found["2 targets", "growing store, forward tokens over those of new trees"] >= 1


def test_the_official_targets_of_a_source_come_from_the_shift_file(load):
    targets = load("growth").official_targets("alpaca_mmlu")
    assert targets[:2] == ["spanish_input", "spanish_output"]
    assert len(targets) == len(set(targets)) >= 20


def test_memory_is_that_of_a_process_of_its_own(options):
    given = options | {"interventions": ["zero_shot"], "distribution": "first", "examples": 4, "limit_gigabytes": 0.001}
    items = [item for name, value in given.items() for item in (f"--{name}", _text(value))]
    command = [sys.executable, "benchmarks/memory.py", *items]
    done = subprocess.run([*command, "--check"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr  # no Python fits into a megabyte
    assert "(missed)" in done.stdout
    found = {(each["subject"], each["name"]): each for each in json.loads(options["json"].read_text())["measurements"]}
    train, evaluation = (found[f"zero_shot, {step}", "peak memory"] for step in ("train", "eval"))
    assert 0.005 < train["value"] < evaluation["value"]
    assert train["reached"] is False


def test_the_estimate_of_memory_is_compared_with_that_of_a_process(load, options):
    cost = load("cost")
    given = options | {"steps": ["zero_shot"], "budgets": [64], "words": 20}
    found = measured(cost, cost.CostArguments, given)
    case = "zero_shot, 64 tokens"
    estimated, peak = found[case, "estimated memory"], found[case, "peak memory"]
    assert found[case, "estimate over peak"] == pytest.approx(estimated / peak)
    assert estimated > 0.45


def _text(value: Any) -> str:
    return json.dumps(value) if isinstance(value, list) else str(value)


def test_a_step_that_fails_is_a_message_with_what_it_said(load, options, tmp_path):
    arguments = validate(load("measuring").BenchmarkArguments, options)
    with pytest.raises(InputError, match=r"zero_shot/train\.py .* ended with status 2: .*unknown argument --nonsense"):
        load("steps").run_step(arguments, "zero_shot/train.py", {"nonsense": 1}, tmp_path, tmp_path / "cache")


def test_operations_are_those_of_a_hand_count(load, tiny_model):
    measuring, model = load("measuring"), tiny_model("llama")
    # Two blocks of hidden size 32: queries and output 32 x 32, keys and values 32 x 16, three of 32 x 48; 400 tokens.
    linear = 2 * (2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 48)
    vocabulary = model.network.get_input_embeddings().weight.shape[0]
    expected = 2 * 10 * linear + 4 * 7 * 2 * 32 + 2 * 3 * vocabulary * 32
    assert measuring.model_operations(model, tokens=10, seen=7, scored=3) == expected
    assert measuring.tree_tokens([(1, 2, 3), (1, 2, 4), (5,)]) == 5
    assert measuring.seen_pairs([(1, 2, 3), (1, 2, 4), (5,)]) == 1 + 2 + 3 + 3 + 1


def test_the_machine_multiplies_every_weight_of_the_blocks_once(load, tiny_model):
    multiply, operations = load("measuring").matmul_pass(tiny_model("gpt2"), 5)
    multiply()
    assert operations == 2 * 5 * 2 * (32 * 96 + 32 * 32 + 2 * 32 * 48)


def test_variants_take_turns(load):
    turns: list[str] = []

    def variant(name: str, result: int) -> int:
        turns.append(name)
        return result

    variants = {"one": lambda: variant("one", 1), "two": lambda: variant("two", 2)}
    seconds, results = load("measuring").alternate(variants, 2)
    assert turns == ["one", "two"] * 3
    assert results == {"one": 1, "two": 2}
    assert set(seconds) == {"one", "two"}


def test_a_table_says_which_targets_were_missed(load):
    module = load("findings")
    findings = module.Findings("Speed", 2)
    findings.add("a", "times as fast", 2.5, "", module.Target(at_least=2.3))
    findings.add("a", "peak", 3.14159, "GB", module.Target(at_most=3))
    findings.add("a", "tokens", 12345)
    assert module.table(findings.measurements).splitlines()[2:] == [
        "| a | times as fast | 2.5 | ≥ 2.3 |",
        "| a | peak | 3.142 GB | ≤ 3 (missed) |",
        "| a | tokens | 12,345 |  |",
    ]
    assert [each.name for each in findings.missed()] == ["peak"]


def test_training_starts_from_the_loss_of_its_peer(load, options):
    pytest.importorskip("trl", reason="the peer is not installed (pip install -e '.[bench]')")
    training = load("training")
    more = {"sources": ["first"], "pairs": 4, "trl_micro_batches": [2], "lora_dropout": 0.0}
    found = measured(training, training.TrainingArguments, options | more)
    assert found["first", "difference from TRL's first loss"] < 1e-5
    assert found["first", "times as fast as TRL as it comes"] > 0
    through, all_tokens, padded = (
        found["first", name]
        for name in (
            "of them through the model here, shared beginnings once",
            "tokens of the pairs' sequences",
            "with the padding of one batch",
        )
    )
    assert through < all_tokens <= padded


def test_pairs_of_a_step_must_be_divided_evenly(load, options):
    pytest.importorskip("trl", reason="the peer is not installed (pip install -e '.[bench]')")
    training = load("training")
    with pytest.raises(InputError, match=r"expected divisors of --pairs 16, not \[3\]"):
        training.benchmark(validate(training.TrainingArguments, options | {"trl_micro_batches": [3]}))


def test_the_harness_the_report_and_tables_are_measured_and_collected_on_one_page(tmp_path, options):
    folder, page = tmp_path / "found", tmp_path / "page.md"
    folder.mkdir()
    shifts = tmp_path / "shifts.json"
    shifts.write_text('[{"source": "first", "target": "second"}]')
    small = ["--distributions", "10", "--shifts", "20", "--steps", "4", "--computing", "1000"]
    written = ["--distributions_dir", str(options["distributions_dir"])]
    written += ["--path_to_distribution_shift_pairs", str(shifts)]
    tables = [*written, "--interventions", "2"]
    for name, items in (("harness", small), ("report", written), ("tables", tables)):
        command = [sys.executable, f"benchmarks/{name}.py", *items, "--json", str(folder / f"{name}.json")]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    (folder / "harness_quiet.json").write_bytes((folder / "harness.json").read_bytes())
    command = [sys.executable, "benchmarks/collect.py", "--folder", str(folder), "--output", str(page)]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == 0
    text = page.read_text(encoding="utf-8")
    assert "| Harness | plan of 20 shifts over 10 distributions | seconds |" in text
    sections = ["Harness", "Harness, harness_quiet", "Tables", "Report"]
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == ["Targets", *sections]
    assert "`python benchmarks/harness.py --distributions 10" in text
    assert str(folder) not in text


def test_a_file_that_is_none_of_a_benchmark_is_named(load, tmp_path):
    collect = load("collect")
    with pytest.raises(InputError, match="contains no JSON file"):
        collect.collect(validate(collect.CollectArguments, {"folder": tmp_path}))
    (tmp_path / "other.json").write_text('{"measurements": [{}]}')
    with pytest.raises(InputError, match=r"other\.json: expected what a benchmark's --json writes"):
        collect.collect(validate(collect.CollectArguments, {"folder": tmp_path}))
