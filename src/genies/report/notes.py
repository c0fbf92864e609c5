"""What a reader of a study should know before believing its figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from genies.report.study import Reading, ShiftReading


def holes(shifts: Sequence[ShiftReading]) -> list[str]:
    """A line for each intervention that lacks an evaluation for some of its shifts."""
    notes = []
    groups: dict[tuple[str, str], list[ShiftReading]] = {}
    for each in shifts:
        groups.setdefault((each.base_model, each.intervention), []).append(each)
    for (base_model, intervention), group in groups.items():
        lacking = [f"{each.shift} ({', '.join(each.missing)})" for each in group if each.missing]
        if lacking:
            more = f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""
            notes.append(
                f"{intervention}, {base_model}: {len(lacking)} of {len(group)} rows lack an evaluation: "
                f"{', '.join(lacking[:3])}{more}"
            )
    return notes


def references(shifts: Sequence[ShiftReading]) -> list[str]:
    """A line for each base model whose interventions are set against different baselines or references."""
    notes = []
    for base_model in dict.fromkeys(each.base_model for each in shifts):
        against: dict[tuple[str, str], dict[str, None]] = {}
        for each in shifts:
            if each.base_model == base_model:
                pair = each.row.baseline_intervention, each.row.target_tuned_capability_intervention
                against.setdefault(pair, {})[each.intervention] = None
        if len(against) > 1:
            which = "; ".join(
                f"{', '.join(interventions)} against baseline {baseline}, reference {capability}"
                for (baseline, capability), interventions in against.items()
            )
            notes.append(
                f"{base_model}: differential elicitations of different references are no measure of which "
                f"intervention elicits more ({which})"
            )
    return notes


def limits(readings: Sequence[Reading]) -> list[str]:
    """Mixed number formats, and evaluations without probabilities, examples or provenance."""
    notes = []
    for base_model in dict.fromkeys(each.base_model for each in readings):
        formats = Counter(each.evaluation.dtype for each in readings if each.base_model == base_model)
        known = {name: count for name, count in sorted(formats.items(), key=str) if name is not None}
        if len(known) > 1:
            counts = ", ".join(f"{name} {count}" for name, count in known.items())
            notes.append(f"{base_model}: evaluations in different number formats are compared ({counts})")
    without = [each for each in readings if not each.evaluation.eval_probabilities]
    if without:
        notes.append(
            f"{len(without)} of {len(readings)} evaluations hold no probabilities: no calibration, no interval, "
            f"no samples ({', '.join(dict.fromkeys(each.intervention for each in without))})"
        )
    unmatched = [
        each for each in readings if each.evaluation.eval_probabilities and not each.evaluation.eval_example_indices
    ]
    if unmatched:
        notes.append(
            f"{len(unmatched)} of {len(readings)} evaluations do not say which pairs belong to one example: "
            "no interval (python download_data.py fetches the official data, which tells)"
        )
    unverified = sum(not each.verified for each in readings)
    if unverified:
        notes.append(f"{unverified} of {len(readings)} evaluations carry no provenance: unverified")
    return notes
