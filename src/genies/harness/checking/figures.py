"""Compare evaluations with their pairs, with those of another run, and with those of reordered responses."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from genies.data.agreement import ACCURACY_TOLERANCE, accuracy_of_pairs
from genies.data.distribution import Pair, pairs, read_split
from genies.evaluation_file import Evaluation

SAME_RUN_TOLERANCE = 1e-6
"""Largest difference between two runs with one seed, due to another order of summation in threads."""

ORDER_TOLERANCE = 1e-4
"""Largest difference of probabilities when responses are reordered, due to other batches."""


@dataclass(frozen=True)
class Evaluated:
    """A valid evaluation and its pairs."""

    evaluation: Evaluation
    pairs: list[Pair]

    @property
    def by_pair(self) -> dict[tuple[int, str], float]:
        """The probability by example index and worse response."""
        probabilities = self.evaluation.eval_probabilities or []
        return {(pair.example_index, pair.worse): p for pair, p in zip(self.pairs, probabilities, strict=True)}


def tested_pairs(distribution_dir: Path, max_examples: object) -> list[Pair]:
    """The pairs of a test split, or of its first `max_examples` examples."""
    examples = read_split(distribution_dir / "test.json")
    return pairs(examples[:max_examples] if isinstance(max_examples, int) else examples)


def fault_in_pairs(evaluated: Evaluated) -> tuple[str, str] | None:
    """(expected, found) if the values of an evaluation do not agree with its pairs, else None."""
    evaluation, of = evaluated.evaluation, evaluated.pairs
    probabilities, indices = evaluation.eval_probabilities, evaluation.eval_example_indices
    expected = [pair.example_index for pair in of]
    if probabilities is not None and len(probabilities) != len(of):
        return (
            f"{len(of)} eval_probabilities, one for each pair: an example with n responses has n - 1",
            f"{len(probabilities)} eval_probabilities for {len(set(expected))} examples",
        )
    if indices is not None and indices != expected:
        return f"eval_example_indices {_shorten(expected)}", f"{_shorten(indices)}"
    share = accuracy_of_pairs(evaluation)
    if share is not None:
        return (
            f"eval_accuracy {share:.6g}, the share of eval_probabilities above one half (a tie counts half)",
            f"eval_accuracy {evaluation.eval_accuracy:.6g}",
        )
    return None


def difference_between_runs(first: Evaluation, second: Evaluation) -> str | None:
    """The first value of the contract that differs between two runs, with both values."""
    for name in Evaluation.model_fields:
        if not name.startswith("eval_"):
            continue
        one, other = getattr(first, name), getattr(second, name)
        ones, others = (value if isinstance(value, list) else [value] for value in (one, other))
        if len(ones) != len(others):
            return f"{name}: {len(ones)} and {len(others)} entries"
        for place, (here, there) in enumerate(zip(ones, others, strict=True)):
            if not _same(here, there):
                return f"{name}{f'[{place}]' if isinstance(one, list) else ''}: {here} and {there}"
    return None


def _same(here: object, there: object) -> bool:
    if not isinstance(here, int | float) or not isinstance(there, int | float):
        return here == there
    return math.isclose(here, there, rel_tol=SAME_RUN_TOLERANCE, abs_tol=SAME_RUN_TOLERANCE)


def difference_by_order(given: Evaluated, reordered: Evaluated) -> str | None:
    """What differs between an evaluation and that of the same examples with their responses in another order."""
    close = 0
    if given.evaluation.eval_probabilities is not None and reordered.evaluation.eval_probabilities is not None:
        before, after = given.by_pair, reordered.by_pair
        moved = [key for key in before if abs(before[key] - after[key]) > ORDER_TOLERANCE]
        if moved:
            index, worse = moved[0]
            if _same_but_for_places(given, reordered):
                return (
                    f"the same probabilities in another order, first at example {index}: "
                    "they are not in the file's order of the worse responses"
                )
            return (
                f"{len(moved)} of {len(before)} pairs have another probability; the first is example {index} with the "
                f"worse response {worse!r}: {before[index, worse]:.6g}, and {after[index, worse]:.6g} when reordered"
            )
        close = sum(abs(p - 0.5) <= ORDER_TOLERANCE for p in before.values())
    one, other = given.evaluation.eval_accuracy, reordered.evaluation.eval_accuracy
    # A probability this close to one half may move to its other side.
    if abs(one - other) > ACCURACY_TOLERANCE + close / len(given.pairs):
        return f"eval_accuracy {one:.6g}, and {other:.6g} when reordered"
    return None


def _same_but_for_places(given: Evaluated, reordered: Evaluated) -> bool:
    """Whether each example has the same probabilities in any order."""

    def by_example(evaluated: Evaluated) -> list[tuple[int, float]]:
        return sorted((index, p) for (index, _), p in evaluated.by_pair.items())

    return all(
        one == other and abs(p - q) <= ORDER_TOLERANCE
        for (one, p), (other, q) in zip(by_example(given), by_example(reordered), strict=True)
    )


def _shorten(values: list[int]) -> str:
    text = str(values)
    return text if len(text) <= 60 else f"{text[:50]}... ({len(values)} entries)"
