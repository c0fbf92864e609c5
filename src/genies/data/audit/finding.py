"""The rules of an audit, and its findings about one distribution or a pair of distributions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from itertools import islice
from typing import Any, Literal

from genies.data.distribution import Example

MAX_EXAMPLES = 5
"""Maximum number of example indices in a finding."""

Part = Literal["train", "test", "train+test", "metadata"]
"""The part of a distribution that a finding is about. In train+test, the indices of test.json follow those of
train.json: len(train) is the index of its first example."""


class Rule(StrEnum):
    """The rules, in the order of a report."""

    SCHEMA = "schema"
    EMPTY_SPLIT = "empty_split"
    FEW_EXAMPLES = "few_examples"
    MIXED_RESPONSE_COUNTS = "mixed_response_counts"
    LABEL_AGAINST_PROMPT = "label_against_prompt"
    CONTRADICTORY_LABELS = "contradictory_labels"
    CONSTANT_PROMPT = "constant_prompt"
    CONSTANT_BEST_POSITION = "constant_best_position"
    IDENTICAL_DISTRIBUTIONS = "identical_distributions"
    SOURCE_TARGET_OVERLAP = "source_target_overlap"
    SUITE_OVERLAP = "suite_overlap"
    TRAIN_TEST_OVERLAP = "train_test_overlap"
    DUPLICATE_EXAMPLES = "duplicate_examples"
    DUPLICATE_PROMPTS = "duplicate_prompts"
    EMPTY_RESPONSES = "empty_responses"
    EMPTY_BEST_RESPONSES = "empty_best_responses"
    RESPONSES_EQUAL_AFTER_FOLDING = "responses_equal_after_folding"
    LENGTH_BASELINE = "length_baseline"
    FORMAT_BASELINE = "format_baseline"
    BAG_OF_WORDS_BASELINE = "bag_of_words_baseline"


INFORMATION = {
    Rule.RESPONSES_EQUAL_AFTER_FOLDING,
    Rule.LENGTH_BASELINE,
    Rule.FORMAT_BASELINE,
    Rule.BAG_OF_WORDS_BASELINE,
}
"""Rules whose findings are not defects, because they can be intended in a distribution."""

MEANINGS = {
    Rule.SCHEMA: "entries with an invalid format (a file that cannot be read counts as one); "
    "no other rule is applied to such a distribution",
    Rule.EMPTY_SPLIT: "a split without examples",
    Rule.FEW_EXAMPLES: "fewer test examples than an interval of plus or minus 0.1 needs",
    Rule.MIXED_RESPONSE_COUNTS: "examples whose number of responses differs from most of their split",
    Rule.LABEL_AGAINST_PROMPT: "examples whose best response follows the prompt less than all other responses, among "
    "those whose prompt asks for a form that can be checked (all caps, periods, commas, capitalized words)",
    Rule.CONTRADICTORY_LABELS: "distinct (prompt, response) combinations that are best in one example and worse in "
    "another",
    Rule.CONSTANT_PROMPT: "all examples have the same prompt",
    Rule.CONSTANT_BEST_POSITION: "all examples have the best response at the same position, so a method must not use "
    "the order of responses",
    Rule.IDENTICAL_DISTRIBUTIONS: "two distributions have the same examples",
    Rule.SOURCE_TARGET_OVERLAP: "test examples of a shift's target whose prompt is in the source's train split",
    Rule.SUITE_OVERLAP: "test examples whose prompt, except for case and white space, is in the train split of a "
    "distribution of another suite or of none",
    Rule.TRAIN_TEST_OVERLAP: "test examples whose prompt is in the train split of the same distribution",
    Rule.DUPLICATE_EXAMPLES: "examples that repeat the prompt, responses and labels of an earlier example in their "
    "split",
    Rule.DUPLICATE_PROMPTS: "examples that repeat the prompt of an earlier example in their split",
    Rule.EMPTY_RESPONSES: "examples with a response that is empty or only white space",
    Rule.EMPTY_BEST_RESPONSES: "examples whose best response is empty or only white space",
    Rule.RESPONSES_EQUAL_AFTER_FOLDING: "examples with responses that differ only in case or white space; this is "
    "valid, but methods that ignore case or white space cannot distinguish them",
    Rule.LENGTH_BASELINE: "test pairs that a classifier gets right that sees only the lengths of responses; without a "
    "train split, test pairs whose best response is longer",
    Rule.FORMAT_BASELINE: "test pairs that a classifier gets right that sees only the Markdown of responses; without a "
    "train split, test pairs whose best response has more of it",
    Rule.BAG_OF_WORDS_BASELINE: "test pairs that a classifier gets right that sees only the words of responses, "
    "without their order and without the prompt",
}
"""The meaning of `count`, by rule."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One defect of one distribution, or of a pair."""

    rule: Rule
    distribution: str
    """Its name; the source's name in a finding about a shift."""
    other: str | None
    """The name of the second distribution of a pair; the target's name in a finding about a shift."""
    split: Part
    """The part with the examples: of `other` in a finding about a shift, otherwise of `distribution`."""
    count: int
    of: int
    """Upper bound of `count`."""
    examples: tuple[int, ...]
    """Indices of the first affected examples, at most MAX_EXAMPLES."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"rule": self.rule.value, "examples": list(self.examples)}


@dataclass(frozen=True, slots=True)
class Content:
    """A distribution that was read without errors."""

    name: str
    train: list[Example]
    test: list[Example]
    target_only: bool = False
    """Whether it has no train split on purpose."""
    suite: str | None = None
    """The suite of imported data that it is a part of."""

    def splits(self) -> list[tuple[Part, list[Example]]]:
        return [*([] if self.target_only else [("train", self.train)]), ("test", self.test)]  # type: ignore[list-item]

    def user_messages(self) -> dict[str, int]:
        """How many examples have the user's message of chat format from each origin, for the origins that occur."""
        return dict(Counter(example.user_message[1] for example in self.both()).most_common())

    def both(self) -> list[Example]:
        """The examples of train.json followed by those of test.json, as in the part train+test."""
        return [*self.train, *self.test]

    def finding(self, rule: Rule, split: Part, concerned: Iterable[int], of: int) -> list[Finding]:
        """One finding about the examples at these positions; an empty list if there are none."""
        positions = list(concerned)
        return [self.counted(rule, split, len(positions), of, positions)] if positions else []

    def counted(
        self, rule: Rule, split: Part, count: int, of: int, examples: Iterable[int] = (), other: str | None = None
    ) -> Finding:
        """A finding with any count, which need not be a number of examples."""
        return Finding(rule, self.name, other, split, count, of, tuple(islice(examples, MAX_EXAMPLES)))


@dataclass(frozen=True, slots=True)
class Audit:
    """The result of an audit."""

    contents: list[Content]
    """The distributions that could be read, by name."""
    findings: list[Finding]
    """In the order of the rules, then by distribution, other and split."""
    faults: list[str]
    """A message with file, example and field for each malformed entry or file."""
    shifts_checked: int
    """Number of distinct shifts whose source and target could be read."""
    shifts_left_out: list[str]
    """Shifts, `source > target`, whose source or target could not be read."""

    def to_json(self) -> dict[str, Any]:
        """The audit as a JSON object; deterministic for the same data."""
        return {
            "distributions": [
                {
                    "name": each.name,
                    "train": len(each.train),
                    "test": len(each.test),
                    "responses": sorted({len(example.responses) for example in each.both()}),
                    "user_messages": each.user_messages(),
                }
                for each in self.contents
            ],
            "shifts": {"checked": self.shifts_checked, "left_out": self.shifts_left_out},
            "rules": {
                rule.value: {"level": "information" if rule in INFORMATION else "defect", "count": meaning}
                for rule, meaning in MEANINGS.items()
            },
            "faults": self.faults,
            "findings": [finding.to_json() for finding in self.findings],
        }
