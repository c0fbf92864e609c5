"""A study without leaked test examples."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from genies.data.leaks import Leaks
from genies.data.shifts import resolve
from genies.report.study import Reading, ShiftReading, Study


def exclude_leaked(study: Study, distributions_dir: Path) -> Study:
    """The study with the metrics of all shifts computed without test examples whose prompt was tuned on.

    Evaluations on the target, including the baseline's, exclude examples that leak from the source, so that both
    contain the same examples. The other two exclude those that leak from the train split on which they were tuned. The
    readings of the study are unchanged. An evaluation from which examples cannot be excluded becomes a missing value,
    with a note. Raises InputError for a distribution that is not in `distributions_dir`.
    """
    leaks = Leaks(lambda name: resolve(name, distributions_dir))
    shifts = [_without(each, leaks) for each in study.shifts]
    return replace(study, shifts=shifts, notes=[*study.notes, *leaks.holes])


def _without(shift: ShiftReading, leaks: Leaks) -> ShiftReading:
    left_out: dict[Path, int | None] = {}

    def reduced(reading: Reading | None, trained_on: str, optional: bool = False) -> Reading | None:
        if reading is None:
            return None
        name = f"{reading.intervention}, {reading.path.parent.name}, on {reading.target}"
        rest = leaks.remainder(reading.evaluation, trained_on, reading.target, name, optional)
        left_out[reading.path] = rest.left_out
        return None if rest.evaluation is None else replace(reading, evaluation=rest.evaluation)

    names = shift.shift
    without = shift.with_evaluations(
        reduced(shift.generalization, names.source),
        reduced(shift.source_id, names.source),
        reduced(shift.baseline, names.source),
        reduced(shift.capability, names.target_reference),
        reduced(shift.baseline_source, names.source, optional=True),
        reduced(shift.baseline_reference, names.target_reference, optional=True),
    )
    pairs = left_out.get(shift.generalization.path) if shift.generalization else None
    return replace(without, row=replace(without.row, leaked_pairs=pairs))
