"""The contract between the harness and an intervention: two command lines and one JSON object.

    python <intervention>/train.py --model_dir M --train_distribution D --output_dir O [--key value ...]
    python <intervention>/eval.py --model_dir O --distribution_dirs '["d1", "d2"]' --output_paths '["p1", "p2"]' [...]

The harness builds its argv and checks what comes back with the models here. An intervention may use them as its
command line (`from genies.contract import TrainArguments, run`) or bring a parser of its own and import nothing.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from genies import command_line
from genies.command_line import Arguments, WithoutEffect
from genies.errors import InputError
from genies.files import is_unicode, read_json

__all__ = [
    "CONTRACT_VERSION",
    "Evaluation",
    "EvaluationArguments",
    "TrainArguments",
    "argument_items",
    "evaluation_items",
    "read_evaluation",
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
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    command_line.run(body)


class TrainArguments(Arguments):
    """Tune a model on a source distribution."""

    model_dir: Path
    """Folder of the untuned base model."""
    train_distribution: Path
    """Folder of the source distribution; training reads its train.json."""
    output_dir: Path
    """Folder for whatever eval.py needs. It exists and is empty, but for checkpoint-* folders of a killed attempt."""
    max_examples: Annotated[int, Field(ge=1)] | None = None
    """Use N training examples (default: all)."""
    sample: Literal["first", "seeded"] = "first"
    """Which N: the first of the file, or drawn with the seed, so that several seeds say how much a result depends on
    the examples as well. With one seed a smaller draw is part of a larger one."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of everything random in training."""
    batch_tokens: Annotated[Annotated[int, Field(ge=1)] | None, WithoutEffect(in_16_bits=False)] = None
    """Tokens in one forward pass (default: by device). Changes speed and memory; in 16 bits results too, a little."""


class EvaluationArguments(Arguments):
    """Evaluate one tuned model on distributions."""

    model_dir: Path
    """Folder that train.py filled, or an untuned base model."""
    distribution_dirs: list[Path]
    """Folders of the distributions; evaluation reads their test.json."""
    output_paths: list[Path]
    """One JSON file to write for each distribution, in the same order."""
    max_examples: Annotated[int, Field(ge=1)] | None = None
    """Use the first N test examples (default: all)."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of everything random in evaluation."""
    batch_tokens: Annotated[Annotated[int, Field(ge=1)] | None, WithoutEffect(in_16_bits=False)] = None
    """Tokens in one forward pass (default: by device). Changes speed and memory; in 16 bits results too, a little."""

    @model_validator(mode="after")
    def _one_output_each(self) -> EvaluationArguments:
        if len(self.distribution_dirs) != len(self.output_paths):
            raise ValueError(
                f"--distribution_dirs names {len(self.distribution_dirs)} folders and --output_paths "
                f"{len(self.output_paths)} files; they pair item by item"
            )
        return self


CONTRACT_NAMES = frozenset({"model_dir", "train_distribution", "output_dir", "distribution_dirs", "output_paths"})
"""Arguments the harness passes itself; kwargs may not use these names."""


def train_items(model_dir: str, train_distribution: str, output_dir: str, kwargs: Mapping[str, Any]) -> list[str]:
    """Command-line items of a training step.

    >>> train_items("models/m", "distributions/d", "out", {"lr": 2e-05, "verbose": True, "shots": None})
    ['--model_dir', 'models/m', '--train_distribution', 'distributions/d', '--output_dir', 'out', '--lr', '2e-05', \
'--verbose', 'True']
    """
    return argument_items(
        {"model_dir": model_dir, "train_distribution": train_distribution, "output_dir": output_dir, **kwargs}
    )


