"""Speed of a whole reward model, compared with the recipe of RewardBench's pipeline: padded batches of eight texts.

python benchmarks/rewards.py --distributions_dir distributions [--json FILE]

The reward model is the base model with a random head with one output. Both score the same token ids.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from findings import Target, report
from measuring import TextArguments, alternate, chosen_pairs, findings_of, load, unique_sequences
from pydantic import Field

from genies.command_line import run

if TYPE_CHECKING:
    from collections.abc import Sequence


class RewardArguments(TextArguments):
    """Score responses with a whole reward model, packed here and in padded batches."""

    batch_size: Annotated[int, Field(ge=1)] = 8
    """Texts in a padded batch; RewardBench's default is 8."""


def padded_batches(network: Any, sequences: Sequence[Sequence[int]], size: int, padding: int) -> np.ndarray[Any, Any]:
    """The reward of each sequence, in the order given, without sorting by length."""
    import torch

    found = []
    with torch.inference_mode():
        for start in range(0, len(sequences), size):
            batch = sequences[start : start + size]
            longest = max(map(len, batch))
            rows = torch.tensor([[*ids, *[padding] * (longest - len(ids))] for ids in batch])
            mask = torch.tensor([[1] * len(ids) + [0] * (longest - len(ids)) for ids in batch])
            hidden = network.base_model(input_ids=rows, attention_mask=mask, use_cache=False).last_hidden_state
            last = mask.sum(1) - 1
            found.append(network.score(hidden[torch.arange(len(batch)), last])[:, 0])
    return torch.cat(found).numpy()


def benchmark(arguments: RewardArguments) -> int:
    """Measure both on each distribution."""
    language_model, threads = load(arguments)
    import torch
    from transformers import AutoModelForSequenceClassification

    from genies.methods.training.arguments import TunedModelArguments
    from genies.methods.training.evaluation import load_reward_model
    from genies.methods.training.reward_model import rewards

    findings = findings_of(arguments, "Rewards", threads)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "model"
        torch.manual_seed(0)
        network = AutoModelForSequenceClassification.from_pretrained(
            arguments.base_model_dir, num_labels=1, dtype=torch.float32
        ).eval()
        network.config.pad_token_id = 0
        network.save_pretrained(folder)
        language_model.tokenizer.save_pretrained(folder)
        given = {"model_dir": folder, "distribution_dirs": [folder], "output_paths": [folder]}
        model = load_reward_model(TunedModelArguments(**given, device="cpu", dtype="float32"))
    for name in arguments.distributions:
        source, chosen = chosen_pairs(arguments, name, arguments.examples)
        ids = [each.ids for each in unique_sequences(language_model, chosen, source, arguments.text_format())]
        variants = {
            "genies": lambda ids=ids: rewards(model, ids, None, ""),
            "batches": lambda ids=ids: padded_batches(network, ids, arguments.batch_size, 0),
        }
        seconds, results = alternate(variants, arguments.repeats)
        subject = f"reward_model, {name}, {arguments.prompt_format}"
        findings.add(subject, "sequences", len(ids))
        findings.add(subject, "tokens of the sequences", sum(map(len, ids)))
        findings.add(subject, "genies", seconds["genies"], "s")
        findings.add(subject, f"padded batches of {arguments.batch_size}", seconds["batches"], "s")
        findings.add(subject, "times as fast", seconds["batches"] / seconds["genies"], "", Target(at_least=1.5))
        difference = float(np.abs(results["genies"] - results["batches"]).max())
        findings.add(subject, "largest difference of a reward", difference, "", Target(at_most=1e-3))
    return report(arguments, findings)


if __name__ == "__main__":
    run(benchmark)
