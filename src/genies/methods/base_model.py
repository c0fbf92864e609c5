"""Record the base model of a tuned model in a JSON file in the tuned model's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from genies.adapter_base import BASE_RECORD, recorded_base_model
from genies.errors import InputError
from genies.files import read_json, write_json
from genies.lm.arguments import ModelArguments
from genies.lm.text_format import TextFormat, training_format

FILE_NAME = BASE_RECORD


def write_base_model(output_dir: Path, model_dir: Path) -> None:
    """Record the base model in a tuned model's folder."""
    write_json(output_dir / FILE_NAME, {"base_model_dir": str(model_dir)})


def untrained_format(arguments: ModelArguments, model_dir: Path) -> TextFormat:
    """The prompt format of an intervention that trains nothing. The tokenizer is loaded only for chat format."""
    if arguments.prompt_format != "chat":
        return training_format(arguments, None)
    from genies.lm.model import load_tokenizer

    return training_format(arguments, load_tokenizer(model_dir))


def base_model_dir(model_dir: Path) -> Path:
    """The base model of a tuned model's folder; an untuned model is its own base model."""
    recorded = recorded_base_model(model_dir)
    if recorded is None:
        if (model_dir / "config.json").is_file():
            return model_dir
        raise InputError(
            f"--model_dir {model_dir} contains neither {FILE_NAME} (a tuned model) nor config.json (an untuned model)"
        )
    return recorded


def read_record(folder: Path, file_name: str, what: str) -> Any:
    """The JSON record of an intervention in a tuned model's folder; `what` is its name in messages."""
    path = folder / file_name
    if not path.exists() and (folder / "config.json").is_file():
        raise InputError(
            f"{folder} is an untuned model, but this intervention needs a model tuned by its train.py; create one with "
            "python api/train.py"
        )
    return read_json(path, what)
