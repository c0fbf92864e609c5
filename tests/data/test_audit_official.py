"""The audit on the official distributions: it finds the defects they are known for, with the known figures."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from genies.data.audit.finding import Audit, Finding, Rule
from genies.data.audit.suite import audit
from genies.data.shifts import read_shifts

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def official(official_distributions: Path) -> Audit:
    shifts = [
        shift for name in ("all.json", "GENIES.json") for shift in read_shifts(PROJECT / "distribution_shifts" / name)
    ]
    return audit(official_distributions, shifts)


def by_distribution(official: Audit, rule: Rule) -> dict[str, Finding]:
    findings = [each for each in official.findings if each.rule == rule]
    result = {each.distribution: each for each in findings}
    assert len(result) == len(findings)
    return result


def counts(official: Audit, rule: Rule) -> dict[str, tuple[int, int]]:
    return {name: (each.count, each.of) for name, each in by_distribution(official, rule).items()}


WITH_THEIR_FIELDS = """alpaca_easy alpaca_hard alpaca_mmlu arc_easy arc_hard code_is_correct creative_writing crt_1
crt_2 crt_3 modus_tollens ranking_logic sycophancy_feedback truthful_alpaca truthful_qa"""

WITHOUT_A_KNOWN_WRAPPER = """comma_separated_input comma_separated_output commonsense_qa punishment_avoidance
ranking_logic_hard reward_seeking spanish_input spanish_output sycophancy_mimicry"""


def test_the_origin_of_the_user_message_in_chat_format(official: Audit) -> None:
    found = {each.name: each.user_messages() for each in official.contents}
    assert sum((Counter(each) for each in found.values()), Counter()) == {
        "wrapper": 39_065,
        "fields": 14_116,
        "whole prompt": 11_052,
    }
    assert found.pop("code_with_cooking_style") == {"fields": 848, "whole prompt": 2}  # two prompts are empty
    assert all(len(each) == 1 for each in found.values())
    by_origin = {
        origin: [name for name, each in found.items() if origin in each] for origin in ("fields", "whole prompt")
    }
    assert by_origin == {"fields": WITH_THEIR_FIELDS.split(), "whole prompt": WITHOUT_A_KNOWN_WRAPPER.split()}


def test_everything_is_read(official: Audit) -> None:
    assert len(official.contents) == 66
    assert sum(len(each.train) for each in official.contents) == 45_237
    assert sum(len(each.test) for each in official.contents) == 18_996
    assert Counter((len(each.train), len(each.test)) for each in official.contents)[600, 250] == 55
    assert (official.faults, official.shifts_left_out, official.shifts_checked) == ([], [], 56)
    unknown = {Rule.SCHEMA, Rule.EMPTY_SPLIT, Rule.FEW_EXAMPLES, Rule.MIXED_RESPONSE_COUNTS}
    assert not unknown & {each.rule for each in official.findings}


def test_reward_seeking_alone_goes_against_its_prompts(official: Audit) -> None:
    (finding,) = (each for each in official.findings if each.rule == Rule.LABEL_AGAINST_PROMPT)
    assert finding.distribution == "reward_seeking"
    assert finding.of > 2_500
    assert finding.count / finding.of > 0.99


def test_constant_prompts(official: Audit) -> None:
    expected = {"biology_with_literary_style": (850, 850), "commonsense_qa": (850, 850)}
    assert counts(official, Rule.CONSTANT_PROMPT) == expected


def test_identical_distributions(official: Audit) -> None:
    (finding,) = by_distribution(official, Rule.IDENTICAL_DISTRIBUTIONS).values()
    assert {finding.distribution, finding.other} == {"us_history_exam_questions", "us_history_make_questions"}
    assert (finding.split, finding.count, finding.of) == ("train+test", 850, 850)


def test_train_test_overlap(official: Audit) -> None:
    found = counts(official, Rule.TRAIN_TEST_OVERLAP)
    expected = {
        "biology_with_literary_style": (250, 250),
        "commonsense_qa": (250, 250),
        "code_with_cooking_style": (214, 250),
        "illegal_dont_help": (146, 246),
        "change_my_view": (110, 250),
        "ranking_logic_easy": (105, 250),
        "unhelpful_alpaca": (86, 250),
        "quote_attribution": (44, 250),
        "math_make_questions": (21, 250),
        "survival_influence": (16, 250),
    }
    assert expected.items() <= found.items()
    assert sum(count for count, _ in found.values()) == 1_274
    # 22 contents, one of which lies there under two names.
    assert len(found.keys() - {"us_history_exam_questions"}) == 22


def test_source_target_overlap(official: Audit) -> None:
    (finding,) = by_distribution(official, Rule.SOURCE_TARGET_OVERLAP).values()
    assert (finding.distribution, finding.other) == ("shp_low_quality", "shp_high_quality")
    assert (finding.count, finding.of, finding.split) == (147, 250, "test")


def test_empty_responses(official: Audit) -> None:
    assert sum(count for count, _ in counts(official, Rule.EMPTY_RESPONSES).values()) == 49
    assert sum(count for count, _ in counts(official, Rule.EMPTY_BEST_RESPONSES).values()) == 42


def test_contradictory_labels(official: Audit) -> None:
    found = {name: count for name, (count, _) in counts(official, Rule.CONTRADICTORY_LABELS).items()}
    assert found == {"commonsense_qa": 275, "quote_attribution": 5, "change_my_view": 2}


def test_constant_best_position(official: Audit) -> None:
    assert len(counts(official, Rule.CONSTANT_BEST_POSITION)) == 39


def test_every_distribution_has_both_baselines_and_known_shortcuts_are_seen(official: Audit) -> None:
    for rule in (Rule.LENGTH_BASELINE, Rule.BAG_OF_WORDS_BASELINE):
        assert len(counts(official, rule)) == 66
    length = counts(official, Rule.LENGTH_BASELINE)
    assert length["alpaca_short"] == (250, 250)
    assert length["ranking_logic"] == (375, 750)  # permutations of one list are equally long: all tied
    assert counts(official, Rule.BAG_OF_WORDS_BASELINE)["gender_bias"] == (500, 500)  # 'they' is always right


def test_a_finding_names_at_most_five_examples_of_its_split(official: Audit) -> None:
    sizes = {each.name: (len(each.train), len(each.test)) for each in official.contents}
    for finding in official.findings:
        assert len(finding.examples) <= 5
        assert 0 <= finding.count <= finding.of
        train, test = sizes[finding.distribution]
        limit = {"train": train, "test": test, "train+test": train + test}[finding.split]
        if finding.rule != Rule.SOURCE_TARGET_OVERLAP:
            assert all(0 <= index < limit for index in finding.examples)
