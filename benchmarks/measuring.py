"""How benchmarks of the core measure: medians of alternating runs, the matmul rate of the machine, and token counts.

Two things are compared within one run, alternating, so that a busy or throttled machine slows both.
"""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any, Literal

from findings import Findings, FindingsArguments
from pydantic import Field

from genies.data.distribution import Distribution, Pair, pairs

if TYPE_CHECKING:
    from genies.lm.model import LanguageModel
    from genies.lm.model_outline import ModelOutline
    from genies.lm.sites import ReadAt
    from genies.lm.text import TokenSequence
    from genies.lm.text_format import TextFormat
    from genies.methods.templates import Templates

# The other projects must read the model folder only.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

Ids = tuple[int, ...]


class BenchmarkArguments(FindingsArguments):
    """Arguments of every benchmark that runs a model."""

    base_model_dir: Path = Path("models/SmolLM2-135M-Instruct")
    """The model."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where it runs."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Number format of its weights."""
    distributions_dir: Path = Path("distributions")
    """Folder of the official distributions."""
    threads: Annotated[int, Field(ge=1)] | None = None
    """Number of threads (default: number of cores)."""
    repeats: Annotated[int, Field(ge=1)] = 3
    """Number of rounds, in each of which everything compared runs once; values are medians over rounds."""


class TextArguments(BenchmarkArguments):
    """Arguments of every benchmark that reads test examples."""

    distributions: list[str] = Field(default=["alpaca_mmlu", "us_history_fiction"])
    """Names of the distributions."""
    examples: Annotated[int, Field(ge=1)] = 24
    """Number of test examples of each distribution."""
    prompt_format: Literal["raw", "chat"] = "raw"
    """Format of the texts; chat needs a model with a chat template."""

    def text_format(self) -> TextFormat:
        """The format of the texts."""
        from genies.lm.text_format import TextFormat

        return TextFormat(self.prompt_format)


def alternate(
    variants: Mapping[str, Callable[[], Any]], repeats: int, warm_up: bool = True
) -> tuple[dict[str, float], dict[str, Any]]:
    """Median seconds of each variant, and its last result. The variants alternate `repeats` times, after one untimed
    round."""
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    results: dict[str, Any] = {}
    if warm_up:
        for body in variants.values():
            body()
    for _ in range(repeats):
        for name, body in variants.items():
            started = time.perf_counter()
            results[name] = body()
            wait_for_device()
            seconds[name].append(time.perf_counter() - started)
    return {name: median(each) for name, each in seconds.items()}, results


def wait_for_device() -> None:
    """Wait until a GPU has done what it was given."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def findings_of(arguments: BenchmarkArguments, title: str, threads: int) -> Findings:
    """Empty findings about a model."""
    import torch

    where = f", {torch.cuda.get_device_name()}" if arguments.device == "cuda" else ""
    return Findings(title, threads, f"{arguments.base_model_dir.name}, {arguments.dtype}{where}")


def load(arguments: BenchmarkArguments) -> tuple[LanguageModel, int]:
    """The model, and the number of threads."""
    from genies.lm.arguments import ModelArguments
    from genies.lm.model import load_model  # before torch: the library sets how threads wait, which torch reads once

    torch = importlib.import_module("torch")
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    model = load_model(arguments.base_model_dir, ModelArguments(device=arguments.device, dtype=arguments.dtype))
    return model, torch.get_num_threads()


def chosen_pairs(arguments: BenchmarkArguments, name: str, examples: int | None) -> tuple[Path, list[Pair]]:
    """The folder of a distribution, and the pairs of its first test examples."""
    folder = arguments.distributions_dir / name
    return folder, pairs(Distribution(folder).split("test", examples))


def unique_sequences(
    model: LanguageModel, chosen: Sequence[Pair], folder: Path, text_format: TextFormat | None = None
) -> list[TokenSequence]:
    """The distinct (prompt, response) of the pairs (default format: raw)."""
    from genies.methods.responses import encode_pairs

    formats = () if text_format is None else (text_format,)
    encoded = encode_pairs(model.tokenizer, model.context_length, chosen, folder, *formats)
    return list(dict.fromkeys([*encoded.best, *encoded.worse]))


def tree_tokens(sequences: Sequence[Sequence[int]]) -> int:
    """Number of tokens in the prefix trees of sequences: the minimum that must be computed."""
    from genies.lm.packing import pack

    return len(pack(sorted({tuple(each) for each in sequences}), least_shared=1).ids)


def seen_pairs(sequences: Sequence[Sequence[int]]) -> int:
    """Number of pairs of tokens in the prefix trees of sequences in which one attends to the other."""
    from genies.lm.packing import pack

    row = pack(sorted({tuple(each) for each in sequences}), least_shared=1)
    return sum(position + 1 for position in row.positions)


@contextmanager
def counted_tokens(model: LanguageModel) -> Iterator[list[int]]:
    """A context in which the number of tokens of each forward pass is appended to the list."""
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
    """Floating-point operations of a model; a multiplication with its addition counts as two.

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
    """A function that multiplies `tokens` rows with every weight matrix of the blocks once, and its operations: the
    part of a forward pass that cannot be avoided."""
    import torch

    weights = block_weights(model)
    # Linear layers store weights as [out, in], those of GPT-2 as [in, out]; both cost the same.
    inputs = {
        weight.shape[1]: torch.randn(tokens, weight.shape[1], device=weight.device, dtype=weight.dtype)
        for weight in weights
    }

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
