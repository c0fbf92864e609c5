"""Notes on a study that a reader should know before relying on its values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from genies import NUMERICS_VERSION
from genies.data.shifts import Shift
from genies.harness.store import identity_in
from genies.quantities import counted
from genies.report.lines import TARGET_TEXTS_MARK
from genies.report.published import is_genies
from genies.report.study import Reading, ShiftReading
from genies.table.doubts import mixed_formats, not_learned


def holes(shifts: Sequence[ShiftReading]) -> list[str]:
    """A note for each intervention with missing evaluations."""
    notes = []
    groups: dict[tuple[str, str], list[ShiftReading]] = {}
    for each in shifts:
        groups.setdefault((each.base_model, each.intervention), []).append(each)
    for (base_model, intervention), group in groups.items():
        lacking = [f"{each.shift} ({', '.join(each.missing)})" for each in group if each.missing]
        if lacking:
            more = f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""
            notes.append(
                f"{intervention}, {base_model}: {len(lacking)} of {len(group)} rows have missing evaluations: "
                f"{', '.join(lacking[:3])}{more}"
            )
    return notes


def references(shifts: Sequence[ShiftReading]) -> list[str]:
    """A note for each base model whose interventions have different baselines or references on the same shift.

    The best reference of a study can differ between shifts; on one shift it is the same for all interventions.
    """
    notes = []
    for base_model in dict.fromkeys(each.base_model for each in shifts):
        against: dict[tuple[str, str], dict[str, None]] = {}
        on_shift: dict[Shift, set[tuple[str, str]]] = {}
        for each in shifts:
            if each.base_model == base_model:
                pair = each.row.baseline_intervention, each.row.target_tuned_capability_intervention
                against.setdefault(pair, {})[each.intervention] = None
                on_shift.setdefault(each.shift, set()).add(pair)
        if any(len(pairs) > 1 for pairs in on_shift.values()):
            which = "; ".join(
                f"{', '.join(interventions)} against baseline {baseline}, reference {capability}"
                for (baseline, capability), interventions in against.items()
            )
            notes.append(
                f"{base_model}: differential elicitations are not comparable, because interventions have different "
                f"references ({which})"
            )
    return notes


def sample(shifts: Sequence[ShiftReading]) -> list[str]:
    """Notes on the selection of the GENIES shifts, and on interventions with fewer seeds than others."""
    notes = []
    if is_genies(each.shift for each in shifts):
        notes.append(
            "the 15 shifts of GENIES are the hardest of its authors' list, not a random sample of shifts; intervals "
            "and tests about other sources refer to sources and shifts that are selected in the same way"
        )
    for base_model in dict.fromkeys(each.base_model for each in shifts):
        counts: dict[str, set[int | None]] = {}
        for each in shifts:
            if each.base_model == base_model:
                counts.setdefault(each.intervention, set()).add(each.seed)
        most = max(map(len, counts.values()))
        single = [intervention for intervention, seeds in counts.items() if len(seeds) == 1]
        if most > 1 and single:
            notes.append(
                f"{base_model}: {', '.join(single)} {'has' if len(single) == 1 else 'have'} one seed, others have up "
                f"to {most}; intervals with one seed do not include the variation between seeds"
            )
    return notes


def tuning(shifts: Sequence[ShiftReading]) -> list[str]:
    """A note on runs without any gain from tuning, if that is known."""
    known = (each for each in shifts if each.generalization is None or each.generalization.comparable)
    targets = [(each.intervention, each.generalization) for each in shifts if each.shift.source]
    untuned = {name for name, reading in targets if reading is not None and reading.source is None}
    said = not_learned([each.row for each in known], untuned)
    return [] if said is None else [said]


def rules(readings: Sequence[Reading]) -> list[str]:
    """A note on evaluations from an older version of the library's computations."""
    older: Counter[int] = Counter()
    for each in readings:
        parts = (each.provenance or {}).get("parts")
        version = parts.get("numerics_version") if isinstance(parts, dict) else None
        # 0: the intervention does not use the library.
        if isinstance(version, int) and 0 < version < NUMERICS_VERSION:
            older[version] += 1
    if not older:
        return []
    versions = ", ".join(str(version) for version in sorted(older))
    return [
        f"{sum(older.values())} of {len(readings)} evaluations are from an older version of the library (numerics "
        f"version {versions}; now {NUMERICS_VERSION}); their probabilities may differ from those of a new run"
    ]


