"""Work that interventions share: mms, then lat_stim_1, cra and ccs on the same shifts, with an empty and with a filled
cache of activations.

python benchmarks/shared_work.py --distributions_dir distributions [--json FILE]

Each intervention trains on the sources and is evaluated on source and targets, by its own scripts in separate
processes, as in the harness. The number of tokens that pass through the model is compared with that in the prefix trees
of all texts under the templates of the interventions.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

from findings import Target, report
from measuring import BenchmarkArguments, Ids, encoded_texts, findings_of, tree_tokens
from pydantic import Field
from steps import evaluation_step, thread_count, train_step

from genies.command_line import run
from genies.data.distribution import Distribution, one_pair_per_example, pairs
from genies.methods.templates import PLAIN, YES_NO, Templates

TEMPLATES: dict[str, Templates] = {"mms": PLAIN, "lat_stim_1": PLAIN, "cra": YES_NO, "ccs": YES_NO}
"""The interventions in the order in which they run, with the templates of the texts that they read."""


class SharedWorkArguments(BenchmarkArguments):
    """Run four interventions on the same shifts, twice."""

    shifts: list[str] = Field(
        default=["alpaca_mmlu>spanish_output", "alpaca_mmlu>raven_matrices", "us_history_textbook>us_history_fiction"]
    )
    """The shifts, source>target."""
    examples: Annotated[int, Field(ge=2)] = 30
    """Number of training examples of each source, and of test examples of each source and target."""

    def targets(self) -> dict[str, list[str]]:
        """For each source, the distributions on which its tuned models are evaluated: itself and its targets."""
        found: dict[str, list[str]] = {}
        for shift in self.shifts:
            source, _, target = shift.partition(">")
            found.setdefault(source, [source]).append(target)
        return found


def unique_tokens(arguments: SharedWorkArguments) -> int:
    """Number of tokens in the prefix trees of all texts, for each template."""
    from genies.lm.arguments import ModelArguments
    from genies.lm.model_outline import read_outline

    outline = read_outline(arguments.base_model_dir, ModelArguments(device="cpu"))
    total = 0
    for templates in (PLAIN, YES_NO):
        texts: set[Ids] = set()
        for source, targets in arguments.targets().items():
            folder = arguments.distributions_dir / source
            train = one_pair_per_example(Distribution(folder).split("train", arguments.examples), seed=0)
            texts |= encoded_texts(outline, train, templates, folder)
            for target in targets:
                folder = arguments.distributions_dir / target
                test = pairs(Distribution(folder).split("test", arguments.examples))
                texts |= encoded_texts(outline, test, templates, folder)
        total += tree_tokens(list(texts))
    return total


def run_all(arguments: SharedWorkArguments, folder: Path, cache: Path) -> dict[str, tuple[float, float, int]]:
    """Measure seconds, processor seconds and forward tokens of each intervention on all shifts."""
    found = {}
    for intervention in TEMPLATES:
        seconds, processor_seconds, tokens = 0.0, 0.0, 0
        for source, targets in arguments.targets().items():
            for step in (
                train_step(arguments, intervention, source, folder, cache, arguments.examples),
                evaluation_step(arguments, intervention, source, targets, folder, cache, arguments.examples),
            ):
                seconds += step.seconds
                processor_seconds += step.processor_seconds
                tokens += step.forward_tokens
        found[intervention] = seconds, processor_seconds, tokens
    return found


def benchmark(arguments: SharedWorkArguments) -> int:
    """Measure with an empty and then with a filled cache; once each, because forward tokens are exact."""
    findings = findings_of(arguments, "Shared work", thread_count(arguments))
    unique = unique_tokens(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = {kind: run_all(arguments, folder / kind, folder / "cache") for kind in ("cold", "warm")}
        kept = sum(path.stat().st_size for path in (folder / "cache").rglob("*") if path.is_file())
    for kind, results in found.items():
        for intervention, (seconds, processor_seconds, tokens) in results.items():
            after_mms = intervention == "lat_stim_1" or kind == "warm"
            subject = f"{kind} store, {intervention}"
            findings.add(subject, "seconds", seconds, "s")
            findings.add(subject, "processor seconds", processor_seconds, "s")
            findings.add(subject, "forward tokens", tokens, "", Target(at_most=0) if after_mms else None)
    cold = sum(tokens for _, _, tokens in found["cold"].values())
    findings.add("all four", "forward tokens, cold store", cold)
    findings.add("all four", "tokens of each template's trees", unique)
    findings.add("all four", "forward tokens over those of the trees", cold / unique, "", Target(at_most=1.05))
    findings.add("all four", "size of the store", kept / 1e6, "MB")
    return report(arguments, findings)


if __name__ == "__main__":
    run(benchmark)
