"""Last-token activations of pairs under templates, and the interventions that find directions in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from genies.data.distribution import Pair
from genies.errors import InputError
from genies.lm.activation_reader import ActivationReader
from genies.lm.sites import Site, SiteKind, all_sites
from genies.methods.arguments import DirectionArguments, ReadingEvaluationArguments
from genies.methods.base_model import base_model_dir, write_base_model
from genies.methods.directions import Directions, fit_directions
from genies.methods.evaluation import write_evaluation
from genies.methods.responses import encode_pairs
from genies.methods.templates import PLAIN, Templates

Activations = NDArray[np.float32]


@dataclass(frozen=True)
class ReadPairs:
    """Activations [templates, pairs, sites, width] of both responses of pairs, under each template."""

    pairs: list[Pair]
    """The pairs read, texts wrapped in the first template."""
    best: Activations
    worse: Activations
    left_out: tuple[int, ...]
    """Indices of the examples left out because a text of theirs does not fit under every template."""


def read_pairs(
    reader: ActivationReader, sites: Sequence[Site], templates: Templates, pairs: Sequence[Pair], source: Path
) -> ReadPairs:
    """Activations of pairs of the distribution in `source`, which messages name; InputError when none fits."""
    # All copies are encoded in one call, so that an example whose text is too long in one is left out of all.
    wrapped = [template.wrap(pair) for template in templates for pair in pairs]
    encoded = encode_pairs(reader.outline.tokenizer, reader.outline.context_length, wrapped, source)
    found = reader([sequence.ids for sequence in encoded.best + encoded.worse], sites)
    best, worse = found.reshape(2, len(templates), -1, *found.shape[1:])
    return ReadPairs(encoded.pairs[: best.shape[1]], best, worse, encoded.left_out)


def between_copies(activations: Activations) -> Activations:
    """The activation [pairs, sites, width] of responses: under the one template, or under the first minus the second.

    Takes activations [templates, pairs, sites, width].
    """
    single: Activations = activations[0]
    return single if len(activations) == 1 else single - activations[1]


def train_directions(
    arguments: DirectionArguments, pairs: Sequence[Pair], kind: SiteKind, keep: int, templates: Templates = PLAIN
) -> None:
    """Fit directions to training pairs at all sites of a kind, of which `keep` stay, and save them."""
    reader = ActivationReader(arguments.model_dir, arguments, arguments.batch_tokens)
    sites = all_sites(reader.outline.depth, reader.outline.heads, kind)
    if not sites:
        raise InputError(f"{arguments.model_dir} has no attention heads; expected a model with attention")
    found = read_pairs(reader, sites, templates, pairs, arguments.train_distribution)
    reader.report()
    best, worse = between_copies(found.best), between_copies(found.worse)
    directions = fit_directions(best, worse, sites, keep, arguments.validation_share, arguments.seed)
    directions.save(arguments.output_dir)
    write_base_model(arguments.output_dir, arguments.model_dir)


def evaluate_directions(
    arguments: ReadingEvaluationArguments, tests: Sequence[Sequence[Pair]], templates: Templates = PLAIN
) -> None:
    """Evaluate the directions in the tuned model's folder on the pairs of each distribution."""
    directions = Directions.load(arguments.model_dir)

    def probabilities(best: Activations, worse: Activations) -> NDArray[np.float64]:
        return directions.probabilities(between_copies(best), between_copies(worse))

    evaluate_readings(arguments, tests, directions.sites, templates, probabilities)


def evaluate_readings(
    arguments: ReadingEvaluationArguments,
    tests: Sequence[Sequence[Pair]],
    sites: Sequence[Site],
    templates: Templates,
    probabilities: Callable[[Activations, Activations], NDArray[np.float64]],
) -> None:
    """Write an evaluation for the pairs of each distribution; one of which no example fits costs only its own.

    `probabilities` turns activations [templates, pairs, sites, width] of the best and of the worse responses into
    the probability [pairs] of the best.
    """
    reader = ActivationReader(base_model_dir(arguments.model_dir), arguments, arguments.batch_tokens)
    _check_sites(sites, reader, arguments.model_dir)
    faults = []
    for folder, path, test in zip(arguments.distribution_dirs, arguments.output_paths, tests, strict=True):
        try:
            found = read_pairs(reader, sites, templates, test, folder)
            p = probabilities(found.best, found.worse)
            write_evaluation(path, folder, found.pairs, p, found.left_out, reader.outline.description)
        except InputError as fault:
            faults.append(str(fault))
    reader.report()
    if faults:
        raise InputError("\n".join(dict.fromkeys(faults)))


def _check_sites(sites: Sequence[Site], reader: ActivationReader, tuned: Path) -> None:
    depth, heads = reader.outline.depth, reader.outline.heads
    for site in sites:
        if not 0 <= site.block < depth or (site.head is not None and not 0 <= site.head < heads):
            raise InputError(
                f"what is stored in {tuned} was not trained on its base model ({site} is none of {depth} blocks of "
                f"{heads} heads); train again"
            )
