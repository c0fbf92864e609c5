"""Peak memory of steps against the estimate of genies.cost, each step as a separate process on the CPU.

python benchmarks/cost.py [--json FILE]

The texts are made for the benchmark and long enough to fill the token budget.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from findings import report
from measuring import BenchmarkArguments, findings_of
from pydantic import Field
from steps import run_step, thread_count

from genies.command_line import run
from genies.cost import Step, estimate
from genies.files import read_json

STEPS: dict[str, tuple[str, Step, dict[str, Any]]] = {
    "zero_shot": ("zero_shot/eval.py", Step(), {}),
    "lora_fine_tune": ("lora_fine_tune/train.py", Step("adapter"), {}),
    "lora_fine_tune, gradient_checkpointing": (
        "lora_fine_tune/train.py", Step("adapter", gradient_checkpointing=True), {"gradient_checkpointing": True},
    ),
    "prompt_tuning": ("prompt_tuning/train.py", Step("prompt"), {}),
    "full_fine_tune": ("full_fine_tune/train.py", Step("all"), {}),
}  # fmt: skip
TRAINING = {"num_train_steps": 2, "per_device_train_batch_size": 3, "save_steps": 0}


class CostArguments(BenchmarkArguments):
    """Compare estimated with measured peaks of memory."""

    budgets: list[int] = Field(default=[256, 768])
    """Values of batch_tokens."""
    steps: list[str] = Field(default=list(STEPS))
    """Steps to run."""
    words: int = 240
    """Words of a prompt. With 240 and the default model, a pair has 255 tokens: one fills 256, three fill 768."""


def write_texts(folder: Path, words: int) -> Path:
    """A distribution of eight examples with long prompts."""
    folder.mkdir()
    examples = [
        {
            "prompt": f"Question {number}: "
            + " ".join(["river", "stone", "cloud", "green"][: words % 4 + 3] * words)[: 6 * words],
            "responses": {"It is right.": 1.0, "That was wrong.": 0.0},
        }
        for number in range(8)
    ]
    for split in ("train", "test"):
        (folder / f"{split}.json").write_text(json.dumps(examples), encoding="utf-8")
    return folder


def benchmark(arguments: CostArguments) -> int:
    """Measure the peak memory of each step at each token budget."""
    findings = findings_of(arguments, "Estimated memory", thread_count(arguments))
    config = read_json(arguments.base_model_dir / "config.json", "model configuration")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        texts = write_texts(folder / "texts", arguments.words)
        for title in arguments.steps:
            script, step, extra = STEPS[title]
            for budget in arguments.budgets:
                output = folder / f"{title} {budget}"
                output.mkdir()
                model = str(arguments.base_model_dir.resolve())
                items: dict[str, Any] = {"model_dir": model, "batch_tokens": budget, "device": "cpu", **extra}
                if script.endswith("train.py"):
                    items |= {"train_distribution": str(texts), "output_dir": str(output), **TRAINING}
                else:
                    items |= {"distribution_dirs": [str(texts)], "output_paths": [str(output / "texts.json")]}
                measured = run_step(arguments, script, items, folder, folder / "cache").peak_gigabytes
                expected = estimate(config, replace(step, batch_tokens=budget))
                assert expected is not None
                case = f"{title}, {budget} tokens"
                findings.add(case, "estimated memory", expected.memory / 1e9, "GB")
                findings.add(case, "peak memory", measured, "GB")
                findings.add(case, "estimate over peak", expected.memory / 1e9 / measured)
    return report(arguments, findings)


if __name__ == "__main__":
    run(benchmark)
