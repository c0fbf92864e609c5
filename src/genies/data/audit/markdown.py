"""An audit as Markdown: the findings of each rule, then the sizes and baselines of all distributions."""

from __future__ import annotations

from genies.data.audit.finding import INFORMATION, MEANINGS, Audit, Content, Finding, Rule
from genies.markdown import escaped, table
from genies.quantities import counted

STRIKING = 0.75
"""Baseline accuracies from this value up are printed bold."""

MAX_FAULTS = 20
"""Maximum number of messages about malformed entries in the Markdown; the JSON has all of them."""

_BASELINES = (Rule.LENGTH_BASELINE, Rule.FORMAT_BASELINE, Rule.BAG_OF_WORDS_BASELINE)


def to_markdown(audit: Audit) -> str:
    """The complete report, which ends with a line end."""
    train = sum(len(each.train) for each in audit.contents)
    test = sum(len(each.test) for each in audit.contents)
    unreadable = len({each.distribution for each in audit.findings if each.rule == Rule.SCHEMA})
    lines = [
        "# Audit",
        "",
        f"{counted(len(audit.contents), 'distribution')} with {train:,} train and {test:,} test examples"
        + (f"; {unreadable} malformed" if unreadable else "")
        + (f"; {counted(audit.shifts_checked, 'shift')} between them" if audit.shifts_checked else ""),
    ]
    if audit.shifts_left_out:
        shown = ", ".join(audit.shifts_left_out[:5]) + (", ..." if len(audit.shifts_left_out) > 5 else "")
        number = counted(len(audit.shifts_left_out), "shift")
        lines += ["", f"{number} not checked (missing distribution): {escaped(shown)}"]
    by_rule = {rule: [each for each in audit.findings if each.rule == rule] for rule in Rule if rule not in _BASELINES}
    found = {rule: findings for rule, findings in by_rule.items() if findings}
    if found:
        lines += ["", "## Findings", "", *_summary(found)]
    else:
        lines += ["", "No findings."]
    sizes = {each.name: (len(each.train), len(each.test)) for each in audit.contents}
    for rule, findings in found.items():
        lines += ["", f"### {rule}", "", f"{MEANINGS[rule][:1].upper()}{MEANINGS[rule][1:]}.", ""]
        lines += _details(findings, sizes)
        if rule == Rule.SCHEMA:
            lines += ["", *(f"- {escaped(fault)}" for fault in audit.faults[:MAX_FAULTS])]
            if len(audit.faults) > MAX_FAULTS:
                lines.append(f"- and {len(audit.faults) - MAX_FAULTS:,} more")
    if audit.contents:
        lines += ["", "## Sizes and baselines", "", *_sizes(audit)]
    return "\n".join(lines) + "\n"


def _summary(found: dict[Rule, list[Finding]]) -> list[str]:
    rows = [
        [
            rule,
            f"{len(findings):,}",
            f"{sum(each.count for each in findings):,}",
            "information" if rule in INFORMATION else "defect",
        ]
        for rule, findings in found.items()
    ]
    return table(["rule", "findings", "count", "level"], rows, numbers=(1, 2))


def _details(findings: list[Finding], sizes: dict[str, tuple[int, int]]) -> list[str]:
    with_other = any(each.other for each in findings)
    rows = [
        [
            escaped(each.distribution),
            *([escaped(each.other or "")] if with_other else []),
            each.split,
            f"{each.count:,}",
            f"{each.of:,}",
            _examples(each, sizes),
        ]
        for each in sorted(findings, key=lambda each: -each.count)
    ]
    header = ["distribution", *(["other"] if with_other else []), "split", "count", "of", "examples"]
    return table(header, rows, numbers=(3, 4) if with_other else (2, 3))


def _examples(finding: Finding, sizes: dict[str, tuple[int, int]]) -> str:
    if finding.split != "train+test":
        shown = [str(index) for index in finding.examples]
    else:
        train = sizes[finding.distribution][0]
        shown = [f"train {index}" if index < train else f"test {index - train}" for index in finding.examples]
    return ", ".join([*shown, "..."] if 0 < len(shown) < finding.count else shown)


def _sizes(audit: Audit) -> list[str]:
    accuracies = {(each.distribution, each.rule): each for each in audit.findings if each.rule in _BASELINES}
    rows = [
        [
            escaped(content.name),
            f"{len(content.train):,}",
            f"{len(content.test):,}",
            _responses(content),
            *(_accuracy(accuracies.get((content.name, rule)), content.target_only) for rule in _BASELINES),
            _origins(content),
        ]
        for content in audit.contents
    ]
    header = ["distribution", "train", "test", "responses", "length only", "format only", "words only", "user message"]
    return [
        "Accuracy on test pairs of a classifier that was fitted on train pairs and sees only the lengths, only the "
        "Markdown or only the words of responses. A target without a train split has the share of test pairs whose "
        "best response is longer, or has more Markdown. Chance is 0.5; values of "
        f"{STRIKING} or more, and without a train split of {1 - STRIKING} or less, are bold. User message: where chat "
        "format takes the user's message from (the example's fields, the prompt without a known wrapper, the whole "
        "prompt, or the conversation).",
        "",
        *table(header, rows, numbers=(1, 2, 3, 4, 5, 6)),
    ]


def _responses(content: Content) -> str:
    return ", ".join(map(str, sorted({len(example.responses) for example in content.both()})))


def _origins(content: Content) -> str:
    found = content.user_messages()
    return next(iter(found)) if len(found) == 1 else ", ".join(f"{each} {count:,}" for each, count in found.items())


def _accuracy(finding: Finding | None, either_way: bool) -> str:
    if finding is None:
        return ""
    accuracy = finding.count / finding.of
    striking = max(accuracy, 1 - accuracy) if either_way else accuracy
    return f"**{accuracy:.3f}**" if striking >= STRIKING else f"{accuracy:.3f}"
