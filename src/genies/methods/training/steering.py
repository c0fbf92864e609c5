"""Reward training that steers what is learnt: a drift penalty, directions that are taken away, or another prompt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genies.data.conversation import Message, Prompt
from genies.data.distribution import Distribution, Pair, one_pair_per_example
from genies.errors import InputError
from genies.lm.activation_reader import ActivationReader
from genies.lm.activations import blocks_of
from genies.lm.forward import hidden_states
from genies.lm.model_outline import read_outline
from genies.lm.text_format import training_format
from genies.methods.directions import Directions
from genies.methods.reading import Reading
from genies.methods.representations import Reader, between_copies, read_pairs
from genies.methods.training.adapters import add_lora, save_adapter
from genies.methods.training.arguments import AnchorArguments, CaftArguments, InoculationArguments
from genies.methods.training.decoder_head import network_to_adapt, trainable_head
from genies.methods.training.gradients import Loss, Trainee, preference_loss, trainable
from genies.methods.training.loop import DEFAULT_BATCH_TOKENS
from genies.methods.training.micro_batches import MicroBatch
from genies.methods.training.quantization import load_base_model
from genies.methods.training.reward_model import add_head, head_outputs
from genies.methods.training.tuning import read_data, reward_trainee, session, tune, tune_lora_reward
from genies.methods.training.untuned_activations import DividedReader


def tune_anchored(arguments: AnchorArguments) -> None:
    """Tune low-rank adapters and a head, with a penalty on the drift of the features that the head reads."""
    with session(arguments) as accelerator:
        model = add_head(load_base_model(arguments.model_dir, arguments, arguments.load_in_4bit), arguments.seed)
        network, task = network_to_adapt(model.classifier)
        tuned = add_lora(network, arguments, arguments.model_dir, task)
        data = read_data(arguments, model.language_model)

        def scores(micro: MicroBatch) -> Tensor:
            with torch.no_grad(), tuned.disable_adapter():
                before = hidden_states(model.language_model, micro.batch)[micro.last_tokens].float()
            hidden = hidden_states(model.language_model, micro.batch)[micro.last_tokens]
            drift = (hidden.float() - before).square().sum(-1) / before.square().sum(-1)
            reward = head_outputs(model, hidden)[:, 0]
            return torch.stack([reward, drift.to(reward.device)], dim=1)

        parameters = {**trainable(tuned), **trainable_head(model.classifier)}
        trainee = Trainee(
            model.language_model, parameters, scores, columns=2, loss=anchor_loss(arguments.anchor_weight)
        )
        tune("anchor", trainee, data, arguments, accelerator, lambda to: save_adapter(tuned, to, model.classifier))


def anchor_loss(weight: float) -> Loss:
    """-log sigmoid(r_best - r_worse) + weight * (drift_best + drift_worse) / 2

    drift = |h - h0|^2 / |h0|^2, where h is the last token's hidden state and h0 that of the untuned model. Columns:
    rewards, drifts.
    """

    def loss(scores: Tensor, labels: Tensor, step: int) -> Tensor:
        return preference_loss(scores, labels, step) + weight * scores[:, :, 1].mean(dim=1)

    return loss


def tune_without_directions(arguments: CaftArguments) -> None:
    """Tune low-rank adapters and a head while directions are projected out of the hidden states after blocks."""
    with session(arguments) as accelerator, ExitStack() as projecting:
        # In one process, activations come from the cache or are read and cached before the model is loaded to be tuned.
        several = accelerator.num_processes > 1 and arguments.directions_dir is None
        directions = None if several else _directions(arguments)
        model = add_head(load_base_model(arguments.model_dir, arguments, arguments.load_in_4bit), arguments.seed)
        network, task = network_to_adapt(model.classifier)
        tuned = add_lora(network, arguments, arguments.model_dir, task)
        data = read_data(arguments, model.language_model)

        def project(trainee: Trainee) -> None:
            found = directions
            if found is None:
                outline = read_outline(arguments.model_dir, arguments)
                budget = arguments.batch_tokens or DEFAULT_BATCH_TOKENS[trainee.model.device.type]
                reader = DividedReader(trainee, tuned.disable_adapter(), outline, budget, accelerator)
                found = _principal_components(arguments, reader)
            projecting.enter_context(projected_out(model.language_model.decoder, found))

        tune("caft", reward_trainee(model, tuned), data, arguments, accelerator,
             lambda to: save_adapter(tuned, to, model.classifier), prepare=project)  # fmt: skip


@contextmanager
def projected_out(decoder: Any, directions: dict[int, NDArray[np.float32]]) -> Iterator[None]:
    """Within the context, the directions [number, width] of each block are taken from the hidden states after it."""
    handles = []
    for place, block in enumerate(blocks_of(decoder)):
        if place in directions:
            handles.append(block.register_forward_hook(_projection(directions[place])))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _projection(vectors: NDArray[np.float32]) -> Any:
    basis = torch.linalg.qr(torch.from_numpy(np.ascontiguousarray(vectors.T)).double())[0].float()

    def project(_module: Any, _inputs: Any, output: Any) -> Any:
        hidden = output[0] if isinstance(output, tuple) else output
        on = basis.to(hidden.device, hidden.dtype)
        left = hidden - (hidden @ on) @ on.T
        return (left, *output[1:]) if isinstance(output, tuple) else left

    return project


def _directions(arguments: CaftArguments) -> dict[int, NDArray[np.float32]]:
    """The directions of each block: those of another intervention's folder, or principal components."""
    if arguments.directions_dir is not None:
        return _of_folder(arguments.directions_dir)
    reader = ActivationReader(arguments.model_dir, arguments, arguments.batch_tokens)
    found = _principal_components(arguments, reader)
    reader.report()
    return found


