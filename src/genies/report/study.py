"""The content of a results folder: evaluations, shifts, and notes on missing files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from genies.data.shifts import Shift
from genies.evaluation_file import Evaluation
from genies.report.example_scores import ExampleScores, example_scores
from genies.report.pair_values import PairValues, pair_values
from genies.table.rows import TableRow, table_row


@dataclass(frozen=True)
class Reading:
    """One evaluation file: the model, the distributions it was tuned and tested on, and the result."""

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
    comparable: bool = True
    """Whether the accuracy is that of pairs, as of all other interventions."""

    @cached_property
    def example_scores(self) -> ExampleScores | None:
        """The scores of the pairs by test example; None if the evaluation does not contain the example of each pair."""
        return example_scores(self.evaluation)

    @cached_property
    def pair_values(self) -> PairValues | None:
        """The pairs by prompt; None if the evaluation does not contain the probability and the prompt of each pair."""
        return pair_values(self.evaluation)

    @property
    def provenance(self) -> dict[str, Any] | None:
        """How the file was made; None if the harness did not make it."""
        return self.evaluation.provenance

    @property
    def verified(self) -> bool:
        """Whether the file contains the fingerprint of its inputs."""
        return self.provenance is not None and "fingerprint" in self.provenance


@dataclass(frozen=True)
class ShiftReading:
    """One intervention on one shift: its table row, and its evaluations (None if missing)."""

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
    """How often a table or a list contains this shift; the release lists 13 shifts twice."""
    baseline_source: Reading | None = None
    """The untuned base model, tested on source; optional."""
    baseline_reference: Reading | None = None
    """The untuned base model, tested on target_reference; optional."""

    @property
    def is_baseline(self) -> bool:
        """Whether this is the untuned model with which the others are compared."""
        return self.intervention == self.row.baseline_intervention

    @property
    def missing(self) -> list[str]:
        """The columns of accuracies without an evaluation. A shift without a source has only the first."""
        parts = {
            "generalization_accuracy": self.generalization,
            "source_ID_accuracy": self.source_id,
            "baseline_accuracy": self.baseline,
            "target_tuned_capability": self.capability,
        }
        needed = list(parts) if self.shift.source else ["generalization_accuracy"]
        return [name for name in needed if parts[name] is None]

    def with_evaluations(
        self,
        generalization: Reading | None,
        source_id: Reading | None,
        baseline: Reading | None,
        capability: Reading | None,
        baseline_source: Reading | None = None,
        baseline_reference: Reading | None = None,
    ) -> ShiftReading:
        """The same shift with other evaluations and a recomputed table row."""

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
    """The evaluations of a results folder by shift, in a fixed order."""

    readings: list[Reading]
    """All evaluations that a shift needs, each once, in order of first use."""
    shifts: list[ShiftReading]
    """One for each base model, intervention, seed and shift."""
    notes: list[str]
    """Notes for readers: damaged files, missing evaluations, mixed number formats, files without provenance."""
    faults: Sequence[str] = ()
    """Those of `notes` about input that is damaged, missing or does not belong together, which every output shows."""
