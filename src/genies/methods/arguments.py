"""Arguments of the interventions that read representations, and of their evaluation. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from genies.lm.arguments import ModelArguments
from genies.lm.sites import ReadAt
from genies.methods.protocol import ProtocolEvaluationArguments, ProtocolTrainArguments


class ReadingTrainArguments(ProtocolTrainArguments, ModelArguments):
    """Read a frozen model's activations on training pairs."""

    read_at: ReadAt = "last_response"
    """The token that is read: the last one of the response and what the method writes after it, or the end-of-text
    token appended to that. Evaluation reads where training did."""


class ReadingEvaluationArguments(ProtocolEvaluationArguments, ModelArguments):
    """Score pairs by a frozen model's activations and what training found in them."""


class DirectionArguments(ReadingTrainArguments):
    """How directions are fitted."""

    validation_share: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """Share of the pairs held back to choose sites and to calibrate."""
    probe: Literal["differences", "responses"] = "differences"
    """What the logistic regressions that choose sites classify: differences of pairs, without intercept, or single
    responses, with one."""


class HeadArguments(DirectionArguments):
    """Find the attention heads and directions that tell the best response from a worse one."""

    num_heads: Annotated[int, Field(ge=1)] = 16
    """How many attention heads, those with the most accurate probes, take part."""


class LayerArguments(DirectionArguments):
    """Find the layers and directions that tell the best response from a worse one."""

    num_layers: Annotated[int, Field(ge=1)] = 16
    """How many layers, those with the most accurate probes, take part."""
