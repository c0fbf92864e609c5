"""Small distributions, arguments and plain forward passes for the tests of reward training."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

import torch

from genies.command_line import parse

ROOT = Path(__file__).resolve().parents[2]

_TOPICS = ["rivers", "the number 42", "Paris", "warm water", "a true answer", "größere Äpfel", "the sun", "cafés"]


def write_distribution(folder: Path, examples: int = 8, responses: int = 2, long_at: int | None = None) -> Path:
    """A distribution whose best response says so in words; `long_at` names an example too long for a tiny model."""
    splits = {}
    for split, offset in (("train", 0), ("test", 3)):
        items = []
        for index in range(examples):
            topic = _TOPICS[(index + offset) % len(_TOPICS)]
            prompt = f"### Instruction: Say something about {topic}, please ({index}).\n### Response:"
            best = f" It is true that {topic} can be had in {index} ways." + " And so on." * (index % 3)
            worse = [f" It is {kind} 30 degrees." + " No!" * (index % 2) for kind in ("not", "naïve,", "\n")]
            texts = {best: 1.0, **dict.fromkeys(worse[: responses - 1], 0.0)}
            if index % 2:
                texts = dict(reversed(texts.items()))
            if split == "train" and index == long_at:
                prompt = "naïve " * 400
            items.append({"prompt": prompt, "responses": texts})
        splits[split] = items
    folder.mkdir(parents=True, exist_ok=True)
    for split, items in splits.items():
        (folder / f"{split}.json").write_text(json.dumps(items), encoding="utf-8")
    return folder


def script(intervention: str, name: str) -> ModuleType:
    """src/interventions/<intervention>/<name>.py as a module."""
    path = ROOT / "src" / "interventions" / intervention / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"{intervention}_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where pydantic looks up the names of annotations
    spec.loader.exec_module(module)
    return module


def train_items(model: Path, source: Path, output: Path, **kwargs: Any) -> list[str]:
    """Command-line items of a training step."""
    values = {"model_dir": model, "train_distribution": source, "output_dir": output, "device": "cpu", **kwargs}
    return [item for name, value in values.items() for item in (f"--{name}", str(value))]


def train(intervention: str, model: Path, source: Path, output: Path, **kwargs: Any) -> list[dict[str, Any]]:
    """Run train.py in this process; its log."""
    module = script(intervention, "train")
    (arguments,) = [each for each in get_type_hints(module.train).values() if each is not type(None)]
    module.train(parse(arguments, train_items(model, source, output, **kwargs)))
    return read_log(output)


def read_log(output: Path) -> list[dict[str, Any]]:
    """The entries of training_log.jsonl, without their speed."""
    lines = (output / "training_log.jsonl").read_text(encoding="utf-8").splitlines()
    entries = [json.loads(line) for line in lines]
    for entry in entries:
        entry.pop("tokens_per_second")
    return entries


def evaluate(intervention: str, model: Path, folders: Sequence[Path], output: Path, **kwargs: Any) -> list[Any]:
    """Run eval.py in this process; the evaluations."""
    module = script(intervention, "eval")
    (arguments,) = [each for each in get_type_hints(module.evaluate).values() if each is not type(None)]
    paths = [output / f"{place}.json" for place in range(len(folders))]
    values = {
        "model_dir": model,
        "distribution_dirs": json.dumps([str(folder) for folder in folders]),
        "output_paths": json.dumps([str(path) for path in paths]),
        "device": "cpu",
        **kwargs,
    }
    items = [item for name, value in values.items() for item in (f"--{name}", str(value))]
    module.evaluate(parse(arguments, items))
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def watched(function: Callable[..., Any], seen: list[Any]) -> Callable[..., Any]:
    """The function, which also appends its positional arguments to `seen`."""

    def call(*given: Any, **more: Any) -> Any:
        seen.append(given)
        return function(*given, **more)

    return call


def plain_reward(network: Any, ids: Sequence[int]) -> torch.Tensor:
    """The reward by transformers' (or PEFT's) own forward pass of one sequence."""
    reward: torch.Tensor = network(input_ids=torch.tensor([list(ids)])).logits[0, 0]
    return reward


def code_on_the_card(folder: Path) -> str:
    """The Python code in a tuned model's card."""
    return (folder / "README.md").read_text(encoding="utf-8").partition("```python\n")[2].partition("\n```")[0]
