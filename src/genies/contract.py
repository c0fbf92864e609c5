"""The contract between the harness and an intervention: the command lines of two scripts.

    python <intervention>/train.py --model_dir M --train_distribution D --output_dir O [--key value ...]
    python <intervention>/eval.py --model_dir O --distribution_dirs '["d1", "d2"]' --output_paths '["p1", "p2"]' [...]

The harness builds command lines with these models. An intervention can use them as its command line
(`from genies.contract import TrainArguments, run`), or use its own parser and import nothing from here.
`genies.evaluation_file` is the rest of the contract: the JSON object that eval.py writes for each distribution.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, model_validator

from genies import command_line
from genies.command_line import Arguments, WithoutEffect
from genies.errors import InputError
from genies.step_defaults import step_defaults

__all__ = [
    "CONTRACT_VERSION",
    "EvaluationArguments",
    "TrainArguments",
    "argument_items",
    "evaluation_items",
    "run",
    "train_items",
]

CONTRACT_VERSION = 1
"""Part of every fingerprint."""

A = TypeVar("A", bound=Arguments)


def run(body: Callable[[A], int | None]) -> None:
    """Run a script of an intervention: `body` with arguments read from the command line.

    The annotation of its one parameter is their model. The process makes no request to the model hub: a step reads
    folders, and so does the same script when a person runs it. HF_HUB_OFFLINE=0 in the environment allows requests.
    """
    os.environ.update({**step_defaults(), "HF_HUB_DISABLE_PROGRESS_BARS": "1", **os.environ})
    # Python's last collection of garbage would visit every object of torch, which takes a fifth of its import.
    atexit.register(gc.freeze)
    command_line.run(body)


class TrainArguments(Arguments):
    """Tune a model on a source distribution."""

    model_dir: Path
    """Folder of the untuned base model."""
    train_distribution: Path
    """Folder of the source distribution; training reads its train.json."""
    output_dir: Path
    """Folder for everything that eval.py needs. It exists and is empty, except for checkpoint-* folders of a run that
    was killed."""
    max_examples: Annotated[int, Field(ge=1)] | None = None
    """Number of training examples to use (default: all)."""
    sample: Literal["first", "seeded"] = "first"
    """Which max_examples to use: the first of the file, or a random sample drawn with the seed. With seeded, results
    of several seeds also show how much a result depends on the examples. With the same seed, a smaller sample is a
    subset of a larger one."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of everything random in training."""
    batch_tokens: Annotated[Annotated[int, Field(ge=1)] | None, WithoutEffect(in_16_bits=False)] = None
    """Tokens in one forward pass (default: depends on the device). Changes speed and memory; in 16 bits it also
    changes results slightly."""


class UnlabelledArguments(Arguments):
    """For a train.py that also reads unlabelled texts of the target. One model is then tuned for each target."""

    unlabelled_distribution: Path
    """Folder with unlabelled.json: prompts and responses of the target's train split, without labels
    (genies.data.unlabelled)."""


class EvaluationArguments(Arguments):
    """Evaluate one tuned model on distributions."""

    model_dir: Path
    """Output folder of train.py, or an untuned base model."""
    distribution_dirs: list[Path]
    """Folders of the distributions; evaluation reads their test.json."""
    output_paths: list[Path]
    """JSON files to write, one for each distribution, in the same order."""
    max_examples: Annotated[int, Field(ge=1)] | None = None
    """Number of test examples to use, from the start of the file (default: all)."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of everything random in evaluation."""
    batch_tokens: Annotated[Annotated[int, Field(ge=1)] | None, WithoutEffect(in_16_bits=False)] = None
    """Tokens in one forward pass (default: depends on the device). Changes speed and memory; in 16 bits it also
    changes results slightly."""

    @model_validator(mode="after")
    def _one_output_each(self) -> EvaluationArguments:
        if len(self.distribution_dirs) != len(self.output_paths):
            raise ValueError(
                f"--distribution_dirs has {len(self.distribution_dirs)} folders, but --output_paths has "
                f"{len(self.output_paths)} files; expected one file for each folder"
            )
        return self


UNLABELLED = "unlabelled_distribution"
CONTRACT_NAMES = frozenset(
    {"model_dir", "train_distribution", UNLABELLED, "output_dir", "distribution_dirs", "output_paths"}
)
"""Arguments that the harness passes; kwargs cannot use these names."""


def train_items(
    model_dir: str, train_distribution: str, output_dir: str, kwargs: Mapping[str, Any], unlabelled: str | None = None
) -> list[str]:
    """Command-line items of a training; `unlabelled` is the folder of a target's unlabelled texts.

    >>> train_items("models/m", "distributions/d", "out", {"lr": 2e-05, "verbose": True, "shots": None})
    ['--model_dir', 'models/m', '--train_distribution', 'distributions/d', '--output_dir', 'out', '--lr', '2e-05', \
'--verbose', 'True']
    """
    folders = {"train_distribution": train_distribution, UNLABELLED: unlabelled, "output_dir": output_dir}
    return argument_items({"model_dir": model_dir, **folders, **kwargs})


def evaluation_items(
    model_dir: str, distribution_dirs: Sequence[str], output_paths: Sequence[str], kwargs: Mapping[str, Any]
) -> list[str]:
    """Command-line items of an evaluation.

    >>> evaluation_items("m", ["d1"], ["p1.json"], {})
    ['--model_dir', 'm', '--distribution_dirs', '["d1"]', '--output_paths', '["p1.json"]']
    """
    return argument_items(
        {
            "model_dir": model_dir,
            "distribution_dirs": list(distribution_dirs),
            "output_paths": list(output_paths),
            **kwargs,
        }
    )


def argument_items(values: Mapping[str, Any]) -> list[str]:
    """`--name` and value, one item each. Lists and objects become JSON, booleans True or False; None is omitted."""
    given = {name: value for name, value in values.items() if value is not None}
    return [item for name, value in given.items() for item in (f"--{name}", item_text(value))]


def item_text(value: Any) -> str:
    """A value as a command-line item."""
    if isinstance(value, str | bool):
        return str(value)
    return json.dumps(value, ensure_ascii=False)


def check_kwargs(name: str, kwargs: Mapping[str, Any]) -> None:
    """Raise InputError for kwargs that cannot become command-line items.

    These are names of the contract, names that are not identifiers, and values that JSON cannot represent, such as NaN.
    """
    for key, value in kwargs.items():
        if key in CONTRACT_NAMES:
            raise InputError(f"--{name}: {key!r} is passed by the harness; leave it out")
        if not isinstance(key, str) or not key.isidentifier():
            raise InputError(f"--{name}: {key!r} cannot be an argument name; expected letters, digits and _")
        if isinstance(value, str) and "\0" in value:
            raise InputError(f"--{name}: the value of {key!r} contains a NUL character; command lines cannot")
        try:
            text = json.dumps(value, ensure_ascii=False, allow_nan=False)
            text.encode("utf-8")
            if json.loads(text) != value:
                raise TypeError("names inside an object must be text")
        except UnicodeEncodeError:
            raise InputError(
                f"--{name}: the value of {key!r} contains half of a surrogate pair, which is not text"
            ) from None
        except (TypeError, ValueError, RecursionError) as error:
            # Dates and sets of a YAML file, NaN, a value that contains itself.
            raise InputError(
                f"--{name}: the value of {key!r} cannot be written as JSON (NaN, a date, a set?): {error}"
            ) from None
