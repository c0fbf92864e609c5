"""intervention.json says what the argument models say: python -m genies.declaration src/interventions/* writes it."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel

from genies.command_line import NO_EFFECT, Arguments, WithoutEffect, parse
from genies.contract import CONTRACT_NAMES, TrainArguments, argument_items
from genies.declaration import FILE, argument_model, declaration_of, declared_by, read_declaration
from genies.errors import InputError
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
        "train_arguments": {"rate": {"type": "number"}, "threads": {"type": "integer"}},
        "eval_arguments": {"budget": {"anyOf": [{"type": "integer"}, {"type": "null"}]}},
        "without_effect": ["threads"],
        "without_effect_in_32_bits": ["budget"],
    }


VALUES: list[Any] = ["banana", "", "-1", "0", "0.5", "1e400", "None", "true", "all-linear", "cosine", "raw"]
VALUES += [-1, 0, 1, 2.5, 1 << 40, True, False, [1], ["a"], {"a": 1}]


def test_a_declaration_refuses_a_value_if_the_script_does() -> None:
    training = {"model_dir": "m", "train_distribution": "d", "output_dir": "o", "weak_labels": "w"}
    evaluation = {"model_dir": "m", "distribution_dirs": ["d"], "output_paths": ["p"]}
    given: dict[str, dict[str, Any]] = {"train.py": training, "eval.py": evaluation}
    seen = set()
    for folder, (script, others) in product(FOLDERS, given.items()):
        declared = read_declaration(folder)
        # Validators, which no schema describes: two interventions refuse push_to_hub, all refuse steps beyond the last.
        described = present(declared.arguments(script))
        types = {name: each for name, each in described.items() if name not in ("push_to_hub", "keep_steps")}
        new = {name: each for name, each in types.items() if (script, name, each) not in seen}
        seen |= {(script, *item) for item in new.items()}
        if not new:
            continue
        model = argument_model(folder / script)
        assert issubclass(model, Arguments)
        needed = {name: value for name, value in others.items() if name in model.model_fields}
        for name, value in product(new, VALUES):
            try:
                parse(model, argument_items(needed | {name: value}))
                refused = False
            except InputError:
                refused = True
            assert (declared.invalid_values(script, {name: value}) is not None) == refused, (script, name, value)
    assert len(seen) > 80


def test_limits_choices_and_kinds_of_values_are_declared() -> None:
    (lora,) = (read_declaration(folder) for folder in FOLDERS if folder.name == "lora_fine_tune")
    assert lora.invalid_values("train.py", {"learning_rate": "1e-4", "lora_rank": 8, "unknown": "x"}) is None
    said = lora.invalid_values("train.py", {"learning_rate": "banana", "lora_rank": 0, "lr_scheduler_type": "sine"})
    assert present(said).count(": expected ") == 3  # one of each argument, with the nearest choice after it
    for words in ("--learning_rate: expected a number, got 'banana'", "--lora_rank", "'linear' or 'cosine'"):
        assert words in present(said)


def test_the_file_is_written_by_a_command(tmp_path: Path) -> None:
    for name in ("train", "evaluate"):
        script = tmp_path / {"train": "train.py", "evaluate": "eval.py"}[name]
        model = "TrainArguments" if name == "train" else "EvaluationArguments"
        script.write_text(f"from genies.contract import {model}\ndef {name}(args: {model}) -> None: ...\n")
    command = [sys.executable, "-m", "genies.declaration", str(tmp_path)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    written = read_declaration(tmp_path)
    assert present(written.train_arguments).keys() == TrainArguments.model_fields.keys() - CONTRACT_NAMES
    assert written.without_effect_in_32_bits == {"batch_tokens"}
    assert written.tunes
    (tmp_path / "eval.py").unlink()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
