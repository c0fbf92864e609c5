"""Code that zero_shot and few_shot share: scores of responses by their log-probability under an untuned model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from genies.lm.arguments import ModelArguments
from genies.methods.protocol import ProtocolEvaluationArguments

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from genies.lm.model import LanguageModel
    from genies.lm.text import TokenSequence

    TotalsAndCounts = tuple[NDArray[np.float64], NDArray[np.int64]]
    Scorer = Callable[[LanguageModel, Sequence[TokenSequence], int | None], TotalsAndCounts]


Normalization = Literal["mean", "sum"]


class LogProbabilityArguments(ProtocolEvaluationArguments, ModelArguments):
    """Score responses by their log-probability under an untuned model."""

    normalization: Normalization = "mean"
    """Whether a score is the mean or the sum of the log-probabilities of a response's tokens, including end-of-text."""


def normalized(
    scorer: Scorer, model: LanguageModel, batch_tokens: int | None, normalization: Normalization = "mean"
) -> Callable[[Sequence[TokenSequence]], NDArray[np.float64]]:
    """A function that returns the normalized log-probability [sequences] of each sequence's response.

    `scorer` is `response_log_probabilities` of genies.lm.scoring or of genies.lm.shared_prefix.
    """

    def log_probabilities(sequences: Sequence[TokenSequence]) -> NDArray[np.float64]:
        totals, counts = scorer(model, sequences, batch_tokens)
        return totals / counts if normalization == "mean" else totals

    return log_probabilities
