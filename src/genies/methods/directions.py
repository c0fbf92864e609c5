"""Mean-difference directions: a pair's score is the cosine of its activation difference with the direction from worse
to best responses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from genies.errors import InputError
from genies.files import write_bytes, write_json
from genies.lm.sites import Site
from genies.methods.base_model import read_record
from genies.methods.evaluation import logistic
from genies.methods.probes import fit_slope, probe_margins, response_margins

Fit = Literal["mean", "whitened", "pca"]
"""How a direction is found. mean: the mean difference between best and worse responses. whitened: the same, multiplied
by the inverse covariance within each of the two classes, with Ledoit and Wolf's shrinkage (Marks and Tegmark 2023,
section 5). pca: the first principal component of the differences with random signs (Zou et al. 2023, section 3.1), in
the direction of the mean difference."""

_TENSORS, _RECORD = "directions.safetensors", "directions.json"

_ROUNDING = 5e-6
"""Of two activations, the share of their size by which forward passes in float32 may differ (2e-7 to 1e-6 measured)."""


@dataclass(frozen=True)
class Directions:
    """One direction per site, and the slope that turns cosines into probabilities."""

    sites: list[Site]
    vectors: NDArray[np.float32]
    """Mean best minus mean worse activation [sites, width]."""
    slope: float
    """p = logistic(slope * (s - 1/2)), s = (1 + mean cosine) / 2."""
    accuracies: list[float]
    """Accuracy of each site's probe on held-back pairs or single responses."""
    fitted_pairs: int
    held_back_pairs: int

    def scores(self, first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.float64]:
        """Score of the second response: (1 + mean over sites of cos(second - first, direction)) / 2, in [0, 1].

        `first` and `second` are activations [pairs, sites, width] of the two responses of each pair.
        """
        return (1 + mean_cosines(second, first, self.vectors)) / 2

    def probabilities(self, best: NDArray[Any], worse: NDArray[Any]) -> NDArray[np.float64]:
        """Probability [pairs] of the best response, from activations [pairs, sites, width] of both responses."""
        return logistic(self.slope * mean_cosines(best, worse, self.vectors) / 2)

    def save(self, folder: Path) -> None:
        """Write directions.safetensors and directions.json."""
        write_bytes(folder / _TENSORS, save({"directions": np.ascontiguousarray(self.vectors)}))
        write_json(
            folder / _RECORD,
            {
                "sites": [{"block": site.block, "head": site.head} for site in self.sites],
                "slope": self.slope,
                "accuracies": self.accuracies,
                "fitted_pairs": self.fitted_pairs,
                "held_back_pairs": self.held_back_pairs,
            },
        )

    @classmethod
    def load(cls, folder: Path) -> Directions:
        """Load what `save` wrote; InputError if a file is missing or damaged."""
        record = read_record(folder, _RECORD, "record of the directions")
        try:
            vectors = load_file(folder / _TENSORS)["directions"]
            sites = [_site(**site) for site in record["sites"]]
            if not sites or vectors.ndim != 2 or len(vectors) != len(sites):
                raise ValueError(f"{len(sites)} sites and vectors of shape {vectors.shape}")
            if not (np.isfinite(vectors).all() and np.isfinite(float(record["slope"]))):
                raise ValueError("a value is not a number")
            return cls(
                sites,
                vectors,
                float(record["slope"]),
                list(record["accuracies"]),
                int(record["fitted_pairs"]),
                int(record["held_back_pairs"]),
            )
        except FileNotFoundError:
            raise InputError(f"{folder / _TENSORS} does not exist; train again") from None
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"the directions in {folder} are damaged ({error!r}); train again") from None


def _site(block: int, head: int | None) -> Site:
    return Site(int(block), None if head is None else int(head))


def check_width(activations: NDArray[Any], vectors: NDArray[Any]) -> None:
    """Raise InputError if the widths of activations and vectors, their last dimensions, differ."""
    if activations.shape[-1] != vectors.shape[-1]:
        raise InputError(
            f"the base model's activations have width {activations.shape[-1]}, but the intervention was trained on "
            f"width {vectors.shape[-1]}; train again on this base model"
        )


def mean_cosines(best: NDArray[Any], worse: NDArray[Any], vectors: NDArray[Any]) -> NDArray[np.float64]:
    """Mean over sites of cos(best - worse, direction), [pairs].

    0 for a direction of length 0, and for a difference that is only rounding error, whose direction is arbitrary.
    """
    difference = np.asarray(best, dtype=np.float64) - worse
    check_width(difference, vectors)
    directions = np.asarray(vectors, dtype=np.float64)
    dots = np.einsum("psw,sw->ps", difference, directions)
    size = np.linalg.norm(difference, axis=-1)
    largest = np.maximum(*(np.linalg.norm(np.asarray(each, dtype=np.float64), axis=-1) for each in (best, worse)))
    lengths = size * np.linalg.norm(directions, axis=-1)
    known = (lengths != 0) & ~(size <= _ROUNDING * largest)  # what is no number stays none
    return np.asarray(np.divide(dots, lengths, out=np.zeros_like(dots), where=known).mean(axis=1))


