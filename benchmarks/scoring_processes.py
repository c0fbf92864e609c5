"""Whole processes that score responses: from the start of Python to the last evaluation file, for scoring.py.

Here, zero_shot's eval.py reads the distributions and writes an evaluation of each. The process of lm-evaluation-harness
is given token ids, and writes total log-probabilities only.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
from findings import ROOT, Findings, Target
from measuring import TextArguments
from steps import Finished, finished, run_step

from genies.data.distribution import Distribution, pairs
from genies.files import read_json

if TYPE_CHECKING:
    from genies.lm.text import TokenSequence
    from genies.methods.responses import EncodedPairs


class Work:
    """The responses to score, as files for both processes."""

    def __init__(self, arguments: TextArguments, names: Sequence[str], examples: int, folder: Path) -> None:
        from genies.lm.arguments import ModelArguments
        from genies.lm.model_outline import read_outline
        from genies.methods.responses import encode_pairs

        self.arguments, self.folder, self.examples = arguments, folder, examples
        self.cache = folder / "cache"
        outline = read_outline(arguments.base_model_dir, ModelArguments(device="cpu"))
        self.sources = [arguments.distributions_dir / name for name in names]
        tests = [pairs(Distribution(source).split("test", examples)) for source in self.sources]
        self.encoded: list[EncodedPairs] = [
            encode_pairs(outline.tokenizer, outline.context_length, test, source, arguments.text_format())
            for test, source in zip(tests, self.sources, strict=True)
        ]
        both = [sequence for each in self.encoded for sequence in (*each.best, *each.worse)]
        self.sequences: list[TokenSequence] = list(dict.fromkeys(both))
        (folder / "requests.json").write_text(json.dumps([_split(each) for each in self.sequences]))

    def score(self, examples: int | None = None) -> Finished:
        """Run zero_shot's eval.py on all distributions, with fewer `examples` if they are given."""
        items = {
            "model_dir": str(self.arguments.base_model_dir.resolve()),
            "distribution_dirs": [str(source.resolve()) for source in self.sources],
            "output_paths": [str(self.folder / f"{source.name}.json") for source in self.sources],
            "max_examples": examples or self.examples,
            "device": "cpu",
            "dtype": self.arguments.dtype,
            "prompt_format": self.arguments.prompt_format,
        }
        return run_step(self.arguments, "zero_shot/eval.py", items, self.folder, self.cache)

    def score_with_peer(self, batch_size: int) -> Finished:
        """Run lm-evaluation-harness on the token ids of all responses."""
        environment = {**os.environ}
        if self.arguments.threads is not None:
            environment["OMP_NUM_THREADS"] = str(self.arguments.threads)
        command = [sys.executable, str(ROOT / "benchmarks" / "lm_eval_process.py")]
        command += [str(self.arguments.base_model_dir.resolve()), self.arguments.dtype, str(batch_size)]
        command += [str(self.folder / "requests.json"), str(self.folder / "totals.json")]
        return finished(command, environment, self.folder / "peer.log")

    def largest_difference(self) -> float:
        """The largest difference between the probabilities of the evaluation files and those of the peer's totals."""
        totals = json.loads((self.folder / "totals.json").read_text())
        means = {each: total / len(_split(each)[1]) for each, total in zip(self.sequences, totals, strict=True)}
        largest = 0.0
        for source, each in zip(self.sources, self.encoded, strict=True):
            found = read_json(self.folder / f"{source.name}.json", "evaluation")["eval_probabilities"]
            margins = np.array([means[best] - means[worse] for best, worse in zip(each.best, each.worse, strict=True)])
            largest = max(largest, float(np.abs(1 / (1 + np.exp(-margins)) - found).max()))
        return largest


def _split(sequence: TokenSequence) -> tuple[list[int], list[int]]:
    """The ids before the response, at least one, and those of the response."""
    first = max(1, sequence.response[0])
    return list(sequence.ids[:first]), list(sequence.ids[first : sequence.response[-1] + 1])


def compare_processes(
    arguments: TextArguments, names: Sequence[str], examples: int, batch_sizes: Sequence[int], findings: Findings
) -> None:
    """Measure whole processes of both, alternating; the peer's with the fastest of the batch sizes."""
    with tempfile.TemporaryDirectory() as name:
        work = Work(arguments, names, examples, Path(name))
        subject = f"whole processes, {len(work.sources)} distributions"
        findings.add(subject, "sequences", len(work.sequences))
        work.score(1)  # stores the tokenizer
        trials = {}
        for size in batch_sizes if len(batch_sizes) > 1 else ():
            trials[size] = work.score_with_peer(size).seconds
            findings.add(subject, f"lm_eval, one run at batch size {size}", trials[size], "s")
        best = min(trials, key=lambda size: trials[size]) if trials else batch_sizes[0]
        rounds = [(work.score(), work.score_with_peer(best)) for _ in range(arguments.repeats)]
        difference = work.largest_difference()
    for name, unit, kind in (("seconds", "s", "seconds"), ("processor seconds", "s", "processor_seconds")):
        own, peer = (median(getattr(each[place], kind) for each in rounds) for place in range(2))
        findings.add(subject, f"genies, {name}", own, unit)
        findings.add(subject, f"lm_eval at batch size {best}, {name}", peer, unit)
        # Other work on the machine changes the seconds of the clock, and not those of the processor.
        target = Target(at_least=2.8) if kind == "processor_seconds" else None
        findings.add(subject, f"times as fast, {name}", peer / own, "", target)
    findings.add(subject, "largest difference of a probability", difference, "", Target(at_most=1e-3))
