"""A decoder language model from a folder: safetensors weights, its tokenizer, and how it takes packed rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from genies.errors import InputError
from genies.files import read_json
from genies.lm.arguments import ModelArguments
from genies.lm.capability import check_network, find_decoder, first_line, is_out_of_memory
from genies.lm.offline import offline
from genies.lm.placement import check_placement, input_device, loading_options, too_large
from genies.lm.plausibility import check_plausible

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class LanguageModel:
    """A decoder ready for inference."""

    network: Any
    """The transformers model with its language-model head, in evaluation mode."""
    decoder: Any
    """The network without the head: its output has the last hidden states, final norm applied."""
    tokenizer: Any
    folder: Path
    device: torch.device
    """Where token ids go; the parts of a model spread by `device_map` lie on others as well."""
    dtype: torch.dtype
    """Number format of the weights, and of the products where the weights are quantized."""
    context_length: int | None
    """The most tokens of one sequence, None where the model names no limit."""
    packs: bool
    """Whether packed rows give what plain forward passes give (checked when the model was loaded)."""
    plain_head: bool
    """Whether logits are the output embedding applied to the last hidden state and nothing more (checked too)."""
    pads: bool = True
    """Whether padded rows give what plain forward passes give (checked too)."""
    quantization: str = "none"
    """How the weights are held: `nf4` or `none`."""

    @property
    def description(self) -> dict[str, str]:
        """What an evaluation says of the model: its dtype and device, and its quantization if there is one."""
        return describe(self.dtype, self.device, self.quantization)


def describe(dtype: torch.dtype, device: torch.device, quantization: str = "none") -> dict[str, str]:
    """What an evaluation says of a model: its dtype and device, and its quantization if there is one."""
    quantized = {} if quantization == "none" else {"quantization": quantization}
    return {"dtype": str(dtype).removeprefix("torch."), "device": device.type, **quantized}


def load_model(folder: str | Path, arguments: ModelArguments | None = None) -> LanguageModel:
    """The model in `folder`, on the device and in the number format that `arguments` ask for.

    Raises InputError for a folder without config, weights or tokenizer, with damaged or incomplete weights, of an
    architecture that is no decoder of transformers, for a device that is not there, and for 4 bits without a GPU.
    """
    arguments = arguments or ModelArguments()
    folder = Path(folder)
    check_weights(folder)
    device = chosen_device(arguments.device)
    dtype = chosen_dtype(arguments.dtype, device)
    torch.set_float32_matmul_precision(arguments.matmul_precision)
    silence_transformers()
    tokenizer = load_tokenizer(folder)
    options = loading_options(arguments, device, dtype)
    network = _network(folder, dtype, options)
    if options:
        device = input_device(network)
    else:
        network = _moved(network, device, folder)
    limit = context_length(network.config)
    found = check_network(network, str(folder))
    if not found.causal:
        raise InputError(
            f"the model in {folder} is no decoder: its tokens see later ones ({type(network).__name__}), so that its "
            "log-probabilities say nothing; expected a causal language model"
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
        quantization=arguments.quantization,
    )


def context_length(config: Any) -> int | None:
    """The most tokens of one sequence that a model's config names; None where it names no limit."""
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
        f"the weights in {folder} do not fit into memory; try --dtype bfloat16, or on GPUs --quantization nf4 or "
        "--device_map auto"
    )


def check_weights(folder: Path) -> None:
    """InputError, that names what is missing, unless the folder holds a config and all safetensors weights."""
    if not folder.is_dir():
        raise InputError(
            f"model folder {folder} does not exist; expected a folder with config.json, *.safetensors and a tokenizer "
            "(python download_model_from_hf.py MODEL_ID FOLDER fetches one)"
        )
    if not (folder / "config.json").is_file():
        raise InputError(f"model folder {folder} has no config.json; expected a Hugging Face model folder")
    config = read_json(folder / "config.json", "model config")
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        value = read_json(index, "weight index")
        names = value.get("weight_map") if isinstance(value, dict) else None
        if not isinstance(names, dict):
            raise InputError(f"weight index {index} has no weight_map object; fetch the model again")
        for name in sorted({str(name) for name in names.values()}):
            if not (folder / name).is_file():
                raise InputError(f"model folder {folder} lacks {name}, which {index.name} lists; fetch the model again")
    elif not (folder / "model.safetensors").is_file():
        pickled = next((file.name for pattern in ("*.bin", "*.pt", "*.pth") for file in folder.glob(pattern)), None)
        reason = f"; {pickled} is a pickle, which is never read: convert it to safetensors" if pickled else ""
        raise InputError(f"model folder {folder} has no weights (model.safetensors or its shards){reason}")
    check_plausible(folder, config)


