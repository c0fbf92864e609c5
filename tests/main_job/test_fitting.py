"""Whether jobs fit into the memory of their device, and whether they fit after the recommended change."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from genies.harness.decide import Check
from genies.harness.plan import evaluation_job, training_job
from genies.harness.study import Variant
from genies.main_job.fitting import Room, memory_lines
from genies.processes.hardware import NO_GPU, UNKNOWN, Hardware
from tests.support.project import ROOT, Project
from tests.test_cost import LLAMA_8B

AMPERE = Hardware(True, "bfloat16")
H100 = Room(AMPERE, 2000 * 10**9, 85 * 10**9)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "llama-8b"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(LLAMA_8B))
    return folder


def said(model: Path, name: str, room: Room, role: str = "train", **kwargs: Any) -> str:
    variant = Variant(name, ROOT / "src/interventions" / name, kwargs, kwargs)
    source = model / "source"
    job = training_job(variant, model, "source", source, model / "tuned")
    if role == "evaluate":
        job = evaluation_job(variant, model, None, model)
    return "\n".join(memory_lines([Check(job, {})], room))


@pytest.mark.parametrize(("name", "role"), [("zero_shot", "evaluate"), ("mms", "train"), ("mms", "evaluate")])
def test_a_model_of_16_gigabytes_is_scored_on_a_card_of_80(model: Path, name: str, role: str) -> None:
    line = said(model, name, H100, role)
    assert "weights 16 GB" in line
    assert "; fits in 85 GB of the GPU" in line


def test_a_step_that_does_not_fit_fits_after_the_recommended_change(model: Path) -> None:
    card = Room(AMPERE, 10**12, 48 * 10**9)
    line = said(model, "lora_fine_tune", card)
    assert "does not fit" in line
    found = re.search(r"try --train_kwargs '(\{.*\})'", line)
    assert found is not None
    assert json.loads(found[1]) == {"gradient_checkpointing": True}
    assert "; fits in" in said(model, "lora_fine_tune", card, **json.loads(found[1]))


def test_an_estimate_near_the_size_of_the_card_is_not_sure(model: Path) -> None:
    smaller = replace(H100, gpu=58 * 10**9)
    assert "only if the estimate is exact" in said(model, "lora_fine_tune", smaller)  # 55 of 58 GB
    assert "only if" not in said(model, "lora_fine_tune", H100)
    assert "only if" not in said(model, "zero_shot", H100, "evaluate")


def test_several_changes_are_recommended_together_where_one_is_not_enough(model: Path) -> None:
    small = Room(AMPERE, 10**12, 16 * 10**9)
    found = re.search(r"try --train_kwargs '(\{.*\})'", said(model, "lora_fine_tune", small))
    assert found is not None
    changes = json.loads(found[1])
    assert changes.keys() == {"gradient_checkpointing", "batch_tokens", "load_in_4bit"}
    assert "; fits in" in said(model, "lora_fine_tune", small, **changes)
    found = re.search(r"try --eval_kwargs '(\{.*\})'", said(model, "zero_shot", small, "evaluate"))
    assert found is not None
    assert json.loads(found[1])["quantization"] == "nf4"


def test_what_no_argument_can_fit_needs_another_device(model: Path) -> None:
    line = said(model, "full_fine_tune", H100)
    assert "use a larger device or a smaller model, or more processes with a GPU each (--processes_per_step)" in line
    assert "a smaller model\n" in said(model, "zero_shot", Room(AMPERE, 10**12, 10**9), "evaluate") + "\n"


def test_processes_with_a_gpu_each_divide_weights_and_optimizer_but_not_activations(model: Path) -> None:
    def parts(processes: int, **kwargs: Any) -> dict[str, float]:
        room = Room(AMPERE, 10**12, 85 * 10**9, processes=processes)
        found = re.findall(
            r"(weights|activations|optimizer) ([\d.]+) GB", said(model, "full_fine_tune", room, **kwargs)
        )
        return {name: float(value) for name, value in found}

    one, eight = parts(1), parts(8)
    assert eight["optimizer"] == pytest.approx(one["optimizer"] / 8, abs=1)
    # Of 8.03 billion weights, an eighth, 1.05 billion embeddings and 2 of 32 blocks, with 6.98 billion in all.
    assert eight["weights"] / one["weights"] == pytest.approx(1 / 8 + (1.05 + 6.98 / 16) / 8.03, abs=0.03)
    assert eight["activations"] == one["activations"]


def test_jobs_and_processes_that_share_main_memory_divide_it(model: Path) -> None:
    kwargs: dict[str, Any] = {"gradient_checkpointing": True}
    alone = Room(NO_GPU, 64 * 10**9)
    assert "; fits in 64 GB" in said(model, "lora_fine_tune", alone, **kwargs)
    shared = said(model, "lora_fine_tune", Room(NO_GPU, 64 * 10**9, sharing=4), **kwargs)
    assert "does not fit in 16 GB of main memory, a job's share of 64 GB; try --slots 1" in shared
    together = said(model, "lora_fine_tune", Room(NO_GPU, 64 * 10**9, processes=4), **kwargs)
    assert "try --processes_per_step 1" in together
    assert "--processes" not in said(model, "zero_shot", Room(NO_GPU, 64 * 10**9, processes=4), "evaluate")


def test_variants_of_which_the_same_is_true_share_a_line(model: Path) -> None:
    def check(name: str) -> Check:
        job = training_job(
            Variant(name, ROOT / "src/interventions" / name, {}, {}), model, "s", model / "s", model / "o"
        )
        return Check(job, {})

    first, second = memory_lines(list(map(check, ["lora_fine_tune", "full_fine_tune", "dpo"])), H100)
    assert "to train lora_fine_tune, dpo with llama-8b: about" in first
    assert "to train full_fine_tune with llama-8b: about" in second


def test_nothing_is_claimed_where_the_memory_or_the_arguments_are_unknown(model: Path, project: Project) -> None:
    assert "the size of the GPU is unknown" in said(model, "zero_shot", Room(UNKNOWN, None), "evaluate")
    assert said(model, "zero_shot", H100) == ""  # its training runs no model
    assert said(model, "length", H100, "evaluate") == ""
    theirs = Variant("theirs", project.length)  # declares no arguments
    job = training_job(theirs, model, "source", model / "source", model / "tuned")
    assert list(memory_lines([Check(job, {})], H100)) == []


def test_a_dry_run_says_what_fits(project: Project) -> None:
    huge = {**LLAMA_8B, "num_hidden_layers": 3200}
    (project.base_model / "config.json").write_text(json.dumps(huge))
    done = project.metrics(dry_run=True, intervention_dir=ROOT / "src/interventions/mms")
    assert done.returncode == 0, done.stderr
    assert "memory to train mms with base: about" in done.stdout
    assert "does not fit in" in done.stdout
    (project.base_model / "config.json").write_text(json.dumps({**LLAMA_8B, "hidden_size": 64, "vocab_size": 100}))
    assert "; fits in" in project.metrics(dry_run=True, intervention_dir=ROOT / "src/interventions/mms").stdout
