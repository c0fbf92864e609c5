"""Validation of the probabilities from which all metrics are computed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from genies.errors import InputError

Floats = npt.NDArray[np.float64]
Probabilities = Sequence[float] | npt.NDArray[np.floating]
Indices = Sequence[int] | npt.NDArray[np.integer]


def checked(probabilities: Probabilities) -> Floats:
    """The probabilities as float64, shape (pairs,). Raises InputError if there are none or one is outside [0, 1]."""
    values = np.asarray(probabilities)
    if values.ndim != 1:
        raise InputError(f"expected a flat list of probabilities, got an array of shape {values.shape}")
    if values.size == 0:
        raise InputError("expected the probability of at least one pair, got none; is the test split empty?")
    if values.dtype.kind not in "fiu":
        raise InputError(f"expected probabilities (numbers from 0 to 1), got an array of {values.dtype}")
    values = values.astype(np.float64, copy=False)
    if not 0 <= values.min() <= values.max() <= 1:  # false also if one is NaN
        faults = np.flatnonzero(~((values >= 0) & (values <= 1)))
        raise InputError(
            f"{faults.size} of {values.size} probabilities are not numbers from 0 to 1; "
            f"the first is {values[faults[0]]} at index {faults[0]}"
        )
    return values


def checked_labels(labels: Indices, pairs: int) -> npt.NDArray[np.int64]:
    """The cluster or example of each pair. Raises InputError unless there is one integer for each of `pairs` pairs."""
    values = np.asarray(labels)
    if values.shape != (pairs,) or values.dtype.kind not in "iu":
        raise InputError(
            f"expected an integer for each of {pairs} pairs (its cluster or example), "
            f"got an array of {values.dtype} of shape {values.shape}"
        )
    return values.astype(np.int64, copy=False)


def is_constant_half(probabilities: Probabilities) -> bool:
    """Whether all probabilities are within 1e-9 of 1/2. Such a scorer has no preferences, and calibration is undefined.

    >>> is_constant_half([0.5, 0.5]), is_constant_half([0.5, 0.51])
    (True, False)
    """
    return bool(np.all(np.abs(checked(probabilities) - 0.5) <= 1e-9))
