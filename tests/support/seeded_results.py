"""A results folder with figures drawn from a seed: the layout, the fields and the provenance of real ones."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from genies.data.distribution import Distribution
from genies.data.shifts import Shift

NINE = ("zero_shot", "few_shot", "lora_fine_tune", "prompt_tuning", "mms", "lat_stim_1", "lat_stim_2", "cra", "ccs")


@dataclass
class SeededStudy:
    """Writes the evaluations and tables of a study; every probability depends on `seed` and on names only."""

    results_dir: Path
    distributions_dir: Path
    base_model: str = "seeded-135m"
    seed: int = 0
    _drawn: dict[Path, float] = field(default_factory=dict)

    def write(
        self, shifts: Sequence[Shift], interventions: Sequence[str] = NINE, seeds: Sequence[int | None] = (None,)
    ) -> None:
        for intervention in interventions:
            rows = [self._row(shift, intervention, seed) for seed in seeds for shift in shifts]
            place = self.results_dir / "generalization_metrics" / self.base_model / intervention / "table.csv"
            place.parent.mkdir(parents=True, exist_ok=True)
            with open(place, "w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)

    def evaluation_file(self, intervention: str, source: str | None, seed: int | None, target: str) -> Path:
        model = self.base_model + (f"-{source}" if source else "") + ("" if seed is None else f"-seed{seed}")
        return self.results_dir / "evaluations" / intervention / model / f"{target}.json"

    def _row(self, shift: Shift, intervention: str, seed: int | None) -> dict[str, Any]:
        generalization = self._evaluate(intervention, shift.source, seed, shift.target)
        own = self._evaluate(intervention, shift.source, seed, shift.source)
        baseline = self._evaluate("zero_shot", None, None, shift.target)
        capability = self._evaluate("lora_fine_tune", shift.target_reference, seed, shift.target_reference)
        return {
            "source": shift.source,
            "target": shift.target,
            "target_reference": shift.target_reference,
            "generalization_accuracy": generalization,
            "baseline_accuracy": baseline,
            "baseline_intervention": "zero_shot",
            "target_tuned_capability": capability,
            "target_tuned_capability_intervention": "lora_fine_tune",
            "source_ID_accuracy": own,
            "RMS_calibration_error": "",
            "differential_elicitation": (generalization - baseline) / capability if capability else "",
            "RMS_calibration_formula": "weighted",
            "label": shift.label or "",
            "category": shift.category or "",
            "pairs": "",
            "seed": "" if seed is None else seed,
            "intervention": intervention,
            "base_model": self.base_model,
        }

    def _evaluate(self, intervention: str, source: str | None, seed: int | None, target: str) -> float:
        path = self.evaluation_file(intervention, source, seed, target)
        if path not in self._drawn:
            path.parent.mkdir(parents=True, exist_ok=True)
            value = self._evaluation(intervention, source, seed, target)
            path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
            self._drawn[path] = value["eval_accuracy"]
        return self._drawn[path]

    def _evaluation(self, intervention: str, source: str | None, seed: int | None, target: str) -> dict[str, Any]:
        examples = Distribution(self.distributions_dir / target).test
        counts = [len(example.worse_responses) for example in examples]
        hardness = self._generator(target).normal(0, 1.1, len(examples))
        tuned = self._generator(self.base_model, intervention, source, seed, target)
        away = source not in (None, target)
        skill = (
            self._generator(target, "skill").normal(0.05, 0.45)
            + (0 if source is None else self._generator(intervention, "gain").uniform(0.5, 1.9))
            - (self._generator(target, source, "loss").uniform(0.0, 1.3) if away else 0)
            + tuned.normal(0, 0.25)
        )
        logits = np.repeat(skill - hardness, counts) + tuned.normal(0, 0.9, sum(counts))
        sharpness = self._generator(intervention, "sharpness").uniform(0.6, 2.2)
        p = np.round(1 / (1 + np.exp(-sharpness * logits)), 6)
        p[tuned.random(p.size) < 0.004] = 0.5
        accuracy = float(np.mean(np.where(p == 0.5, 0.5, p > 0.5)))
        indices = np.repeat(np.arange(len(examples)), counts)
        return {
            "eval_accuracy": accuracy,
            "eval_probabilities": p.tolist(),
            "eval_example_indices": indices.tolist(),
            "eval_ties": int(np.count_nonzero(p == 0.5)),
            "eval_brier_score": float(np.mean((1 - p) ** 2)),
            "dtype": "float32",
            "device": "cpu",
            "provenance": self._provenance(intervention, source, seed, target),
        }

    def _provenance(self, intervention: str, source: str | None, seed: int | None, target: str) -> Mapping[str, Any]:
        model = self.evaluation_file(intervention, source, seed, target).parent.name
        digest = hashlib.sha256(f"{intervention} {model} {target}".encode()).hexdigest()
        return {
            "fingerprint": digest,
            "parts": {"contract": 1, "kind": "evaluation", "intervention": digest[:40], "distribution": digest[20:60]},
            "model_content": digest[::-1],
            "argv": [
                "python",
                f"src/interventions/{intervention}/eval.py",
                "--model_dir",
                f"models/{intervention}/{model}",
                "--distribution_dirs",
                json.dumps([f"distributions/{target}"]),
                "--output_paths",
                json.dumps([f"results/.staging/{intervention}/{model}/{target}.json"]),
            ],
            "started": "2026-01-15T09:30:00Z",
            "seconds": round(float(self._generator(digest).uniform(4, 90)), 3),
            "host": "seeded",
            "platform": "Linux-6.1-x86_64-with-glibc2.36",
            "versions": {"genies": "1.0.0", "python": "3.11.2", "torch": "2.13.0", "transformers": "5.23.0"},
            "git_commit": hashlib.sha256(b"seeded").hexdigest()[:40],
            "git_dirty": False,
            "device": "cpu",
        }

    def _generator(self, *names: object) -> np.random.Generator:
        text = json.dumps([self.seed, *names], default=str)
        return np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]))
