"""What a card costs, told before anything runs: texts, tokens, memory and time."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from genies.adapter_base import CONFIG as ADAPTER
from genies.adapter_base import find_base_model
from genies.card.making import Order
from genies.card.measuring import intervention_of
from genies.cost import Step, estimate
from genies.data.work import CHARACTERS_PER_TOKEN, Work, split_work
from genies.declaration import read_declaration
from genies.errors import InputError
from genies.files import read_json
from genies.processes.hardware import main_memory, this_machine
from genies.processes.process import available_cores
from genies.quantities import duration, size

JUDGE_TOKENS = 2.5
"""A judge reads the question with both responses, in both orders: about this many times the tokens."""

SCORING_SHARE = 0.55
"""Share of the processor's rate of matrix multiplication that scoring reaches: 0.57 to 0.73 in benchmarks/README.md."""

STEP_SECONDS = 8.0
"""Imports, loading the model and checking it."""

_SIDE = 640
"""Rows and columns of the matrices: large enough for the full rate, and soon multiplied on a busy machine."""


def told_cost(order: Order) -> str:
    """The number of targets, examples, pairs and tokens of a card; then memory and time for each of its models."""
    plan = order.plan()
    work = sum((split_work(folder, "test", order.max_examples) for folder in plan.folders.values()), Work())
    tokens = work.characters // CHARACTERS_PER_TOKEN
    lines = [
        f"{len(plan.folders)} targets, {work.examples:,} examples, {work.pairs:,} pairs, about {tokens:,} tokens read "
        "once by each model"
    ]
    for model, scorer in ((order.model, order.scorer), *([order.other] if order.other else [])):
        times = JUDGE_TOKENS if scorer == "judge" else 1
        lines.append(f"{model.name}, {scorer}: {_needs(model, scorer, order.eval_kwargs, round(tokens * times))}")
    if plan.missing:
        named = ", ".join(plan.missing[:5]) + (", ..." if len(plan.missing) > 5 else "")
        lines.append(
            f"{len(plan.missing)} targets of the questions are not installed: {named} "
            "(download_data.py installs the official ones)"
        )
    return "\n".join(lines)


def _needs(model: Path, scorer: str, kwargs: dict[str, Any], tokens: int) -> str:
    """Memory and time of scoring `tokens` tokens with a model, as far as they can be estimated."""
    if not read_declaration(intervention_of(scorer)).runs_model:
        return "runs no model"
    try:
        base = find_base_model(model) if (model / ADAPTER).is_file() else model
        config: Any = read_json(base / "config.json", "model configuration")
    except (InputError, OSError):
        config = None
    gpu = kwargs.get("device") != "cpu" and this_machine().gpu is not False
    given, budget = kwargs.get("dtype"), kwargs.get("batch_tokens")
    step = Step(
        device="cuda" if gpu else "cpu",
        dtype=given if given in ("float32", "bfloat16", "float16") else "bfloat16" if gpu else "float32",
        batch_tokens=budget if isinstance(budget, int) and budget > 0 else None,
        four_bits=kwargs.get("quantization") == "nf4",
        tokens=tokens,
    )
    found = estimate(config, step) if isinstance(config, dict) else None
    if found is None:
        return "memory and time unknown (no config.json of a decoder)"
    have = None if gpu else main_memory()
    memory = f"about {size(found.memory)} of memory" + (f" (there are {size(have)})" if have else "")
    if gpu:
        return f"{memory}; time unknown on a GPU"
    seconds = STEP_SECONDS + found.flops / (SCORING_SHARE * processor_rate())
    return f"{memory}, about {duration(seconds)} on this processor if nothing else runs"


def processor_rate(seconds: float = 0.2) -> float:
    """Floating-point operations a second of float32 matrix products on all cores that this process may use.

    The best of the products within `seconds` on one core, times the cores: on a busy machine, products on several cores
    wait for each other.
    """
    left, right = (np.random.default_rng(0).standard_normal((_SIDE, _SIDE), dtype=np.float32) for _ in range(2))
    best, end = 0.0, time.monotonic() + seconds
    with threadpool_limits(1):
        while True:
            started = time.perf_counter()
            np.matmul(left, right)
            best = max(best, 2 * _SIDE**3 / (time.perf_counter() - started))
            if time.monotonic() >= end:
                return best * available_cores()
