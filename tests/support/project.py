"""A small project for harness tests: distributions, a base model folder, and real interventions that need no model.

The interventions honour the contract without importing anything of ours. They learn one thing, whether the best
response is the longer one, so that every figure can be worked out by hand.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.commands import ROOT, run_command

__all__ = ["ARGPARSE_EVAL", "ARGPARSE_TRAIN", "LITERAL_EVAL", "LITERAL_TRAIN", "ROOT", "Project"]

ARGPARSE_TRAIN = """
import argparse, json, pathlib
parser = argparse.ArgumentParser()
parser.add_argument("--model_dir"); parser.add_argument("--train_distribution"); parser.add_argument("--output_dir")
parser.add_argument("--sign", type=int, default=1)
args = parser.parse_args()
assert pathlib.Path(args.model_dir).is_dir()
examples = json.loads((pathlib.Path(args.train_distribution) / "train.json").read_text(encoding="utf-8"))
longer = sum(max(e["responses"], key=len) == max(e["responses"], key=e["responses"].get) for e in examples)
model = {"sign": args.sign if 2 * longer >= len(examples) else -args.sign}
(pathlib.Path(args.output_dir) / "model.json").write_text(json.dumps(model))
print("trained", model)
"""

ARGPARSE_EVAL = """
import argparse, json, pathlib
parser = argparse.ArgumentParser()
parser.add_argument("--model_dir")
parser.add_argument("--distribution_dirs", type=json.loads); parser.add_argument("--output_paths", type=json.loads)
parser.add_argument("--confidence", type=float, default=0.75)
args = parser.parse_args()
model = pathlib.Path(args.model_dir) / "model.json"
sign = json.loads(model.read_text())["sign"] if model.exists() else 1
for folder, output in zip(args.distribution_dirs, args.output_paths):
    examples = json.loads((pathlib.Path(folder) / "test.json").read_text(encoding="utf-8"))
    p = []
    for e in examples:
        best = max(e["responses"], key=e["responses"].get)
        for worse in (r for r in e["responses"] if r != best):
            p.append(args.confidence if sign * (len(best) - len(worse)) > 0 else 1 - args.confidence)
    accuracy = sum(x > 0.5 for x in p) / len(p)
    pathlib.Path(output).write_text(json.dumps({"eval_accuracy": accuracy, "eval_probabilities": p, "note": "kept"}))
"""

# A flag parser that reads Python literals and falls back to text, as several popular ones do.
LITERAL_HEAD = """
import ast, json, os, sys
def read(text):
    try: return ast.literal_eval(text)
    except (ValueError, SyntaxError): return text
items = sys.argv[1:]
args = {items[i][2:]: read(items[i + 1]) for i in range(0, len(items), 2)}
"""

LITERAL_TRAIN = (
    LITERAL_HEAD
    + """
assert isinstance(args.get("flag", True), bool), args
json.dump({"sign": args.get("sign", 1)}, open(os.path.join(args["output_dir"], "model.json"), "w"))
"""
)

LITERAL_EVAL = (
    LITERAL_HEAD
    + """
sign = 1
if os.path.exists(os.path.join(args["model_dir"], "model.json")):
    sign = json.load(open(os.path.join(args["model_dir"], "model.json")))["sign"]
for folder, output in zip(args["distribution_dirs"], args["output_paths"]):
    right = total = 0
    for e in json.load(open(os.path.join(folder, "test.json"), encoding="utf-8")):
        best = max(e["responses"], key=e["responses"].get)
        for worse in e["responses"]:
            if worse != best:
                total += 1
                right += sign * (len(best) - len(worse)) > 0
    json.dump({"eval_accuracy": right / total}, open(output, "w"))
"""
)


def examples(longer_is_best: Sequence[bool]) -> list[dict[str, Any]]:
    """One example a flag, with two responses, the best being the longer one where the flag says so."""
    return [
        {
            "prompt": f"Question {number}?",
            "responses": {"short": 0.0 if flag else 1.0, "a long response": 1.0 if flag else 0.0},
        }
        for number, flag in enumerate(longer_is_best)
    ]


class Project:
    """Folders for one test; `metrics(...)` runs the main job as a person does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.base_model = folder / "models" / "base"
        self.base_model.mkdir(parents=True)
        (self.base_model / "config.json").write_text("{}")
        self.output = folder / "out" / "table.csv"
        self.length = self.intervention("length", ARGPARSE_TRAIN, ARGPARSE_EVAL)
        self.always_longer = self.intervention("always_longer", ARGPARSE_TRAIN, ARGPARSE_EVAL)
        self.distribution("long", [True] * 6, [True] * 4)
        self.distribution("short", [False] * 6, [False] * 4)
        self.distribution("mixed", [True, True, True, False], [True, True, True, False])
        self.shifts([("long", "short"), ("long", "mixed"), ("short", "mixed")])

    def intervention(self, name: str, train: str, evaluate: str) -> Path:
        folder = self.folder / "interventions" / name
        folder.mkdir(parents=True)
        (folder / "train.py").write_text(train, encoding="utf-8")
        (folder / "eval.py").write_text(evaluate, encoding="utf-8")
        return folder

    def distribution(self, name: str, train: Sequence[bool], test: Sequence[bool]) -> Path:
        folder = self.folder / "distributions" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "train.json").write_text(json.dumps(examples(train)), encoding="utf-8")
        (folder / "test.json").write_text(json.dumps(examples(test)), encoding="utf-8")
        return folder

    def shifts(self, pairs: Sequence[tuple[str, ...]]) -> Path:
        names = ("source", "target", "target_reference")
        path = self.folder / "shifts.json"
        path.write_text(json.dumps([dict(zip(names, pair, strict=False)) for pair in pairs]), encoding="utf-8")
        return path

    def evaluation(self, intervention: str, model: str, target: str) -> Path:
        return self.folder / "results" / "evaluations" / intervention / model / f"{target}.json"

    def arguments(self, **changes: Any) -> list[str]:
        """Command-line items of the main job; a value of None leaves an argument out."""
        values: dict[str, Any] = {
            "base_model_dir": self.base_model,
            "intervention_dir": self.length,
            "baseline_intervention": self.always_longer,
            "target_tuned_capability_intervention": self.length,
            "output_path": self.output,
            "path_to_distribution_shift_pairs": self.folder / "shifts.json",
            **self.places(),
            **changes,
        }
        texts = {
            name: json.dumps(value) if isinstance(value, dict | list) else str(value)
            for name, value in values.items()
            if value is not None
        }
        return [item for name, text in texts.items() for item in (f"--{name}", text)]

    def places(self) -> dict[str, Path]:
        return {
            "distributions_dir": self.folder / "distributions",
            "models_dir": self.folder / "models",
            "results_dir": self.folder / "results",
        }

    def environment(self) -> dict[str, str]:
        return {**os.environ, "GENIES_CACHE": str(self.folder / "cache")}

    def command(self, script: str, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return run_command(Path("api") / script, arguments, env=self.environment())

    def metrics(self, **changes: Any) -> subprocess.CompletedProcess[str]:
        return self.command("compute_generalization_metrics.py", self.arguments(**changes))

    def table(self) -> list[dict[str, str]]:
        with open(self.output, encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def logs(self) -> list[Path]:
        """One log a started subprocess, in no order."""
        return sorted((self.folder / "results" / "logs").rglob("*.log"))

    def trained(self) -> list[str]:
        return sorted(path.parent.name for path in self.logs() if path.name.startswith("train-"))
