"""Speed of scoring responses, compared with lm-evaluation-harness on the same tokens and with the machine's rate of
matrix multiplication. Needs the extra `bench`: pip install -e '.[bench]'.

python benchmarks/scoring.py --distributions_dir distributions [--json FILE]

The other project is HFLM of lm_eval, with the fastest of several batch sizes. Both score the same token ids, including
end-of-text or, with --prompt_format chat, the end of turn of the chat template. few_shot puts four demonstrations of
the distribution's train split before every prompt. On a CPU, whole processes are measured too (scoring_processes.py).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import psutil
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
    wait_for_device,
)
from pydantic import Field
from scoring_processes import compare_processes
from steps import thread_count

from genies.command_line import run
from genies.data.distribution import Distribution
from genies.errors import InputError

if TYPE_CHECKING:
    from genies.lm.model import LanguageModel
    from genies.lm.text import TokenSequence


class ScoringArguments(TextArguments):
    """Score responses with this project and with lm-evaluation-harness."""

    batch_sizes: list[int] = Field(default=[1, 8, 32])
    """Batch sizes to try for lm_eval; those whose logits would need half of the memory are left out."""
    few_shot_examples: Annotated[int, Field(ge=1)] = 4
    """Number of test examples in few_shot, where lm_eval computes every demonstration for every response."""
    num_shots: Annotated[int, Field(ge=0)] = 4
    """Number of demonstrations before each prompt in few_shot; 0 leaves few_shot out."""
    process_distributions: list[str] = Field(
        default=["alpaca_mmlu", "us_history_fiction", "alpaca_easy", "us_history_textbook"]
    )
    """Names of the distributions that whole processes score; an empty list leaves them out."""
    process_examples: Annotated[int, Field(ge=1)] = 18
    """Number of test examples of each of them."""


Scores = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]


def check_peer() -> None:
    """Raise InputError if lm_eval is not installed, before the model is loaded."""
    try:
        import lm_eval  # noqa: F401
    except ImportError as error:
        raise InputError(f"{error}; install the extra: pip install -e '.[bench]'") from None


class Peer:
    """lm-evaluation-harness on a model folder."""

    def __init__(self, model: LanguageModel, batch_sizes: Sequence[int]) -> None:
        from lm_eval.models.huggingface import HFLM

        dtype = str(model.dtype).removeprefix("torch.")
        self.lm = HFLM(pretrained=str(model.folder), device=model.device.type, dtype=dtype, batch_size=1)
        self.batch_sizes = batch_sizes
        self.vocabulary = model.network.get_output_embeddings().weight.shape[0]

    def score(self, sequences: Sequence[TokenSequence], batch_size: int) -> np.ndarray[Any, Any]:
        """Total log-probability [sequences] of the response tokens."""
        requests = []
        for sequence in sequences:
            first = max(1, sequence.response[0])
            last = sequence.response[-1] + 1  # a chat template can write more after the end of turn
            requests.append((("", ""), list(sequence.ids[:first]), list(sequence.ids[first:last])))
        self.lm.batch_size_per_gpu = batch_size
        return np.array([total for total, _ in self.lm._loglikelihood_tokens(requests, disable_tqdm=True)])

    def fitting(self, sequences: Sequence[TokenSequence]) -> list[int]:
        """The batch sizes whose logits and their softmax need less than half of the memory."""
        longest = max(len(sequence.ids) for sequence in sequences)
        available = _available_memory(self.lm.device.type)
        return [
            size
            for size in self.batch_sizes
            if 2 * 4 * min(size, len(sequences)) * longest * self.vocabulary < available / 2
        ] or [min(self.batch_sizes)]


def _available_memory(device: str) -> int:
    import torch

    return torch.cuda.mem_get_info()[0] if device == "cuda" else psutil.virtual_memory().available


def few_shot_sequences(arguments: ScoringArguments, model: LanguageModel, name: str) -> list[TokenSequence]:
    """The sequences with demonstrations before them, as the intervention makes them; only those that keep all."""
    from genies.methods.demonstrations import demonstrate, draw_demonstrations
    from genies.methods.responses import encode_pairs

    folder, chosen = chosen_pairs(arguments, name, arguments.few_shot_examples)
    train = Distribution(folder).split("train")
    text_format = arguments.text_format()
    drawn = draw_demonstrations(folder, train, arguments.num_shots, False, 0, text_format)
    shown = demonstrate(drawn, chosen, model.tokenizer, model.context_length, 0, text_format)
    encoded = encode_pairs(model.tokenizer, model.context_length, shown.pairs, folder, text_format)
    return list(dict.fromkeys(shown.groups(encoded)[0]))


def compare(
    arguments: ScoringArguments,
    findings: Findings,
    model: LanguageModel,
    peer: Peer,
    subject: str,
    sequences: list[TokenSequence],
    least: float,
    shared_prefix: bool,
) -> None:
    """Measure both on the sequences; `least` is the expected ratio of their times."""
    from genies.lm import scoring
    from genies.lm import shared_prefix as after_prefix
    from genies.lm.forward import DEFAULT_BATCH_TOKENS

    score = (after_prefix if shared_prefix else scoring).response_log_probabilities
    trials = {}
    for size in peer.fitting(sequences):
        started = time.perf_counter()
        peer.score(sequences, size)
        wait_for_device()
        trials[size] = time.perf_counter() - started
        findings.add(subject, f"lm_eval, one run at batch size {size}", trials[size], "s")
    best = min(trials, key=lambda size: trials[size])
    multiply, operations = matmul_pass(model, DEFAULT_BATCH_TOKENS[model.device.type])
    multiply()
    with counted_tokens(model) as counts:
        score(model, sequences)
    seconds, results = alternate(
        {
            "matmul": multiply,
            "genies": lambda: score(model, sequences)[0],
            "peer": lambda: peer.score(sequences, best),
        },
        arguments.repeats,
        warm_up=False,  # each had its turn above
    )
    ids = [sequence.ids for sequence in sequences]
    places = {sequence.ids[:place] for sequence in sequences for place in sequence.response if place > 0}
    tokens, seen = sum(counts), seen_pairs(ids)
    rate = operations / seconds["matmul"]
    reached = model_operations(model, tokens, seen, len(places)) / seconds["genies"]
    findings.add(subject, "sequences", len(sequences))
    findings.add(subject, "tokens of the sequences", sum(map(len, ids)))
    findings.add(subject, "tokens of their prefix trees", tree_tokens(ids))
    findings.add(subject, "tokens through the model", tokens)
    findings.add(subject, "genies", seconds["genies"], "s")
    findings.add(subject, f"lm_eval at batch size {best}", seconds["peer"], "s")
    findings.add(subject, "times as fast", seconds["peer"] / seconds["genies"], "", Target(at_least=least))
    difference = float(np.abs(results["genies"] - results["peer"]).max())
    findings.add(subject, "largest difference of a total log-probability", difference, "", Target(at_most=1e-3))
    findings.add(subject, "matmul rate of the machine", rate / 1e9, "GFLOPS")
    share = None if shared_prefix else Target(at_least=0.8)
    findings.add(subject, "model operations over the matmul rate", reached / rate, "", share)


def benchmark(arguments: ScoringArguments) -> int:
    """Measure whole processes, zero_shot on each distribution, then few_shot."""
    check_peer()
    findings = findings_of(arguments, "Scoring", thread_count(arguments))
    if arguments.process_distributions and arguments.device == "cpu":
        compare_processes(
            arguments, arguments.process_distributions, arguments.process_examples, arguments.batch_sizes, findings
        )
    if not arguments.distributions:
        return report(arguments, findings)
    model, findings.threads = load(arguments)
    peer = Peer(model, arguments.batch_sizes)
    for name in arguments.distributions:
        folder, chosen = chosen_pairs(arguments, name, arguments.examples)
        sequences = unique_sequences(model, chosen, folder, arguments.text_format())
        compare(arguments, findings, model, peer, f"zero_shot, {name}", sequences, 2.3, False)
    for name in arguments.distributions if arguments.num_shots else ():
        sequences = few_shot_sequences(arguments, model, name)
        compare(arguments, findings, model, peer, f"few_shot, {name}", sequences, 5.0, True)
    return report(arguments, findings)


if __name__ == "__main__":
    run(benchmark)
