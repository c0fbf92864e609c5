"""What an audit says: its rules, and one finding for each defect of a distribution or of a pair of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from itertools import islice
from typing import Any, Literal

from genies.data.distribution import Example

MAX_EXAMPLES = 5
"""Example indices a finding names at most."""

Part = Literal["train", "test", "train+test", "metadata"]
"""Where in a distribution a finding lies. In train+test the examples of test.json count on from those of train.json:
index len(train) is its first."""


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
    TRAIN_TEST_OVERLAP = "train_test_overlap"
    DUPLICATE_EXAMPLES = "duplicate_examples"
    DUPLICATE_PROMPTS = "duplicate_prompts"
    EMPTY_RESPONSES = "empty_responses"
    EMPTY_BEST_RESPONSES = "empty_best_responses"
    RESPONSES_EQUAL_AFTER_FOLDING = "responses_equal_after_folding"
    LENGTH_BASELINE = "length_baseline"
    BAG_OF_WORDS_BASELINE = "bag_of_words_baseline"


INFORMATION = {Rule.RESPONSES_EQUAL_AFTER_FOLDING, Rule.LENGTH_BASELINE, Rule.BAG_OF_WORDS_BASELINE}
"""Rules whose findings are no defects: what they count can be what a distribution is about."""

MEANINGS = {
    Rule.SCHEMA: "entries that break the format (a file that cannot be read counts as one); "
    "no other rule is applied to such a distribution",
    Rule.EMPTY_SPLIT: "a split without examples",
    Rule.FEW_EXAMPLES: "fewer test examples than an interval of plus or minus 0.1 needs",
    Rule.MIXED_RESPONSE_COUNTS: "examples with another number of responses than most of their split",
    Rule.LABEL_AGAINST_PROMPT: "of the examples whose prompt asks for a form that can be checked (all caps, periods, "
    "commas, capitalized words), those whose best response obeys less than every other",
    Rule.CONTRADICTORY_LABELS: "of the distinct (prompt, response) combinations, those that are best in one example "
    "and worse in another",
    Rule.CONSTANT_PROMPT: "examples with one and the same prompt, which are all there are",
    Rule.CONSTANT_BEST_POSITION: "examples with the best response at one and the same position, which are all there "
    "are: the order must not reach what scores them",
    Rule.IDENTICAL_DISTRIBUTIONS: "examples that two distributions have in common, which are all there are",
    Rule.SOURCE_TARGET_OVERLAP: "test examples of a shift's target whose prompt stands in its source's train split",
    Rule.TRAIN_TEST_OVERLAP: "test examples whose prompt stands in the train split of the same distribution",
    Rule.DUPLICATE_EXAMPLES: "examples that stand earlier in their split with the same prompt, responses and labels",
    Rule.DUPLICATE_PROMPTS: "examples whose prompt stands earlier in their split",
    Rule.EMPTY_RESPONSES: "examples with a response that is empty or white space only",
    Rule.EMPTY_BEST_RESPONSES: "examples whose best response is empty or white space only",
    Rule.RESPONSES_EQUAL_AFTER_FOLDING: "examples with responses that differ in nothing but case or white space: "
    "legitimate, and lost to whoever folds or strips",
    Rule.LENGTH_BASELINE: "test pairs that a classifier gets right which sees only how long the responses are",
    Rule.BAG_OF_WORDS_BASELINE: "test pairs that a classifier gets right which sees only the words of the responses, "
    "neither their order nor the prompt",
}
"""What `count` counts, by rule."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One defect of one distribution, or of a pair."""

    rule: Rule
    distribution: str
    """Its name; the source's in a finding about a shift."""
    other: str | None
    """The second of a pair; the target's name in a finding about a shift."""
    split: Part
    """Where the examples lie: in `other` in a finding about a shift, in `distribution` in any other."""
    count: int
    of: int
    """`count` lies in [0, of]."""
    examples: tuple[int, ...]
    """Indices of the first examples concerned, at most MAX_EXAMPLES."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"rule": self.rule.value, "examples": list(self.examples)}


@dataclass(frozen=True, slots=True)
class Content:
    """A distribution that could be read whole."""

    name: str
    train: list[Example]
    test: list[Example]

    def splits(self) -> list[tuple[Part, list[Example]]]:
        return [("train", self.train), ("test", self.test)]

    def both(self) -> list[Example]:
        """The examples of train.json, then those of test.json, as the part train+test counts them."""
        return [*self.train, *self.test]

    def finding(self, rule: Rule, split: Part, concerned: Iterable[int], of: int) -> list[Finding]:
        """One finding about the examples at these positions, or none where there are none."""
        positions = list(concerned)
        return [self.figure(rule, split, len(positions), of, positions)] if positions else []

    def figure(
        self, rule: Rule, split: Part, count: int, of: int, examples: Iterable[int] = (), other: str | None = None
    ) -> Finding:
        """A finding whose count is no number of examples."""
        return Finding(rule, self.name, other, split, count, of, tuple(islice(examples, MAX_EXAMPLES)))


@dataclass(frozen=True, slots=True)
class Audit:
    """Everything an audit found."""

    contents: list[Content]
    """The distributions that could be read, by name."""
    findings: list[Finding]
    """In the order of the rules, then by distribution, other and split."""
    faults: list[str]
    """What is wrong, file, example and field, for each malformed entry or file."""
    shifts_checked: int
    """Shifts, each counted once, whose source and target could be read."""
    shifts_left_out: list[str]
    """Shifts, `source > target`, whose source or target could not be read."""

    def to_json(self) -> dict[str, Any]:
        """The JSON form: the same bytes for the same data."""
        return {
            "distributions": [
                {
                    "name": each.name,
                    "train": len(each.train),
                    "test": len(each.test),
                    "responses": sorted({len(example.responses) for example in each.both()}),
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
