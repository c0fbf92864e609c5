"""Training by several processes, each of which has a part of every weight, gives the results of one process."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from genies.command_line import parse
from genies.errors import InputError
from genies.methods.training import gradients, loop, processes, quantization
from genies.methods.training.arguments import LoraArguments
from genies.methods.training.gradients import Trainee, _Share
from genies.methods.training.micro_batches import MicroBatch
from genies.methods.training.quantization import load_base_model
from genies.methods.training.tuning import read_data
from tests.support.families import FAMILIES, write_family
from tests.support.reward_examples import read_log, train, train_items, write_distribution
from tests.support.trainings import run_in_processes, train_until

# Five pairs a step: the shares are of unlike size, and dropout is on.
OPTIONS: dict[str, Any] = {
    "num_train_steps": 4,
    "per_device_train_batch_size": 5,
    "save_steps": 2,
    "learning_rate": 0.002,
}
CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "adapters": ("lora_fine_tune", "llama", {}),
    "virtual tokens": ("prompt_tuning", "llama", {}),
    "all weights": ("full_fine_tune", "llama", {}),
    "activations computed again": ("full_fine_tune", "llama", {"gradient_checkpointing": True}),
    "passes of unlike number": ("lora_fine_tune", "llama", {"batch_tokens": 60}),
    "a process without a pair": ("lora_fine_tune", "llama", {"per_device_train_batch_size": 1}),
    "pairs that the loss couples": ("odin", "llama", {}),
    "a pass without adapters": ("anchor", "llama", {}),
    "a language-model head": ("grm", "llama", {}),
    "scores of the untuned model": ("dpo", "llama", {"no_cache": True}),
    "scores of the untuned model, in rows that are padded": (
        "ipo", "mamba", {"no_cache": True, "learning_rate": 2e-4, "beta": 1.0}
    ),
    "activations of the untuned model": (
        "caft", "llama", {"no_cache": True, "num_components": 2, "learning_rate": 2e-4}
    ),
    "experts": ("lora_fine_tune", "qwen3_moe", {"learning_rate": 2e-4}),
    "rows that are padded": ("lora_fine_tune", "mamba", {"learning_rate": 2e-4}),
    "attention of its own": ("lora_fine_tune", "bloom", {"learning_rate": 2e-4}),
    "kept steps": ("full_fine_tune", "llama", {"keep_steps": "[1, 3]"}),
    "a search": ("lora_fine_tune", "llama", {"search": "held_back", "search_factors": [0.5, 1.0]}),
}  # fmt: skip


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_distribution(tmp_path_factory.mktemp("data") / "source", examples=6)


@pytest.fixture(scope="module")
def model_dir(tiny_model_dir: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny model of a family."""
    others = tmp_path_factory.mktemp("families")
    return lambda name: write_family(others / name, name) if name in FAMILIES else tiny_model_dir(name)