def evaluation_items(
    model_dir: str, distribution_dirs: Sequence[str], output_paths: Sequence[str], kwargs: Mapping[str, Any]
) -> list[str]:
    """Command-line items of an evaluation step.

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
    """`--name` and value, an item each: text as it is, True or False, lists and objects as JSON, None left out."""
    items: list[str] = []
    for name, value in values.items():
        if value is None:
            continue
        text = (
            value
            if isinstance(value, str)
            else str(value)
            if isinstance(value, bool)
            else json.dumps(value, ensure_ascii=False)
        )
        items += [f"--{name}", text]
    return items


def check_kwargs(name: str, kwargs: Mapping[str, Any]) -> None:
    """Refuse kwargs that cannot become command-line items: contract names, names that are no identifiers, NaN."""
    for key, value in kwargs.items():
        if key in CONTRACT_NAMES:
            raise InputError(f"--{name}: {key!r} is passed by the harness itself; leave it out")
        if not isinstance(key, str) or not key.isidentifier():
            raise InputError(f"--{name}: {key!r} cannot be an argument name; expected letters, digits and _")
        if isinstance(value, str) and "\0" in value:
            raise InputError(f"--{name}: the value of {key!r} holds a NUL character, which no command line can carry")
        try:
            text = json.dumps(value, ensure_ascii=False, allow_nan=False)
            text.encode("utf-8")
            if json.loads(text) != value:
                raise TypeError("names inside an object must be text")
        except UnicodeEncodeError:
            raise InputError(
                f"--{name}: the value of {key!r} holds half of a surrogate pair, which is not text"
            ) from None
        except (TypeError, ValueError, RecursionError) as error:
            # Dates and sets of a YAML file, NaN, a value that holds itself.
            raise InputError(
                f"--{name}: the value of {key!r} cannot be written as JSON (NaN, a date, a set?): {error}"
            ) from None


Probability = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]
Error = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Loss = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(strict=True, ge=0)]


class Evaluation(BaseModel):
    """What eval.py writes for one distribution. Only `eval_accuracy` is required; unknown keys are kept."""

    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True, protected_namespaces=(), frozen=True)

    eval_accuracy: Probability
    """Share of pairs in which the best response got more than half; a tie counts half."""
    eval_probabilities: list[Probability] | None = None
    """For each pair, in example order and the worse responses in file order, the probability given to the best."""
    eval_example_indices: list[Count] | None = None
    """The test index of each pair's example, so that intervals know which pairs belong together."""
    eval_prompt_clusters: list[Count] | None = None
    """For each pair the smallest test index whose example has the same prompt: intervals resample these clusters."""
    eval_left_out_examples: Count | None = None
    """Number of test examples that were not evaluated, as those longer than the model's context."""
    eval_left_out_indices: list[Count] | None = None
    """The test indices of those examples, so that evaluations which left out others are compared on the common ones."""
    eval_ties: Count | None = None
    """Number of pairs at exactly one half."""
    eval_brier_score: Error | None = None
    """Mean over pairs of (1 - p)^2."""
    eval_log_loss: Loss | None = None
    """Mean over pairs of -ln p (genies.metrics.log_loss)."""
    eval_average_probability: Probability | None = None
    """Mean over pairs of p."""
    eval_rms_calibration_error: Error | None = None
    """Root-mean-square calibration error, by the formula that eval_rms_calibration_formula names."""
    eval_rms_calibration_formula: Literal["confidence", "weighted", "published"] | None = None
    """confidence: genies.metrics.rms_calibration_error; weighted: rms_calibration_error_weighted, the formula of files
    before 2026-11-26; published: rms_calibration_error_published."""
    eval_rms_calibration_error_published: Error | None = None
    """What the 2023 release calls RMS calibration error (rms_calibration_error_published), for comparison only."""
    eval_score: Number | None = None
    """A score of the intervention's own scale; never read by the harness."""
    dtype: str | None = None
    """Number format of the model's weights in this evaluation, as float32 or bfloat16."""
    device: str | None = None
    """Where the model ran, as cpu or cuda."""
    uses_target_texts: Annotated[bool, Field(strict=True)] | None = None
    """Whether the method used the unlabelled texts of the distribution that it is tested on."""
    assumptions: list[str] | None = None
    """What was assumed about the model where its files leave it open, a sentence each, for people to read."""
    provenance: dict[str, Any] | None = None
    """How the file came to be; written by the harness, never by an intervention."""

    @model_validator(mode="after")
    def _same_length(self) -> Evaluation:
        if self.eval_probabilities is None:
            return self
        for name in ("eval_example_indices", "eval_prompt_clusters"):
            values = getattr(self, name)
            if values is not None and len(values) != len(self.eval_probabilities):
                raise ValueError(
                    f"{name} has {len(values)} entries and eval_probabilities {len(self.eval_probabilities)}; "
                    "expected one number for each probability"
                )
        return self


def read_evaluation(path: Path) -> tuple[Evaluation, dict[str, Any]]:
    """The checked evaluation in a file, and the JSON object as it stands there (key order and number types kept).

    Raises InputError that names the file, the field, what was expected and what came.
    """
    value = read_json(path, "evaluation")
    if not isinstance(value, dict):
        raise InputError(f"evaluation {path}: expected an object with eval_accuracy, got {_show(value)}")
    fault = _fault(value, "field ")
    if fault:
        raise InputError(f"evaluation {path}: {fault}")
    try:
        evaluation = Evaluation.model_validate(value)
    except ValidationError as error:
        raise InputError(f"evaluation {path}: " + "; ".join(_explain(fault) for fault in error.errors()[:3])) from None
    return evaluation, value


def _explain(fault: Any) -> str:
    if not fault["loc"]:
        return str(fault["ctx"]["error"])
    field = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "missing":
        return f"field {field} is missing; expected a number from 0 to 1"
    expected = {
        "float_type": "a number",
        "int_type": "a whole number",
        "list_type": "a list",
        "dict_type": "an object",
        "string_type": "text",
        "greater_than_equal": f"a number of at least {fault.get('ctx', {}).get('ge')}",
        "less_than_equal": f"a number of at most {fault.get('ctx', {}).get('le')}",
        "literal_error": fault.get("ctx", {}).get("expected"),
    }.get(fault["type"], fault["msg"])
    percent = field == "eval_accuracy" and fault["type"] == "less_than_equal"
    hint = "; an accuracy is a share: 0.71, not 71" if percent else ""
    return f"field {field}: expected {expected}, got {_show(fault['input'])}{hint}"


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _fault(value: Any, where: str) -> str | None:
    """What in a value, known field or not, could not be written as JSON in UTF-8 again."""
    if isinstance(value, float):
        return None if math.isfinite(value) else f"{where}: expected a finite number, got {value}"
    if isinstance(value, str):
        return None if is_unicode(value) else f"{where}: expected text, got half of a surrogate pair in {_show(value)}"
    if isinstance(value, list):
        # Long lists of plain numbers are what evaluations are made of: no name is spelt out for them.
        if all(type(child) is int or (type(child) is float and math.isfinite(child)) for child in value):
            return None
        return next((found for key, child in enumerate(value) if (found := _fault(child, f"{where}.{key}"))), None)
    if not isinstance(value, dict):
        return None
    for key, child in value.items():
        if not is_unicode(key):
            return f"{where}{_show(key)}: expected a name, got half of a surrogate pair"
        found = _fault(child, f"{where}{key or repr(key)}" if where.endswith(" ") else f"{where}.{key}")
        if found:
            return found
    return None
