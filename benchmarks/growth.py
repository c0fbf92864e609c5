"""How the work grows with the number of targets of one source, for mms from alpaca_mmlu to 1, 5, 10 and 20 targets.

python benchmarks/growth.py --distributions_dir distributions [--json FILE]

Measured twice: with an empty cache of activations for each number of targets, and with a cache that grows, so that only
new targets are read. In both cases a target should cost as much as reading its texts once.
"""

from __future__ import annotations

import itertools
import json
import tempfile
from pathlib import Path
from typing import Annotated

from findings import ROOT, Target, report
from measuring import BenchmarkArguments, encoded_texts, findings_of, tree_tokens
from pydantic import Field
from steps import evaluation_step, thread_count, train_step

from genies.command_line import run
from genies.data.distribution import Distribution, pairs
from genies.errors import InputError
from genies.methods.templates import PLAIN


class GrowthArguments(BenchmarkArguments):
    """Evaluate one tuned model on more and more targets."""

    source: str = "alpaca_mmlu"
    """The source."""
    targets: list[str] | None = None
    """The targets, in the order in which they are added (default: all targets of the source in distribution_shifts)."""
    counts: list[int] = Field(default=[1, 5, 10, 20])
    """Numbers of targets."""
    examples: Annotated[int, Field(ge=2)] = 10
    """Number of training examples, and of test examples of each target."""


def official_targets(source: str) -> list[str]:
    """The targets of a source, in file order."""
    listed = json.loads((ROOT / "distribution_shifts" / "all.json").read_text(encoding="utf-8"))
    return list(dict.fromkeys(entry["target"] for entry in listed if entry["source"] == source))


def target_tokens(arguments: GrowthArguments, targets: list[str]) -> list[int]:
    """Number of tokens in the prefix trees of the texts of each target."""
    from genies.lm.arguments import ModelArguments
    from genies.lm.model_outline import read_outline

    outline = read_outline(arguments.base_model_dir, ModelArguments(device="cpu"))
    found = []
    for target in targets:
        folder = arguments.distributions_dir / target
        test = pairs(Distribution(folder).split("test", arguments.examples))
        found.append(tree_tokens(list(encoded_texts(outline, test, PLAIN, folder))))
    return found


def benchmark(arguments: GrowthArguments) -> int:
    """Seconds and forward tokens for each number of targets."""
    names = arguments.targets or official_targets(arguments.source)
    counts = sorted(set(arguments.counts))
    if not counts or counts[0] < 1 or counts[-1] > len(names):
        raise InputError(f"--counts {arguments.counts}: expected numbers from 1 to {len(names)}, the targets there are")
    findings = findings_of(arguments, "Growth with targets", thread_count(arguments))
    cold, growing = {}, {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        train_step(arguments, "mms", arguments.source, folder, folder / "growing", arguments.examples)
        for count in counts:
            for results, cache in ((cold, folder / f"cold-{count}"), (growing, folder / "growing")):
                results[count] = evaluation_step(
                    arguments, "mms", arguments.source, names[:count], folder, cache, arguments.examples
                )
        nothing_new = evaluation_step(
            arguments, "mms", arguments.source, names[: counts[-1]], folder, folder / "growing", arguments.examples
        )
    tokens = target_tokens(arguments, names[: counts[-1]])
    before = 0
    for count in counts:
        subject = f"{count} target{'s' if count > 1 else ''}"
        findings.add(subject, "tokens of the targets' trees", sum(tokens[:count]))
        findings.add(subject, "empty store, seconds", cold[count].seconds, "s")
        findings.add(subject, "empty store, processor seconds", cold[count].processor_seconds, "s")
        ratio = cold[count].forward_tokens / sum(tokens[:count])
        findings.add(subject, "empty store, forward tokens over those of the trees", ratio, "", Target(at_most=1.05))
        findings.add(subject, "growing store, seconds", growing[count].seconds, "s")
        findings.add(subject, "growing store, processor seconds", growing[count].processor_seconds, "s")
        ratio = growing[count].forward_tokens / sum(tokens[before:count])
        findings.add(subject, "growing store, forward tokens over those of new trees", ratio, "", Target(at_most=1.05))
        before = count
    for smaller, larger in itertools.pairwise(counts):
        added = cold[larger].processor_seconds - cold[smaller].processor_seconds
        subject = f"from {smaller} to {larger} targets"
        findings.add(subject, "processor seconds an added target", added / (larger - smaller), "s")
        findings.add(
            subject, "processor seconds for 1,000 added tokens", 1000 * added / sum(tokens[smaller:larger]), "s"
        )
    subject = f"{counts[-1]} targets again"
    findings.add(subject, "growing store, processor seconds", nothing_new.processor_seconds, "s")
    findings.add(subject, "growing store, forward tokens", nothing_new.forward_tokens, "", Target(at_most=0))
    return report(arguments, findings)


if __name__ == "__main__":
    run(benchmark)
