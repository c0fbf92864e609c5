"""Speed of reward training compared with TRL's RewardTrainer, with the same pairs, LoRA configuration, batch of pairs,
initial weights and machine, in one run. Needs the extra `bench`: pip install -e '.[bench]'.

python benchmarks/training.py --distributions_dir distributions [--json FILE]

TRL runs with its defaults (a whole batch in one pass, gradient checkpointing) and with the fastest of several settings
for this machine (few pairs in one pass, no checkpointing). Each runs one untimed step first; then they alternate.
"""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any

from findings import Findings, Target, report
from measuring import (
    BenchmarkArguments,
    alternate,
    block_weights,
    findings_of,
    load,
    matmul_pass,
    model_operations,
    seen_pairs,
    tree_tokens,
    wait_for_device,
)
from pydantic import Field

from genies.command_line import run, validate
from genies.errors import InputError

os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")


class TrainingArguments(BenchmarkArguments):
    """Train one step of LoRA with this project and with TRL, alternating."""

    sources: list[str] = Field(default=["alpaca_low_quality", "us_history_textbook"])
    """Names of the source distributions."""
    pairs: Annotated[int, Field(ge=1)] = 16
    """Number of pairs in a step."""
    trl_micro_batches: list[int] = Field(default=[2, 4])
    """Numbers of pairs in one forward pass of TRL to try, without gradient checkpointing; divisors of --pairs."""
    lora_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Dropout of the adapters."""


@dataclass(frozen=True)
class Way:
    """How TRL runs a step."""

    micro_batch: int
    checkpointing: bool

    def __str__(self) -> str:
        pairs = f"{self.micro_batch} pairs a pass"
        return f"TRL, {pairs}, {'gradient checkpointing' if self.checkpointing else 'no checkpointing'}"


@dataclass
class Clock:
    """Wall seconds of a step."""

    seconds: float = math.nan
    _started: float = 0.0

    def start(self) -> None:
        wait_for_device()
        self._started = time.perf_counter()

    def stop(self) -> None:
        wait_for_device()
        self.seconds = time.perf_counter() - self._started


Body = Callable[[Clock], float]

TUNED_TARGETS = {"alpaca_low_quality": 4.0, "us_history_textbook": 3.0}
"""By source, how many times as fast as the fastest setting of TRL a step should be."""


def benchmark(arguments: TrainingArguments) -> int:
    """Measure every source."""
    try:
        import datasets  # noqa: F401
        import trl
    except ImportError as error:
        raise InputError(f"{error}; install the extra: pip install -e '.[bench]'") from None
    wrong = [size for size in arguments.trl_micro_batches if size < 1 or arguments.pairs % size]
    if wrong or not arguments.trl_micro_batches:
        raise InputError(f"--trl_micro_batches: expected divisors of --pairs {arguments.pairs}, not {wrong or 'none'}")
    import torch

    import genies.lm.model  # noqa: F401 - before torch: the library sets how threads wait, which torch reads once

    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    findings = findings_of(arguments, f"Reward training (TRL {trl.__version__})", torch.get_num_threads())
    for name in arguments.sources:
        compare(arguments, findings, name)
    return report(arguments, findings)


def compare(arguments: TrainingArguments, findings: Findings, name: str) -> None:
    """All measurements of one source."""
    source = arguments.distributions_dir / name
    default = Way(arguments.pairs, True)
    tuned = [Way(size, False) for size in arguments.trl_micro_batches]
    bodies: dict[str, Body] = {"genies": lambda clock: _ours(arguments, source, clock)}
    bodies |= {str(way): lambda clock, way=way: _trl(arguments, source, way, clock) for way in (default, *tuned)}
    trials, losses = {}, {}
    for each, body in bodies.items():
        trials[each], losses[each] = _timed(body)
    best = min(map(str, tuned), key=lambda each: trials[each])
    rounds: dict[str, list[float]] = {each: [] for each in ("genies", str(default), best)}
    for _ in range(arguments.repeats):
        for each in rounds:
            rounds[each].append(_timed(bodies[each])[0])
    seconds = {each: median(values) for each, values in rounds.items()}
    for each, value in seconds.items():
        findings.add(name, f"pairs per second, {each}", arguments.pairs / value)
    findings.add(
        name, "times as fast as TRL as it comes", seconds[str(default)] / seconds["genies"], "", Target(at_least=2.2)
    )
    tuned_target = Target(at_least=TUNED_TARGETS[name]) if name in TUNED_TARGETS else None
    findings.add(
        name, "times as fast as TRL tuned for this machine", seconds[best] / seconds["genies"], "", tuned_target
    )
    chosen = _pairs(arguments, source)
    rows, unpacked, padded = _tokens(chosen)
    operations, rate = _operations(arguments, source, chosen)
    share = operations / seconds["genies"] / rate
    findings.add(name, "matmul rate of the machine", rate / 1e9, "GFLOPS")
    findings.add(name, "operations, forward and backward, over the matmul rate", share, "", Target(at_least=0.65))
    findings.add(name, "tokens of the pairs' sequences", unpacked)
    findings.add(name, "of them through the model here, shared beginnings once", rows)
    findings.add(name, "with the padding of one batch", padded)
    findings.add(name, "first loss", losses["genies"])
    difference = abs(losses["genies"] - losses[str(default)])
    findings.add(name, "difference from TRL's first loss", difference, "", Target(at_most=1e-3))


def _timed(body: Body) -> tuple[float, float]:
    """Seconds and loss of the step."""
    clock = Clock()
    loss = body(clock)
    return clock.seconds, loss


def _arguments(arguments: TrainingArguments, source: Path, output: Path) -> Any:
    from genies.methods.training.arguments import LoraArguments

    values = {
        "model_dir": arguments.base_model_dir,
        "train_distribution": source,
        "output_dir": output,
        "num_train_steps": 1,
        "per_device_train_batch_size": arguments.pairs,
        "lora_dropout": arguments.lora_dropout,
        "dtype": arguments.dtype,
        "device": arguments.device,
        "save_steps": 0,
    }
    return validate(LoraArguments, values)


def _operations(arguments: TrainingArguments, source: Path, chosen: list[Any]) -> tuple[float, float]:
    """Floating-point operations of a step, and the rate at which the machine multiplies with the model's weights.

    For each token of the trees, the linear layers forward and for the gradient of their inputs (4 operations a weight),
    and the adapters forward, for their inputs and for their weights (6); attention forward and backward.
    """
    from genies.methods.training.loop import DEFAULT_BATCH_TOKENS

    model, _ = load(arguments)
    values = _arguments(arguments, source, Path("unused"))
    weights = block_weights(model)
    adapters = values.lora_rank * sum(sum(weight.shape) for weight in weights)
    trees = [[pair.best.ids, pair.worse.ids] for pair in chosen]
    tokens, seen = sum(map(tree_tokens, trees)), sum(map(seen_pairs, trees))
    attention = model_operations(model, 0, seen, 0)
    operations = tokens * (4 * sum(weight.numel() for weight in weights) + 6 * adapters) + 3 * attention
    multiply, once = matmul_pass(model, DEFAULT_BATCH_TOKENS[arguments.device])
    seconds, _ = alternate({"products": multiply}, 5)
    return operations, once / seconds["products"]


def _pairs(arguments: TrainingArguments, source: Path) -> list[Any]:
    """The pairs of the step."""
    from genies.lm.arguments import ModelArguments
    from genies.lm.model_outline import read_outline
    from genies.methods.training.pairs import pairs_of_step, read_training_data

    outline = read_outline(arguments.base_model_dir, ModelArguments(device=arguments.device))
    data = read_training_data(source, None, 0, outline.tokenizer, outline.context_length)
    return [data.pairs[index] for index in pairs_of_step(0, len(data.pairs), arguments.pairs, 0)]


def _tokens(chosen: list[Any]) -> tuple[int, int, int]:
    """Numbers of tokens of the step's pairs: in prefix trees, in sequences, and in sequences padded to the longest."""
    sequences = [side.ids for pair in chosen for side in (pair.best, pair.worse)]
    trees = sum(tree_tokens([pair.best.ids, pair.worse.ids]) for pair in chosen)
    return trees, sum(map(len, sequences)), len(sequences) * max(map(len, sequences))


