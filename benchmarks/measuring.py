"""What the benchmark files share: alternating runs and their medians, the machine's matmul rate, the tokens of
a request, and how figures are shown.

Ratios are taken within one run, between things that take turns: a machine that is busy, or throttled, slows both.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from genies.command_line import Arguments
from genies.data.distribution import Distribution, Pair, pairs

if TYPE_CHECKING:
    from genies.lm.model import LanguageModel
    from genies.lm.model_outline import ModelOutline
    from genies.lm.text import TokenSequence
    from genies.methods.templates import Templates

# The peers read a model folder and nothing else.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

ROOT = Path(__file__).resolve().parents[1]

Ids = tuple[int, ...]

warnings.filterwarnings("ignore", message='Field name "json"')


class BenchmarkArguments(Arguments):
    """What every benchmark takes."""

    base_model_dir: Path = Path("models/SmolLM2-135M-Instruct")
    """The model, in float32 on the CPU."""
    distributions_dir: Path = Path("distributions")
    """Folder of the official distributions."""
    threads: Annotated[int, Field(ge=1)] | None = None
    """Threads of a computation (default: the cores there are)."""
    repeats: Annotated[int, Field(ge=1)] = 3
    """Rounds in which everything compared takes its turn; figures are their medians."""
    json: Path | None = None  # type: ignore[assignment]
    """Write the figures to this file."""
    check: bool = False
    """End with status 1 when a target is missed."""


class TextArguments(BenchmarkArguments):
    """What a benchmark takes that reads the test examples of some distributions."""

    distributions: list[str] = Field(default=["alpaca_mmlu", "us_history_fiction"])
    """Names of the distributions whose test examples are read."""
    examples: Annotated[int, Field(ge=1)] = 24
    """Test examples of each."""


@dataclass(frozen=True)
class Target:
    """What a figure is expected to reach."""

    at_least: float | None = None
    at_most: float | None = None

    def __str__(self) -> str:
        return f"≥ {self.at_least:g}" if self.at_least is not None else f"≤ {self.at_most:g}"

    def holds(self, value: float) -> bool:
        """Whether a value reaches it."""
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)


@dataclass(frozen=True)
class Figure:
    """A measured value, and what is expected of it."""

    subject: str
    """What was measured: a distribution and a way of asking, say."""
    name: str
    value: float
    unit: str = ""
    target: Target | None = None


@dataclass
class Findings:
    """The figures of one benchmark, in the order they were found."""

    title: str
    threads: int
    figures: list[Figure] = field(default_factory=list)
    load_before: float = field(default_factory=lambda: os.getloadavg()[0])

    def add(self, subject: str, name: str, value: float, unit: str = "", target: Target | None = None) -> None:
        self.figures.append(Figure(subject, name, value, unit, target))

    def missed(self) -> list[Figure]:
        """Figures that do not reach their target."""
        return [each for each in self.figures if each.target is not None and not each.target.holds(each.value)]


def number(value: float) -> str:
    """Four digits, thousands separated.

    >>> number(12345.6), number(0.123456), number(24)
    ('12,346', '0.1235', '24')
    """
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 1000 else f"{value:.4g}"


def table(findings: Findings) -> str:
    """A Markdown table of the figures."""
    lines = ["| what | figure | value | target |", "|---|---|---:|---:|"]
    for each in findings.figures:
        value = f"{number(each.value)} {each.unit}".strip()
        target = "" if each.target is None else f"{each.target}{'' if each.target.holds(each.value) else ' (missed)'}"
        lines.append(f"| {each.subject} | {each.name} | {value} | {target} |")
    return "\n".join(lines)


def machine(threads: int) -> dict[str, Any]:
    """Where the figures come from."""
    from importlib.metadata import version

    processor = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").is_file():
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        processor = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), processor)
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "threads": threads,
        "load_average": os.getloadavg()[0],
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "transformers")},
    }


def report(arguments: BenchmarkArguments, findings: Findings) -> int:
    """Print the table, write --json, and give the exit status: 1 with --check where a target is missed."""
    about = machine(findings.threads) | {"load_average_before": findings.load_before}
    print(f"# {findings.title}\n")
    print(
        f"{about['processor']}, {about['cores']} cores, {about['threads']} threads, Python {about['python']}, "
        f"torch {about['torch']}, transformers {about['transformers']}, {arguments.base_model_dir.name}; "
        f"load average {findings.load_before:.2f} before and {about['load_average']:.2f} after\n"
    )
    print(table(findings), flush=True)
    if arguments.json:
        values = [
            {**asdict(each), "reached": None if each.target is None else each.target.holds(each.value)}
            for each in findings.figures
        ]
        text = json.dumps({"benchmark": findings.title, "machine": about, "figures": values}, indent=2)
        arguments.json.write_text(text + "\n", encoding="utf-8")
    return 1 if arguments.check and findings.missed() else 0


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
    """The token ids of all texts of pairs, under all templates."""
    from genies.methods.responses import encode_pairs

    wrapped = [template.wrap(pair) for template in templates for pair in chosen]
    encoded = encode_pairs(outline.tokenizer, outline.context_length, wrapped, folder)
    return {sequence.ids for sequence in (*encoded.best, *encoded.worse)}
