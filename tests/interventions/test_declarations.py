"""intervention.json says what the argument models say: python -m genies.declaration src/interventions/* writes it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import BaseModel

from genies.command_line import NO_EFFECT, WithoutEffect
from genies.contract import CONTRACT_NAMES, TrainArguments
from genies.declaration import FILE, declaration_of, declared_by, read_declaration
from tests.support.present import present

FOLDERS = sorted(
    path.parent for path in (Path(__file__).resolve().parents[2] / "src" / "interventions").glob("*/eval.py")
)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_declaration_of_an_intervention_is_up_to_date(folder: Path) -> None:
    assert json.loads((folder / FILE).read_text(encoding="utf-8")) == declaration_of(folder)


def test_arguments_that_only_change_speed_or_place_are_declared_so() -> None:
    (lora,) = (read_declaration(folder) for folder in FOLDERS if folder.name == "lora_fine_tune")
    assert {"device", "cache_gb", "save_steps", "gradient_checkpointing"} <= lora.without_effect
    assert lora.without_effect_in_32_bits == {"batch_tokens"}
    for name in ("dtype", "seed", "learning_rate", "max_examples", "quantization"):
        assert name in (lora.train_arguments or ())
        assert name not in lora.ignored(in_16_bits=False)


def test_these_interventions_tune_nothing() -> None:
    untuned = [folder.name for folder in FOLDERS if not read_declaration(folder).tunes]
    assert untuned == ["judge", "length", "reward_model", "zero_shot"]


class Train(BaseModel):
    model_dir: str
    rate: float = 0.1
    threads: Annotated[int, NO_EFFECT] = 1


class Evaluate(BaseModel):
    model_dir: str
    budget: Annotated[int | None, WithoutEffect(in_16_bits=False)] = None


def test_a_declaration_follows_from_the_argument_models() -> None:
    assert declared_by(Train, Evaluate) == {
        "train_arguments": ["rate", "threads"],
        "eval_arguments": ["budget"],
        "without_effect": ["threads"],
        "without_effect_in_32_bits": ["budget"],
    }


def test_the_file_is_written_by_a_command(tmp_path: Path) -> None:
    for name in ("train", "evaluate"):
        script = tmp_path / {"train": "train.py", "evaluate": "eval.py"}[name]
        model = "TrainArguments" if name == "train" else "EvaluationArguments"
        script.write_text(f"from genies.contract import {model}\ndef {name}(args: {model}) -> None: ...\n")
    command = [sys.executable, "-m", "genies.declaration", str(tmp_path)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    written = read_declaration(tmp_path)
    assert present(written.train_arguments) == TrainArguments.model_fields.keys() - CONTRACT_NAMES
    assert written.without_effect_in_32_bits == {"batch_tokens"}
    assert written.tunes
    (tmp_path / "eval.py").unlink()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
