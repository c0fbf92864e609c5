"""Read a results folder: its evaluations, and the evaluations of each intervention on each shift.

Shifts, seeds and reference interventions are read from the tables of the main job in
<results_dir>/generalization_metrics/ or, for a folder with only evaluations, from a list of shifts. Values are always
computed from the current evaluations. Damaged files are skipped and reported in a note.
"""

from __future__ import annotations

import difflib
import glob
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

from genies.command_line import Arguments
from genies.data.evaluated import joined_clusters
from genies.data.shifts import Shift, unique_pairs
from genies.errors import InputError
from genies.evaluation_file import Evaluation
from genies.harness.job import Identity
from genies.harness.plan import TARGET_TUNED, possible_model_names, tuned_model_name, unlabelled_suffix
from genies.harness.store import Store, identity_in, read_stored
from genies.harness.study import BEST
from genies.report import release_layout
from genies.report.listing import Listed, read_tables, with_told_capability
from genies.report.notes import (
    assumptions,
    data_versions,
    holes,
    limits,
    misplaced,
    references,
    rules,
    sample,
    single_responses,
    target_texts,
    tuning,
)
from genies.report.study import Reading, ShiftReading, Study
from genies.report.test_splits import TestSplits
from genies.table.rows import best_reference, table_row

__all__ = ["Reading", "ShiftReading", "Study", "read_study"]


def read_study(
    results_dir: Path,
    shifts: Sequence[Shift] | None = None,
    baseline: str = "zero_shot",
    capability: str = "lora_fine_tune",
    distributions_dir: Path | None = None,
) -> Study:
    """The study in a results folder.

    With `shifts`, the study contains all interventions and base models with an evaluation for one of them, and
    `baseline` and `capability` are the reference interventions. Without, the tables determine all of this. For
    evaluations without eval_example_indices, examples are matched with the data in `distributions_dir`. Raises
    InputError if the folder does not exist, or if it contains neither tables nor evaluations of the shifts.
    """
    if not results_dir.is_dir():
        raise InputError(f"results folder {results_dir} does not exist; expected a folder that contains evaluations/")
    files = _Files(results_dir, distributions_dir)
    if shifts is None:
        listed, notes = read_tables(results_dir)
        if not listed:
            raise InputError(
                f"{results_dir} has no readable table in generalization_metrics/, so its shifts are unknown"
                f"{': ' + '; '.join(notes) if notes else ''}. Pass a shift file (--shifts FILE) to read its "
                "evaluations without a table"
            )
    else:
        listed, notes = with_told_capability(files.listed(shifts, baseline, capability), results_dir), []
        if not listed:
            raise InputError(
                f"{results_dir} contains no evaluation of a model that was tuned on the source of one of the "
                f"{len(shifts)} shifts and tested on its target; expected "
                "evaluations/<intervention>/<base model>-<source>/<target>.json"
            )
    found = [files.evaluations(each) for each in listed]
    joined = files.join_clusters()
    read = [
        files.shift_reading(line, [joined.get(id(each), each) for each in readings])
        for line, readings in zip(listed, found, strict=True)
    ]
    readings = list(files.readings())
    faults = [*notes, *dict.fromkeys(files.damaged), *holes(read), *misplaced(readings), *data_versions(readings)]
    study = Study(readings, read, [], faults)
    about = [
        *faults,
        *_about_release(results_dir),
        *references(read),
        *sample(read),
        *tuning(read),
        *single_responses(study.readings),
        *target_texts(read),
        *limits(study.readings),
        *rules(study.readings),
        *assumptions(study.readings),
    ]
    return replace(study, notes=about)


def check_given_interventions(results_dir: Path, arguments: Arguments) -> None:
    """InputError if --baseline or --reference, where they are given, name an intervention without evaluations."""
    names = sorted(each.name for each in (results_dir / "evaluations").glob("*") if each.is_dir())
    for argument in ("baseline", "reference"):
        name = getattr(arguments, argument)
        if argument in arguments.model_fields_set and name not in (BEST, *names) and names:
            near = difflib.get_close_matches(name, names, n=1)
            meant = f"; did you mean {near[0]}?" if near else f"; expected one of {', '.join(names)}"
            raise InputError(f"--{argument} {name}: {results_dir} contains no evaluation of it{meant}")


def _about_release(results_dir: Path) -> list[str]:
    """Notes on a folder with the layout of the 2023 release."""
    if not release_layout.is_release(results_dir):
        return []
    mixed = release_layout.mixtures(results_dir)
    listed = f": {', '.join(mixed[:5])}{', ...' if len(mixed) > 5 else ''}" if mixed else ""
    return [
        "results of the 2023 release: the target-tuned capability is the accuracy of the best of all interventions on "
        "the target, which favours it; it has no probabilities, so it counts as known in intervals",
        f"{len(mixed)} folders of models tuned on mixtures of two distributions are left out{listed}",
    ]


