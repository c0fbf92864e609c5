"""Interventions' scripts run in this process, and small distributions for them."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import genies.contract
import genies.evaluation_file
from genies.command_line import parse

INTERVENTIONS = Path(__file__).parents[2] / "src" / "interventions"


def load_script(intervention: str, script: str) -> ModuleType:
    """A script as a module of its own name, its body not run."""
    import importlib.util

    name = f"{intervention}_{script}"
    spec = importlib.util.spec_from_file_location(name, INTERVENTIONS / intervention / f"{script}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def train(intervention: str, model: Path, source: Path, output: Path, **kwargs: Any) -> Path:
    """Run train.py with arguments as the harness passes them; the output folder."""
    output.mkdir(parents=True, exist_ok=True)
    _run(
        load_script(intervention, "train"),
        "train",
        genies.contract.train_items(str(model), str(source), str(output), kwargs),
    )
    return output


def evaluate(
    intervention: str, model: Path, distributions: Sequence[Path], output: Path, **kwargs: Any
) -> list[dict[str, Any]]:
    """Run eval.py; the evaluations it wrote."""
    paths = [output / f"{place}.json" for place in range(len(distributions))]
    items = genies.contract.evaluation_items(str(model), list(map(str, distributions)), list(map(str, paths)), kwargs)
    _run(load_script(intervention, "eval"), "evaluate", items)
    return [genies.evaluation_file.read_evaluation(path)[1] for path in paths]


def _run(module: ModuleType, body: str, items: list[str]) -> None:
    function = getattr(module, body)
    model = next(iter(__import__("typing").get_type_hints(function).values()))
    function(parse(model, items))


def write_distribution(folder: Path, train: list[dict[str, Any]], test: list[dict[str, Any]]) -> Path:
    folder.mkdir(parents=True)
    for name, examples in (("train", train), ("test", test)):
        (folder / f"{name}.json").write_text(json.dumps(examples))
    return folder


def planted_examples(count: int, seed: int, responses: int = 2) -> list[dict[str, Any]]:
    """Examples whose best response says true and whose worse ones say warm, in any order, and as long as each other."""
    draw = random.Random(seed)
    examples = []
    for index in range(count):
        words = " ".join(draw.choice(["Paris", "water", "numbers", "answer", "30"]) for _ in range(4))
        tails = ["true"] + [f"{'too ' * place}warm" for place in range(responses - 1)]
        texts = [f" {words} is {tail}" for tail in tails]
        labels = dict.fromkeys(texts, 0.0) | {texts[0]: 1.0}
        draw.shuffle(texts)
        examples.append({"prompt": f"Q: {index} {words}?", "responses": {text: labels[text] for text in texts}})
    return examples
