"""Write a model of a chosen size with random weights, to measure speed and memory: values do not change them.

python benchmarks/large_model.py --output models/random-3b --width 3072 --layers 28 --device cuda

The tokenizer is that of --base_model_dir.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

from pydantic import Field

from genies.command_line import Arguments, run


class LargeModelArguments(Arguments):
    """Write a Llama model with random weights."""

    output: Path
    """Folder of the new model."""
    base_model_dir: Path = Path("models/SmolLM2-135M-Instruct")
    """Folder whose tokenizer is copied."""
    width: Annotated[int, Field(ge=128)] = 3072
    """Width of the hidden states; heads have 128, and a third of them are key heads."""
    layers: Annotated[int, Field(ge=1)] = 28
    """Number of blocks."""
    device: str = "cpu"
    """Where the weights are drawn."""


def write(arguments: LargeModelArguments) -> int:
    """Write the model in bfloat16."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig

    given = AutoConfig.from_pretrained(arguments.base_model_dir)
    heads = arguments.width // 128
    config = LlamaConfig(
        vocab_size=given.vocab_size,
        hidden_size=arguments.width,
        intermediate_size=arguments.width * 8 // 3,
        num_hidden_layers=arguments.layers,
        num_attention_heads=heads,
        num_key_value_heads=heads // 3 if heads % 3 == 0 else heads,
        max_position_embeddings=given.max_position_embeddings,
        bos_token_id=given.bos_token_id,
        eos_token_id=given.eos_token_id,
        tie_word_embeddings=True,
        dtype=torch.bfloat16,
    )
    with torch.device(arguments.device):
        network = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    network.save_pretrained(arguments.output)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(arguments.base_model_dir / name, arguments.output / name)
    print(f"{sum(each.numel() for each in network.parameters()) / 1e9:.2f} billion parameters in {arguments.output}")
    return 0


if __name__ == "__main__":
    run(write)
