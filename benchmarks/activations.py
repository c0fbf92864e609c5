"""Speed of reading last-token activations against one plain forward pass per response with output_hidden_states=True.

python benchmarks/activations.py --distributions_dir distributions [--json FILE]

Compared with two plain implementations: the whole language model, which also computes logits, and its decoder alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from findings import Findings, Target, report
from measuring import (
    TextArguments,
    alternate,
    chosen_pairs,
    counted_tokens,
    findings_of,
    load,
    matmul_pass,
    model_operations,
    seen_pairs,
    tree_tokens,
    unique_sequences,
)

from genies.command_line import run

if TYPE_CHECKING:
    from genies.lm.model import LanguageModel


class ActivationArguments(TextArguments):
    """Read the hidden states of all blocks, and of all attention heads, at the last token of responses."""


def plain_hidden_states(network: Any, sequences: list[tuple[int, ...]]) -> np.ndarray[Any, Any]:
    """Hidden states [sequences, blocks - 1, width] at the last token, by one forward pass per sequence.

    The last block is left out, because transformers returns it after the final norm."""
    import torch

    found = []
    with torch.inference_mode():
        for ids in sequences:
            states = network(torch.tensor([ids]), output_hidden_states=True, use_cache=False).hidden_states
            found.append(torch.stack([state[0, -1] for state in states[1:-1]]).numpy())
    return np.stack(found)


def measure(arguments: ActivationArguments, findings: Findings, model: LanguageModel, plain: Any, name: str) -> None:
    """All measurements of one distribution."""
    from genies.lm.activations import last_token_activations
    from genies.lm.sites import all_sites

    folder, chosen = chosen_pairs(arguments, name, arguments.examples)
    sequences = [sequence.ids for sequence in unique_sequences(model, chosen, folder)]
    depth, width = model.decoder.config.num_hidden_layers, model.decoder.config.num_attention_heads
    blocks, heads = all_sites(depth, width, "blocks"), all_sites(depth, width, "heads")
    multiply, operations = matmul_pass(model, 1024)
    multiply()
    with counted_tokens(model) as counts:
        last_token_activations(model, sequences, blocks)
    plain_hidden_states(plain, sequences[:2])
    seconds, results = alternate(
        {
            "matmul": multiply,
            "blocks": lambda: last_token_activations(model, sequences, blocks),
            "heads": lambda: last_token_activations(model, sequences, heads),
            "language model": lambda: plain_hidden_states(plain, sequences),
            "decoder": lambda: plain_hidden_states(plain.base_model, sequences),
        },
        arguments.repeats,
        warm_up=False,  # each had its turn above
    )
    tokens, unpacked = sum(counts), sum(map(len, sequences))
    findings.add(name, "sequences", len(sequences))
    findings.add(name, "tokens of the sequences", unpacked)
    findings.add(name, "tokens of their prefix trees", tree_tokens(sequences))
    findings.add(name, "tokens through the model", tokens)
    findings.add(name, "genies, hidden states", seconds["blocks"], "s")
    findings.add(name, "genies, heads", seconds["heads"], "s")
    findings.add(name, "plain, language model", seconds["language model"], "s")
    findings.add(name, "plain, decoder alone", seconds["decoder"], "s")
    findings.add(name, "times as fast", seconds["language model"] / seconds["blocks"], "", Target(at_least=3.0))
    findings.add(name, "times as fast, heads", seconds["language model"] / seconds["heads"], "", Target(at_least=3.0))
    findings.add(name, "times as fast as the decoder alone", seconds["decoder"] / seconds["blocks"])
    expected = results["language model"]
    difference = np.abs(results["blocks"][:, :-1] - expected).max() / np.abs(expected).max()
    findings.add(name, "largest difference over the largest value", float(difference), "", Target(at_most=1e-4))
    rate = operations / seconds["matmul"]
    reached = model_operations(model, tokens, seen_pairs(sequences), 0) / seconds["blocks"]
    findings.add(name, "matmul rate of the machine", rate / 1e9, "GFLOPS")
    findings.add(name, "model operations over the matmul rate", reached / rate)


def benchmark(arguments: ActivationArguments) -> int:
    """Measure all distributions, with our model and with that of transformers."""
    model, threads = load(arguments)

    import torch
    from transformers import AutoModelForCausalLM

    dtype = getattr(torch, arguments.dtype)
    plain = AutoModelForCausalLM.from_pretrained(arguments.base_model_dir, dtype=dtype).eval().to(arguments.device)
    findings = findings_of(arguments, "Activations", threads)
    for name in arguments.distributions:
        measure(arguments, findings, model, plain, name)
    return report(arguments, findings)


if __name__ == "__main__":
    run(benchmark)
