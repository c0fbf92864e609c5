"""The contract between the harness and an intervention: two command lines and one JSON object.

    python <intervention>/train.py --model_dir M --train_distribution D --output_dir O [--key value ...]
    python <intervention>/eval.py --model_dir O --distribution_dirs '["d1", "d2"]' --output_paths '["p1", "p2"]' [...]

The harness builds command lines and validates outputs with these models. An intervention can use them as its command
line (`from genies.contract import TrainArguments, run`), or use its own parser and import nothing from here.
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


Probability = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]
Error = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Loss = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(strict=True, ge=0)]


class ExampleScores(BaseModel):
    """The scores of one example's responses; higher is better."""

    model_config = ConfigDict(extra="forbid")

    example: Count
    """Its index in test.json."""
    best: list[Number]
    """Of the best responses, in file order."""
    worse: list[Number]
    """Of the other responses, in file order."""


class Evaluation(BaseModel):
    """The output of eval.py for one distribution. Only `eval_accuracy` is required; unknown keys are kept."""

    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True, protected_namespaces=(), frozen=True)

    eval_accuracy: Probability
    """Share of pairs whose best response has a probability above one half; a tie counts half."""
    eval_probabilities: list[Probability] | None = None
    """The probability of the best response in each pair, ordered by example, then by worse response in the file."""
    eval_example_indices: list[Count] | None = None
    """The index in test.json of each pair's example. Intervals use it to group pairs of one example."""
    eval_prompt_clusters: list[Count] | None = None
    """For each pair, the smallest index in test.json with the same prompt. Intervals resample these clusters."""
    eval_left_out_examples: Count | None = None
    """Number of test examples that were not evaluated, such as those longer than the model's context."""
    eval_left_out_indices: list[Count] | None = None
    """Indices of those examples in test.json. Comparisons use only examples that both evaluations contain."""
    eval_ties: Count | None = None
    """Number of pairs with a probability of exactly one half."""
    eval_brier_score: Error | None = None
    """Mean over pairs of (1 - p)^2."""
    eval_log_loss: Loss | None = None
    """Mean over pairs of -ln p (genies.metrics.log_loss)."""
    eval_average_probability: Probability | None = None
    """Mean over pairs of p."""
    eval_rms_calibration_error: Error | None = None
    """Root-mean-square calibration error; eval_rms_calibration_formula names the formula."""
    eval_rms_calibration_formula: Literal["confidence", "weighted", "published"] | None = None
    """confidence: genies.metrics.rms_calibration_error; weighted: rms_calibration_error_weighted, the formula of files
    before 2026-11-26; published: rms_calibration_error_published."""
    eval_rms_calibration_error_published: Error | None = None
    """The RMS calibration error of the 2023 release (rms_calibration_error_published), for comparison only."""
    eval_best_of_n_accuracy: Probability | None = None
    """Share of examples whose best responses all beat all worse ones (genies.metrics.best_of_n_accuracy), where some
    example has several pairs."""
    eval_easy_accuracy: Probability | None = None
    """Accuracy on pairs whose best response is the more elaborate one, where responses have styles (RM-Bench)."""
    eval_normal_accuracy: Probability | None = None
    """Accuracy on pairs in one style."""
    eval_hard_accuracy: Probability | None = None
    """Accuracy on pairs whose worse response is the more elaborate one."""
    eval_ties_score: Number | None = None
    """RewardBench 2's Ties score (genies.metrics.ties_score), where examples have the names ref:N and tied:N."""
    eval_scores: list[ExampleScores] | None = None
    """The scores of the responses of every example, for methods that score single responses."""
    eval_score: Number | None = None
    """A score on the intervention's own scale. The harness does not read it."""
    dtype: str | None = None
    """Number format of the model's weights in this evaluation, such as float32 or bfloat16."""
    prompt_format: Literal["raw", "chat", "segments"] | None = None
    """raw: prompt and response one after the other; chat: rendered by the model's chat template; segments: the user's
    message and the response as the two segments of an encoder."""
    system_prompt: str | None = None
    """System message of conversations that had none; chat format only."""
    chat_template_kwargs: dict[str, Any] | None = None
    """Variables of the chat template; chat format only."""
    device: str | None = None
    """Device on which the model ran, such as cpu or cuda."""
    uses_target_texts: Annotated[bool, Field(strict=True)] | None = None
    """Whether the method used unlabelled texts of the distribution on which it is tested."""
    assumptions: list[str] | None = None
    """Assumptions about the model that its files do not settle, one sentence each, for readers."""
    provenance: dict[str, Any] | None = None
    """How the file was made. Written by the harness, not by interventions."""

    @model_validator(mode="after")
    def _same_length(self) -> Evaluation:
        if self.eval_probabilities is None:
            return self
        for name in ("eval_example_indices", "eval_prompt_clusters"):
            values = getattr(self, name)
            if values is not None and len(values) != len(self.eval_probabilities):
                raise ValueError(
                    f"{name} has {len(values)} entries, but eval_probabilities has {len(self.eval_probabilities)}; "
                    "expected one number for each probability"
                )
        return self


def read_evaluation(path: Path) -> tuple[Evaluation, dict[str, Any]]:
    """The validated evaluation in a file, and the JSON object itself (with its key order and number types).

    Raises InputError with the file, the field, what was expected and what was found.
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
    """The first part of a value that cannot be written as JSON in UTF-8; None if there is none."""
    if isinstance(value, float):
        return None if math.isfinite(value) else f"{where}: expected a finite number, got {value}"
    if isinstance(value, str):
        return None if is_unicode(value) else f"{where}: expected text, got half of a surrogate pair in {_show(value)}"
    if isinstance(value, list):
        # Evaluations consist mostly of long lists of numbers; building a name for each item would be slow.
        kinds = set(map(type, value))
        if kinds <= {int} or (kinds == {float} and all(map(math.isfinite, value))):
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
