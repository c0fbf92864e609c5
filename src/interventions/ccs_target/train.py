"""Contrast-consistent search on the target (Burns et al. 2022): the probe of ccs, fitted to unlabelled texts of the
target. The source's labels determine only its sign."""

from __future__ import annotations

from genies.contract import UnlabelledArguments, run
from genies.data.distribution import Distribution, one_pair_per_example
from genies.data.unlabelled import unlabelled_pairs
from genies.lm.sites import ReadAt
from genies.methods.arguments import ReadingTrainArguments
from genies.methods.reading import Reading
from genies.methods.templates import QUESTIONS


class Arguments(UnlabelledArguments, ReadingTrainArguments):
    """Train a probe on consistency and confidence on the target's texts; the source determines its sign."""

    read_at: ReadAt = "end_of_text"
    """The token whose activations are read: the end-of-text token after the answer, or the last token of the answer."""


def train(args: Arguments) -> None:
    """Read the last layer after each response, the question, and each of the answers Yes and No, of both distributions;
    fit a probe to the target and choose its sign on the source."""
    examples = Distribution(args.train_distribution).training_sample(args.max_examples, args.sample, args.seed)
    texts = unlabelled_pairs(args.unlabelled_distribution, args.max_examples, args.sample, args.seed)

    import numpy as np

    from genies.lm.activation_reader import ActivationReader
    from genies.lm.sites import Site
    from genies.lm.text_format import training_format
    from genies.methods.ccs import mean_activations
    from genies.methods.ccs_training import oriented, search_probe
    from genies.methods.representations import read_pairs, record_reading

    reader = ActivationReader(args.model_dir, args, args.batch_tokens)
    site = Site(reader.outline.depth - 1)
    reading = Reading(QUESTIONS["default"], args.read_at)
    text_format = training_format(args, reader.outline.tokenizer)
    source, target = (
        read_pairs(reader, [site], reading, pairs, folder, text_format)
        for pairs, folder in (
            (one_pair_per_example(examples, args.seed), args.train_distribution),
            (texts, args.unlabelled_distribution),
        )
    )
    reader.report()
    probe = search_probe(np.concatenate([target.best, target.worse], axis=1)[:, :, 0], site, seed=args.seed)
    means = mean_activations(source.responses()[:, :, 0])
    oriented(probe, source.best[:, :, 0], source.worse[:, :, 0], means).save(args.output_dir)
    record_reading(args, reading, text_format)


if __name__ == "__main__":
    run(train)
