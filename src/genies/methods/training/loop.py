"""The training loop: one gradient step per batch of pairs."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genies.errors import InputError
from genies.lm.attention import attending
from genies.lm.divided import whole
from genies.methods.training.arguments import TrainingArguments
from genies.methods.training.checkpoints import Progress, restore_checkpoint, save_checkpoint
from genies.methods.training.dropout import current_draw, drawing
from genies.methods.training.gradients import Trainee, step_gradients
from genies.methods.training.pairs import TrainingData, TrainingPair, pairs_of_step
from genies.methods.training.record import Record

DEFAULT_BATCH_TOKENS = {"cpu": 768, "cuda": 4096}
"""Tokens in one forward and backward pass."""


class Diverged(InputError):
    """The loss, a gradient or a weight is not finite."""


def make_accelerator(arguments: TrainingArguments) -> Any:
    """The Accelerator, which must be created before a model is loaded.

    With several processes, each has its own device. Raises InputError if there are fewer GPUs than processes.
    """
    from accelerate import Accelerator

    needed, found = int(os.environ.get("LOCAL_WORLD_SIZE", "1")), torch.cuda.device_count()
    if arguments.device != "cpu" and 0 < found < needed:
        raise InputError(
            f"--processes_per_step {needed}: expected a GPU for each process, found {found}; use --processes_per_step "
            f"{found}, leave out --gpus, which gives a job one GPU, or use --device cpu"
        )
    return Accelerator(cpu=arguments.device == "cpu" or not torch.cuda.is_available(), mixed_precision="no")


def train(
    trainee: Trainee,
    data: TrainingData,
    arguments: TrainingArguments,
    accelerator: Any,
    output_dir: Path,
    mark: str,
    dtype: torch.dtype,
    measure: Callable[[int], Mapping[str, float]] = lambda step: {},
) -> list[dict[str, Any]]:
    """Tune the trainee's parameters in place; returns the log, one entry per step.

    The loss of a step is the mean of `trainee.loss` over its pairs.

    `dtype` is that of matrix products; `mark` identifies this training in checkpoints; `measure` is called with the
    number of finished steps and returns more values for the log. Raises Diverged if a loss, a gradient or a weight is
    not finite.
    """
    parameters = list(trainee.parameters.values())
    optimizer = torch.optim.AdamW(
        parameters, lr=arguments.learning_rate, weight_decay=arguments.weight_decay, fused=True
    )
    scaler = torch.amp.GradScaler(trainee.model.device.type, enabled=dtype == torch.float16)
    progress = restore_checkpoint(output_dir, mark, trainee.parameters, optimizer)
    if progress.step:
        scaler.load_state_dict(progress.scaler)
        if accelerator.is_main_process:
            print(f"continuing after step {progress.step}", file=sys.stderr)
    record = Record(
        output_dir, arguments.num_train_steps, arguments.tensorboard, accelerator.is_main_process, progress.log
    )
    budget = arguments.batch_tokens or DEFAULT_BATCH_TOKENS[trainee.model.device.type]
    try:
        for step in range(progress.step, arguments.num_train_steps):
            started = time.monotonic()
            chosen = pairs_of_step(step, len(data.pairs), arguments.per_device_train_batch_size, arguments.seed)
            batch = [data.pairs[index] for index in chosen]
            scores, budget = step_gradients(trainee, batch, step, arguments.seed, budget, accelerator, scaler, dtype)
            labels = torch.tensor([pair.label for pair in batch], dtype=torch.float64)
            losses = trainee.loss(scores, labels, step)
            _check_finite(losses, batch, step, data.source, arguments)
            scaler.unscale_(optimizer)
            norm = whole(torch.nn.utils.clip_grad_norm_(parameters, arguments.max_grad_norm))
            if not math.isfinite(norm) and dtype != torch.float16:
                raise _not_finite("gradient", [pair.example_index for pair in batch], step, data.source, arguments)
            rate = arguments.learning_rate * learning_rate_factor(step, arguments)
            for group in optimizer.param_groups:
                group["lr"] = rate
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad(set_to_none=True)
            entry = {
                "step": step + 1,
                "pairs": (step + 1) * len(batch),
                "loss": float(losses.mean()),
                "accuracy": pair_accuracy(scores, labels),
                "mean_score": float(scores[:, :, 0].mean()),
                "learning_rate": rate,
                "gradient_norm": float(norm) if math.isfinite(norm) else None,
                "tokens_per_second": round(_tokens(batch) / (time.monotonic() - started), 1),
                **measure(step + 1),
            }
            record.add(entry)
            due = arguments.save_steps and (step + 1) % arguments.save_steps == 0
            if (due or step + 1 in arguments.keep_steps) and step + 1 < arguments.num_train_steps:
                now = Progress(step + 1, record.entries, scaler.state_dict())
                save_checkpoint(
                    output_dir, now, mark, trainee.parameters, optimizer, accelerator.is_main_process,
                    arguments.keep_steps,
                )  # fmt: skip
                accelerator.wait_for_everyone()
        # No later loss shows whether the last step made weights infinite.
        if not all(math.isfinite(whole(torch.linalg.vector_norm(each.detach()))) for each in parameters):
            raise _not_finite(_WEIGHTS, [pair.example_index for pair in batch], step, data.source, arguments)
    finally:
        record.close()
    return record.entries


def learning_rate_factor(step: int, arguments: TrainingArguments) -> float:
    """Factor of the learning rate in step number `step`, from 0.

    It rises linearly in the warm-up and reaches 1 in its last step.
    """
    warm_up = math.ceil(arguments.warmup_ratio * arguments.num_train_steps)
    if step < warm_up:
        return (step + 1) / warm_up
    done = (step - warm_up) / max(1, arguments.num_train_steps - warm_up)
    if arguments.lr_scheduler_type == "linear":
        return 1 - done
    return (1 + math.cos(math.pi * done)) / 2 if arguments.lr_scheduler_type == "cosine" else 1.0


def pair_accuracy(scores: Tensor, labels: Tensor) -> float:
    """Share of pairs, of scores [pairs, 2, columns], with a positive margin of the first column; a tie counts half.

    Pairs of equally good responses, whose label is 0.5, do not count.
    """
    margins = scores[:, 0, 0] - scores[:, 1, 0]
    counted = margins[labels != 0.5]
    right = (counted > 0).double() + (counted == 0).double() / 2
    return float(right.mean()) if len(counted) else 0.5


def _check_finite(
    losses: Tensor, batch: Sequence[TrainingPair], step: int, source: Path, arguments: TrainingArguments
) -> None:
    faulty = [pair.example_index for pair, loss in zip(batch, losses.tolist(), strict=True) if not math.isfinite(loss)]
    if faulty:
        raise _not_finite("loss", faulty, step, source, arguments)


_WEIGHTS = "norm of the tuned weights"


def _not_finite(what: str, examples: list[int], step: int, source: Path, arguments: TrainingArguments) -> Diverged:
    shown = ", ".join(map(str, sorted(set(examples))[:20]))
    hint = "try --dtype float32, or check the model's weights"
    if step or what == _WEIGHTS:
        hint = f"try a --learning_rate below {arguments.learning_rate:g}, or --dtype float32"
    return Diverged(f"training step {step + 1}: the {what} is not finite for examples {shown} of {source}; {hint}")


def _tokens(batch: Sequence[TrainingPair]) -> int:
    return sum(len(pair.best.ids) + len(pair.worse.ids) for pair in batch)


def enable_gradient_checkpointing(decoder: Any) -> None:
    """Make every block compute its activations again in the backward pass.

    The backward pass may run in another thread, so the context of the forward pass is restored there.
    """

    def contexts() -> tuple[Any, Any]:
        return nullcontext(), _forward_context()

    decoder.activation_checkpointing_enable({"use_reentrant": False, "context_fn": contexts})
    for module in decoder.modules():
        if getattr(module, "gradient_checkpointing", False):
            # Only the block: its parts stay in evaluation mode, without dropout.
            module.training = True


def _forward_context() -> Any:
    draw = current_draw()

    @contextmanager
    def contexts() -> Iterator[None]:
        with attending(draw.row) if draw is not None and draw.row is not None else nullcontext(), drawing(draw):
            yield

    return contexts()
