"""Whether the jobs of a plan fit into the memory of their device, and which arguments make them fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeGuard

from genies.cost import VALUE_BYTES, Estimate, Step, estimate, read_shape
from genies.declaration import read_declaration
from genies.errors import InputError
from genies.files import read_json
from genies.harness.decide import Check
from genies.harness.job import Job
from genies.main_job.workload import kept_texts
from genies.processes.hardware import Hardware
from genies.quantities import size

SMALLEST_BUDGET = 256
"""The smallest batch_tokens that is recommended: a batch has at least one text."""

SURE_SHARE = 0.8
"""Share of the memory up to which an estimate is taken as sure: benchmarks/cost.py found 0.82 of a measured peak."""


@dataclass(frozen=True)
class Room:
    """The memory that jobs get."""

    hardware: Hardware
    main: int | None
    """Bytes of main memory of the machine; None if other machines run the jobs."""
    gpu: int | None = None
    """Bytes of memory of a GPU; None if unknown."""
    sharing: int = 1
    """Jobs that share the main memory, and on one GPU its memory."""
    on_each_gpu: int = 1
    """Jobs that share one GPU."""
    processes: int = 1
    """Processes of one training, which divide the model among them; they share main memory, but not GPUs."""


def memory_lines(checks: Sequence[Check], room: Room) -> Iterator[str]:
    """For each kind of job that runs a model, its memory, whether it fits, and if not what to change.

    A kind is a role, a variant and a base model. The largest of its jobs counts. Variants of which the same is true
    share a line.
    """
    largest: dict[tuple[str, str, str], tuple[Estimate, Step, Job]] = {}
    for check in checks:
        step, config = step_of(check, room), _config(check.job)
        found = _estimate(config, step, check.job, room) if step is not None and config is not None else None
        if step is None or found is None:
            continue
        kind = check.job.role, check.job.variant, check.job.identity.base_model
        if kind not in largest or _needed(found, step) > _needed(*largest[kind][:2]):
            largest[kind] = found, step, check.job
    lines: dict[tuple[str, str, str], list[str]] = {}
    for (role, variant, model), (found, step, job) in largest.items():
        said = f"{_parts(found, step)}; {_verdict(found, step, job, room)}"
        lines.setdefault((role, model, said), []).append(variant)
    for (role, model, said), variants in lines.items():
        yield f"memory to {role} {', '.join(variants)} with {model}: {said}"


def step_of(check: Check, room: Room) -> Step | None:
    """What a job does with its model, from its declared arguments; None if it runs none or does not say so."""
    job, kwargs = check.job, check.job.kwargs
    declaration = read_declaration(job.intervention_dir)
    declared = declaration.arguments(job.script.name)
    if declared is None or "dtype" not in declared or not declaration.runs_model:
        return None
    on_gpu = kwargs.get("device") != "cpu" and room.hardware.gpu is not False
    dtype = room.hardware.dtype(kwargs)
    budget, rank = kwargs.get("batch_tokens"), kwargs.get("lora_rank")
    step = Step(
        device="cuda" if on_gpu else "cpu",
        dtype=dtype if dtype in VALUE_BYTES else "bfloat16",
        batch_tokens=budget if _is_count(budget) else None,
        four_bits=kwargs.get("load_in_4bit") is True or kwargs.get("quantization") == "nf4",
    )
    if job.role == "evaluate":
        reads = "read_at" in (declaration.train_arguments or ())
        return replace(step, stored_texts=kept_texts([check])) if reads else step
    if "gradient_checkpointing" in declared:
        return replace(
            step,
            tuned="adapter" if "lora_rank" in declared else "prompt" if "load_in_4bit" in declared else "all",
            gradient_checkpointing=kwargs.get("gradient_checkpointing") is True,
            lora_rank=rank if _is_count(rank) else step.lora_rank,
        )
    return replace(step, stored_texts=kept_texts([check])) if "read_at" in declared else None


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _config(job: Job) -> Mapping[str, Any] | None:
    try:
        value = read_json(job.base_model_dir / "config.json", "model configuration")
    except (InputError, OSError):
        return None
    return value if isinstance(value, dict) else None


def _estimate(config: Mapping[str, Any], step: Step, job: Job, room: Room) -> Estimate | None:
    """The estimate for one process.

    Processes with a GPU each have a part of the optimizer's state and of the weights, and whole the embeddings and the
    two blocks that are computed and gathered; weights in 4 bits stay whole. In main memory, the measured peak of a
    process is not lower than without division.
    """
    found, shape, processes = estimate(config, step), read_shape(config), room.processes
    if found is None or shape is None or job.role != "train" or processes == 1 or step.device == "cpu":
        return found
    found = replace(found, optimizer=-(-found.optimizer // processes))
    if step.four_bits:
        return found
    gathered = (shape.embedding_weights + 2 * shape.linear_weights / shape.depth) / shape.weights
    return replace(found, weights=int(found.weights * min(1.0, 1 / processes + gathered)))


def _needed(found: Estimate, step: Step) -> int:
    """Bytes on the device."""
    return found.memory + (found.store if step.device == "cpu" else 0)


def _parts(found: Estimate, step: Step) -> str:
    names = ["weights", "activations", "optimizer", *(["store"] if step.device == "cpu" else []), "framework"]
    parts = [f"{name} {size(getattr(found, name))}" for name in names if getattr(found, name)]
    return f"about {size(_needed(found, step))} ({', '.join(parts)})"


def _verdict(found: Estimate, step: Step, job: Job, room: Room) -> str:
    on_gpu = step.device == "cuda"
    whole, where = (room.gpu, "the GPU") if on_gpu else (room.main, "main memory")
    if whole is None:
        return f"the size of {where} is unknown"
    if on_gpu and job.kwargs.get("device_map") == "auto":
        return "divided among all GPUs (device_map auto)"
    processes = room.processes if job.role == "train" and not on_gpu else 1
    sharing = room.on_each_gpu if on_gpu else room.sharing
    share = whole // (sharing * processes)
    if _needed(found, step) <= share:
        close = _needed(found, step) > SURE_SHARE * share
        return f"fits in {_of(share, whole, where)}" + (" only if the estimate is exact" if close else "")
    change = _change(job, step, share, room)
    if change is None and sharing * processes > 1 and _needed(found, step) <= whole:
        change = "--slots 1" if sharing > 1 else ""
        change += (" and " if change and processes > 1 else "") + ("--processes_per_step 1" if processes > 1 else "")
    more = ", or more processes with a GPU each (--processes_per_step)" if on_gpu and job.role == "train" else ""
    advice = f"try {change}" if change else f"use a larger device or a smaller model{more}"
    return f"does not fit in {_of(share, whole, where)}; {advice}"


def _of(share: int, whole: int, where: str) -> str:
    each = f", a job's share of {size(whole)}" if share < whole else ""
    return f"{size(share)} of {where}{each}"


def _change(job: Job, step: Step, share: int, room: Room) -> str | None:
    """Arguments with which the job fits: as few as possible, first those that do not change results."""
    config = _config(job)
    assert config is not None
    flags = ["load_in_4bit" if step.tuned != "nothing" else "quantization"]
    steps: list[tuple[str, Any]] = []
    if step.tuned != "nothing" and not step.gradient_checkpointing:
        steps.append(('"gradient_checkpointing": true', partial(replace, gradient_checkpointing=True)))
    budgets = [each for each in (2048, 1024, 512, SMALLEST_BUDGET) if each < step.budget]
    steps += [(f'"batch_tokens": {each}', partial(replace, batch_tokens=each)) for each in budgets]
    if step.dtype == "float32" and step.tuned != "all":
        steps.append(('"dtype": "bfloat16"', partial(replace, dtype="bfloat16")))
    if step.device == "cuda" and step.tuned != "all" and not step.four_bits:
        value = "true" if step.tuned != "nothing" else '"nf4"'
        steps.append((f'"{flags[0]}": {value}', partial(replace, four_bits=True)))

    def fits(changed: Step) -> bool:
        found = _estimate(config, changed, job, room)
        return found is not None and _needed(found, changed) <= share

    argument = "--train_kwargs" if job.role == "train" else "--eval_kwargs"
    chosen = [said for said, change in steps if fits(change(step))][:1]
    if not chosen:
        together: dict[str, str] = {}
        changed = step
        for said, change in steps:  # a smaller batch_tokens replaces a larger one
            together[said.split(":")[0]] = said
            changed = change(changed)
            if fits(changed):
                chosen = list(together.values())
                break
    return f"{argument} '{{{', '.join(chosen)}}}'" if chosen else None
