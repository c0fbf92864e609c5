"""Rules about repeated texts: in a split, in train and test, in a source and its target, in two distributions."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence, Set

from genies.data.audit.finding import Content, Finding, Part, Rule
from genies.data.conversation import Prompt, normalized
from genies.data.distribution import Example


def leaked_test_examples(train: Sequence[Example], test: Sequence[Example]) -> list[int]:
    """Indices of the test examples whose prompt is also, character for character, in the train split."""
    return with_prompts({example.prompt for example in train}, test)


def with_prompts(prompts: Set[Prompt], test: Sequence[Example]) -> list[int]:
    """Indices of the test examples with one of these prompts."""
    return [example.index for example in test if example.prompt in prompts]


def train_test_overlap(content: Content) -> list[Finding]:
    leaked = leaked_test_examples(content.train, content.test)
    return content.finding(Rule.TRAIN_TEST_OVERLAP, "test", leaked, len(content.test))


def source_target_overlap(source: Content, target: Content) -> list[Finding]:
    """Empty for a shift to the source itself, which train_test_overlap covers."""
    leaked = leaked_test_examples(source.train, target.test) if source.name != target.name else []
    if not leaked:
        return []
    return [source.counted(Rule.SOURCE_TARGET_OVERLAP, "test", len(leaked), len(target.test), leaked, target.name)]


def suite_overlap(contents: Sequence[Content]) -> list[Finding]:
    """Test prompts of an imported suite in the train splits of distributions outside of it, one finding for each pair.

    Distributions without a suite are compared with suites alone: the official ones share prompts on purpose.
    """
    suites = [each for each in contents if each.suite is not None]
    if not suites:
        return []
    trained: dict[str, list[Content]] = {}
    for content in contents:
        for prompt in {normalized(example.prompt) for example in content.train}:
            trained.setdefault(prompt, []).append(content)
    leaked: dict[tuple[str, str], list[int]] = {}
    by_name = {content.name: content for content in contents}
    for content in contents:
        for example in content.test:
            for source in trained.get(normalized(example.prompt), ()):
                if source.suite != content.suite:
                    leaked.setdefault((source.name, content.name), []).append(example.index)
    return [
        by_name[source].counted(Rule.SUITE_OVERLAP, "test", len(found), len(by_name[target].test), found, target)
        for (source, target), found in leaked.items()
    ]


def duplicates(content: Content) -> list[Finding]:
    """Repeated prompts and repeated examples. Examples that differ only in the order of responses are equal."""
    findings: list[Finding] = []
    for split, examples in content.splits():
        whole = [(each.prompt, frozenset(each.best_responses), frozenset(each.responses)) for each in examples]
        prompts = [each.prompt for each in examples]
        findings += content.finding(Rule.DUPLICATE_EXAMPLES, split, _repeats(whole), len(examples))
        findings += content.finding(Rule.DUPLICATE_PROMPTS, split, _repeats(prompts), len(examples))
    return findings


def _repeats(values: Iterable[Hashable]) -> list[int]:
    seen: set[Hashable] = set()
    positions = []
    for position, value in enumerate(values):
        if value in seen:
            positions.append(position)
        seen.add(value)
    return positions


def identical_distributions(contents: Iterable[Content]) -> list[Finding]:
    """Distributions with the same examples in the same order, each paired with the first that has them.

    If only one split is the same, the finding is about that split.
    """
    whole: dict[Hashable, Content] = {}
    halves: dict[Hashable, Content] = {}
    findings: list[Finding] = []
    for content in contents:
        splits = [(split, tuple(examples)) for split, examples in content.splits()]
        twin = whole.setdefault(tuple(splits), content)
        if twin is not content:
            findings += _identical(twin, content, "train+test", len(content.both()))
            continue
        for split, examples in splits:
            twin = halves.setdefault((split, examples), content)
            if twin is not content:
                findings += _identical(twin, content, split, len(examples))
    return findings


def _identical(first: Content, second: Content, split: Part, size: int) -> list[Finding]:
    """One finding, or none if both are empty."""
    return [first.counted(Rule.IDENTICAL_DISTRIBUTIONS, split, size, size, other=second.name)] if size else []