def misplaced(readings: Sequence[Reading]) -> list[str]:
    """A note on evaluations whose provenance names another model than their place."""
    found = []
    for each in readings:
        recorded = each.provenance or {}
        made = identity_in(recorded) if "identity" in recorded else None  # many files have none
        place = each.intervention, each.base_model, each.source, each.seed
        if made is not None and (made.variant, made.base_model, made.source, made.seed) != place:
            found.append(f"{each.path} (of {made.variant}, {made.base_model}, tuned on {made.source or 'nothing'})")
    if not found:
        return []
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    shown = ", ".join(found[:_NAMED]) + more
    return [f"{counted(len(found), 'evaluation')} of another model than the name of the folder says: {shown}"]


def data_versions(readings: Sequence[Reading]) -> list[str]:
    """A note for each target on which evaluations were made with different test data."""
    versions: dict[str, dict[str, list[str]]] = {}
    for each in readings:
        parts = (each.provenance or {}).get("parts")
        data = parts.get("distribution") if isinstance(parts, dict) else None
        if isinstance(data, str):
            versions.setdefault(each.target, {}).setdefault(data, []).append(each.intervention)
    notes = []
    for target, made in versions.items():
        if len(made) > 1:
            *fewer, most = sorted(made.values(), key=len)
            names = ", ".join(dict.fromkeys(name for each in fewer for name in each))
            notes.append(
                f"{target}: its test data changed between evaluations, so they cannot be compared: {names} used other "
                f"data than {', '.join(dict.fromkeys(most))}; run the main job again"
            )
    return notes


_NAMED = 3
"""Number of files that a note names."""


def assumptions(readings: Sequence[Reading]) -> list[str]:
    """A note for each assumption of evaluations about their models."""
    models: dict[str, dict[str, None]] = {}
    for each in readings:
        for said in each.evaluation.assumptions or ():
            models.setdefault(said, {})[f"{each.intervention}, {each.base_model}"] = None
    return [f"{'; '.join(names)}: assumption about the model: {said}" for said, names in models.items()]


def single_responses(readings: Sequence[Reading]) -> list[str]:
    """A note on accuracies that are not those of pairs."""
    names = dict.fromkeys(each.intervention for each in readings if not each.comparable)
    if not names:
        return []
    return [
        f"{', '.join(names)}: the accuracies are those of single responses, or 1 minus them if that is larger (by the "
        "test labels), so they are at least 1/2 and are compared with no other intervention"
    ]


def target_texts(shifts: Sequence[ShiftReading]) -> list[str]:
    """A note on interventions that used unlabelled texts of the target."""
    names = dict.fromkeys(each.intervention for each in shifts if each.row.uses_target_texts)
    if not names:
        return []
    return [
        f"{TARGET_TEXTS_MARK}: {', '.join(names)} used prompts and responses of the target without labels; the others "
        "saw only the source"
    ]


def limits(readings: Sequence[Reading]) -> list[str]:
    """Notes on mixed number and prompt formats, and on evaluations without probabilities, examples or provenance."""
    notes = mixed_formats((each.base_model, each.evaluation) for each in readings)
    without = [each for each in readings if not each.evaluation.eval_probabilities]
    if without:
        notes.append(
            f"{len(without)} of {len(readings)} evaluations contain no probabilities, so they have no calibration "
            f"error, no interval and no samples ({', '.join(dict.fromkeys(each.intervention for each in without))})"
        )
    unclustered = [
        each for each in readings if each.evaluation.eval_example_indices and not each.evaluation.eval_prompt_clusters
    ]
    if unclustered:
        notes.append(
            f"{len(unclustered)} of {len(readings)} evaluations do not contain prompt clusters, so each example counts "
            "as a different prompt (to cluster by prompt, pass the folder of the distributions)"
        )
    unmatched = [
        each for each in readings if each.evaluation.eval_probabilities and not each.evaluation.eval_example_indices
    ]
    if unmatched:
        notes.append(
            f"{len(unmatched)} of {len(readings)} evaluations do not contain the example of each pair, so they have no "
            "interval (pairs are matched with the official data, which python download_data.py downloads)"
        )
    unverified = sum(not each.verified for each in readings)
    if unverified:
        notes.append(f"{unverified} of {len(readings)} evaluations have no provenance and are unverified")
    return notes
