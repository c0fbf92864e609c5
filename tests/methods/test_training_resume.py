"""Training that is killed and started again ends with the same weights; a fault in several processes is shown once."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.support.reward_examples import ROOT, read_log, train, train_items, write_distribution
from tests.support.trainings import train_until

LORA = ROOT / "src" / "interventions" / "lora_fine_tune" / "train.py"
OPTIONS: dict[str, Any] = {
    "num_train_steps": 8,
    "per_device_train_batch_size": 4,
    "save_steps": 2,
    "lora_rank": 4,
    "learning_rate": 0.01,
}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_distribution(tmp_path_factory.mktemp("data") / "source", examples=6)


@pytest.fixture(scope="module")
def undisturbed(tiny_model_dir: Callable[..., Path], source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a LoRA model trained in one go, with dropout."""
    output = tmp_path_factory.mktemp("undisturbed")
    train("lora_fine_tune", tiny_model_dir("llama"), source, output, **OPTIONS)
    return output


def weights(folder: Path, name: str = "adapter_model.safetensors") -> bytes:
    return (folder / name).read_bytes()


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def test_a_killed_process_goes_on_from_its_checkpoint_to_the_same_weights(
    tiny_model_dir: Callable[..., Path], source: Path, undisturbed: Path, tmp_path: Path
) -> None:
    options = {**OPTIONS, "num_train_steps": 8}
    items = train_items(tiny_model_dir("llama"), source, tmp_path, **options)
    process = subprocess.Popen(
        [sys.executable, str(LORA), *items], env=environment(), stderr=subprocess.DEVNULL, start_new_session=True
    )
    while process.poll() is None and not (tmp_path / "checkpoint-4").exists():
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.returncode == -signal.SIGKILL, "training ended before it could be killed"
    train("lora_fine_tune", tiny_model_dir("llama"), source, tmp_path, **options)
    assert weights(tmp_path) == weights(undisturbed)
    assert read_log(tmp_path) == read_log(undisturbed)
    assert not list(tmp_path.glob("checkpoint-*"))


@pytest.mark.parametrize("intervention", ["prompt_tuning", "full_fine_tune", "log_prob_classify"])
def test_every_intervention_goes_on_to_the_same_weights(
    intervention: str,
    tiny_model_dir: Callable[..., Path],
    source: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = {"num_train_steps": 4, "per_device_train_batch_size": 3, "save_steps": 1}
    name = "model.safetensors" if intervention == "full_fine_tune" else "adapter_model.safetensors"
    train(intervention, tiny_model_dir("llama"), source, tmp_path / "whole", **options)
    train_until(3, intervention, tiny_model_dir("llama"), source, tmp_path / "stopped", **options)
    assert sorted(path.name for path in (tmp_path / "stopped").glob("checkpoint-*")) == ["checkpoint-1", "checkpoint-2"]
    train(intervention, tiny_model_dir("llama"), source, tmp_path / "stopped", **options)
    assert "after step 2" in capsys.readouterr().err
    assert weights(tmp_path / "stopped", name) == weights(tmp_path / "whole", name)


def cut_the_file(folder: Path) -> None:
    file = folder / "optimizer.safetensors"
    file.write_bytes(file.read_bytes()[:-10])


def lose_a_moment(folder: Path) -> None:
    moments = load_file(folder / "optimizer.safetensors")
    del moments[next(name for name in moments if name.startswith("exp_avg "))]
    save_file(moments, folder / "optimizer.safetensors")


def lose_the_moments(folder: Path) -> None:
    save_file({}, folder / "optimizer.safetensors")


def add_a_moment(folder: Path) -> None:
    moments = load_file(folder / "optimizer.safetensors")
    save_file({**moments, "exp_avg another": torch.zeros(2)}, folder / "optimizer.safetensors")


def cut_a_weight(folder: Path) -> None:
    tensors = load_file(folder / "weights.safetensors")
    name = next(iter(tensors))
    save_file({**tensors, name: tensors[name][:1].contiguous()}, folder / "weights.safetensors")


@pytest.mark.parametrize("damage", [cut_the_file, lose_a_moment, lose_the_moments, add_a_moment, cut_a_weight])
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(
    damage: Callable[[Path], None],
    tiny_model_dir: Callable[..., Path],
    source: Path,
    undisturbed: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    train_until(7, "lora_fine_tune", tiny_model_dir("llama"), source, tmp_path, **OPTIONS)
    damage(tmp_path / "checkpoint-6")
    train("lora_fine_tune", tiny_model_dir("llama"), source, tmp_path, **OPTIONS)
    said = capsys.readouterr().err
    assert re.search(r"checkpoint-6 .*damaged", said)
    assert "after step 4" in said
    assert weights(tmp_path) == weights(undisturbed)


def test_a_checkpoint_of_another_training_is_not_used(
    tiny_model_dir: Callable[..., Path],
    source: Path,
    undisturbed: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    train_until(
        3,
        "lora_fine_tune",
        tiny_model_dir("llama"),
        source,
        tmp_path,
        **{**OPTIONS, "learning_rate": 0.02},
    )
    train("lora_fine_tune", tiny_model_dir("llama"), source, tmp_path, **OPTIONS)
    assert "other arguments or data" in capsys.readouterr().err
    assert weights(tmp_path) == weights(undisturbed)


def test_a_checkpoint_serves_whatever_changes_only_speed_and_place(
    tiny_model_dir: Callable[..., Path],
    source: Path,
    undisturbed: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    train_until(5, "lora_fine_tune", tiny_model_dir("llama"), source, tmp_path, **OPTIONS)
    train("lora_fine_tune", tiny_model_dir("llama"), source, tmp_path, no_cache=True, cache_gb=1, **OPTIONS)
    assert "after step 4" in capsys.readouterr().err
    assert weights(tmp_path) == weights(undisturbed)


def test_checkpoints_hold_no_pickle(tiny_model_dir: Callable[..., Path], source: Path, tmp_path: Path) -> None:
    train_until(3, "lora_fine_tune", tiny_model_dir("llama"), source, tmp_path, **OPTIONS)
    files = sorted(path.name for path in (tmp_path / "checkpoint-2").iterdir())
    assert files == ["optimizer.safetensors", "state.json", "weights.safetensors"]


def test_a_fault_in_several_processes_is_told_once_with_the_exit_status_of_one(
    tiny_model_dir: Callable[..., Path], source: Path, tmp_path: Path
) -> None:
    items = train_items(tiny_model_dir("llama"), source / "absent", tmp_path, **OPTIONS)
    argv = [sys.executable, "-m", "genies.methods.training.processes", "2", str(LORA), *items]
    ended = subprocess.run(argv, env=environment(), capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 2
    assert ended.stderr.count("error:") == 1
    assert "Traceback" not in ended.stderr


def test_a_process_other_than_the_first_is_heard_when_it_fails(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from genies.methods.training import processes

    monkeypatch.setattr(processes, "PATIENCE", 0.2)
    code = "import os, sys, time; sys.exit('no room') if os.environ['RANK'] == '1' else time.sleep(60)"
    assert processes.run_processes(2, ["-c", code]) == 1
    assert "no room" in capfd.readouterr().err
    assert processes.run_processes(2, ["-c", "print('well')"]) == 0
    assert capfd.readouterr().out.count("well") == 1