def _start(arguments: TrainingArguments, source: Path, output: Path) -> tuple[Any, Any, Any]:
    """Arguments of the intervention, the reward model with a fresh head, and its training data."""
    from genies.methods.training.pairs import read_training_data
    from genies.methods.training.quantization import load_base_model
    from genies.methods.training.reward_model import add_head

    values = _arguments(arguments, source, output)
    model = add_head(load_base_model(arguments.base_model_dir, values, False), values.seed)
    language_model = model.language_model
    data = read_training_data(source, None, values.seed, language_model.tokenizer, language_model.context_length)
    return values, model, data


def _ours(arguments: TrainingArguments, source: Path, clock: Clock) -> float:

    from genies.methods.training import loop
    from genies.methods.training.adapters import add_lora
    from genies.methods.training.tuning import reward_trainee

    class TimedRecord(loop.Record):
        def add(self, entry: dict[str, Any]) -> None:
            super().add(entry)
            clock.stop()

    with tempfile.TemporaryDirectory() as folder:
        values, model, data = _start(arguments, source, Path(folder))
        tuned = add_lora(model.classifier, values, arguments.base_model_dir, "SEQ_CLS")
        accelerator = loop.make_accelerator(values)
        plain, loop.Record = loop.Record, TimedRecord  # type: ignore[misc]
        try:
            clock.start()
            trainee = reward_trainee(model, tuned)
            log = loop.train(trainee, data, values, accelerator, Path(folder), "", model.language_model.dtype)
        finally:
            loop.Record = plain  # type: ignore[misc]
    return float(log[0]["loss"])


