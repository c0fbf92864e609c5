"""The output of eval.py: one JSON object for each distribution.

An intervention can build it with `genies.methods.evaluation`, or write the file itself and import nothing from here.
The harness validates every file with `read_evaluation`.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from genies.errors import InputError
from genies.files import is_unicode, read_json

__all__ = ["Evaluation", "ExampleScores", "read_evaluation"]

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
