"""Judge whether an intervention can be used with several seeds: what --seeds of the main job passes to its scripts."""

from __future__ import annotations

from pathlib import Path

from genies.harness.checking.report import Verdict, ok
from genies.harness.checking.runs import Runs

SEED = {"seed": 0}


def judge_seeds(runs: Runs, model_dir: Path) -> Verdict:
    """Whether both scripts take --seed, on the smallest distribution; the contract leaves them free not to."""
    check = "seeds"
    if "seed" in runs.train_kwargs or "seed" in runs.eval_kwargs:
        return ok(check, "not tried: the kwargs name a seed, and then --seeds may not")
    plain = runs.project.plain
    tried = runs.train_and_evaluate((plain, "two"), (plain, model_dir, ["two"]), SEED)
    refusing = [ran.script for ran in tried if not ran.succeeded]
    if not refusing:
        return ok(check, "takes --seed")
    return ok(
        check, f"not usable with --seeds: {' and '.join(refusing)} {'do' if refusing[1:] else 'does'} not take --seed"
    )
