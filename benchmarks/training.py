"""Speed of reward training against TRL's RewardTrainer: the same pairs, LoRA configuration, batch of pairs, initial
weights and machine, in one run. Needs the extra `bench`: pip install -e '.[bench]'.

python benchmarks/training.py --model_dir models/SmolLM2-135M-Instruct \
    --sources '["distributions/alpaca_low_quality", "distributions/us_history_textbook"]'
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from genies.command_line import Arguments, run, validate
from genies.errors import InputError

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")


class BenchmarkArguments(Arguments):
    """Train a few steps with this project and with TRL, and compare."""

    model_dir: Path = Path("models/SmolLM2-135M-Instruct")
    """Base model."""
    sources: list[Path]
    """Folders of the source distributions."""
    steps: Annotated[int, Field(ge=1)] = 3
    """Steps that are timed, after one that is not."""
    pairs: Annotated[int, Field(ge=1)] = 16
    """Pairs in a step."""
    trl_micro_batch: Annotated[int, Field(ge=1)] = 16
    """Pairs in one forward pass of TRL, a divisor of --pairs. Fewer need less padding and less memory."""
    trl_gradient_checkpointing: bool = True
    """TRL's default, without which 16 pairs of long texts take some 40 GiB; False is faster where they fit."""
    lora_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Dropout of the adapters, in both."""
    check: bool = False
    """Fail unless every source is at least 2.2 times as fast and the first losses agree to 1e-3."""


class Clock:
    """Wall and processor seconds of each step."""

    def __init__(self) -> None:
        self.steps: list[tuple[float, float]] = []
        self._last = (0.0, 0.0)

    def start(self) -> None:
        self._last = time.monotonic(), time.process_time()

    def lap(self) -> None:
        now = time.monotonic(), time.process_time()
        self.steps.append((now[0] - self._last[0], now[1] - self._last[1]))
        self._last = now


def benchmark(args: BenchmarkArguments) -> int:
    """One line of JSON a source."""
    try:
        import datasets  # noqa: F401
        import trl
    except ImportError as error:
        raise InputError(f"{error}; install the extra: pip install -e '.[bench]'") from None
    import torch

    slow = []
    for source in args.sources:
        ours, our_loss = _timed(lambda clock, source=source: _ours(args, source, clock))
        theirs, their_loss = _timed(lambda clock, source=source: _trl(args, source, clock))
        wall, processor = (
            sum(step[kind] for step in theirs[1:]) / sum(step[kind] for step in ours[1:]) for kind in (0, 1)
        )
        result = {
            "source": source.name,
            "pairs_per_second": round(args.steps * args.pairs / sum(step[0] for step in ours[1:]), 3),
            "pairs_per_second_trl": round(args.steps * args.pairs / sum(step[0] for step in theirs[1:]), 3),
            "times_as_fast": round(wall, 2),
            "times_as_fast_in_processor_seconds": round(processor, 2),
            "first_loss": our_loss,
            "first_loss_trl": their_loss,
            "trl_micro_batch": args.trl_micro_batch,
            "trl_gradient_checkpointing": args.trl_gradient_checkpointing,
            "threads": torch.get_num_threads(),
            "trl": trl.__version__,
            "torch": torch.__version__,
        }
        print(json.dumps(result), flush=True)
        if wall < 2.2 or abs(our_loss - their_loss) > 1e-3:
            slow.append(source.name)
    if args.check and slow:
        raise InputError(f"not 2.2 times as fast as TRL, or of another first loss: {', '.join(slow)}")
    return 0


def _timed(body: Callable[[Clock], float]) -> tuple[list[tuple[float, float]], float]:
    clock = Clock()
    loss = body(clock)
    return clock.steps, loss


def _arguments(args: BenchmarkArguments, source: Path, output: Path) -> Any:
    from genies.methods.training.arguments import LoraArguments

    values = {
        "model_dir": args.model_dir,
        "train_distribution": source,
        "output_dir": output,
        "num_train_steps": args.steps + 1,
        "per_device_train_batch_size": args.pairs,
        "lora_dropout": args.lora_dropout,
        "dtype": "float32",
        "save_steps": 0,
    }
    return validate(LoraArguments, values)


def _start(args: BenchmarkArguments, source: Path, output: Path) -> tuple[Any, Any, Any]:
    """Arguments, the reward model with a fresh head, and its training data."""
    from genies.methods.training.pairs import read_training_data
    from genies.methods.training.quantization import load_base_model
    from genies.methods.training.reward_model import add_head

    arguments = _arguments(args, source, output)
    model = add_head(load_base_model(args.model_dir, arguments, False), arguments.seed)
    language_model = model.language_model
    data = read_training_data(source, None, arguments.seed, language_model.tokenizer, language_model.context_length)
    return arguments, model, data


def _ours(args: BenchmarkArguments, source: Path, clock: Clock) -> float:
    import torch

    from genies.methods.training import loop
    from genies.methods.training.adapters import add_lora
    from genies.methods.training.tuning import reward_trainee

    class TimedRecord(loop.Record):
        def add(self, entry: dict[str, Any]) -> None:
            super().add(entry)
            clock.lap()

    with tempfile.TemporaryDirectory() as folder:
        arguments, model, data = _start(args, source, Path(folder))
        tuned = add_lora(model.classifier, arguments, args.model_dir, "SEQ_CLS")
        accelerator = loop.make_accelerator(arguments)
        plain, loop.Record = loop.Record, TimedRecord  # type: ignore[misc]
        try:
            clock.start()
            trainee = reward_trainee(model, tuned)
            log = loop.train(trainee, data, arguments, accelerator, Path(folder), "", torch.float32)
        finally:
            loop.Record = plain  # type: ignore[misc]
    return float(log[0]["loss"])


def _trl(args: BenchmarkArguments, source: Path, clock: Clock) -> float:
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForSequenceClassification, TrainerCallback
    from trl import RewardConfig, RewardTrainer

    from genies.methods.training.pairs import pairs_of_step
    from genies.methods.training.reward_model import padding_id

    class Laps(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            clock.start()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.lap()

    with tempfile.TemporaryDirectory() as folder:
        arguments, model, data = _start(args, source, Path(folder))
        tokenizer = model.language_model.tokenizer
        padding = padding_id(tokenizer, model.classifier)
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(padding)
        network = AutoModelForSequenceClassification.from_pretrained(
            args.model_dir, num_labels=1, pad_token_id=padding, dtype=torch.float32
        )
        with torch.no_grad():
            network.score.weight.copy_(model.head.weight)
        size = args.steps + 1
        chosen = [data.pairs[i] for step in range(size) for i in pairs_of_step(step, len(data.pairs), args.pairs, 0)]
        dataset = Dataset.from_dict(
            {
                "chosen_ids": [list(pair.best.ids) for pair in chosen],
                "rejected_ids": [list(pair.worse.ids) for pair in chosen],
            }
        )
        config = RewardConfig(
            output_dir=folder,
            max_steps=size,
            per_device_train_batch_size=args.trl_micro_batch,
            gradient_accumulation_steps=args.pairs // args.trl_micro_batch,
            learning_rate=arguments.learning_rate,
            lr_scheduler_type="constant",
            max_grad_norm=arguments.max_grad_norm,
            weight_decay=0.0,
            max_length=None,
            train_sampling_strategy="sequential",
            gradient_checkpointing=args.trl_gradient_checkpointing,
            disable_dropout=False,
            bf16=False,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        lora = LoraConfig(
            task_type="SEQ_CLS",
            r=arguments.lora_rank,
            lora_alpha=arguments.lora_alpha,
            lora_dropout=arguments.lora_dropout,
            target_modules="all-linear",
            modules_to_save=["score"],
        )
        trainer = RewardTrainer(
            model=network,
            args=config,
            train_dataset=dataset,
            processing_class=tokenizer,
            peft_config=lora,
            callbacks=[Laps()],
        )
        trainer.train()
        return float(next(entry["loss"] for entry in trainer.state.log_history if "loss" in entry))


if __name__ == "__main__":
    run(benchmark)
