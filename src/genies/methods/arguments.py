"""Arguments of training and evaluation of the interventions that read representations. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from genies.lm.arguments import ModelArguments
from genies.lm.sites import ReadAt
from genies.methods.protocol import ProtocolEvaluationArguments, ProtocolTrainArguments


class ReadingTrainArguments(ProtocolTrainArguments, ModelArguments):
    """Read the activations of a frozen model on training pairs."""

    read_at: ReadAt = "last_response"
    """The token whose activations are read: the last token of the text, or the end-of-text token after it. The text
    includes what the method writes after the response. Evaluation reads the same token as training."""


class ReadingEvaluationArguments(ProtocolEvaluationArguments, ModelArguments):
    """Score pairs by the activations of a frozen model and the result of training."""


class DirectionArguments(ReadingTrainArguments):
    """Arguments that select how directions are fitted."""

    validation_share: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """Share of the training pairs held back to select sites and to calibrate."""
    probe: Literal["differences", "responses"] = "differences"
    """What the logistic regressions that select sites classify: differences of pairs, without an intercept, or single
    responses, with an intercept."""


class HeadArguments(DirectionArguments):
    """Find the attention heads and directions that separate best from worse responses."""

    num_heads: Annotated[int, Field(ge=1)] = 16
    """Number of attention heads to use: those with the most accurate probes."""


class LayerArguments(DirectionArguments):
    """Find the layers and directions that separate best from worse responses."""

    num_layers: Annotated[int, Field(ge=1)] = 16
    """Number of layers to use: those with the most accurate probes."""
