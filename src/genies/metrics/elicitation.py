"""Differential elicitation: how much of a capability is elicited by tuning on another distribution."""

from __future__ import annotations

import numpy as np

from genies.errors import InputError
from genies.metrics.probabilities import Floats
from genies.metrics.resampling import ClusterSums, on_same_clusters, resample_weights, resampled_means


def differential_elicitation(
    generalization_accuracy: float, baseline_accuracy: float, target_tuned_capability: float
) -> float | None:
    """The share of the target-tuned capability that is elicited by tuning on the source.

    (generalization_accuracy - baseline_accuracy) / target_tuned_capability (Clymer et al. 2023, section 3).
    None for a capability of 0, for which the ratio is undefined.

    >>> differential_elicitation(0.75, 0.5, 0.8)
    0.3125
    """
    for name, value in (
        ("generalization_accuracy", generalization_accuracy),
        ("baseline_accuracy", baseline_accuracy),
        ("target_tuned_capability", target_tuned_capability),
    ):
        if not 0 <= value <= 1:
            raise InputError(f"{name}: expected a number from 0 to 1, got {value}")
    if target_tuned_capability == 0:
        return None
    return (generalization_accuracy - baseline_accuracy) / target_tuned_capability


def resampled_elicitation(
    generalization: ClusterSums,
    baseline: ClusterSums,
    capability: ClusterSums,
    capability_on_target: bool,
    resamples: int = 2_000,
    seed: int = 0,
) -> Floats | None:
    """differential_elicitation in each resample, shape (resamples,); None if a resampled capability is 0.

    Each argument contains the scores of pairs summed by prompt cluster. Generalization and baseline are tested on the
    same target, so they share the resampled prompts. The capability shares them too if it was measured on the target
    (target_reference = target); otherwise it is resampled independently.
    """
    on_target = [generalization, baseline, capability] if capability_on_target else [generalization, baseline]
    joined = on_same_clusters(on_target)
    weights = resample_weights(joined[0].sums.size, resamples, seed)
    drawn = [resampled_means(part, weights) for part in joined]
    if not capability_on_target:
        # A different seed, because with equal numbers of examples the same weights would correlate the two.
        drawn.append(resampled_means(capability, resample_weights(capability.sums.size, resamples, seed + 1)))
    if np.any(drawn[2] == 0):
        return None
    result: Floats = (drawn[0] - drawn[1]) / drawn[2]
    return result