@pytest.fixture(scope="module")
def together(
    model_dir: Callable[[str], Path], source: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """The folder of each case's model, tuned by two processes."""
    folder = tmp_path_factory.mktemp("together")
    jobs = [
        {
            "intervention": intervention,
            "model": model_dir(family),
            "source": source,
            "output": folder / case,
            "options": {**OPTIONS, **options},
        }
        for case, (intervention, family, options) in CASES.items()
    ]
    ended = run_in_processes(2, jobs, folder)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("4/4") >= 1
    return lambda case: folder / case


def assert_same(one: Path, two: Path, atol: float = 1e-5) -> None:
    """The losses equal to 1e-4, the files' tensors to `atol`."""
    for step, (entry, other) in enumerate(zip(read_log(one), read_log(two), strict=True)):
        if step == 0 and (one / "implicit_reward.json").is_file():
            # Implicit rewards of the untuned model are 0, except for rounding.
            del entry["accuracy"], other["accuracy"]
        if atol > 1e-5:  # the norm of the gradient is up to 15, and its rounding grows with it
            assert other.pop("gradient_norm") == pytest.approx(entry.pop("gradient_norm"), rel=1e-3)
        assert other == pytest.approx(entry, abs=1e-4, rel=0)
    files = sorted(path.name for path in one.rglob("*") if path.is_file())
    assert sorted(path.name for path in two.rglob("*") if path.is_file()) == files
    compared = 0
    for path in one.rglob("*.safetensors"):
        expected, found = load_file(path), load_file(two / path.relative_to(one))
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert found[name].dtype == value.dtype
            assert torch.allclose(found[name], value, atol=atol, rtol=0), name
            compared += value.numel()
    assert compared > 0


@pytest.mark.process
@pytest.mark.parametrize("case", CASES)
def test_two_processes_give_the_losses_and_files_of_one(
    case: str, model_dir: Callable[[str], Path], source: Path, together: Callable[[str], Path], tmp_path: Path
) -> None:
    intervention, family, options = CASES[case]
    train(intervention, model_dir(family), source, tmp_path, **{**OPTIONS, **options})
    # Values of the untuned model come from passes with other texts beside, and AdamW enlarges their rounding.
    assert_same(tmp_path, together(case), atol=1e-4 if "untuned" in case else 1e-5)


@pytest.mark.process
def test_a_checkpoint_is_continued_by_another_number_of_processes(
    tiny_model_dir: Callable[..., Path], source: Path, tmp_path: Path
) -> None:
    model, jobs = tiny_model_dir("llama"), []
    places = {name: tmp_path / name for name in ("lora_fine_tune", "full_fine_tune")}
    for intervention, folder in places.items():
        train(intervention, model, source, folder / "whole", **OPTIONS)
        train_until(3, intervention, model, source, folder / "by three", **OPTIONS)
        job = {"intervention": intervention, "model": model, "source": source, "options": OPTIONS}
        jobs += [{**job, "output": folder / "by three"}, {**job, "output": folder / "by one", "stop": 3}]
    ended = run_in_processes(3, jobs, tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("continuing after step 2") == len(places)
    for intervention, folder in places.items():
        assert (folder / "by one" / "checkpoint-2").is_dir()
        train(intervention, model, source, folder / "by one", **OPTIONS)
        for name in ("by three", "by one"):
            assert_same(folder / "whole", folder / name)


PARTS = """
import sys
from pathlib import Path
from genies.command_line import parse
from genies.methods.training.adapters import add_lora
from genies.methods.training.arguments import LoraArguments
from genies.methods.training.decoder_head import network_to_adapt
from genies.methods.training.quantization import load_base_model
from genies.methods.training.reward_model import add_head
from genies.methods.training.sharding import sharded
from genies.lm.divided import whole, whole_in_passes
from genies.lm.model import load_model
from genies.lm.scoring import response_log_probabilities
from genies.lm.text import TokenSequence
from genies.methods.training.tuning import reward_trainee, session

arguments = parse(LoraArguments, sys.argv[1:])
with session(arguments) as accelerator:
    base = load_base_model(arguments.model_dir, arguments, False)
    plain = load_model(arguments.model_dir, arguments, of_transformers=True)
    parts = dict(base.network.named_parameters())
    equal = all(bool((whole(parts.pop(name)) == each).all()) for name, each in plain.network.named_parameters())
    texts = [TokenSequence((3, 4, 5, 6), (2, 3))]
    with whole_in_passes(base.network, base.decoder):
        scores = [response_log_probabilities(each, texts)[0].tolist() for each in (base, plain)]
    equal = equal and scores[0] == scores[1]
    read = sum(each.to_local().numel() for each in base.network.parameters())
    print("read", read / sum(each.numel() for each in plain.network.parameters()), equal and not parts, base.packs)
    model = add_head(base, 0)
    tuned = add_lora(network_to_adapt(model.classifier)[0], arguments, arguments.model_dir, "SEQ_CLS")
    before = sum(each.numel() for each in model.classifier.parameters())
    with sharded(reward_trainee(model, tuned), accelerator) as divided:
        after = sum(each.to_local().numel() for each in model.classifier.parameters())
        own = sum(each.to_local().numel() for each in divided.parameters.values())
        print("share", after / before, "of", len(divided.parameters), own)
"""


@pytest.mark.process
def test_a_process_reads_and_has_its_share_of_all_weights(
    tiny_model_dir: Callable[..., Path], source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    items = train_items(tiny_model_dir("llama"), source, tmp_path)
    assert processes.run_processes(2, ["-c", PARTS, *items]) == 0
    printed = capfd.readouterr().out
    read = re.search(r"read ([\d.]+) True True", printed)
    assert read is not None
    assert 0.5 <= float(read[1]) < 0.52
    found = re.search(r"share ([\d.]+) of (\d+) (\d+)", printed)
    assert found is not None
    assert 0.5 <= float(found[1]) < 0.52  # the first process has the larger part of what cannot be halved
    assert int(found[2]) > 0
    assert int(found[3]) > 0


def test_every_process_has_the_same_number_of_passes_and_each_pair_counts_once(
    tiny_model_dir: Callable[..., Path], source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = parse(LoraArguments, train_items(tiny_model_dir("llama"), source, Path("unused")))
    model = load_base_model(arguments.model_dir, arguments, False)
    batch = read_data(arguments, model).pairs[:5]
    passes: list[int] = []

    def scores(micro: MicroBatch) -> torch.Tensor:
        passes.append(len(micro.sequences))
        return torch.zeros(len(micro.sequences))

    def shares(*slots: list[int]) -> list[_Share]:
        trainee = Trainee(model, {}, scores)
        return [_Share(trainee, batch, slots, each, 0, 0, torch.float32) for each in range(len(slots))]

    for budget in (1, 10**6):
        found = [share.groups(budget) for share in shares([0, 1, 2, 3], [4], [])]
        assert len({len(each) for each in found}) == 1
        assert sorted(slot for each in found for slots, factor in each for slot in slots if factor) == [0, 1, 2, 3, 4]
    # Where the two sequences of some pair need different passes, every pair has two.
    lengths = next(sorted(pair) for each in batch if len(set(pair := [len(each.best.ids), len(each.worse.ids)])) == 2)
    monkeypatch.setattr(gradients, "company", lambda _model, length: length > lengths[0])
    for share in shares([0, 1], [2, 3, 4]):
        passes.clear()
        for slots, _ in share.groups(10**6):
            share.scores(slots)
        assert passes == 6 * [1]


# The MLPs of two blocks are called in a small pass before the first one of a kind, which must not fail, and then in
# that one: with activations computed again in the backward pass, twice in each.
FAILURES: dict[str, tuple[str, dict[str, Any], str, list[int]]] = {
    "in a forward pass": ("lora_fine_tune", {}, "forward", [2]),
    "in a backward pass": ("lora_fine_tune", {}, "backward", [3]),
    "in a backward pass that computes activations again": (
        "full_fine_tune", {"gradient_checkpointing": True}, "forward", [6]
    ),
    "in a pass without gradient": ("odin", {}, "forward", [2]),
    "in a later pass": ("lora_fine_tune", {"batch_tokens": 120}, "backward", [5]),
}  # fmt: skip


@pytest.fixture(scope="module")
def interrupted(
    tiny_model_dir: Callable[..., Path], source: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    """The folder with each case's model, tuned while the second of two processes runs out of memory; what is printed.

    In a last training, it always does.
    """
    folder = tmp_path_factory.mktemp("interrupted")
    cases = {**FAILURES, "always": ("lora_fine_tune", {}, "forward", list(range(2, 100)))}
    jobs = [
        {
            "intervention": intervention,
            "model": tiny_model_dir("llama"),
            "source": source,
            "output": folder / case,
            "options": {**OPTIONS, **options},
            "fails": {"process": 1, "calls": calls, "where": where},
        }
        for case, (intervention, options, where, calls) in cases.items()
    ]
    ended = run_in_processes(2, jobs, folder)
    assert ended.returncode == 1
    return folder, ended.stderr


@pytest.mark.process
@pytest.mark.parametrize("case", FAILURES)
def test_all_processes_halve_the_batch_together_when_one_runs_out_of_memory(
    case: str,
    tiny_model_dir: Callable[..., Path],
    source: Path,
    interrupted: tuple[Path, str],
    tmp_path: Path,
) -> None:
    intervention, options, *_ = FAILURES[case]
    train(intervention, tiny_model_dir("llama"), source, tmp_path, **{**OPTIONS, **options})
    assert_same(tmp_path, interrupted[0] / case, atol=1e-4 if "untuned" in case else 1e-5)


@pytest.mark.process
def test_all_processes_end_when_one_has_no_memory_for_a_single_pair(interrupted: tuple[Path, str]) -> None:
    printed = re.findall(
        r"continuing with --batch_tokens (\d+)|InputError: (out of memory on cpu with one pair)", interrupted[1]
    )
    budgets = [int(number) for number, _ in printed if number]
    assert budgets[: len(FAILURES)] == [384, 384, 384, 384, 98]
    assert budgets[len(FAILURES) :] == [384, 192, 98]
    assert printed[-1][1]


def test_several_processes_need_as_many_gpus_and_no_device_map(
    tiny_model_dir: Callable[..., Path], source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = train_items(tiny_model_dir("llama"), source, Path("unused"), device="auto")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(InputError, match="expected a GPU for each process, found 1"):
        loop.make_accelerator(parse(LoraArguments, items))
    monkeypatch.setattr(quantization, "is_initialized", lambda: True)
    monkeypatch.setattr(quantization, "get_world_size", lambda: 4)
    with pytest.raises(InputError, match=r"--device_map auto with 4 processes.*leave out --device_map"):
        load_base_model(tiny_model_dir("llama"), parse(LoraArguments, [*items, "--device_map", "auto"]), False)
