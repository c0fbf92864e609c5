"""Distance of total log-probabilities from those computed in float64, for this project, for one plain float32 forward
pass per response, and for lm-evaluation-harness. Needs the extra `bench`.

python benchmarks/precision.py --distributions_dir distributions [--json FILE]
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from findings import Target, report
from measuring import TextArguments, chosen_pairs, findings_of, load, unique_sequences
from pydantic import Field
from scoring import Peer, check_peer

from genies.command_line import run

if TYPE_CHECKING:
    from genies.lm.text import TokenSequence


class PrecisionArguments(TextArguments):
    """Compare total log-probabilities with those in float64."""

    examples: Annotated[int, Field(ge=1)] = 6
    """Number of test examples of each distribution."""


def plain_totals(folder: Path, sequences: Sequence[TokenSequence], dtype: str) -> np.ndarray[Any, Any]:
    """Total log-probability [sequences] of the response tokens, by transformers alone in a given number format."""
    import torch
    from transformers import AutoModelForCausalLM

    network = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()
    totals = []
    with torch.inference_mode():
        for sequence in sequences:
            rows = network(torch.tensor([sequence.ids]), use_cache=False).logits[0].log_softmax(-1)
            places = [place for place in sequence.response if place > 0]
            totals.append(float(sum(rows[place - 1, sequence.ids[place]].double() for place in places)))
    return np.array(totals)


def benchmark(arguments: PrecisionArguments) -> int:
    """Measure the largest and the mean distance of each implementation."""
    check_peer()
    model, threads = load(arguments)

    from genies.lm.scoring import response_log_probabilities

    findings = findings_of(arguments, "Precision", threads)
    peer = Peer(model, [1])
    for name in arguments.distributions:
        folder, chosen = chosen_pairs(arguments, name, arguments.examples)
        sequences = unique_sequences(model, chosen, folder)
        exact = plain_totals(arguments.base_model_dir, sequences, "float64")
        ways = {
            "genies": response_log_probabilities(model, sequences)[0],
            "plain float32": plain_totals(arguments.base_model_dir, sequences, "float32"),
            "lm_eval": peer.score(sequences, 1),
        }
        findings.add(name, "sequences", len(sequences))
        findings.add(name, "largest total, in nats", float(np.abs(exact).max()))
        for way, totals in ways.items():
            distance = np.abs(totals - exact)
            target = Target(at_most=1e-3) if way == "genies" else None
            findings.add(name, f"largest distance from float64, {way}", float(distance.max()), "", target)
            findings.add(name, f"mean distance from float64, {way}", float(distance.mean()))
    return report(arguments, findings)


if __name__ == "__main__":
    run(benchmark)
