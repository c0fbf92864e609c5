"""Language models in memory: loaded from a folder, or a transformers model that a user has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from genies.errors import InputError, speaks_of_arguments
from genies.lm.arguments import ModelArguments
from genies.lm.capability import check_network, find_decoder
from genies.lm.forward import DEFAULT_BATCH_TOKENS
from genies.lm.model import LanguageModel, context_length, name_outputs
from genies.lm.model import load_model as load_from_folder
from genies.lm.placement import input_device
from genies.shipped import or_shipped


@speaks_of_arguments
def load_model(
    folder: str | Path,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
    device_map: Literal["none", "auto"] = "none",
) -> LanguageModel:
    """Load a causal language model and its tokenizer from a Hugging Face model folder, for inference.

    device: auto is a GPU when there is one. dtype: of the weights; auto is float32 on a CPU, and bfloat16 on a GPU that
    has it. device_map: auto spreads a model over all GPUs. Only safetensors weights are read, no code of the model's
    author is run, and no request is made to the model hub. Raises InputError for a folder that is no such model.

    >>> model = genies.load_model("models/SmolLM2-135M-Instruct", dtype="float32")  # doctest: +SKIP
    >>> model.tokenizer.eos_token, model.context_length  # doctest: +SKIP
    ('<|im_end|>', 8192)
    """
    arguments = ModelArguments(device=device, dtype=dtype, device_map=device_map)
    return load_from_folder(or_shipped(Path(folder)), arguments, of_transformers=True)


@contextmanager
def borrowed(model: Any, tokenizer: Any) -> Iterator[LanguageModel]:
    """A transformers model as a LanguageModel; a model of load_model comes as it is.

    Within the context the network is in evaluation mode and may have our attention; afterwards it is as it was.
    Raises InputError for what is no causal language model.
    """
    if isinstance(model, LanguageModel):
        if tokenizer is not None:
            raise InputError("tokenizer: a model of genies.load_model has its own; leave the argument out")
        yield model
        return
    network = plain_network(model)
    check_tokenizer(tokenizer)
    with as_before(network):
        name = name_of(network)
        found = check_network(network, name)
        if not found.causal:
            raise InputError(f"model: {name} is no decoder: its tokens see later ones, so that it gives no likelihood")
        yield LanguageModel(
            network,
            find_decoder(network),
            tokenizer,
            Path(name),
            input_device(network),
            network.dtype,
            context_length(network.config),
            packs=found.packs,
            plain_head=found.plain_head,
            pads=found.pads,
            continues=found.continues,
        )


def plain_network(model: Any) -> Any:
    """The transformers model itself, without the wrapper of PEFT, whose adapters are part of its layers."""
    if hasattr(model, "peft_config"):
        if model.active_peft_config.is_prompt_learning:
            raise InputError(
                "model: prompt tuning puts virtual tokens before the text, which is not supported in memory; use "
                "genies evaluate on its folder"
            )
        model = model.get_base_model()
    if not all(hasattr(model, name) for name in ("config", "get_input_embeddings", "set_attn_implementation")):
        raise InputError(
            f"model: expected a model of genies.load_model or a transformers model, got {type(model).__name__}"
        )
    device = input_device(model).type
    if device not in DEFAULT_BATCH_TOKENS:
        raise InputError(f"model: it is on {device}; expected {' or '.join(DEFAULT_BATCH_TOKENS)}: model.to('cpu')")
    return model


def check_tokenizer(tokenizer: Any) -> None:
    """InputError unless this is a tokenizer that says where in a text each token is."""
    if not getattr(tokenizer, "is_fast", False):
        found = "nothing" if tokenizer is None else type(tokenizer).__name__
        raise InputError(f"tokenizer: expected the model's fast tokenizer (AutoTokenizer.from_pretrained), got {found}")


def name_of(network: Any) -> str:
    """How messages name a model: by the folder or the name on the hub that it was loaded from."""
    return str(getattr(network, "name_or_path", "") or type(network).__name__)


@contextmanager
def as_before(network: Any) -> Iterator[None]:
    """Evaluation mode within the context; afterwards modes, attention and output format are as before."""
    training = {module: module.training for module in network.modules()}
    attention = network.config._attn_implementation
    configs = [network.config, network.config.get_text_config()]
    named = [(config, config.return_dict) for config in configs]
    network.eval()
    name_outputs(network.config)
    try:
        yield
    finally:
        network.set_attn_implementation(attention)
        for config, value in named:
            config.return_dict = value
        for module, mode in training.items():
            module.training = mode
