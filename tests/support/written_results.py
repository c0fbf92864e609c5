"""Small results folders written by hand: evaluations as interventions leave them, and the tables of a main job."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from genies.data.shifts import Shift
from genies.metrics import accuracy
from genies.table.rows import table_row
from genies.table.text import to_csv

MADE_HERE = {"fingerprint": "0" * 64, "seconds": 1.5, "argv": ["python", "eval.py"]}


class WrittenResults:
    """A results folder; evaluations are named as the harness names them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "evaluations").mkdir(parents=True)

    def evaluation(
        self,
        intervention: str,
        model: str,
        target: str,
        p: Sequence[float],
        indices: Sequence[int] | None = None,
        **more: Any,
    ) -> Path:
        """An evaluation of pairs, one an example unless `indices` says otherwise; a field of None is left out."""
        value = {
            "eval_accuracy": accuracy(p),
            "eval_probabilities": list(p),
            "eval_example_indices": list(range(len(p)) if indices is None else indices),
            "provenance": MADE_HERE,
            **more,
        }
        path = self.folder / "evaluations" / intervention / model / f"{target}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({name: each for name, each in value.items() if each is not None}))
        return path

    def shift(
        self, intervention: str, shift: Shift, right: Sequence[int], of: int = 40, seed: int | None = None
    ) -> None:
        """The four evaluations of a shift: so many of `of` right on target, source, by the baseline, the reference."""
        p = [[0.9] * count + [0.2] * (of - count) for count in right]
        seeded = "" if seed is None else f"-seed{seed}"
        self.evaluation(intervention, f"base-{shift.source}{seeded}", shift.target, p[0])
        self.evaluation(intervention, f"base-{shift.source}{seeded}", shift.source, p[1])
        self.evaluation("zero_shot", "base", shift.target, p[2])
        reference = shift.target_reference
        self.evaluation("lora_fine_tune", f"base-{reference}{seeded}", reference, p[3])

    def table(
        self, intervention: str, shifts: Sequence[Shift], seeds: Sequence[int | None] = (None,), name: str = "all.csv"
    ) -> Path:
        """A table that lists shifts, with holes for figures: they are read from the evaluations."""
        hole = table_row(
            Shift("a", "b"),
            base_model="base",
            intervention=intervention,
            seed=None,
            baseline_intervention="zero_shot",
            capability_intervention="lora_fine_tune",
            generalization=None,
            source_id=None,
            baseline=None,
            capability=None,
        )
        rows = [
            replace(
                hole,
                source=shift.source,
                target=shift.target,
                target_reference=shift.target_reference,
                label=shift.label,
                category=shift.category,
                seed=seed,
            )
            for seed in seeds
            for shift in shifts
        ]
        path = self.folder / "generalization_metrics" / "base" / intervention / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(to_csv(rows))
        return path
