"""Evaluate distributions independently: an error in one does not prevent the others. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from genies.contract import EvaluationArguments
from genies.errors import InputError

T = TypeVar("T")


def for_each_distribution(
    arguments: EvaluationArguments, tests: Sequence[T], evaluate: Callable[[Path, Path, T], None]
) -> None:
    """Call `evaluate` with each distribution's folder, output path and test data.

    After an InputError, for example because no example fits into the context, the other distributions are still
    evaluated. All errors are then raised together.
    """
    faults = []
    for folder, path, test in zip(arguments.distribution_dirs, arguments.output_paths, tests, strict=True):
        try:
            evaluate(folder, path, test)
        except InputError as fault:
            faults.append(str(fault))
    if faults:
        raise InputError("\n".join(dict.fromkeys(faults)))