def _trl(arguments: TrainingArguments, source: Path, way: Way, clock: Clock) -> float:
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForSequenceClassification, TrainerCallback
    from trl import RewardConfig, RewardTrainer

    from genies.methods.training.pairs import pairs_of_step
    from genies.methods.training.reward_model import padding_id

    class Timing(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            clock.start()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.stop()

    with tempfile.TemporaryDirectory() as folder:
        values, model, data = _start(arguments, source, Path(folder))
        tokenizer = model.language_model.tokenizer
        padding = padding_id(tokenizer, model.classifier)
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(padding)
        network = AutoModelForSequenceClassification.from_pretrained(
            arguments.base_model_dir, num_labels=1, pad_token_id=padding, dtype=model.language_model.dtype
        )
        with torch.no_grad():
            network.score.weight.copy_(model.head.weight)
        chosen = [data.pairs[index] for index in pairs_of_step(0, len(data.pairs), arguments.pairs, values.seed)]
        dataset = Dataset.from_dict(
            {
                "chosen_ids": [list(pair.best.ids) for pair in chosen],
                "rejected_ids": [list(pair.worse.ids) for pair in chosen],
            }
        )
        config = RewardConfig(
            output_dir=folder,
            max_steps=1,
            per_device_train_batch_size=way.micro_batch,
            gradient_accumulation_steps=arguments.pairs // way.micro_batch,
            learning_rate=values.learning_rate,
            lr_scheduler_type="constant",
            max_grad_norm=values.max_grad_norm,
            weight_decay=0.0,
            max_length=None,
            train_sampling_strategy="sequential",
            gradient_checkpointing=way.checkpointing,
            disable_dropout=False,
            bf16=False,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        lora = LoraConfig(
            task_type="SEQ_CLS",
            r=values.lora_rank,
            lora_alpha=values.lora_alpha,
            lora_dropout=values.lora_dropout,
            target_modules="all-linear",
            modules_to_save=["score"],
        )
        trainer = RewardTrainer(
            model=network,
            args=config,
            train_dataset=dataset,
            processing_class=tokenizer,
            peft_config=lora,
            callbacks=[Timing()],
        )
        trainer.train()
        return float(next(entry["loss"] for entry in trainer.state.log_history if "loss" in entry))


if __name__ == "__main__":
    run(benchmark)
