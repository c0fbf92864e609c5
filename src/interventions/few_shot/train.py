"""Few-shot trains nothing: it draws demonstrations from the source and records them with the base model."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from genies.contract import run
from genies.data.distribution import Distribution
from genies.lm.arguments import ModelArguments
from genies.lm.text_format import record_format
from genies.methods.base_model import untrained_format, write_base_model
from genies.methods.demonstrations import draw_demonstrations
from genies.methods.protocol import RELEASE_2023, Protocol, ProtocolTrainArguments, record_protocol


class Arguments(ProtocolTrainArguments, ModelArguments):
    """Draw examples of the source that eval.py writes before each prompt."""

    num_shots: Annotated[int, Field(ge=1)] = 4
    """Number of demonstrations before each prompt."""
    resample: bool = False
    """Draw demonstrations for each evaluated example, instead of once for all, which is faster."""

    release_2023: ClassVar[Protocol] = RELEASE_2023["few_shot"]


def train(args: Arguments) -> None:
    """Draw training examples without replacement; a demonstration is a prompt and its best response."""
    source = Distribution(args.train_distribution)
    examples = source.training_sample(args.max_examples, args.sample, args.seed)
    text_format = untrained_format(args, args.model_dir)
    drawn = draw_demonstrations(source.folder, examples, args.num_shots, args.resample, args.seed, text_format)
    drawn.save(args.output_dir)
    record_format(args.output_dir, text_format)
    record_protocol(args)
    write_base_model(args.output_dir, args.model_dir)


if __name__ == "__main__":
    run(train)
