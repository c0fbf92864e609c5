"""The number format of a step, known before it starts and without torch, is part of its fingerprint."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from genies.file_hashes import FileHashes
from genies.harness.fingerprint import Identities, differences, fingerprint, unknown_parts
from genies.harness.plan import training_job
from genies.harness.study import Variant
from genies.main_job.main import hardware as of_request
from genies.main_job.request import MetricsRequest
from genies.processes import hardware
from genies.processes.hardware import NO_GPU, UNKNOWN, Hardware, all_hidden, this_machine
from tests.support.project import ARGPARSE_EVAL, ARGPARSE_TRAIN, Project

AMPERE, TURING = Hardware(True, "bfloat16"), Hardware(True, "float32")


@pytest.mark.parametrize(
    ("where", "kwargs", "dtype"),
    [
        (NO_GPU, {}, "float32"),
        (NO_GPU, {"dtype": "bfloat16"}, "bfloat16"),
        (AMPERE, {}, "bfloat16"),
        (AMPERE, {"dtype": "auto", "device": "auto"}, "bfloat16"),
        (AMPERE, {"device": "cpu"}, "float32"),
        (AMPERE, {"dtype": "float16"}, "float16"),
        (TURING, {}, "float32"),
        (UNKNOWN, {}, None),
        (UNKNOWN, {"device": "cpu"}, "float32"),
        (UNKNOWN, {"dtype": "float16"}, "float16"),
    ],
)
def test_the_number_format_follows_arguments_and_hardware(
    where: Hardware, kwargs: dict[str, object], dtype: str | None
) -> None:
    assert where.dtype(kwargs) == dtype


def test_without_a_gpu_it_is_what_torch_would_choose_here() -> None:
    import torch

    from genies.lm.model import chosen_device, chosen_dtype

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    assert f"torch.{this_machine().dtype({})}" == str(chosen_dtype("auto", chosen_device("auto")))


@pytest.mark.parametrize(
    ("says", "dtype"),
    [("8.0\n9.0\n", "bfloat16"), ("7.5\n", "float32"), ("7.5\n8.6\n", None), ("", None), ("[N/A]\n", None)],
    ids=["ampere and hopper", "turing", "one of each", "no GPU listed", "not told"],
)
def test_the_driver_s_tool_says_what_a_gpu_can_do(
    says: str, dtype: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\nprintf '%s' '{says}'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(hardware, "gpu_is_there", lambda: True)
    monkeypatch.setattr(hardware, "_built_for_cpu", lambda: False)
    assert this_machine() == Hardware(True, dtype)
    assert this_machine(hidden=True) == NO_GPU


@pytest.mark.parametrize(
    ("visible", "hidden"), [(None, False), ("", True), ("-1", True), ("0", False), ("GPU-1a", False)]
)
def test_gpus_may_be_hidden_by_the_environment(visible: str | None, hidden: bool) -> None:
    assert all_hidden({} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}) is hidden


def test_what_other_machines_run_is_not_known_here(project: Project) -> None:
    def of(**changes: object) -> Hardware:
        values = {"base_model_dir": ["b"], "intervention_dir": ["i"], "output_path": "o.csv"}
        return of_request(MetricsRequest.model_validate({**values, "source_dirs": [], "target_dirs": [], **changes}))

    assert of(emit_commands="lines") == UNKNOWN
    assert of(launcher="ray", gpus_per_step=1) == UNKNOWN
    assert of(launcher="ray") == NO_GPU


@pytest.fixture
def library(project: Project) -> Project:
    """A project whose intervention uses the library, as far as the harness can see."""
    project.length = project.intervention("ours", ARGPARSE_TRAIN + "# genies\n", ARGPARSE_EVAL)
    return project


def parts_of(project: Project, where: Hardware, **kwargs: object) -> dict[str, object]:
    source, variant = project.folder / "distributions" / "long", Variant("ours", project.length, kwargs)
    job = training_job(variant, project.base_model, "long", source, project.folder / "model")
    return Identities(FileHashes(None), hardware=where).parts(job, "long")


def test_float32_and_bfloat16_do_not_share_a_fingerprint(library: Project) -> None:
    cpu, gpu = parts_of(library, NO_GPU), parts_of(library, AMPERE)
    assert fingerprint(cpu) != fingerprint(gpu)
    assert differences(gpu, cpu) == ["dtype"]
    assert differences({"model": gpu}, {"model": cpu}) == ["model.dtype"]
    assert "dtype" not in parts_of(Project(library.folder / "theirs"), AMPERE)  # nobody knows what theirs runs in


def test_batch_tokens_counts_in_16_bits_alone(library: Project) -> None:
    (library.length / "intervention.json").write_text('{"without_effect_in_32_bits": ["batch_tokens"]}')
    assert differences(parts_of(library, AMPERE, batch_tokens=64), parts_of(library, AMPERE)) == ["kwargs.batch_tokens"]
    assert parts_of(library, NO_GPU, batch_tokens=64) == parts_of(library, NO_GPU)


def test_what_is_unknown_or_older_matches_anything(library: Project) -> None:
    older = {name: value for name, value in parts_of(library, NO_GPU).items() if name != "dtype"}
    for now in (parts_of(library, NO_GPU), parts_of(library, AMPERE), parts_of(library, UNKNOWN)):
        assert differences(now, older) == []
        assert differences(now, parts_of(library, UNKNOWN)) == []
        assert differences(parts_of(library, UNKNOWN), now) == []
        assert unknown_parts(now) == []
    (library.base_model / "config.json").unlink()
    library.base_model.rmdir()  # a table made where the model is not: what it would run in is not compared
    assert parts_of(library, AMPERE)["dtype"] is None


def test_a_study_of_another_number_format_is_computed_again(library: Project) -> None:
    library.shifts([("long", "mixed")])
    changes = {
        "intervention_dir": library.length,
        "target_tuned_capability_intervention": library.length,
        "baseline_intervention": library.length,
    }
    assert library.metrics(**changes).returncode == 0
    path = library.evaluation("ours", "base-long", "mixed")
    value = json.loads(path.read_text())
    if value["provenance"]["parts"]["dtype"] != "float32":
        pytest.skip("this machine has a GPU")
    assert "0 to run" in library.metrics(**changes, dry_run=True).stdout
    value["provenance"]["parts"]["dtype"] = "bfloat16"  # as made on a GPU
    path.write_text(json.dumps(value))
    assert "changed since: dtype" in library.metrics(**changes, dry_run=True).stdout
