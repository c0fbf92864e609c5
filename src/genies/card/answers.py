"""Answers to the questions of a card, from evaluations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from genies.card.content import Answer, Calibration, Sample, TargetShare
from genies.card.measuring import Plan
from genies.card.questions import Question
from genies.data.distribution import Distribution, pairs
from genies.data.evaluated import cluster_labels
from genies.evaluation_file import Evaluation
from genies.metrics import accuracy, brier_score, rms_calibration_error
from genies.metrics.calibration import confidence
from genies.metrics.intervals import interval_of_scores
from genies.metrics.pairs import scores
from genies.metrics.resampling import ClusterSums, sums_by_cluster
from genies.metrics.verdict import Difference, adjust, difference_on_shift

FEWEST_PROMPTS = 50
SAMPLES = 3
_LONGEST = 600
"""Characters of a text in a sample."""

Evaluations = Mapping[str, Evaluation]


@dataclass(frozen=True)
class _Values:
    """The value of each pair of a question, 1, 0, or one half for a tie; and its cluster, apart for each target."""

    values: npt.NDArray[np.float64]
    clusters: npt.NDArray[np.int64]
    shares: list[TargetShare]

    @property
    def sums(self) -> ClusterSums:
        return sums_by_cluster(self.values, self.clusters)


def answer(question: Question, plan: Plan, evaluations: Evaluations, others: Evaluations | None) -> Answer:
    """The answer to one question; `others` are the evaluations of the scorer to compare with."""
    values = _values(question, plan, evaluations)
    missing = [name for name in question.targets if name not in evaluations]
    bare = Answer(id=question.id, question=question.question, says=question.says, share=None, missing=missing)
    if values is None:
        return bare
    sums = values.sums
    interval = interval_of_scores(sums)
    prompts = int(sums.clusters.size)
    marks = [f"fewer than {FEWEST_PROMPTS} prompts"] if prompts < FEWEST_PROMPTS else []
    marks += [question.defect] if question.defect else []
    update: dict[str, Any] = {
        "share": float(np.mean(values.values)),
        "low": interval.low if interval else None,
        "high": interval.high if interval else None,
        "prompts": prompts,
        "targets": values.shares,
        "marks": marks,
        "samples": _samples(question, plan, evaluations),
    }
    return bare.model_copy(update=update)


def answers(
    questions: Sequence[Question], plan: Plan, evaluations: Evaluations, others: Evaluations | None = None
) -> list[Answer]:
    """The answers to all questions, with differences to `others` adjusted by Holm's method over the questions."""
    found = [answer(each, plan, evaluations, others) for each in questions]
    if others is None:
        return found
    differences = adjust([_difference(each, plan, evaluations, others) for each in questions])
    return [
        each if difference is None else each.model_copy(update=_compared(difference))
        for each, difference in zip(found, differences, strict=True)
    ]


def calibration(evaluations: Evaluations) -> Calibration | None:
    """The calibration over all pairs of all targets; None without probabilities."""
    p = [value for each in evaluations.values() for value in each.eval_probabilities or []]
    if not p:
        return None
    return Calibration(
        rms_error=rms_calibration_error(p),
        brier_score=brier_score(p),
        average_confidence=float(np.mean(confidence(p))),
        accuracy=accuracy(p),
        pairs=len(p),
    )


def _compared(difference: Difference) -> dict[str, Any]:
    interval = difference.interval
    return {
        "difference": difference.value,
        "difference_low": None if interval is None else interval.low,
        "difference_high": None if interval is None else interval.high,
        "adjusted_p_value": difference.adjusted_p_value,
    }


def _difference(question: Question, plan: Plan, ours: Evaluations, theirs: Evaluations) -> Difference | None:
    both = [_values(question, plan, each) for each in (ours, theirs)]
    if None in both:
        return None
    one, other = (each.sums for each in both if each is not None)
    return difference_on_shift(one, other)


def _values(question: Question, plan: Plan, evaluations: Evaluations) -> _Values | None:
    parts = []
    if question.transformed is None:
        for name in question.targets:
            if (each := evaluations.get(name)) and each.eval_probabilities and (labels := cluster_labels(each)):
                parts.append((name, scores(each.eval_probabilities), np.array(labels, dtype=np.int64)))
    else:
        source = question.transformed.distribution
        for how in question.transformed.by:
            name = f"{source}_{how}"
            found = _agreement(evaluations.get(source), evaluations.get(name), plan.kept.get(name, []))
            if found is not None:
                parts.append((name, *found))
    if not parts:
        return None
    shares = [TargetShare(target=name, share=float(np.mean(of)), pairs=of.size) for name, of, _ in parts]
    width = 1 + max(int(labels.max()) for _, _, labels in parts)
    clusters = [labels + number * width for number, (_, _, labels) in enumerate(parts)]
    if question.transformed is not None:  # one prompt in all of its forms
        clusters = [labels for _, _, labels in parts]
    return _Values(np.concatenate([of for _, of, _ in parts]), np.concatenate(clusters), shares)


def _agreement(
    plain: Evaluation | None, changed: Evaluation | None, kept: Sequence[int]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]] | None:
    """Whether each pair has the preference of before: 1, 0, or one half if one of the two is a tie; and its example."""
    if plain is None or changed is None:
        return None
    before, after = _by_pair(plain), _by_pair(changed)
    values, examples = [], []
    for (index, number), p in after.items():
        q = before.get((kept[index], number)) if index < len(kept) else None
        if q is not None:
            values.append(0.5 if (p == 0.5) != (q == 0.5) else float(np.sign(p - 0.5) == np.sign(q - 0.5)))
            examples.append(kept[index])
    return (np.array(values), np.array(examples, dtype=np.int64)) if values else None


def _by_pair(evaluation: Evaluation) -> dict[tuple[int, int], float]:
    """The probability of each pair, by its example and its number in the example."""
    found: dict[tuple[int, int], float] = {}
    count: dict[int, int] = {}
    for index, p in zip(evaluation.eval_example_indices or [], evaluation.eval_probabilities or [], strict=True):
        number = count.get(index, 0)
        count[index] = number + 1
        found[index, number] = p
    return found


def _samples(question: Question, plan: Plan, evaluations: Evaluations) -> list[Sample]:
    """The pairs with the lowest probabilities of the best response, each from another example."""
    names = question.targets
    if question.transformed is not None:
        names = [f"{question.transformed.distribution}_{how}" for how in question.transformed.by]
    ranked = sorted(
        (p, name, index, number)
        for name in names
        if name in evaluations
        for (index, number), p in _by_pair(evaluations[name]).items()
        if p < 0.5
    )
    found: list[Sample] = []
    seen: set[tuple[str, int]] = set()
    for p, name, index, number in ranked:
        if (name, index) in seen or len(found) == SAMPLES:
            continue
        seen.add((name, index))
        example = Distribution(plan.folders[name]).split("test", index + 1)[index]
        pair = pairs([example])[number]
        texts = (_cut(example.prompt_text), _cut(pair.best), _cut(pair.worse))
        prompt, best, worse = texts
        found.append(Sample(target=name, example=index, prompt=prompt, best=best, preferred=worse, p=p))
    return found


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
