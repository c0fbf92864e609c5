"""One evaluation for each distribution, none of which costs another its own. Imports no torch."""

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

    An InputError, as for a distribution of which no example fits the context, leaves out that evaluation only. It is
    raised after the last one, together with the others.
    """
    faults = []
    for folder, path, test in zip(arguments.distribution_dirs, arguments.output_paths, tests, strict=True):
        try:
            evaluate(folder, path, test)
        except InputError as fault:
            faults.append(str(fault))
    if faults:
        raise InputError("\n".join(dict.fromkeys(faults)))
