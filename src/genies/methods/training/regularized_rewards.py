"""Reward models whose training has another loss besides that of the rewards: grm and odin."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, logsigmoid

from genies.lm.forward import hidden_states
from genies.methods.training.adapters import add_lora, save_adapter
from genies.methods.training.arguments import GrmArguments, LoraArguments, OdinArguments
from genies.methods.training.card import Kind
from genies.methods.training.decoder_head import network_to_adapt, trainable_head
from genies.methods.training.gradients import Loss, Trainee, preference_loss, trainable
from genies.methods.training.log_probabilities import log_probabilities
from genies.methods.training.micro_batches import MicroBatch
from genies.methods.training.quantization import load_base_model
from genies.methods.training.reward_model import RewardModel, add_head, head_outputs, linear_head
from genies.methods.training.tuning import read_data, session, tune


def tune_grm(arguments: GrmArguments) -> None:
    """Tune low-rank adapters and a reward head; the language-model head is kept and regularizes."""
    with session(arguments) as accelerator:
        language_model = load_base_model(arguments.model_dir, arguments, arguments.load_in_4bit)
        model = add_head(language_model, arguments.seed, keep_language_head=True)

        def scores(micro: MicroBatch) -> Tensor:
            hidden = hidden_states(model.language_model, micro.batch)
            reward = head_outputs(model, hidden[micro.last_tokens])[:, 0]
            return torch.stack([reward, log_probabilities(language_model, micro, hidden)[0]], dim=1)

        _tune("grm", model, arguments, accelerator, scores, 2, grm_loss(arguments.regularization, arguments.beta))


def grm_loss(weight: float, beta: float) -> Loss:
    """The loss of a generalizable reward model (Yang et al. 2024, arXiv 2406.10216, section 3.2, SFT regularization):

        (1 - weight) * (-log sigmoid(r_best - r_worse)) + weight * (-log sigmoid(beta * log p(best)))

    Columns: rewards, log-probabilities of the responses. A tie has no second term.
    """

    def loss(scores: Tensor, labels: Tensor, step: int) -> Tensor:
        language = -logsigmoid(beta * scores[:, 0, 1]) * (2 * labels - 1)
        return (1 - weight) * preference_loss(scores, labels, step) + weight * language

    return loss


def tune_odin(arguments: OdinArguments) -> None:
    """Tune low-rank adapters and a head with two outputs: the reward, and a part of it that correlates with length."""
    with session(arguments) as accelerator:
        base = load_base_model(arguments.model_dir, arguments, arguments.load_in_4bit)
        model = add_head(base, arguments.seed, outputs=2)

        def scores(micro: MicroBatch) -> Tensor:
            hidden = hidden_states(model.language_model, micro.batch)
            outputs = head_outputs(model, hidden[micro.last_tokens])
            lengths = outputs.new_tensor([len(sequence.response) for sequence in micro.sequences])
            weight = linear_head(model.head).weight.float()
            cosine = cosine_similarity(weight[0], weight[1], dim=0).abs().expand(len(lengths))
            return torch.cat([outputs, lengths[:, None], cosine[:, None]], dim=1)

        loss = odin_loss(arguments.length_weight, arguments.orthogonality_weight)
        _tune("odin", model, arguments, accelerator, scores, 4, loss, coupled=True)


def odin_loss(length_weight: float, orthogonality_weight: float) -> Loss:
    """The loss of ODIN (Chen et al. 2024, arXiv 2402.07319, section 4):

        -log sigmoid(margin of quality + length output)
        + length_weight * (|corr(quality output, length)| - corr(length output, length))
        + orthogonality_weight * |cos(weights of the two outputs)|

    with Pearson correlations over the responses of the step. Columns: quality, length output, length in tokens, and the
    absolute cosine of the weights, which is the same for all.
    """

    def loss(scores: Tensor, labels: Tensor, step: int) -> Tensor:
        both = scores[:, :, :2].sum(-1, keepdim=True)
        quality, by_length, lengths, cosine = scores.flatten(0, 1).unbind(-1)
        decorrelation = correlation(quality, lengths).abs() - correlation(by_length, lengths)
        shared = length_weight * decorrelation + orthogonality_weight * cosine.mean()
        return preference_loss(both, labels, step) + shared

    return loss


def correlation(one: Tensor, other: Tensor) -> Tensor:
    """Pearson's correlation; 0, without gradient, if one of the two is constant.

    >>> correlation(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([-1.0, -2.0, -4.0]))
    tensor(-1.)
    """
    left, right = one - one.mean(), other - other.mean()
    if not bool((left != 0).any() and (right != 0).any()):
        return (left * 0).sum()
    return cosine_similarity(left, right, dim=0)


def _tune(
    kind: Kind,
    model: RewardModel,
    arguments: LoraArguments,
    accelerator: Any,
    scores: Any,
    columns: int,
    loss: Loss,
    coupled: bool = False,
) -> None:
    network, task = network_to_adapt(model.classifier)
    tuned = add_lora(network, arguments, arguments.model_dir, task)
    data = read_data(arguments, model.language_model)
    parameters = {**trainable(tuned), **trainable_head(model.classifier)}
    trainee = Trainee(model.language_model, parameters, scores, columns=columns, loss=loss, coupled=coupled)
    tune(kind, trainee, data, arguments, accelerator, lambda folder: save_adapter(tuned, folder, model.classifier))
