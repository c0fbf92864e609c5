"""Zero-shot trains nothing: the tuned model is a note of the base model, so that it fits the contract."""

from __future__ import annotations

from genies.contract import TrainArguments, run
from genies.methods.base_model import write_base_model


def train(args: TrainArguments) -> None:
    """Record which base model eval.py will score with."""
    write_base_model(args.output_dir, args.model_dir)


if __name__ == "__main__":
    run(train)
