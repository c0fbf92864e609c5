"""A study without leaked test examples."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from genies.data.shifts import resolve
from genies.harness.leaks import Leaks
from genies.report.study import Reading, ShiftReading, Study


def exclude_leaked(study: Study, distributions_dir: Path) -> Study:
    """The study with every shift's figures computed without the test examples whose prompt was tuned on.

    Of the evaluations on the target, the baseline's too, those are left out that leak from the source, so that both
    are about the same examples; of the other two those that leak from the train split they were tuned on. The
    readings by themselves stay whole. What cannot be reduced is a hole, and a note says why. InputError for a
    distribution that is not in `distributions_dir`.
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
