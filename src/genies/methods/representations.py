"""Read last-token activations of pairs in templates, and train and evaluate interventions on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from genies.data.distribution import Pair
from genies.errors import InputError
from genies.lm.activation_reader import ActivationReader
from genies.lm.model_outline import ModelOutline
from genies.lm.sites import ReadAt, Site, SiteKind
from genies.lm.text_format import RAW, TextFormat, evaluation_format, record_format, training_format
from genies.methods.arguments import DirectionArguments, ReadingEvaluationArguments, ReadingTrainArguments
from genies.methods.base_model import base_model_dir, write_base_model
from genies.methods.directions import Directions, Fit, fit_directions
from genies.methods.each_distribution import for_each_distribution
from genies.methods.evaluation import write_evaluation
from genies.methods.protocol import protocol_of, record_protocol
from genies.methods.reading import Reading
from genies.methods.responses import encode_pairs
from genies.methods.templates import PLAIN, Templates

Activations = NDArray[np.float32]


@dataclass(frozen=True)
class ReadPairs:
    """Activations [templates, pairs, sites, width] of the best and the worse responses of pairs, in each template."""

    pairs: list[Pair]
    """The pairs, with texts in the first template."""
    best: Activations
    worse: Activations
    left_out: tuple[int, ...]
    """Indices of the examples left out because one of their texts does not fit in every template."""

    def responses(self) -> Activations:
        """Activations [templates, responses, sites, width] of every response, once each."""
        places: dict[tuple[int, str], int] = {}
        for place, pair in enumerate(self.pairs):
            places.setdefault((pair.example_index, pair.best), place)
            places.setdefault((pair.example_index, pair.worse), place + len(self.pairs))
        both: Activations = np.concatenate([self.best, self.worse], axis=1)
        return both[:, sorted(places.values())]


class Reader(Protocol):
    """What reads activations: an ActivationReader, or for a training in several processes a DividedReader."""

    outline: ModelOutline

    def __call__(
        self, sequences: Sequence[Sequence[int]], sites: Sequence[Site], also: Sequence[Sequence[int]] = ()
    ) -> Activations:
        """Activations [sequences, sites, width] at the last token of each sequence."""


def read_pairs(
    reader: Reader,
    sites: Sequence[Site],
    reading: Reading,
    pairs: Sequence[Pair],
    source: Path,
    text_format: TextFormat = RAW,
) -> ReadPairs:
    """Activations of pairs; `source` is their distribution in messages. InputError if no pair fits."""
    templates = reading.templates
    # All copies are encoded in one call, so that an example that is too long in one template is left out of all.
    wrapped = [template.wrap(pair) for template in templates for pair in text_format.pairs(pairs)]
    encoded = encode_pairs(reader.outline.tokenizer, reader.outline.context_length, wrapped, source, text_format)
    sequences = encoded.best + encoded.worse
    # cra and ccs read the same two copies, but by default at different tokens.
    also = [sequence.read_until(place) for sequence in sequences for place in _BOTH if len(templates) > 1]
    found = reader([sequence.read_until(reading.read_at) for sequence in sequences], sites, also)
    best, worse = found.reshape(2, len(templates), -1, *found.shape[1:])
    return ReadPairs(encoded.pairs[: best.shape[1]], best, worse, encoded.left_out)


_BOTH: tuple[ReadAt, ReadAt] = ("last_response", "end_of_text")


def between_copies(activations: Activations) -> Activations:
    """Activations [pairs, sites, width] from [templates, pairs, sites, width]: of the single template, or of the first
    minus the second."""
    single: Activations = activations[0]
    return single if len(activations) == 1 else single - activations[1]


def train_directions(
    arguments: DirectionArguments,
    pairs: Sequence[Pair],
    kind: SiteKind,
    keep: int,
    templates: Templates = PLAIN,
    fit: Fit = "mean",
) -> None:
    """Fit directions to training pairs at all sites of a kind, and save those of the `keep` best sites."""
    sites, found = read_training_pairs(arguments, pairs, kind, templates)
    best, worse = between_copies(found.best), between_copies(found.worse)
    share, seed = arguments.validation_share, arguments.seed
    fit_directions(best, worse, sites, keep, share, seed, arguments.probe, fit).save(arguments.output_dir)


def read_training_pairs(
    arguments: ReadingTrainArguments, pairs: Sequence[Pair], kind: SiteKind, templates: Templates = PLAIN
) -> tuple[Sequence[Site], ReadPairs]:
    """The sites of a kind, and the activations of training pairs at all of them.

    Records in the tuned model's folder how texts are read, so that `evaluate_readings` reads them in the same way.
    """
    reading = Reading(templates, arguments.read_at)
    reader = ActivationReader(arguments.model_dir, arguments, arguments.batch_tokens)
    sites = reader.outline.sites(kind)
    if not sites:
        raise InputError(f"the model in {arguments.model_dir} has no attention heads; expected a model with attention")
    text_format = training_format(arguments, reader.outline.tokenizer)
    found = read_pairs(reader, sites, reading, pairs, arguments.train_distribution, text_format)
    reader.report()
    record_reading(arguments, reading, text_format)
    return sites, found


def record_reading(arguments: ReadingTrainArguments, reading: Reading, text_format: TextFormat) -> None:
    """Record in the tuned model's folder how texts are read and which model reads them, for `evaluate_readings`."""
    reading.save(arguments.output_dir)
    record_format(arguments.output_dir, text_format)
    record_protocol(arguments)
    write_base_model(arguments.output_dir, arguments.model_dir)


