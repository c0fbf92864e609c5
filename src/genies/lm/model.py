"""Load a decoder language model and its tokenizer from a folder with safetensors weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from genies.errors import InputError
from genies.lm.arguments import ModelArguments
from genies.lm.capability import check_network, find_decoder, first_line, is_out_of_memory
from genies.lm.model_outline import read_outline
from genies.lm.offline import offline
from genies.lm.own_network import load_own
from genies.lm.placement import check_placement, input_device, loading_options, too_large
from genies.lm.plausibility import check_weights

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class LanguageModel:
    """A decoder ready for inference."""

    network: Any
    """The network with its language-model head, in evaluation mode: a transformers model or that of own_network."""
    decoder: Any
    """The network without the head: its output has the last hidden states, final norm applied."""
    tokenizer: Any
    folder: Path
    device: torch.device
    """Device of the token ids; with `device_map`, parts of the model are on other devices."""
    dtype: torch.dtype
    """Number format of the weights, or of the matrix products if the weights are quantized."""
    context_length: int | None
    """Maximum number of tokens in a sequence; None if the config sets no limit."""
    packs: bool
    """Whether packed rows give the same results as plain forward passes (checked when a network of transformers is
    loaded)."""
    plain_head: bool
    """Whether the logits are exactly the output embedding applied to the last hidden state (also checked)."""
    pads: bool = True
    """Whether padded rows give the same results as plain forward passes (also checked)."""
    quantization: str = "none"
    """Quantization of the weights: `nf4` or `none`."""
    continues: bool = False
    """Whether sequences can continue from the cache of a shared beginning (also checked, where rows do not pack)."""

    @property
    def description(self) -> dict[str, str]:
        """Dtype, device and, if any, quantization: the description of the model in evaluation files."""
        return describe(self.dtype, self.device, self.quantization)


def describe(dtype: torch.dtype, device: torch.device, quantization: str = "none") -> dict[str, str]:
    """Dtype, device and, if any, quantization: the description of a model in evaluation files."""
    quantized = {} if quantization == "none" else {"quantization": quantization}
    return {"dtype": str(dtype).removeprefix("torch."), "device": device.type, **quantized}


def load_model(
    folder: str | Path,
    arguments: ModelArguments | None = None,
    tokenizer: Any = None,
    of_transformers: bool = False,
) -> LanguageModel:
    """Load the model in `folder` on the device and in the number format that `arguments` select.

    tokenizer: that of the folder, if it is already loaded. of_transformers: whether network and tokenizer have to be
    those of transformers, whose import takes seconds; by default they are only where genies has none of its own.

    Raises InputError if the config, the weights or the tokenizer are missing, if the weights are damaged or incomplete,
    if transformers has no decoder of this architecture, if the device does not exist, and for 4 bits without a GPU.
    """
    arguments = arguments or ModelArguments()
    folder = Path(folder)
    check_weights(folder)
    device = chosen_device(arguments.device)
    dtype = chosen_dtype(arguments.dtype, device)
    torch.set_float32_matmul_precision(arguments.matmul_precision)
    options = loading_options(arguments, device, dtype)
    own = None if options or of_transformers else load_own(folder, dtype, device)
    if own is not None:
        tokenizer = tokenizer or read_outline(folder, arguments).tokenizer
        longest = own.config.max_position_embeddings
        return LanguageModel(own, own.model, tokenizer, folder, device, dtype, longest, packs=True, plain_head=True)
    tokenizer = tokenizer or load_tokenizer(folder)
    network = read_network(folder, dtype, options)
    if options:
        device = input_device(network)
    else:
        network = _moved(network, device, folder)
    return checked(network, tokenizer, folder, device, dtype, arguments.quantization)


def checked(
    network: Any, tokenizer: Any, folder: Path, device: torch.device, dtype: torch.dtype, quantization: str = "none"
) -> LanguageModel:
    """The language model of a network of transformers, whose capability is found by running a few tokens."""
    limit = context_length(network.config)
    found = check_network(network, str(folder))
    if not found.causal:
        raise InputError(
            f"the model in {folder} is not a decoder: its tokens attend to later tokens ({type(network).__name__}), so "
            "its log-probabilities are meaningless; expected a causal language model"
        )
    return LanguageModel(
        network,
        find_decoder(network),
        tokenizer,
        folder,
        device,
        dtype,
        limit,
        packs=found.packs,
        plain_head=found.plain_head,
        pads=found.pads,
        quantization=quantization,
        continues=found.continues,
    )


def context_length(config: Any) -> int | None:
    """Maximum number of tokens in a sequence according to a model's config; None if it sets no limit."""
    text = config.get_text_config()
    limits = (getattr(text, name, None) for name in ("max_position_embeddings", "max_seq_len"))
    return next((limit for limit in limits if isinstance(limit, int) and limit > 0), None)