class _Files:
    """The evaluations of a results folder, each read once on first use."""

    def __init__(self, results_dir: Path, distributions_dir: Path | None) -> None:
        self._store = Store(results_dir.parent, results_dir.parent / "models", results_dir)
        self._tests = TestSplits(distributions_dir)
        self._read: dict[tuple[str, str, str], Reading | None] = {}
        """By intervention, name of the model's folder and target."""
        self._release = release_layout.is_release(results_dir)
        self._best_capability = cache(partial(release_layout.best_capability, results_dir))
        self.damaged: list[str] = []

    def readings(self) -> Iterable[Reading]:
        return (reading for reading in self._read.values() if reading is not None)

    def join_clusters(self) -> dict[int, Reading]:
        """Give a prompt one number in all evaluations on a target that have been read, so that they can be paired.
        Returns the changed readings by the id of those that they replace."""
        changed: dict[int, Reading] = {}
        of_target: dict[str, list[Reading]] = {}
        for reading in self.readings():
            of_target.setdefault(reading.target, []).append(reading)
        for readings in of_target.values():
            joined = joined_clusters([each.evaluation for each in readings])
            for reading, evaluation in zip(readings, joined, strict=True):
                if evaluation is not reading.evaluation:
                    changed[id(reading)] = replace(reading, evaluation=evaluation)
        self._read = {key: changed.get(id(each), each) for key, each in self._read.items()}
        return changed

    def listed(self, shifts: Sequence[Shift], baseline: str, capability: str) -> list[Listed]:
        """A line for each base model, intervention, seed and shift, if there is an evaluation for one of the shifts."""
        counts = Counter((each.source, each.target, each.target_reference) for each in shifts)
        lines = []
        tuned = self._tested(shifts, baseline)
        for base_model, intervention, seed in tuned:
            interventions = list(dict.fromkeys(name for model, name, _ in tuned if model == base_model))
            for shift in unique_pairs(shifts):
                times = counts[shift.source, shift.target, shift.target_reference]
                reference = capability
                if capability == BEST:
                    reference = self._best(interventions, base_model, shift.target_reference, seed)
                lines.append(Listed(shift, base_model, intervention, seed, baseline, reference, times))
        return lines

    def _best(self, interventions: Sequence[str], base_model: str, reference: str, seed: int | None) -> str:
        """The most accurate intervention of those tuned and tested on `reference`; BEST if there is none."""
        readings = {
            name: next(iter(self._references(name, base_model, reference, seed)), None) for name in interventions
        }
        found = {name: reading.evaluation for name, reading in readings.items() if reading is not None}
        return best_reference(found, BEST)[0]

    def _references(self, intervention: str, base_model: str, reference: str, seed: int | None) -> list[Reading]:
        """The possible evaluations of the reference; first those with its own arguments and with the row's seed."""
        found = [
            self.tuned(intervention, base_model, reference, own, reference, suffix)
            for suffix in (TARGET_TUNED, "", unlabelled_suffix(reference))
            for own in dict.fromkeys((seed, None))
        ]
        found.append(self._untuned(intervention, base_model, reference))
        return [each for each in found if each is not None]

    def _untuned(self, intervention: str, base_model: str, target: str) -> Reading | None:
        """The evaluation of the untuned model by an intervention that tunes nothing, as its provenance says."""
        reading = self._of(intervention, base_model, None, None, target, base_model)
        return reading if reading is not None and (reading.provenance or {}).get("tunes") is False else None

    def _tested(self, shifts: Sequence[Shift], baseline: str) -> list[tuple[str, str, int | None]]:
        """(base model, intervention, seed) of all models tuned on a source and tested on its target, and of other
        interventions than the baseline that tune nothing, sorted."""
        found: set[tuple[str, str, int | None]] = set()
        folders = sorted(each for each in (self._store.results_dir / "evaluations").glob("*/*") if each.is_dir())
        names = {folder.name for folder in folders}
        sources = {shift.source for shift in shifts}
        for folder in folders:
            identity = _recorded_identity(folder)
            if identity is not None:
                base_model, seed = identity.base_model, identity.seed
            else:  # a file of the 2023 release, or of a version without recorded identities
                name, seed = _without_seed(folder.name)
                # A source may contain a dash: prefer a base model that was evaluated untuned, then the shortest name.
                possible = {name.removesuffix(f"-{source}") for source in sources if name.endswith(f"-{source}")} - {""}
                base_model = min(possible, key=lambda each: (each not in names, len(each)), default="")
            intervention = folder.parent.name
            if identity is not None and identity.source is None:
                untuned = (self._untuned(intervention, base_model, shift.target) for shift in shifts)
                if intervention != baseline and any(untuned):
                    found.add((base_model, intervention, None))
                continue
            tested = (shift.target for shift in shifts if folder.name in possible_model_names(base_model, shift, seed))
            if base_model and any((folder / f"{target}.json").exists() for target in tested):
                found.add((base_model, intervention, seed))
        return sorted(found, key=lambda each: (each[0], each[1], -1 if each[2] is None else each[2]))

    def shift_reading(self, line: Listed, readings: Sequence[Reading | None]) -> ShiftReading:
        """The line with its evaluations, in the order of `evaluations`."""
        shift, base_model, seed = line.shift, line.base_model, line.seed
        bare = table_row(
            shift,
            base_model=base_model,
            intervention=line.intervention,
            seed=seed,
            baseline_intervention=line.baseline,
            capability_intervention=release_layout.BEST_OF_ALL if self._release else line.capability,
            generalization=None,
            source_id=None,
            baseline=None,
            capability=None,
        )
        hole = ShiftReading(shift, base_model, line.intervention, seed, bare, None, None, None, None, line.listed)
        return hole.with_evaluations(*readings)

    def evaluations(self, line: Listed) -> list[Reading | None]:
        """The evaluations of a line, in the order of ShiftReading.with_evaluations."""
        shift, base_model, seed = line.shift, line.base_model, line.seed

        def tuned(target: str) -> Reading | None:
            """The intervention's evaluation; an intervention that tunes nothing has one of the untuned model."""
            found = (
                self.tuned(line.intervention, base_model, shift.source, seed, target, suffix)
                for suffix in ("", unlabelled_suffix(shift.target))
            )
            made = next((each for each in found if each is not None), None)
            return made or self._of_one_that_tunes_nothing(line, target)

        if not shift.source:
            return [self._of_one_that_tunes_nothing(line, shift.target), *[None] * 5]

        def baseline(tuned_on: str, target: str) -> Reading | None:
            """The evaluation of the untuned model; the release stored it for every source."""
            stored = self.tuned(line.baseline, base_model, tuned_on, None, target) if self._release else None
            return stored or self._of(line.baseline, base_model, None, None, target, base_model)

        references = self._references(line.capability, base_model, shift.target_reference, seed)
        return [
            tuned(shift.target),
            tuned(shift.source),
            baseline(shift.source, shift.target),
            self._best_of_release(line) if self._release else line.meant_capability(references),
            baseline(shift.source, shift.source),
            baseline(shift.target_reference, shift.target_reference),
        ]

    def _best_of_release(self, line: Listed) -> Reading | None:
        """The reference of the 2023 release, an accuracy without probabilities; from the table if its file is
        missing."""
        model, reference = line.base_model, line.shift.target_reference
        try:
            found = self._best_capability(model, line.shift.target, reference)
        except InputError as error:
            self.damaged.append(str(error))
            return None
        if found is None and line.capability_accuracy is not None:
            found = Evaluation(eval_accuracy=line.capability_accuracy)
        if found is None:
            return None
        folder = self._store.results_dir
        return Reading(folder, release_layout.BEST_OF_ALL, model, reference, None, reference, found)

    def _of_one_that_tunes_nothing(self, line: Listed, target: str) -> Reading | None:
        """The evaluation of the untuned model, if the intervention shares it: its provenance says so, or,
        in older files, the intervention is the baseline and no tuned model of it was evaluated."""
        reading = self._of(line.intervention, line.base_model, None, None, target, line.base_model)
        if reading is None or (reading.provenance or {}).get("tunes") is False:
            return reading
        folder = self._store.results_dir / "evaluations" / line.intervention
        tuned = any(folder.glob(f"{glob.escape(line.base_model)}-*"))
        return reading if line.intervention == line.baseline and not tuned else None

    def tuned(
        self, intervention: str, base_model: str, source: str, seed: int | None, target: str, suffix: str = ""
    ) -> Reading | None:
        name = tuned_model_name(base_model, source, seed, suffix)
        return self._of(intervention, name, source, seed, target, base_model)

    def _of(
        self, intervention: str, name: str, source: str | None, seed: int | None, target: str, base_model: str
    ) -> Reading | None:
        key = intervention, name, target
        if key not in self._read:
            self._read[key] = None
            path = self._store.evaluation_file(intervention, name, target)
            try:
                evaluation = read_stored(path)
            except InputError as error:
                self.damaged.append(str(error))
                return None
            if evaluation is not None:
                target_tuned = TARGET_TUNED in name
                other = self._release and intervention == release_layout.SINGLE_RESPONSES
                self._read[key] = Reading(
                    path,
                    intervention,
                    base_model,
                    source,
                    seed,
                    target,
                    self._tests.with_clusters(evaluation, target),
                    target_tuned,
                    comparable=not (other and evaluation.eval_probabilities is None),
                )
        return self._read[key]


def _recorded_identity(folder: Path) -> Identity | None:
    """The identity in the provenance of a folder's first evaluation; None if it is not recorded."""
    for path in sorted(folder.glob("*.json"))[:1]:
        try:
            evaluation = read_stored(path)
        except InputError:
            return None
        return identity_in((evaluation.provenance or {}) if evaluation else {})
    return None


def _without_seed(model_name: str) -> tuple[str, int | None]:
    name, _, seed = model_name.rpartition("-seed")
    return (name, int(seed)) if name and seed.isdecimal() else (model_name, None)