def chosen_device(wanted: str) -> torch.device:
    """cpu or cuda; `auto` takes a GPU where there is one."""
    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise InputError("--device cuda: torch finds no CUDA GPU here; use --device cpu or auto")
    return torch.device("cuda" if available and wanted != "cpu" else "cpu")


def chosen_dtype(wanted: str, device: torch.device) -> torch.dtype:
    """`auto` is float32 on a CPU and bfloat16 on a GPU that has it."""
    if wanted != "auto":
        return _DTYPES[wanted]
    return torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported(False) else torch.float32


def silence_transformers() -> None:
    """No progress bars and warnings of the library: a step's log is for what a person can act on."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


@offline()
def load_tokenizer(folder: Path) -> Any:
    """The folder's fast tokenizer; InputError when there is none."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    except Exception as error:  # transformers and tokenizers raise nearly every kind for a damaged or absent file
        raise InputError(
            f"model folder {folder} has no tokenizer that can be read (tokenizer.json, tokenizer_config.json): "
            f"{first_line(error)}"
        ) from None
    if not tokenizer.is_fast:
        raise InputError(
            f"the tokenizer in {folder} is not a fast one, which alone says where in the text a token stands; "
            "expected a tokenizer.json"
        )
    return tokenizer


def causal_class(config: Any) -> Any:
    """The auto class of transformers for a configuration's language model.

    Wrappers of a decoder and an encoder of images are often listed under images and text alone (Mistral 3,
    Qwen 2.5-VL, LLaVA); they take text alone as well. Raises ValueError for a configuration that is in neither list.
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
    raise ValueError(f"{config.model_type} is no causal language model")


@offline()
def _network(folder: Path, dtype: torch.dtype, options: Mapping[str, Any]) -> Any:
    from transformers import AutoConfig

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
        raise InputError(f"weights in {folder} are damaged ({first_line(error)}); fetch the model again") from None
    except (ValueError, KeyError, TypeError, AttributeError, ImportError, AssertionError) as error:
        if options and "dispatched on the CPU or the disk" in str(error):
            raise too_large(folder) from None
        raise InputError(f"model folder {folder} is no decoder that transformers knows: {first_line(error)}") from None
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise _no_memory(folder) from None
        raise InputError(f"weights in {folder} do not fit its config.json: {first_line(error)}") from None
    network, loading = loaded
    missing = sorted(loading["missing_keys"]) + sorted(str(each) for each in loading.get("mismatched_keys", ()))
    if missing:
        raise InputError(
            f"weights in {folder} are incomplete: {len(missing)} tensors that config.json asks for are missing or of "
            f"another shape (first: {missing[0]}); fetch the model again"
        )
    check_placement(network, folder)
    name_outputs(network.config)
    return network.eval().requires_grad_(False)


def name_outputs(config: Any) -> None:
    """Have forward passes give their outputs by name, also where a config of old asks for tuples (return_dict)."""
    for each in (config, config.get_text_config()):
        each.return_dict = True


def _attention(config: Any) -> dict[str, str]:
    """The attention implementation to ask for, where the default of some version of transformers drops a part of it.

    scaled_dot_product_attention knows no soft capping: transformers 5.0 leaves it out of Gemma 2's without a word.
    """
    capped = getattr(config.get_text_config(), "attn_logit_softcapping", None)
    return {"attn_implementation": "eager"} if capped else {}
