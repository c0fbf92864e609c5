"""Training by several processes, each of which has a part of every weight, gives the results of one process."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from genies.command_line import parse
from genies.errors import InputError
from genies.methods.training import gradients, loop, processes, quantization
from genies.methods.training.arguments import LoraArguments
from genies.methods.training.gradients import Trainee, _Share, step_gradients
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
    "scores of the untuned model": ("dpo", "llama", {}),
    "experts": ("lora_fine_tune", "qwen3_moe", {"learning_rate": 2e-4}),
    "rows that are padded": ("lora_fine_tune", "mamba", {"learning_rate": 2e-4}),
    "attention of its own": ("lora_fine_tune", "bloom", {"learning_rate": 2e-4}),
    "kept steps": ("full_fine_tune", "llama", {"keep_steps": "[1, 3]"}),
    "a search": ("lora_fine_tune", "llama", {"search": "held_back", "search_factors": [0.5, 1.0]}),
}


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


def assert_same(one: Path, two: Path) -> None:
    """The losses equal to 1e-4, the files' tensors to 1e-5."""
    for entry, other in zip(read_log(one), read_log(two), strict=True):
        assert other == pytest.approx(entry, abs=1e-4)
    files = sorted(path.name for path in one.rglob("*") if path.is_file())
    assert sorted(path.name for path in two.rglob("*") if path.is_file()) == files
    compared = 0
    for path in one.rglob("*.safetensors"):
        expected, found = load_file(path), load_file(two / path.relative_to(one))
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert found[name].dtype == value.dtype
            assert torch.allclose(found[name], value, atol=1e-5, rtol=0), name
            compared += value.numel()
    assert compared > 0


@pytest.mark.process
@pytest.mark.parametrize("case", CASES)
def test_two_processes_give_the_losses_and_files_of_one(
    case: str, model_dir: Callable[[str], Path], source: Path, together: Callable[[str], Path], tmp_path: Path
) -> None:
    intervention, family, options = CASES[case]
    train(intervention, model_dir(family), source, tmp_path, **{**OPTIONS, **options})
    assert_same(tmp_path, together(case))


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
from genies.methods.training.tuning import reward_trainee, session

arguments = parse(LoraArguments, sys.argv[1:])
with session(arguments) as accelerator:
    model = add_head(load_base_model(arguments.model_dir, arguments, False), 0)
    tuned = add_lora(network_to_adapt(model.classifier)[0], arguments, arguments.model_dir, "SEQ_CLS")
    before = sum(each.numel() for each in model.classifier.parameters())
    with sharded(reward_trainee(model, tuned), accelerator) as divided:
        after = sum(each.to_local().numel() for each in model.classifier.parameters())
        own = sum(each.to_local().numel() for each in divided.parameters.values())
        print("share", after / before, "of", len(divided.parameters), own)
"""


@pytest.mark.process
def test_a_process_has_its_share_of_all_weights(
    tiny_model_dir: Callable[..., Path], source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    items = train_items(tiny_model_dir("llama"), source, tmp_path)
    assert processes.run_processes(2, ["-c", PARTS, *items]) == 0
    found = re.search(r"share ([\d.]+) of (\d+) (\d+)", capfd.readouterr().out)
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


def test_out_of_memory_in_one_of_several_processes_says_what_to_change(
    tiny_model_dir: Callable[..., Path], source: Path
) -> None:
    arguments = parse(LoraArguments, train_items(tiny_model_dir("llama"), source, Path("unused")))
    model = load_base_model(arguments.model_dir, arguments, False)
    data = read_data(arguments, model)

    def full(_micro: MicroBatch) -> torch.Tensor:
        raise torch.OutOfMemoryError("out of memory")

    scaler = torch.amp.GradScaler("cpu", enabled=False)
    several = SimpleNamespace(num_processes=2, process_index=1)
    with pytest.raises(InputError, match="out of memory on cpu with --batch_tokens 300, in one of 2 processes"):
        step_gradients(Trainee(model, {}, full), data.pairs, 0, 0, 300, several, scaler, torch.float32)


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