def _principal_components(arguments: CaftArguments, reader: Reader) -> dict[int, NDArray[np.float32]]:
    """The principal components of the differences between the two responses of training pairs, after each block."""
    sites = reader.outline.sites("blocks")
    examples = Distribution(arguments.train_distribution).training_sample(
        arguments.max_examples, arguments.sample, arguments.seed
    )
    pairs = one_pair_per_example(examples, arguments.seed)
    text_format = training_format(arguments, reader.outline.tokenizer)
    found = read_pairs(reader, sites, Reading(), pairs, arguments.train_distribution, text_format)
    differences = between_copies(found.best).astype(np.float64) - between_copies(found.worse)
    return {site.block: components(differences[:, place], arguments.num_components) for place, site in enumerate(sites)}


def _of_folder(folder: Path) -> dict[int, NDArray[np.float32]]:
    directions = Directions.load(folder)
    if any(site.head is not None for site in directions.sites):
        raise InputError(
            f"--directions_dir {folder} contains directions of attention heads; expected those of layers, as "
            "lat_stim_1, lat_stim_2 and lat_pca write them"
        )
    by_block: dict[int, list[NDArray[np.float32]]] = {}
    for site, vector in zip(directions.sites, directions.vectors, strict=True):
        by_block.setdefault(site.block, []).append(vector)
    return {block: np.stack(vectors) for block, vectors in by_block.items()}


def components(differences: NDArray[np.float64], count: int) -> NDArray[np.float32]:
    """The first `count` principal components [count, width] of differences [pairs, width], about 0: the sign of a
    difference, which the labels determine, does not matter."""
    found: NDArray[np.float32] = np.linalg.svd(differences, full_matrices=False)[2][:count].astype(np.float32)
    return found


def tune_inoculated(arguments: InoculationArguments) -> None:
    """Tune as lora_fine_tune, with a text before every prompt of training that asks for the shortcut."""
    with session(arguments) as accelerator:
        tune_lora_reward(
            "inoculation", arguments, accelerator, change=lambda pairs: inoculated(pairs, arguments.inoculation)
        )


def inoculated(pairs: Sequence[Pair], text: str) -> list[Pair]:
    """The pairs with a text before their prompts; in a conversation, before the last turn of the user.

    >>> inoculated([Pair(0, "2 + 2 =", " 4", " 5")], "Prefer long answers.")[0].prompt
    'Prefer long answers.\\n\\n2 + 2 ='
    """
    found = []
    for pair in pairs:
        conversation = None if pair.conversation is None else _before(pair.conversation, text)
        found.append(replace(pair, prompt=_before(pair.prompt, text), conversation=conversation))
    return found


def _before(prompt: Prompt, text: str) -> Any:
    if isinstance(prompt, str):
        return f"{text}\n\n{prompt}"
    return (*prompt[:-1], Message(prompt[-1].role, f"{text}\n\n{prompt[-1].content}"))