def evaluate_directions(arguments: ReadingEvaluationArguments, tests: Sequence[Sequence[Pair]]) -> None:
    """Evaluate the directions in the tuned model's folder on the pairs of each distribution."""
    directions = Directions.load(arguments.model_dir)

    def probabilities(found: ReadPairs) -> NDArray[np.float64]:
        return directions.probabilities(between_copies(found.best), between_copies(found.worse))

    evaluate_readings(arguments, tests, directions.sites, probabilities)


def evaluate_readings(
    arguments: ReadingEvaluationArguments,
    tests: Sequence[Sequence[Pair]],
    sites: Sequence[Site],
    probabilities: Callable[[ReadPairs], NDArray[np.float64]],
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write an evaluation for the pairs of each distribution; an error in one does not affect the others.

    Texts are read as recorded in the tuned model's folder. `probabilities` returns the probability [pairs] of the best
    response; `extra` contains further keys of the evaluation files.
    """
    reading = Reading.load(arguments.model_dir)
    reader = ActivationReader(base_model_dir(arguments.model_dir), arguments, arguments.batch_tokens)
    text_format = evaluation_format(
        arguments, arguments.model_dir, reader.outline.tokenizer, arguments.allow_format_change
    )
    extra = {**text_format.description(), **protocol_of(arguments), "read_at": reading.read_at, **(extra or {})}
    _check_sites(sites, reader, arguments.model_dir)

    def evaluate(folder: Path, path: Path, test: Sequence[Pair]) -> None:
        found = read_pairs(reader, sites, reading, test, folder, text_format)
        described = {**reader.outline.description, **extra}
        write_evaluation(path, folder, found.pairs, probabilities(found), found.left_out, described)

    try:
        for_each_distribution(arguments, tests, evaluate)
    finally:
        reader.report()


def _check_sites(sites: Sequence[Site], reader: ActivationReader, tuned: Path) -> None:
    outline = reader.outline
    known = {*outline.sites("heads"), *outline.sites("blocks")}
    if unknown := next((site for site in sites if site not in known), None):
        raise InputError(
            f"{tuned} was not trained on its base model {outline.folder}: {unknown} is not among the {outline.depth} "
            f"blocks and {sum(outline.heads)} heads of that model; train again"
        )
