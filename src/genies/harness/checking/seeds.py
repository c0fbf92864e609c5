"""Check whether an intervention works with --seeds of the main job, which passes --seed to its scripts."""

from __future__ import annotations

from pathlib import Path

from genies.harness.checking.report import Verdict, ok
from genies.harness.checking.runs import Runs

SEED = {"seed": 0}


def judge_seeds(runs: Runs, model_dir: Path) -> Verdict:
    """Whether both scripts accept --seed, on the smallest distribution; the contract does not require it."""
    check = "seeds"
    if "seed" in runs.train_kwargs or "seed" in runs.eval_kwargs:
        return ok(check, "not tried: the kwargs contain a seed, which excludes --seeds")
    plain = runs.project.plain
    tried = runs.train_and_evaluate((plain, "two"), (plain, model_dir, ["two"]), SEED)
    refusing = [ran.script for ran in tried if not ran.succeeded]
    if not refusing:
        return ok(check, "accepts --seed")
    return ok(
        check, f"not usable with --seeds: {' and '.join(refusing)} {'do' if refusing[1:] else 'does'} not accept --seed"
    )
