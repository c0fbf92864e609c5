"""Contrast-consistent search (Burns et al. 2022): train a probe without labels, whose outputs are consistent for a
response followed by Yes and by No to the question whether it follows the instruction."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from genies.contract import run
from genies.data.distribution import Distribution, one_pair_per_example
from genies.files import write_json
from genies.lm.sites import ReadAt
from genies.methods.arguments import ReadingTrainArguments
from genies.methods.base_model import write_base_model
from genies.methods.protocol import RELEASE_2023, Protocol, record_protocol
from genies.methods.reading import Reading
from genies.methods.templates import QUESTIONS, Wording


class Arguments(ReadingTrainArguments):
    """Train a probe on consistency and confidence; the labels determine only its sign."""

    num_restarts: Annotated[int, Field(ge=1)] = 10
    """Number of probes trained from different starts; the one with the lowest loss is used."""
    num_train_steps: Annotated[int, Field(ge=1)] = 1000
    """Number of optimizer steps, each on all training responses."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    """Learning rate of AdamW."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """Weight decay of AdamW."""
    read_at: ReadAt = "end_of_text"
    """The token whose activations are read: the end-of-text token after the answer, or the last token of the answer."""
    wording: Wording = "default"
    """The question after each response: that of this project or of the 2023 release."""
    normalize: Literal["source", "target"] = "source"
    """Whose mean activations evaluation subtracts: the source's, or those of the target's unlabelled texts (as in
    Burns et al. 2022). The latter is recorded in evaluation files (uses_target_texts)."""

    release_2023: ClassVar[Protocol] = RELEASE_2023["ccs"]


def train(args: Arguments) -> None:
    """Read the last layer after each response, the question, and each of the answers Yes and No; fit a probe."""
    examples = Distribution(args.train_distribution).training_sample(args.max_examples, args.sample, args.seed)

    from genies.lm.activation_reader import ActivationReader
    from genies.lm.sites import Site
    from genies.lm.text_format import record_format, training_format
    from genies.methods.ccs_sanity import sanity
    from genies.methods.ccs_training import fit_consistency_probe
    from genies.methods.representations import read_pairs

    reader = ActivationReader(args.model_dir, args, args.batch_tokens)
    last_layer = Site(reader.outline.depth - 1)
    pairs = one_pair_per_example(examples, args.seed)
    reading = Reading(QUESTIONS[args.wording], args.read_at)
    text_format = training_format(args, reader.outline.tokenizer)
    found = read_pairs(reader, [last_layer], reading, pairs, args.train_distribution, text_format)
    reader.report()
    probe = fit_consistency_probe(
        found.best[:, :, 0],
        found.worse[:, :, 0],
        last_layer,
        args.num_restarts,
        args.num_train_steps,
        args.learning_rate,
        args.weight_decay,
        args.seed,
        args.normalize,
    )
    probe.save(args.output_dir)
    compared = sanity(probe.train_accuracy, found.best[:, :, 0], found.worse[:, :, 0], args.seed)
    write_json(args.output_dir / "sanity.json", asdict(compared))
    print(compared.sentence())
    reading.save(args.output_dir)
    record_format(args.output_dir, text_format)
    record_protocol(args)
    write_base_model(args.output_dir, args.model_dir)


if __name__ == "__main__":
    run(train)
