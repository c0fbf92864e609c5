"""What a results folder holds, put in order: evaluations, shifts, and notes on what is missing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from genies.contract import Evaluation
from genies.data.shifts import Shift
from genies.harness.table import TableRow, table_row
from genies.report.example_scores import ExampleScores, example_scores


@dataclass(frozen=True)
class Reading:
    """One evaluation file: what was tuned on what, tested on what, and what came out."""

    path: Path
    intervention: str
    base_model: str
    source: str | None
    """The distribution tuned on; None for the untuned base model."""
    seed: int | None
    target: str
    """The distribution tested on."""
    evaluation: Evaluation
    target_tuned: bool = False
    """Whether the model was tuned with the reference's own arguments (a folder that ends in -target_tuned)."""

    @cached_property
    def example_scores(self) -> ExampleScores | None:
        """The scores of the pairs by test example; None where the evaluation does not list them so."""
        return example_scores(self.evaluation)

    @property
    def provenance(self) -> dict[str, Any] | None:
        """How the file came to be, where the harness made it."""
        return self.evaluation.provenance

    @property
    def verified(self) -> bool:
        """Whether the file carries the fingerprint of what it was made from."""
        return self.provenance is not None and "fingerprint" in self.provenance


@dataclass(frozen=True)
class ShiftReading:
    """One intervention on one shift: its line of the table and the evaluations behind it; None is a hole."""

    shift: Shift
    base_model: str
    intervention: str
    seed: int | None
    row: TableRow
    generalization: Reading | None
    """Tuned on source, tested on target."""
    source_id: Reading | None
    """Tuned on source, tested on source."""
    baseline: Reading | None
    """The untuned base model, tested on target."""
    capability: Reading | None
    """The reference intervention, tuned and tested on target_reference."""
    listed: int = 1
    """How often a table or a list of shifts names this shift; the release names 13 shifts twice."""
    baseline_source: Reading | None = None
    """The untuned base model, tested on source; not every study has it."""
    baseline_reference: Reading | None = None
    """The untuned base model, tested on target_reference; not every study has it."""

    @property
    def is_baseline(self) -> bool:
        """Whether this is the untuned model that the others are compared with."""
        return self.intervention == self.row.baseline_intervention

    @property
    def missing(self) -> list[str]:
        """The accuracies that have no evaluation, by the names of their columns."""
        parts = {
            "generalization_accuracy": self.generalization,
            "source_ID_accuracy": self.source_id,
            "baseline_accuracy": self.baseline,
            "target_tuned_capability": self.capability,
        }
        return [name for name, reading in parts.items() if reading is None]

    def with_evaluations(
        self,
        generalization: Reading | None,
        source_id: Reading | None,
        baseline: Reading | None,
        capability: Reading | None,
        baseline_source: Reading | None = None,
        baseline_reference: Reading | None = None,
    ) -> ShiftReading:
        """The same shift with other evaluations, and its line computed anew."""

        def of(reading: Reading | None) -> Evaluation | None:
            return None if reading is None else reading.evaluation

        row = table_row(
            self.shift,
            base_model=self.base_model,
            intervention=self.intervention,
            seed=self.seed,
            baseline_intervention=self.row.baseline_intervention,
            capability_intervention=self.row.target_tuned_capability_intervention,
            generalization=of(generalization),
            source_id=of(source_id),
            baseline=of(baseline),
            capability=of(capability),
            baseline_source=of(baseline_source),
            baseline_reference=of(baseline_reference),
        )
        return replace(
            self,
            row=row,
            generalization=generalization,
            source_id=source_id,
            baseline=baseline,
            capability=capability,
            baseline_source=baseline_source,
            baseline_reference=baseline_reference,
        )


@dataclass(frozen=True)
class Study:
    """All that a results folder holds of the shifts it is about, in a fixed order."""

    readings: list[Reading]
    """Every evaluation that a shift needs, once, in order of first need."""
    shifts: list[ShiftReading]
    """One for each base model, intervention, seed and shift, each once."""
    notes: list[str]
    """What a reader should know: damaged files, holes, mixed number formats, files without provenance."""
