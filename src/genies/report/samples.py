"""The samples of distributions as script files that a page loads in parts.

samples/<distribution>/<split>-<n>.js    up to 50 examples: [[index, prompt, best, [worse, ...]], ...]
samples/<distribution>/long-<n>.js       the rest of a text that is too long to be shown at once
scores/<distribution>.js                 the probabilities of test pairs in each evaluation, the prompt of each example
                                         as a number, and leaked examples

A text is a string. One with more than SHOWN characters is [its beginning, its length, number of the long file].
A prompt with several messages is {"turns": [[role, text], ...]}.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from genies.data.distribution import Distribution, Example, SplitName, pairs
from genies.data.evaluated import prompt_clusters
from genies.report.embedding import data_script, file_name

EXAMPLES_A_SHARD = 50
"""Number of examples on one page of the browser."""

CHARACTERS_A_SHARD = 150_000
"""A shard ends when its texts reach this size, so that a page of long examples also loads in parts."""

_ALSO_BEST = "\n\n--- also best ---\n\n"
"""Between the best responses of an example with several."""

SHOWN = 12_000
"""Number of characters of a text that are shown at once."""

Text = str | list[Any]


@dataclass(frozen=True)
class Leak:
    """Test examples whose prompts are in a train split."""

    where: str
    """The distribution whose train split contains the prompts."""
    examples: Sequence[int]


@dataclass(frozen=True)
class Scored:
    """One evaluation in the sample browser."""

    key: str
    """<intervention>/<base model>-<source>, the folder of its file, which is used in links."""
    group: str
    """The key without the seed, which all seeds of an intervention have in common."""
    intervention: str
    base_model: str
    source: str | None
    """The distribution tuned on; None for the untuned model."""
    seed: int | None
    probabilities: Mapping[int, Sequence[float]]
    """For each test index, the probability of the best response in each pair, in file order."""
    accuracy: float


@dataclass(frozen=True)
class Sampled:
    """One distribution in the list of the sample browser."""

    name: str
    file: str
    splits: list[dict[str, Any]]
    """name, examples, responses (fewest and most per example) and the index of the first example of each shard."""
    scores: bool
    """Whether there is a scores file."""
    evaluations: int
    leaked: int | None
    """Number of test examples whose prompt is in the distribution's own train split; None if unknown."""
    license: str | None
    about: list[tuple[str, str]]
    """The text values in metadata.json, by key."""
    tokens: bool = False
    """Whether there is a file with log-probabilities by token."""


def write_samples(
    distribution: Distribution,
    splits: Sequence[SplitName],
    scored: Sequence[Scored],
    leaks: Sequence[Leak] | None,
    folder: Path,
) -> Sampled:
    """Write the script files of one distribution to `folder` and return their description.

    `leaks` is None if leaks are unknown. Raises InputError for a split that cannot be read.
    """
    name = file_name(distribution.name)
    place = folder / "samples" / name
    place.mkdir(parents=True)
    rest = _Rest(place, f"samples/{name}")
    written = [
        {"name": split, **_write_split(distribution.split(split), place, f"samples/{name}/{split}", rest)}
        for split in splits
    ]
    own = None if leaks is None else sum(len(leak.examples) for leak in leaks if leak.where == distribution.name)
    holds_scores = bool(scored or any(leak.examples for leak in leaks or []))
    if holds_scores:
        scores = _scores(distribution.test, scored, leaks or [])
        write_script(folder / "scores" / f"{name}.js", f"scores/{name}", scores)
    license_ = distribution.metadata.get("license")
    shown_license = license_ if isinstance(license_, str) and len(license_) <= 60 else None
    about = _about(distribution.metadata)
    return Sampled(distribution.name, name, written, holds_scores, len(scored), own, shown_license, about)


