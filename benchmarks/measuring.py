"""How benchmarks of the core measure: alternating runs and their medians, the machine's matmul rate, and the tokens
of a request.

Ratios are taken within one run, between things that take turns: a machine that is busy, or throttled, slows both.
"""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any

from figures import FigureArguments, Findings
from pydantic import Field

from genies.data.distribution import Distribution, Pair, pairs

if TYPE_CHECKING:
    from genies.lm.model import LanguageModel
    from genies.lm.model_outline import ModelOutline
    from genies.lm.sites import ReadAt
    from genies.lm.text import TokenSequence
    from genies.methods.templates import Templates

# The peers read a model folder and nothing else.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

Ids = tuple[int, ...]


class BenchmarkArguments(FigureArguments):
    """What every benchmark takes that runs a model."""

    base_model_dir: Path = Path("models/SmolLM2-135M-Instruct")
    """The model, in float32 on the CPU."""
    distributions_dir: Path = Path("distributions")
    """Folder of the official distributions."""
    threads: Annotated[int, Field(ge=1)] | None = None
    """Threads of a computation (default: the cores there are)."""
    repeats: Annotated[int, Field(ge=1)] = 3
    """Rounds in which everything compared takes its turn; figures are their medians."""


class TextArguments(BenchmarkArguments):
    """What a benchmark takes that reads the test examples of some distributions."""

    distributions: list[str] = Field(default=["alpaca_mmlu", "us_history_fiction"])
    """Names of the distributions whose test examples are read."""
    examples: Annotated[int, Field(ge=1)] = 24
    """Test examples of each."""


def alternate(
    variants: Mapping[str, Callable[[], Any]], repeats: int, warm_up: bool = True
) -> tuple[dict[str, float], dict[str, Any]]:
    """Median seconds of each variant, and its last result; they take turns `repeats` times, after one turn that is
    not timed."""
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    results: dict[str, Any] = {}
    if warm_up:
        for body in variants.values():
            body()
    for _ in range(repeats):
        for name, body in variants.items():
            started = time.perf_counter()
            results[name] = body()
            seconds[name].append(time.perf_counter() - started)
    return {name: median(each) for name, each in seconds.items()}, results


def findings_of(arguments: BenchmarkArguments, title: str, threads: int) -> Findings:
    """Findings about a model, none so far."""
    return Findings(title, threads, arguments.base_model_dir.name)


def load(arguments: BenchmarkArguments) -> tuple[LanguageModel, int]:
    """The model in float32 on the CPU, and the number of threads."""
    from genies.lm.arguments import ModelArguments
    from genies.lm.model import load_model  # before torch: the library sets how threads wait, which torch reads once

    torch = importlib.import_module("torch")
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    model = load_model(arguments.base_model_dir, ModelArguments(device="cpu", dtype="float32"))
    return model, torch.get_num_threads()


def chosen_pairs(arguments: BenchmarkArguments, name: str, examples: int | None) -> tuple[Path, list[Pair]]:
    """The folder of a distribution, and the pairs of its first test examples."""
    folder = arguments.distributions_dir / name
    return folder, pairs(Distribution(folder).split("test", examples))


def unique_sequences(model: LanguageModel, chosen: Sequence[Pair], folder: Path) -> list[TokenSequence]:
    """Each (prompt, response) of the pairs once."""
    from genies.methods.responses import encode_pairs

    encoded = encode_pairs(model.tokenizer, model.context_length, chosen, folder)
    return list(dict.fromkeys([*encoded.best, *encoded.worse]))


def tree_tokens(sequences: Sequence[Sequence[int]]) -> int:
    """Tokens of the prefix trees of sequences: what has to be computed when nothing is computed twice."""
    from genies.lm.packing import pack

    return len(pack(sorted({tuple(each) for each in sequences}), least_shared=1).ids)


def seen_pairs(sequences: Sequence[Sequence[int]]) -> int:
    """Pairs of tokens, one of which sees the other, in the prefix trees of sequences."""
    from genies.lm.packing import pack

    row = pack(sorted({tuple(each) for each in sequences}), least_shared=1)
    return sum(position + 1 for position in row.positions)


@contextmanager
def counted_tokens(model: LanguageModel) -> Iterator[list[int]]:
    """Within the context, the tokens of each forward pass of the model are appended to the list."""
    counts: list[int] = []
    hook = model.decoder.register_forward_pre_hook(
        lambda _module, positional, _named: counts.append(positional[0].numel()),
        with_kwargs=True,
    )
    try:
        yield counts
    finally:
        hook.remove()


def block_weights(model: LanguageModel) -> list[Any]:
    """The weight matrices of the blocks' linear layers."""
    from genies.lm.activations import find_blocks

    return [weight for weight in find_blocks(model).parameters() if weight.dim() == 2]


def model_operations(model: LanguageModel, tokens: int, seen: int, scored: int) -> float:
    """Floating-point operations that a model's arithmetic asks for, a multiplication and an addition counted as two.

    For each of `tokens` the linear layers of the blocks, for each of `seen` pairs of tokens the two products of
    attention, for each of `scored` places a row of logits. Norms, activation functions, softmax are not counted.
    """
    config = model.decoder.config
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    linear = 2 * tokens * sum(weight.numel() for weight in block_weights(model))
    attention = 4 * seen * config.num_hidden_layers * config.num_attention_heads * width
    head = 2 * scored * model.network.get_output_embeddings().weight.numel()
    return float(linear + attention + head)


def matmul_pass(model: LanguageModel, tokens: int) -> tuple[Callable[[], None], float]:
    """A function that multiplies `tokens` rows with every weight matrix of the blocks, each once, and the operations
    of that: all that a forward pass cannot do without, and nothing else."""
    import torch

    weights = block_weights(model)
    # A weight is stored [out, in] by linear layers and [in, out] by GPT-2's: any order has the same cost.
    inputs = {weight.shape[1]: torch.randn(tokens, weight.shape[1]) for weight in weights}

    def multiply() -> None:
        with torch.inference_mode():
            for weight in weights:
                torch.nn.functional.linear(inputs[weight.shape[1]], weight)

    return multiply, 2.0 * tokens * sum(weight.numel() for weight in weights)


def encoded_texts(outline: ModelOutline, chosen: Sequence[Pair], templates: Templates, folder: Path) -> set[Ids]:
    """The token ids of all texts of pairs, under all templates, up to where they are read.

    Texts in two copies are read at both tokens, for cra and ccs.
    """
    from genies.methods.responses import encode_pairs

    wrapped = [template.wrap(pair) for template in templates for pair in chosen]
    encoded = encode_pairs(outline.tokenizer, outline.context_length, wrapped, folder)
    places: tuple[ReadAt, ...] = ("last_response",) if len(templates) == 1 else ("last_response", "end_of_text")
    sequences = (*encoded.best, *encoded.worse)
    return {sequence.read_until(read_at) for sequence in sequences for read_at in places}
