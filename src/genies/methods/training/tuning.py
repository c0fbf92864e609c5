"""Code that the training interventions share around the training loop, from arguments to the tuned model's folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from genies.errors import InputError
from genies.kept_steps import kept_step, remove_kept_steps
from genies.lm.forward import check_ids
from genies.lm.model import LanguageModel
from genies.lm.text_format import TextFormat, record_format, training_format
from genies.methods.base_model import write_base_model
from genies.methods.protocol import record_protocol
from genies.methods.training.adapters import add_lora, add_virtual_tokens, save_adapter
from genies.methods.training.arguments import AdapterArguments, LoraArguments, TrainingArguments
from genies.methods.training.augmentation import responses_to_other_prompts
from genies.methods.training.card import LANGUAGE_MODELS, Kind, hub_name, training_fingerprint, write_card
from genies.methods.training.checkpoints import load_weights, remove_checkpoints
from genies.methods.training.decoder_head import network_to_adapt, save_head, trainable_head
from genies.methods.training.gradients import Trainee, trainable
from genies.methods.training.hub import check_repository, push
from genies.methods.training.log_probabilities import mean_log_probabilities
from genies.methods.training.loop import enable_gradient_checkpointing, make_accelerator, train
from genies.methods.training.pairs import Change, TrainingData, read_training_data
from genies.methods.training.quantization import load_base_model
from genies.methods.training.record import check_tensorboard
from genies.methods.training.reward_model import RewardModel, add_head, padding_id, rewards_at
from genies.methods.training.reward_record import write_reward_record
from genies.methods.training.search import chosen_arguments
from genies.methods.training.sharding import sharded


def tune_lora(arguments: LoraArguments) -> None:
    """Tune a reward model with low-rank adapters."""
    with session(arguments) as accelerator:
        tune_lora_reward("lora", arguments, accelerator)


def tune_lora_reward(
    kind: Kind,
    arguments: LoraArguments,
    accelerator: Any,
    *,
    initial_seed: int | None = None,
    sample_seed: int | None = None,
    change: Change | None = None,
    check: Callable[[Any], None] = lambda tuned: None,
) -> None:
    """Tune a reward model with low-rank adapters, in a session.

    initial_seed: seed of the initial adapters and head; sample_seed: seed of the drawn pairs (default: --seed). `check`
    gets the PEFT model before training.
    """
    seed = arguments.seed if initial_seed is None else initial_seed
    model = add_head(load_base_model(arguments.model_dir, arguments, arguments.load_in_4bit), seed)
    network, task = network_to_adapt(model.classifier)
    tuned = add_lora(network, arguments.model_copy(update={"seed": seed}), arguments.model_dir, task)
    check(tuned)
    data = read_data(arguments, model.language_model, sample_seed=sample_seed, change=change)
    trainee = reward_trainee(model, tuned)
    tune(kind, trainee, data, arguments, accelerator, lambda folder: save_adapter(tuned, folder, model.classifier))


def tune_prompt(arguments: AdapterArguments, num_virtual_tokens: int, init: str) -> None:
    """Tune a reward model with virtual tokens before every text."""
    with session(arguments) as accelerator:
        model = add_head(load_base_model(arguments.model_dir, arguments, arguments.load_in_4bit), arguments.seed)
        tuned, model = add_virtual_tokens(model, num_virtual_tokens, init, arguments.model_dir, arguments.seed)
        data = read_data(arguments, model.language_model, len(model.virtual_ids))
        trainee = reward_trainee(model, tuned)
        tune("prompt", trainee, data, arguments, accelerator,
             lambda folder: save_adapter(tuned, folder, model.classifier))  # fmt: skip


def tune_all_weights(arguments: TrainingArguments) -> None:
    """Tune all weights of a reward model: stored in float32, with matrix products in the dtype of the arguments."""
    if arguments.quantization != "none":
        raise InputError(
            f"--quantization {arguments.quantization} freezes the weights, but here all of them are tuned; leave it out"
        )
    with session(arguments) as accelerator:
        whole = arguments.model_copy(update={"dtype": "float32"})
        model = add_head(load_base_model(arguments.model_dir, whole, False), arguments.seed)
        network, _ = network_to_adapt(model.classifier)
        network.requires_grad_(True)
        data = read_data(arguments, model.language_model)
        dtype = _multiplication_dtype(arguments, model.language_model.device)
        tune("full", reward_trainee(model, network), data, arguments, accelerator,
             lambda folder: _save_whole(model, folder), dtype)  # fmt: skip


def tune_log_probabilities(arguments: LoraArguments) -> None:
    """Tune a language model with low-rank adapters, so that the best response gets the higher mean log-probability."""
    with session(arguments) as accelerator:
        model = load_base_model(arguments.model_dir, arguments, arguments.load_in_4bit)
        tuned = add_lora(model.network, arguments, arguments.model_dir, "CAUSAL_LM")
        data = read_data(arguments, model)
        trainee = Trainee(model, trainable(tuned), lambda micro: mean_log_probabilities(model, micro))
        tune("log_prob", trainee, data, arguments, accelerator, lambda folder: save_adapter(tuned, folder))


@contextmanager
def session(arguments: TrainingArguments) -> Iterator[Any]:
    """The Accelerator of one or several trainings; checks the arguments before a model is loaded."""
    if arguments.tensorboard:
        check_tensorboard()
    if arguments.push_to_hub is not None:
        check_repository(arguments.push_to_hub)
    accelerator = make_accelerator(arguments)
    yield accelerator
    accelerator.wait_for_everyone()
    accelerator.end_training()


def read_data(
    arguments: TrainingArguments,
    model: LanguageModel,
    virtual_tokens: int = 0,
    *,
    sample_seed: int | None = None,
    change: Change | None = None,
    text_format: TextFormat | None = None,
) -> TrainingData:
    """The training pairs of the source, in a format (default: as the arguments say).

    Raises InputError for a token without an embedding.
    """
    data = read_training_data(
        arguments.train_distribution,
        arguments.max_examples,
        arguments.seed if sample_seed is None else sample_seed,
        model.tokenizer,
        None if model.context_length is None else model.context_length - virtual_tokens,
        arguments.sample,
        text_format or training_format(arguments, model.tokenizer),
        change,
        responses_to_other_prompts if arguments.augmentation == "rrm" else None,
    )
    check_ids(model, [each.ids for pair in data.pairs for each in (pair.best, pair.worse)], virtual_tokens)
    return data


def reward_trainee(model: RewardModel, tuned: Any) -> Trainee:
    """The trainee for a reward model; `tuned` is the network with the trainable parameters, or its PEFT model."""
    return Trainee(
        model.language_model,
        {**trainable(tuned), **trainable_head(model.classifier)},
        lambda micro: rewards_at(model, micro.batch, micro.last_tokens),
        model.virtual_ids,
    )


def tune(
    kind: Kind,
    trainee: Trainee,
    data: TrainingData,
    arguments: TrainingArguments,
    accelerator: Any,
    save: Callable[[Path], None],
    dtype: torch.dtype | None = None,
    prepare: Callable[[Trainee], None] = lambda trainee: None,
) -> None:
    """Train in a session, and write the tuned model with its records and card to the output folder, and the model after
    each of --keep_steps below it.

    `prepare` is called before training with the trainee, whose model is then divided if there are several processes.
    """
    model = trainee.model
    output_dir = arguments.output_dir
    dtype = dtype or model.dtype
    dtype_name = str(dtype).removeprefix("torch.")
    mark = training_fingerprint(kind, arguments, dtype_name)
    if arguments.gradient_checkpointing:
        enable_gradient_checkpointing(model.decoder)
    with sharded(trainee, accelerator) as divided:
        prepare(divided)
        if arguments.search == "held_back":
            arguments = chosen_arguments(divided, data, arguments, accelerator, output_dir, mark, dtype)
        log = train(divided, data, arguments, accelerator, output_dir, mark, dtype)
    if accelerator.is_main_process:

        def write(folder: Path, steps: int) -> None:
            save(folder)
            of_steps = arguments.model_copy(update={"output_dir": folder, "num_train_steps": steps})
            _write_records(kind, model, data, of_steps, log[:steps], mark, dtype_name)

        write(output_dir, arguments.num_train_steps)
        remove_kept_steps(output_dir)
        for step in sorted({each for each in arguments.keep_steps if each < arguments.num_train_steps}):
            load_weights(output_dir, step, mark, trainee.parameters)
            write(kept_step(output_dir, step), step)
        remove_checkpoints(output_dir)
        if arguments.push_to_hub is not None:
            push(output_dir, arguments.push_to_hub, arguments.hub_private, hub_name(arguments.model_dir))
    accelerator.wait_for_everyone()


def _write_records(
    kind: Kind,
    model: LanguageModel,
    data: TrainingData,
    arguments: TrainingArguments,
    log: Sequence[Mapping[str, Any]],
    mark: str,
    dtype: str,
) -> None:
    """Write tokenizer, records and card to the output folder of the arguments, in which the weights are."""
    folder = arguments.output_dir
    padding = padding_id(model.tokenizer, model.network)
    if kind not in LANGUAGE_MODELS:
        model.tokenizer.pad_token = model.tokenizer.convert_ids_to_tokens(padding)
        write_reward_record(folder)
    model.tokenizer.save_pretrained(folder)
    if kind != "full":
        write_base_model(folder, arguments.model_dir)
    record_protocol(arguments)
    record_format(folder, data.text_format)
    write_card(folder, kind, arguments, data, log, mark, dtype, padding)


def _save_whole(model: RewardModel, folder: Path) -> None:
    network_to_adapt(model.classifier)[0].save_pretrained(folder)
    save_head(model.classifier, folder)


def _multiplication_dtype(arguments: TrainingArguments, device: torch.device) -> torch.dtype:
    if arguments.dtype != "auto":
        found = getattr(torch, arguments.dtype)
        assert isinstance(found, torch.dtype)
        return found
    return torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported(False) else torch.float32
