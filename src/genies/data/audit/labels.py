"""Rules about the sizes, labels and texts of one distribution."""

from __future__ import annotations

from collections import Counter, defaultdict

from genies.data.audit.finding import Content, Finding, Rule
from genies.data.conversation import Prompt

ENOUGH_TEST_EXAMPLES = 100
"""With fewer, the 95 % interval of an accuracy is wider than plus or minus 0.1, from 1.96 * sqrt(0.25 / 100)."""


def sizes(content: Content) -> list[Finding]:
    findings: list[Finding] = []
    for split, examples in content.splits():
        if not examples:
            findings.append(content.counted(Rule.EMPTY_SPLIT, split, 1, 1))
            continue
        counts = Counter(len(example.responses) for example in examples)
        usual = max(counts, key=lambda count: (counts[count], -count))
        unusual = (example.index for example in examples if len(example.responses) != usual)
        findings += content.finding(Rule.MIXED_RESPONSE_COUNTS, split, unusual, len(examples))
    if 0 < len(content.test) < ENOUGH_TEST_EXAMPLES:
        findings.append(content.counted(Rule.FEW_EXAMPLES, "test", len(content.test), ENOUGH_TEST_EXAMPLES))
    return findings


def contradictory_labels(content: Content) -> list[Finding]:
    """Combinations of prompt and response with both labels, in one or both splits."""
    labels: defaultdict[tuple[Prompt, str], set[bool]] = defaultdict(set)
    for example in content.both():
        for position, response in enumerate(example.responses):
            labels[example.prompt, response].add(position in example.best)
    both_ways = {combination for combination, found in labels.items() if len(found) == 2}
    if not both_ways:
        return []
    concerned = (
        position
        for position, example in enumerate(content.both())
        if any((example.prompt, response) in both_ways for response in example.responses)
    )
    return [content.counted(Rule.CONTRADICTORY_LABELS, "train+test", len(both_ways), len(labels), concerned)]


def constants(content: Content) -> list[Finding]:
    """A prompt or a position of the best response that is the same in all of several examples."""
    examples = content.both()
    if len(examples) < 2:
        return []
    values: dict[Rule, set[Prompt] | set[tuple[int, ...]]] = {
        Rule.CONSTANT_PROMPT: {example.prompt for example in examples},
        Rule.CONSTANT_BEST_POSITION: {example.best for example in examples},
    }
    return [
        content.counted(rule, "train+test", len(examples), len(examples))
        for rule, distinct in values.items()
        if len(distinct) == 1
    ]


def empty_responses(content: Content) -> list[Finding]:
    examples = content.both()
    some = [position for position, each in enumerate(examples) if any(not text.strip() for text in each.responses)]
    best = [position for position in some if not all(text.strip() for text in examples[position].best_responses)]
    return [
        *content.finding(Rule.EMPTY_RESPONSES, "train+test", some, len(examples)),
        *content.finding(Rule.EMPTY_BEST_RESPONSES, "train+test", best, len(examples)),
    ]


def equal_after_folding(content: Content) -> list[Finding]:
    examples = content.both()
    concerned = (
        position
        for position, each in enumerate(examples)
        if len({" ".join(text.casefold().split()) for text in each.responses}) < len(each.responses)
    )
    return content.finding(Rule.RESPONSES_EQUAL_AFTER_FOLDING, "train+test", concerned, len(examples))