def fit_directions(
    best: NDArray[Any],
    worse: NDArray[Any],
    sites: Sequence[Site],
    keep: int,
    validation_share: float = 0.3,
    seed: int = 0,
    probe: Literal["differences", "responses"] = "differences",
    fit: Fit = "mean",
) -> Directions:
    """Fit directions to activations [pairs, sites, width] of the best and the worse responses of training pairs.

    A share of the pairs, drawn with `seed`, is held back; directions and probes are fitted to the others. The `keep`
    sites with the most accurate probes on held-back pairs are used (all sites if there are fewer). A logistic
    regression on the held-back pairs calibrates the score. `probe` is what the probes classify: differences of pairs
    (genies.methods.probes.probe_margins) or single responses (response_margins). `fit` is how a direction is found.
    Raises InputError for fewer than two pairs or activations that are not finite.
    """
    check_activations(best, worse)
    held, fitted = hold_back(len(best), validation_share, seed)
    difference = best - worse
    accuracies, losses = np.zeros(len(sites)), np.zeros(len(sites))
    for site in range(len(sites)):
        if probe == "differences":
            of_site = difference[:, site].astype(np.float64)
            margins = probe_margins(of_site[fitted], of_site[held])
        else:
            responses = np.stack([best[:, site], worse[:, site]]).astype(np.float64)
            margins = response_margins(responses[:, fitted], responses[:, held])
        accuracies[site] = np.mean((margins > 0) + 0.5 * (margins == 0))
        losses[site] = np.mean(np.logaddexp(0, -margins))
    # With few held-back pairs, many sites are equally accurate: the lower loss decides between them.
    chosen = np.sort(np.lexsort((np.arange(len(sites)), losses, -accuracies))[:keep])
    vectors = np.stack([_direction(best[fitted, site], worse[fitted, site], fit, seed) for site in chosen]).astype(
        np.float32
    )
    cosines = mean_cosines(best[np.ix_(held, chosen)], worse[np.ix_(held, chosen)], vectors)
    return Directions(
        [sites[site] for site in chosen],
        vectors,
        fit_slope(cosines / 2),
        [float(accuracies[site]) for site in chosen],
        len(fitted),
        len(held),
    )


def check_activations(best: NDArray[Any], worse: NDArray[Any]) -> None:
    """Raise InputError for fewer than two pairs or activations that are not finite."""
    if len(best) < 2:
        raise InputError(
            f"{len(best)} training pairs are too few: at least two are needed, one to fit and one to select sites and "
            "calibrate"
        )
    if not (np.isfinite(best).all() and np.isfinite(worse).all()):
        raise InputError("the model returned activations that are not finite; try --dtype float32")


def _direction(best: NDArray[Any], worse: NDArray[Any], fit: Fit, seed: int) -> NDArray[np.float64]:
    """The direction [width] from activations [pairs, width] of the best and the worse responses."""
    best, worse = best.astype(np.float64), worse.astype(np.float64)
    difference = best - worse
    mean: NDArray[np.float64] = difference.mean(axis=0)
    if fit == "mean":
        return mean
    if fit == "whitened":
        from sklearn.covariance import ledoit_wolf

        within = np.concatenate([best - best.mean(axis=0), worse - worse.mean(axis=0)])
        filled = within.any(axis=0)  # narrower heads are padded with zeros
        found = np.zeros_like(mean)
        if filled.any():
            covariance, _ = ledoit_wolf(within[:, filled], assume_centered=True)
            found[filled] = np.linalg.solve(covariance, mean[filled])
        return found
    signs = np.random.default_rng(seed).permutation(np.resize([1.0, -1.0], len(difference)))
    signed = difference * signs[:, None]
    signed = signed - signed.mean(axis=0)
    first: NDArray[np.float64] = np.linalg.svd(signed, full_matrices=False)[2][0]
    return first if first @ mean >= 0 else -first


def hold_back(count: int, share: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(held back, fitted): indices of a seeded split of `count` pairs, at least one in each part, ascending."""
    order = np.random.default_rng(seed).permutation(count)
    held = min(max(1, round(share * count)), count - 1)
    return np.sort(order[:held]), np.sort(order[held:])