def _about(metadata: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The texts in metadata, and the names of related data sets."""
    found = []
    for key, value in metadata.items():
        items = value if isinstance(value, list) else [value]
        words = [item.get("name") if isinstance(item, dict) else item for item in items]
        text = ", ".join(word for word in words if isinstance(word, str))
        if text and key != "id":
            found.append((key.replace("_", " "), text if len(text) <= 600 else text[:599] + "…"))
    return found


def write_script(path: Path, key: str, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data_script(key, value).encode("utf-8"))


class _Rest:
    """Writes the rest of each text that is too long to be shown at once to its own file."""

    def __init__(self, place: Path, key: str) -> None:
        self._place = place
        self._key = key
        self._count = 0

    def shown(self, text: str) -> Text:
        if len(text) <= SHOWN:
            return text
        number = self._count
        self._count += 1
        write_script(self._place / f"long-{number}.js", f"{self._key}/long-{number}", text[SHOWN:])
        return [text[:SHOWN], len(text), number]


def _write_split(examples: Sequence[Example], place: Path, key: str, rest: _Rest) -> dict[str, Any]:
    shards: list[list[list[Any]]] = []
    firsts: list[int] = []
    room = 0
    for example in examples:
        texts = [example.prompt_text, *example.responses]
        if room <= 0 or len(shards[-1]) >= EXAMPLES_A_SHARD:
            shards.append([])
            firsts.append(example.index)
            room = CHARACTERS_A_SHARD
        room -= sum(min(len(text), SHOWN) for text in texts)
        worse = [rest.shown(text) for text in example.worse_responses]
        best = rest.shown(_ALSO_BEST.join(example.best_responses))
        shards[-1].append([example.index, _prompt(example, rest), best, worse])
    for number, shard in enumerate(shards):
        write_script(place.parent / f"{key.removeprefix('samples/')}-{number}.js", f"{key}-{number}", shard)
    counts = [len(example.responses) for example in examples]
    return {"examples": len(examples), "responses": [min(counts), max(counts)], "shards": firsts}


def _prompt(example: Example, rest: _Rest) -> Any:
    if isinstance(example.prompt, str):
        return rest.shown(example.prompt)
    return {"turns": [[message.role, rest.shown(message.content)] for message in example.prompt]}


def _scores(test: Sequence[Example], scored: Sequence[Scored], leaks: Sequence[Leak]) -> dict[str, Any]:
    return {
        "models": len({each.base_model for each in scored}),
        "evaluations": [
            {
                "key": each.key,
                "group": each.group,
                "intervention": each.intervention,
                "model": each.base_model,
                "source": each.source,
                "seed": each.seed,
                "accuracy": round(each.accuracy, 4),
                "p": [
                    [_rounded(p) for p in each.probabilities[example.index]]
                    if example.index in each.probabilities
                    else 0
                    for example in test
                ],
            }
            for each in scored
        ],
        "prompts": prompt_clusters((example.index, example.prompt) for example in test),
        "leaks": [[leak.where, list(leak.examples)] for leak in leaks if leak.examples],
    }


def _rounded(p: float) -> float:
    """Four decimals, without rounding other values to a tie."""
    short = round(p, 4)
    if short == 0.5 and p != 0.5:
        return 0.5001 if p > 0.5 else 0.4999
    return short


def by_example(
    test: Sequence[Example], probabilities: Sequence[float] | None, indices: Sequence[int] | None
) -> dict[int, list[float]] | None:
    """The probabilities of each test example; None if they do not match the current test split.

    Without `indices`, they are assumed to be those of all pairs of the first examples, in order.
    """
    if not probabilities:
        return None
    if indices is None:
        every = [pair.example_index for pair in pairs(test)]
        indices = every[: len(probabilities)]
    if len(indices) != len(probabilities):
        return None
    grouped: dict[int, list[float]] = defaultdict(list)
    for index, p in zip(indices, probabilities, strict=True):
        grouped[index].append(p)
    if not all(index < len(test) and len(values) == _pairs_of(test[index]) for index, values in grouped.items()):
        return None
    return {
        index: values if len(test[index].best) == 1 else _by_worse(test[index], values)
        for index, values in grouped.items()
    }


def _by_worse(example: Example, values: list[float]) -> list[float]:
    """The probability for each worse response, the mean over several best responses."""
    count = max(1, len(example.worse))
    return [mean(values[place::count]) for place in range(count)]


def _pairs_of(example: Example) -> int:
    return len(example.best) * (len(example.responses) - len(example.best))
