"""The set-up of a study: the arguments behind its results, and those that differ between compared rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from genies.report.study import Reading, ShiftReading

_SHARED = ("max_examples", "dtype", "matmul_precision", "prompt_format", "system_prompt", "sample", "read_at")
"""Arguments that many interventions have; the others are compared only between rows that record them."""
_OF_MODELS = {"dtype", "matmul_precision", "prompt_format", "system_prompt", "read_at"}
"""Arguments that say nothing about an intervention that runs no model."""
_NOT_COMPARED = {"seed", "base_model_dir"}
_UNSET = "default"

Arguments = dict[str, dict[str, None]]
"""The distinct values of each argument, as text, in order."""


def setup_line(shifts: Sequence[ShiftReading], base_model: str) -> list[str]:
    """The set-up of one base model's rows: examples, steps, number format, prompt format and seeds, as far as known."""
    rows = [each for each in shifts if each.base_model == base_model]
    readings = _readings(rows)
    tuned = [each for each in readings if each.source is not None]
    words = [base_model]
    train = _values(_train_arguments(each).get("max_examples") for each in tuned)
    if train:
        words.append(f"tuned on up to {train} examples")
    steps = _values(_train_arguments(each).get("num_train_steps") for each in tuned)
    if steps:
        words.append(f"{steps} training steps")
    tested = _values(_tested(each) for each in readings)
    if tested:
        words.append(f"tested on {tested} examples")
    words += _values_of(each.evaluation.dtype for each in readings)
    precisions = _values_of(_arguments(each).get("matmul_precision") for each in readings)
    words += [f"matmul precision {' and '.join(precisions)}"] if precisions else []
    formats = _values_of(each.evaluation.prompt_format for each in readings)
    words += [f"{' and '.join(formats)} format"] if formats else []
    seeds = sorted({each.seed for each in rows if each.seed is not None})
    if seeds:
        words.append(f"seed{'' if len(seeds) == 1 else 's'} {', '.join(map(str, seeds))}")
    return words


def differing(shifts: Sequence[ShiftReading]) -> list[str]:
    """Each argument that differs between the rows of a base model, with the interventions of each value.

    Arguments are those recorded in the provenance of the evaluations on the target. Seeds and the arguments that only
    one intervention has are not compared, nor how the untuned model and `random` were tuned. Interventions that tune
    nothing, such as `judge`, have no training to compare.
    """
    warnings = []
    models = list(dict.fromkeys(each.base_model for each in shifts))
    for base_model in models:
        of = f"{base_model}, " if len(models) > 1 else ""
        rows = [each for each in shifts if each.base_model == base_model]
        compared = _readings(each for each in rows if not each.is_baseline and each.intervention != "random")
        tuned = [each for each in compared if _is_of_tuned_model(each)]
        for job, arguments, readings in (
            ("training", _train_arguments, tuned),
            ("evaluation", _arguments, _readings(rows)),
        ):
            members = [each for each in readings if _parts(each)]
            for name, values in _differing(members, arguments):
                text = "; ".join(f"{value} ({_names(names)})" for value, names in values.items())
                warnings.append(f"{of}{job}, {name}: {text}")
    return warnings


def _differing(readings: Sequence[Reading], arguments: Any) -> Iterable[tuple[str, Arguments]]:
    given = [(each.intervention, arguments(each), each.evaluation.dtype is None) for each in readings]
    for name in dict.fromkeys(key for _, each, _ in given for key in each if key not in _NOT_COMPARED):
        values: Arguments = {}
        having = {intervention for intervention, each, _ in given if name in each}
        for intervention, each, without_model in given:
            if without_model and name in _OF_MODELS and name not in each:
                continue
            if name in each or name in _SHARED or intervention in having:
                values.setdefault(_text(each[name]) if name in each else _UNSET, {})[intervention] = None
        if len(values) > 1:
            yield name, values


def _names(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:4]) + (f" and {len(listed) - 4} more" if len(listed) > 4 else "")


def _readings(shifts: Iterable[ShiftReading]) -> list[Reading]:
    return [each.generalization for each in shifts if each.generalization is not None]


def _parts(reading: Reading) -> dict[str, Any]:
    parts = (reading.provenance or {}).get("parts")
    return parts if isinstance(parts, dict) else {}


def _arguments(reading: Reading) -> dict[str, Any]:
    given = _parts(reading).get("kwargs")
    return given if isinstance(given, dict) else {}


def _is_of_tuned_model(reading: Reading) -> bool:
    model = _parts(reading).get("model")
    return isinstance(model, dict) and "kwargs" in model


def _train_arguments(reading: Reading) -> dict[str, Any]:
    model = _parts(reading).get("model")
    given = model.get("kwargs") if isinstance(model, dict) else None
    return given if isinstance(given, dict) else {}


def _tested(reading: Reading) -> int | None:
    indices = reading.evaluation.eval_example_indices
    return None if not indices else len(set(indices))


def _values(values: Iterable[object]) -> str:
    """The range of some numbers, such as 20 or 20 to 200; empty if there are none."""
    found = sorted({each for each in values if isinstance(each, int) and not isinstance(each, bool)})
    return "" if not found else f"{found[0]:,}" if len(found) == 1 else f"{found[0]:,} to {found[-1]:,}"


def _values_of(values: Iterable[object]) -> list[str]:
    return list(dict.fromkeys(each for each in values if isinstance(each, str)))


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
