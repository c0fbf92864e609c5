"""Implicit rewards: a response's log-probability under the tuned model minus that under the untuned model, times beta.

    reward(x, y) = beta * (log p_tuned(y | x) - log p_untuned(y | x))

(Rafailov et al. 2023, arXiv 2305.18290, equation 5, without the term that depends on the prompt alone.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genies.errors import InputError
from genies.files import write_json
from genies.lm.model import LanguageModel
from genies.lm.scoring import response_log_probabilities
from genies.lm.text import TokenSequence
from genies.methods.base_model import read_record
from genies.methods.reference_scores import ReferenceScores
from genies.methods.training.adapters import add_lora, save_adapter
from genies.methods.training.arguments import ImplicitRewardArguments, TunedModelArguments
from genies.methods.training.evaluation import evaluate_scores, read_tests
from genies.methods.training.gradients import Loss, Trainee, all_scores, preference_loss, trainable
from genies.methods.training.load_adapters import load_unmerged
from genies.methods.training.log_probabilities import log_probabilities
from genies.methods.training.loop import DEFAULT_BATCH_TOKENS
from genies.methods.training.micro_batches import MicroBatch
from genies.methods.training.pairs import TrainingData, neighbours, pairs_of_step
from genies.methods.training.quantization import load_base_model
from genies.methods.training.sharding import scoring
from genies.methods.training.tuning import read_data, session, tune

RECORD = "implicit_reward.json"
"""In a tuned model's folder: beta and the normalization of log-probabilities."""


def identity_loss(beta: float) -> Loss:
    """The loss of identity preference optimization (Azar et al. 2023, arXiv 2310.12036, equation 17), with rewards,
    which contain the factor beta, instead of log-probability ratios h:

        (h(best) - h(worse) - 1 / (2 beta))^2 = ((reward(best) - reward(worse) - 1 / 2) / beta)^2

    >>> identity_loss(0.5)(torch.tensor([[[2.0], [1.0]]]), torch.ones(1), 0)
    tensor([1.])
    """

    def loss(scores: Tensor, labels: Tensor, _step: int) -> Tensor:
        margins = scores[:, 0, 0] - scores[:, 1, 0]
        return ((margins - (labels - 0.5)) / beta) ** 2

    return loss


def tune_implicit_reward(kind: Literal["dpo", "ipo"], arguments: ImplicitRewardArguments) -> None:
    """Tune low-rank adapters on the implicit rewards of pairs: the loss of dpo is that of reward models."""
    with session(arguments) as accelerator:
        model = load_base_model(arguments.model_dir, arguments, arguments.load_in_4bit)
        data = read_data(arguments, model)
        texts = _texts(data, arguments)
        references = ReferenceScores(arguments.model_dir, arguments, arguments.load_in_4bit, accelerator)
        tuned = add_lora(model.network, arguments, arguments.model_dir, "CAUSAL_LM")
        untuned: dict[TokenSequence, float] = {}

        def score_untuned(trainee: Trainee) -> None:
            with tuned.disable_adapter():
                found = references(texts, lambda missing: _untuned_scores(trainee, missing, arguments, accelerator))
            untuned.update(zip(texts, found, strict=True))

        def rewards(micro: MicroBatch) -> Tensor:
            totals, counts = log_probabilities(model, micro)
            before = torch.tensor([untuned[each] for each in micro.sequences], device=totals.device)
            ratios = totals - before.to(totals.dtype)
            return arguments.beta * (ratios / counts if arguments.normalization == "mean" else ratios)

        def save(folder: Any) -> None:
            save_adapter(tuned, folder)
            write_json(folder / RECORD, {"beta": arguments.beta, "normalization": arguments.normalization})

        loss = identity_loss(arguments.beta) if kind == "ipo" else preference_loss
        trainee = Trainee(model, trainable(tuned), rewards, loss=loss)
        tune(kind, trainee, data, arguments, accelerator, save, prepare=score_untuned)


def _untuned_scores(
    trainee: Trainee, texts: Sequence[TokenSequence], arguments: ImplicitRewardArguments, accelerator: Any
) -> NDArray[np.float64]:
    """Sums of the log-probabilities of responses under a trainee's model, which may be divided among processes."""
    model = trainee.model
    if trainee.lockstep is None:
        found: NDArray[np.float64] = _untuned_scorer(model, arguments.batch_tokens)(texts)
        return found
    scorer = scoring(trainee, lambda micro: log_probabilities(model, micro)[0])
    budget = arguments.batch_tokens or DEFAULT_BATCH_TOKENS[model.device.type]
    scores = all_scores(scorer, neighbours(texts), budget, accelerator, model.dtype)
    return scores.numpy().reshape(-1)[: len(texts)]


def _texts(data: TrainingData, arguments: ImplicitRewardArguments) -> list[TokenSequence]:
    """The texts of the pairs that training uses."""
    count, size = len(data.pairs), arguments.per_device_train_batch_size
    used = {
        index for step in range(arguments.num_train_steps) for index in pairs_of_step(step, count, size, arguments.seed)
    }
    if arguments.search != "none":
        used = set(range(count))
    return list(
        dict.fromkeys(text for index in sorted(used) for text in (data.pairs[index].best, data.pairs[index].worse))
    )


def _untuned_scorer(model: LanguageModel, batch_tokens: int | None) -> Any:
    return lambda texts: response_log_probabilities(model, texts, batch_tokens, "untuned model")[0]


def evaluate_implicit_rewards(arguments: TunedModelArguments) -> None:
    """Write evaluations with p = softmax of the implicit rewards of a pair's two responses."""
    tests = read_tests(arguments)
    if arguments.reward_output is not None:
        raise InputError("--reward_output is for reward models with a head; leave it out")
    beta, normalization = _read_record(arguments)
    model, tuned, base = load_unmerged(arguments.model_dir, arguments)
    references = ReferenceScores(base, arguments, arguments.load_in_4bit)

    def untuned(sequences: Sequence[TokenSequence]) -> NDArray[np.float64]:
        with tuned.disable_adapter():
            found: NDArray[np.float64] = _untuned_scorer(model, arguments.batch_tokens)(sequences)
        return found

    def score(sequences: Sequence[TokenSequence]) -> NDArray[np.float64]:
        totals, counts = response_log_probabilities(model, sequences, arguments.batch_tokens)
        ratios = totals - references(sequences, untuned)
        return beta * (ratios / counts if normalization == "mean" else ratios)

    evaluate_scores(arguments, tests, model, score)


def _read_record(arguments: TunedModelArguments) -> tuple[float, str]:
    path = arguments.model_dir / RECORD
    value = read_record(arguments.model_dir, RECORD, "record of an implicit reward")
    beta, normalization = (value.get(name) if isinstance(value, dict) else None for name in ("beta", "normalization"))
    if not isinstance(beta, float) or beta <= 0 or normalization not in ("sum", "mean"):
        raise InputError(f"{path}: expected an object with beta, above 0, and normalization, sum or mean; train again")
    return beta, str(normalization)
