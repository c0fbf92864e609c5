"""Check a model's configuration against its weight files before a network is built from it. Imports no torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from genies.adapter_base import CONFIG
from genies.errors import InputError
from genies.files import open_regular, read_json

_DEPTHS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_LONGEST_HEADER = 100_000_000
"""Maximum size in bytes of the list of tensors in a safetensors file, according to the format."""


def check_weights(folder: Path) -> None:
    """Raise InputError, naming what is missing, unless the folder contains a config and all safetensors weights."""
    if not folder.is_dir():
        raise InputError(
            f"model folder {folder} does not exist; expected a folder with config.json, *.safetensors and a tokenizer "
            "(python download_model_from_hf.py MODEL_ID FOLDER downloads one)"
        )
    if not (folder / "config.json").is_file():
        raise InputError(f"model folder {folder} has no config.json; expected a Hugging Face model folder")
    config = read_json(folder / "config.json", "model config")
    check_unquantized(folder, config)
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        value = read_json(index, "weight index")
        names = value.get("weight_map") if isinstance(value, dict) else None
        if not isinstance(names, dict):
            raise InputError(f"weight index {index} has no weight_map object; download the model again")
        for name in sorted({str(name) for name in names.values()}):
            if not (folder / name).is_file():
                raise InputError(
                    f"model folder {folder} lacks {name}, which {index.name} lists; download the model again"
                )
    elif not (folder / "model.safetensors").is_file():
        pickled = next((file.name for pattern in ("*.bin", "*.pt", "*.pth") for file in folder.glob(pattern)), None)
        reason = f"; {pickled} is a pickle, and pickles are never read: convert it to safetensors" if pickled else ""
        if gguf := next(folder.glob("*.gguf"), None):
            reason = f"; {gguf.name} is in the format GGUF of llama.cpp; download the original model in safetensors"
        raise InputError(f"model folder {folder} has no weights (model.safetensors or its shards){reason}")
    check_plausible(folder, config)


def check_plausible(folder: Path, config: Any) -> None:
    """Raise InputError for a folder with both a model and an adapter, and for more blocks than the weights can fill.

    config: the JSON value in the folder's config.json.
    """
    if (folder / CONFIG).is_file():
        raise InputError(
            f"model folder {folder} contains both a whole model and {CONFIG}, so it is ambiguous whether the model or "
            "an adapter is meant; remove one of them"
        )
    tensors = sum(_tensors(path) for path in folder.glob("*.safetensors"))
    for name, depth in _depths(config):
        if depth > tensors:
            raise InputError(
                f"model config {folder / 'config.json'}, field {name}: {depth:,} blocks, but the weights have only "
                f"{tensors:,} tensors; download the model again"
            )


_QUANTIZATIONS = {
    "gptq": "GPTQ",
    "awq": "AWQ",
    "compressed-tensors": "compressed-tensors",
    "fp8": "FP8",
    "fbgemm_fp8": "FP8",
    "mxfp4": "MXFP4",
    "aqlm": "AQLM",
    "hqq": "HQQ",
    "eetq": "EETQ",
    "quanto": "Quanto",
    "torchao": "torchao",
    "higgs": "HIGGS",
    "spqr": "SpQR",
    "vptq": "VPTQ",
}


def check_unquantized(folder: Path, config: Any) -> None:
    """Raise InputError for weights in a quantized format that needs further packages or a certain GPU.

    config: the JSON value in the folder's config.json.
    """
    found = config if isinstance(config, dict) else {}
    settings = found.get("quantization_config") or found.get("compression_config")
    method = str(settings.get("quant_method", "compressed-tensors")).lower() if isinstance(settings, dict) else ""
    if method in _QUANTIZATIONS:
        raise InputError(
            f"the weights in {folder} are quantized ({_QUANTIZATIONS[method]}), which is not supported; download the "
            "original model in 16 or 32 bits (its page usually names it), and use --dtype bfloat16, or "
            "--quantization nf4 on a GPU, if it does not fit into memory"
        )


def _depths(config: Any) -> list[tuple[str, int]]:
    """The fields of a configuration and its nested configurations that give the number of blocks."""
    found = []
    waiting = [("", config)]
    while waiting:
        place, value = waiting.pop()
        if isinstance(value, dict):
            found += [(f"{place}{name}", value[name]) for name in _DEPTHS if isinstance(value.get(name), int)]
            waiting += [(f"{place}{name}.", each) for name, each in value.items()]
    return found


def _tensors(path: Path) -> int:
    """The number of tensors listed in a safetensors file; InputError if the list is damaged."""
    with open_regular(path, "weights") as file:
        length = int.from_bytes(file.read(8), "little")
        try:
            header = json.loads(file.read(min(length, _LONGEST_HEADER)))
        except (ValueError, RecursionError):
            header = None
    if not isinstance(header, dict):
        raise InputError(f"weights {path} are damaged (the list of tensors is unreadable); download the model again")
    return len(header)
