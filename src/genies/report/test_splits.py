"""Match the pairs of evaluations with the test splits of their targets, for evaluations that do not name them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from genies.data.distribution import Distribution, Example
from genies.data.evaluated import example_indices, prompt_clusters
from genies.errors import InputError
from genies.evaluation_file import Evaluation


class TestSplits:
    """The test splits in a folder of distributions, each read once on first use."""

    __test__ = False  # for pytest

    def __init__(self, distributions_dir: Path | None) -> None:
        self._distributions_dir = distributions_dir
        self._read: dict[str, _TestSplit] = {}

    def with_clusters(self, evaluation: Evaluation, target: str) -> Evaluation:
        """The evaluation with the example and the prompt cluster of each pair added from the data, if possible."""
        known = evaluation.eval_example_indices and evaluation.eval_prompt_clusters
        if not evaluation.eval_probabilities or known or self._distributions_dir is None:
            return evaluation
        if target not in self._read:
            self._read[target] = _TestSplit.of(self._distributions_dir / target)
        test = self._read[target]
        if evaluation.provenance is None and len(evaluation.eval_probabilities) == len(test.pairs):
            indices = evaluation.eval_example_indices or test.pairs
        else:
            indices = example_indices(evaluation, test.examples) or []
        if not indices:
            return evaluation
        if evaluation.eval_prompt_clusters:
            found = evaluation.eval_prompt_clusters
        else:
            found = test.clusters if indices is test.pairs else [test.cluster[index] for index in indices]
        return evaluation.model_copy(update={"eval_example_indices": indices, "eval_prompt_clusters": found})


@dataclass(frozen=True)
class _TestSplit:
    """The test split of a target."""

    examples: list[Example]
    cluster: Mapping[int, int]
    """The prompt cluster of each example, by its index."""
    pairs: list[int]
    """The index of the example of each pair."""
    clusters: list[int]
    """The prompt cluster of each pair."""

    @classmethod
    def of(cls, folder: Path) -> _TestSplit:
        try:
            test = Distribution(folder).test
        except InputError:
            test = []  # without the data an evaluation is unchanged, which a note reports
        numbers = prompt_clusters((example.index, example.prompt) for example in test)
        cluster = dict(zip((example.index for example in test), numbers, strict=True))
        pairs = [example.index for example in test for _ in range(len(example.best) * len(example.worse))]
        return cls(test, cluster, pairs, [cluster[index] for index in pairs])