def _moved(network: Any, device: torch.device, folder: Path) -> Any:
    try:
        return network.to(device)
    except Exception as error:
        if is_out_of_memory(error):
            raise _no_memory(folder) from None
        raise


def _no_memory(folder: Path) -> InputError:
    return InputError(
        f"the weights in {folder} do not fit into memory; try --dtype bfloat16 or, on GPUs, --quantization nf4 or "
        "--device_map auto"
    )


def chosen_device(wanted: str) -> torch.device:
    """The CPU or the GPU; `auto` selects the GPU if torch finds one."""
    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise InputError("--device cuda: torch finds no CUDA GPU on this machine; use --device cpu or auto")
    return torch.device("cuda" if available and wanted != "cpu" else "cpu")


def chosen_dtype(wanted: str, device: torch.device) -> torch.dtype:
    """The dtype named `wanted`; `auto` is bfloat16 on a GPU that supports it, else float32."""
    if wanted != "auto":
        return _DTYPES[wanted]
    return torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported(False) else torch.float32


def silence_transformers() -> None:
    """Turn off the progress bars and warnings of transformers, so that a step's log contains only what needs action."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


@offline()
def load_tokenizer(folder: Path) -> Any:
    """Load the fast tokenizer in a folder; InputError if there is none."""
    from transformers import AutoTokenizer

    silence_transformers()
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    except Exception as error:  # transformers and tokenizers raise many types for a damaged or missing file
        raise InputError(
            f"model folder {folder} has no readable tokenizer (tokenizer.json, tokenizer_config.json): "
            f"{first_line(error)}"
        ) from None
    if not tokenizer.is_fast:
        raise InputError(
            f"the tokenizer in {folder} is not a fast tokenizer, and only fast tokenizers report the position of a "
            "token in the text; expected a tokenizer.json"
        )
    return tokenizer


def causal_class(config: Any) -> Any:
    """The auto class of transformers that loads the language model of a configuration.

    transformers lists many models with a decoder and an image encoder only under image and text (Mistral 3,
    Qwen 2.5-VL, LLaVA); they also run on text alone. Raises ValueError for a configuration that is in neither list.
    """
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING,
        MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    )

    if type(config) in MODEL_FOR_CAUSAL_LM_MAPPING:
        return AutoModelForCausalLM
    if type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING and not config.is_encoder_decoder:
        return AutoModelForImageTextToText
    raise ValueError(f"{config.model_type} is not a causal language model")


@offline()
def read_network(folder: Path, dtype: torch.dtype, options: Mapping[str, Any]) -> Any:
    """The network of transformers in a folder, with weights in a number format; `options` are for from_pretrained.

    Raises InputError if it cannot be read or is incomplete.
    """
    from transformers import AutoConfig

    silence_transformers()
    try:
        config = AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
        loaded: Any = causal_class(config).from_pretrained(
            str(folder),
            dtype=dtype,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
            **_attention(config),
            **options,
        )
    except SafetensorError as error:
        raise InputError(f"weights in {folder} are damaged ({first_line(error)}); download the model again") from None
    except (ValueError, KeyError, TypeError, AttributeError, ImportError, AssertionError) as error:
        if options and "dispatched on the CPU or the disk" in str(error):
            raise too_large(folder) from None
        raise InputError(
            f"model folder {folder} contains no decoder that transformers supports: {first_line(error)}"
        ) from None
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise _no_memory(folder) from None
        raise InputError(f"weights in {folder} do not match its config.json: {first_line(error)}") from None
    network, loading = loaded
    missing = sorted(loading["missing_keys"]) + sorted(str(each) for each in loading.get("mismatched_keys", ()))
    if missing:
        raise InputError(
            f"weights in {folder} are incomplete: {len(missing)} tensors that config.json requires are missing or have "
            f"the wrong shape (first: {missing[0]}); download the model again"
        )
    check_placement(network, folder)
    name_outputs(network.config)
    return network.eval().requires_grad_(False)


def name_outputs(config: Any) -> None:
    """Make forward passes return named outputs, even if an old config asks for tuples (return_dict)."""
    for each in (config, config.get_text_config()):
        each.return_dict = True


def _attention(config: Any) -> dict[str, str]:
    """The attention implementation to request if the default of some transformers version changes results.

    scaled_dot_product_attention has no soft capping: transformers 5.0 silently omits it for Gemma 2.
    """
    capped = getattr(config.get_text_config(), "attn_logit_softcapping", None)
    return {"attn_implementation": "eager"} if capped else {}
