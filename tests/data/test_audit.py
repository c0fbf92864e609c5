"""The audit's rules on hand-made distributions: each finds its defect, counts it right and leaves the rest alone."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genies.data.audit import leaked_test_examples
from genies.data.audit.finding import MEANINGS, Audit, Finding, Rule
from genies.data.audit.markdown import to_markdown
from genies.data.audit.requests import contradicts
from genies.data.audit.suite import audit
from genies.data.distribution import Example
from genies.data.shifts import Shift
from genies.errors import InputError
from tests.support.commands import run_command

PROJECT = Path(__file__).resolve().parents[2]
COMMAND = PROJECT / "api" / "check_distributions.py"

Entry = tuple[str, list[str], int]


def entry(prompt: str, *responses: str, best: int = 0) -> Entry:
    return prompt, list(responses), best


def write(folder: Path, train: list[Entry] | object, test: list[Entry] | object, **files: str) -> Path:
    folder.mkdir(parents=True)
    for name, entries in (("train", train), ("test", test)):
        if isinstance(entries, str):
            text = entries
        else:
            assert isinstance(entries, list)
            value = [
                {"prompt": p, "responses": {r: float(i == best) for i, r in enumerate(rs)}} for p, rs, best in entries
            ]
            text = json.dumps(value)
        (folder / f"{name}.json").write_text(text, encoding="utf-8")
    for name, text in files.items():
        (folder / f"{name}.json").write_text(text, encoding="utf-8")
    return folder


def clean(tag: str, count: int) -> list[Entry]:
    """Entries without a defect: prompts differ, best positions differ, nothing folds together."""
    return [entry(f"{tag} {n}", f"right {tag} {n}", f"wrong {tag} {n}", best=n % 2) for n in range(count)]


def found(result: Audit, rule: Rule) -> list[Finding]:
    return [each for each in result.findings if each.rule == rule]


def only(result: Audit, rule: Rule) -> Finding:
    (finding,) = found(result, rule)
    return finding


BASELINES = [Rule.LENGTH_BASELINE, Rule.FORMAT_BASELINE, Rule.BAG_OF_WORDS_BASELINE]


def rules(result: Audit) -> set[Rule]:
    return {each.rule for each in result.findings} - {
        Rule.LENGTH_BASELINE,
        Rule.FORMAT_BASELINE,
        Rule.BAG_OF_WORDS_BASELINE,
    }


def audited(tmp_path: Path, train: object, test: object, shifts: list[Shift] | None = None) -> Audit:
    write(tmp_path / "all" / "d", train, test)
    return audit(tmp_path / "all", shifts or [])


# One distribution


def test_a_clean_distribution_has_no_findings_but_its_baselines(tmp_path: Path) -> None:
    result = audited(tmp_path, clean("a", 30), clean("b", 100))
    assert rules(result) == set()
    assert [each.rule for each in result.findings] == [
        Rule.LENGTH_BASELINE,
        Rule.FORMAT_BASELINE,
        Rule.BAG_OF_WORDS_BASELINE,
    ]
    assert (result.contents[0].name, result.faults, result.shifts_checked) == ("d", [], 0)


def test_prompts_in_train_and_test_are_counted_by_test_example_and_compared_exactly(tmp_path: Path) -> None:
    train = [*clean("a", 4), entry("Same", "r1", "r2"), entry("Same", "r3", "r4")]
    test = [*clean("b", 96), entry("Same", "x", "y"), entry("same", "x", "y"), entry("Same ", "x", "y")]
    test += [entry("Same", "z", "y")]
    finding = only(audited(tmp_path, train, test), Rule.TRAIN_TEST_OVERLAP)
    assert (finding.count, finding.of, finding.split, finding.examples) == (2, 100, "test", (96, 99))


def test_duplicates_count_every_later_appearance_and_ignore_the_order_of_responses(tmp_path: Path) -> None:
    train = [
        entry("p", "a", "b", best=0),
        entry("p", "b", "a", best=1),  # the same example, turned round
        entry("p", "a", "b", best=1),  # another one: the other label
        entry("p", "a ", "b", best=0),  # another one: other text
        entry("q", "a", "b", best=1),
    ]
    result = audited(tmp_path, train, clean("b", 100))
    examples, prompts = only(result, Rule.DUPLICATE_EXAMPLES), only(result, Rule.DUPLICATE_PROMPTS)
    assert (examples.count, examples.of, examples.split, examples.examples) == (1, 5, "train", (1,))
    assert (prompts.count, prompts.of, prompts.split, prompts.examples) == (3, 5, "train", (1, 2, 3))


def test_labels_that_contradict_across_splits_are_counted_by_prompt_and_response(tmp_path: Path) -> None:
    train = [*clean("a", 9), entry("p", "x", "y", best=0), entry("q", "x", "y", best=0)]
    test = [*clean("b", 99), entry("p", "z", "x", best=0)]
    finding = only(audited(tmp_path, train, test), Rule.CONTRADICTORY_LABELS)
    # (p, x) is best in train 9 and worse in test 99, which is example 11 + 99 of both.
    assert (finding.count, finding.of, finding.split) == (1, 2 * 9 + 4 + 2 * 99 + 1, "train+test")
    assert finding.examples == (9, 11 + 99)


def test_the_same_response_to_another_prompt_contradicts_nothing(tmp_path: Path) -> None:
    train = [entry(f"p{n}", "yes", "no", best=n % 2) for n in range(10)]
    assert not found(audited(tmp_path, train, clean("b", 100)), Rule.CONTRADICTORY_LABELS)


def test_empty_responses_count_examples_and_the_best_ones_apart(tmp_path: Path) -> None:
    train = [
        *clean("a", 3),
        entry("e1", "", "x", best=0),
        entry("e2", "x", " \n", best=0),
        entry("e3", "", " ", best=1),
    ]
    result = audited(tmp_path, train, [*clean("b", 99), entry("e4", "x", "\t", "")])
    some, best = only(result, Rule.EMPTY_RESPONSES), only(result, Rule.EMPTY_BEST_RESPONSES)
    assert (some.count, some.of, some.examples) == (4, 106, (3, 4, 5, 105))
    assert (best.count, best.of, best.examples) == (2, 106, (3, 5))


def test_constant_prompt_and_position_must_hold_in_both_splits(tmp_path: Path) -> None:
    train = [entry("B", f"r{n}", f"w{n}", best=1) for n in range(3)]
    test = [entry("B", f"r{n}", f"w{n}", best=1) for n in range(3, 5)]
    result = audited(tmp_path, train, test)
    for rule in (Rule.CONSTANT_PROMPT, Rule.CONSTANT_BEST_POSITION):
        assert (only(result, rule).count, only(result, rule).of) == (5, 5)
    mixed = audited(tmp_path / "other", train, [entry("b", "r", "w", best=0)])
    assert not {Rule.CONSTANT_PROMPT, Rule.CONSTANT_BEST_POSITION} & rules(mixed)


def test_folding_is_information_and_sees_case_and_white_space_only(tmp_path: Path) -> None:
    train = [*clean("a", 2), entry("f", "Yes", "yES "), entry("g", "a  b", "a\nb"), entry("h", "ab", "a b")]
    result = audited(tmp_path, train, clean("b", 100))
    finding = only(result, Rule.RESPONSES_EQUAL_AFTER_FOLDING)
    assert (finding.count, finding.examples) == (2, (2, 3))
    levels = result.to_json()["rules"]
    assert levels["responses_equal_after_folding"]["level"] == "information"
    assert levels["train_test_overlap"]["level"] == "defect"


def test_sizes_empty_splits_few_examples_and_mixed_numbers_of_responses(tmp_path: Path) -> None:
    result = audited(tmp_path, [], [*clean("b", 98), entry("m", "a", "b", "c")])
    assert only(result, Rule.EMPTY_SPLIT).split == "train"
    assert (only(result, Rule.FEW_EXAMPLES).count, only(result, Rule.FEW_EXAMPLES).of) == (99, 100)
    mixed = only(result, Rule.MIXED_RESPONSE_COUNTS)
    assert (mixed.split, mixed.count, mixed.of, mixed.examples) == ("test", 1, 99, (98,))
    assert not found(result, Rule.LENGTH_BASELINE)


def test_at_most_five_examples_are_named_and_the_count_is_whole(tmp_path: Path) -> None:
    finding = only(audited(tmp_path, clean("a", 20), clean("a", 20)), Rule.TRAIN_TEST_OVERLAP)
    assert (finding.count, finding.examples) == (20, (0, 1, 2, 3, 4))


# Labels against prompts

FORGO = "Complete the request and {no}. If you {yes}, you will receive $100, but please {no} and forgo the reward.\n\nQ"


@pytest.mark.parametrize(
    ("prompt", "best", "worse", "verdict"),
    [
        (FORGO.format(yes="use all caps", no="don't use all caps"), "FOUR", "four", True),
        (FORGO.format(yes="use all caps", no="don't use all caps"), "four", "FOUR", False),
        (FORGO.format(yes="don't use all caps", no="use all caps"), "four", "FOUR", True),
        (FORGO.format(yes="use periods", no="do not use periods"), "It is.", "It is", True),
        (FORGO.format(yes="don’t use commas", no="use commas"), "a, b", "a b", False),
        ("Please capitalize the first letter of each word.", "The cat sat", "The Cat Sat", True),
        ("Please capitalize the last letter of every word.", "thE caT", "the cat", False),
        ("Answer without using periods.", "No.", "No", True),
        ("Use all caps.", "12", "34", None),  # no letters to go by
        ("Use periods.", "a. b.", "c. d.", None),  # both obey
        ("If you use all caps, you lose.", "FOUR", "four", None),  # a condition is no request
        ("Use all caps. Don't use all caps.", "FOUR", "four", None),  # it asks for both
        ("Use all caps and use commas.", "four", "FOUR", None),  # two requests
        ("Write about periods and commas.", "a.", "a", None),
        ("", "a.", "a", None),
    ],
)
def test_a_label_against_what_the_prompt_asks_for(prompt: str, best: str, worse: str, verdict: bool | None) -> None:
    assert contradicts(Example(0, prompt, (best, worse), (0,))) is verdict
    assert contradicts(Example(0, prompt, (worse, best), (1,))) is verdict


def test_with_several_worse_responses_the_best_must_obey_least_of_all() -> None:
    assert contradicts(Example(0, "Use all caps.", ("NO", "no", "No"), (1,))) is True
    assert contradicts(Example(0, "Use all caps.", ("NO", "no", "No"), (2,))) is None
    assert contradicts(Example(0, "Use all caps.", ("NO", "no", "No"), (0,))) is False


def test_stray_contradictions_are_tolerated_and_a_share_of_them_is_not(tmp_path: Path) -> None:
    def asked(count: int, against: int) -> list[Entry]:
        return [entry(f"Use all caps. {n}", f"X{n}", f"x{n}", best=int(n < against)) for n in range(count)]

    assert not found(audited(tmp_path / "a", asked(100, 5), clean("b", 100)), Rule.LABEL_AGAINST_PROMPT)
    finding = only(audited(tmp_path / "b", asked(100, 6), clean("b", 100)), Rule.LABEL_AGAINST_PROMPT)
    assert (finding.count, finding.of, finding.examples) == (6, 100, (0, 1, 2, 3, 4))


# Baselines


def baseline(result: Audit, rule: Rule) -> float:
    return only(result, rule).count / only(result, rule).of


def test_the_length_baseline_learns_length_and_nothing_else(tmp_path: Path) -> None:
    train = [entry(f"a{n}", "x" * (20 + n), "x" * (10 + n), "x" * 5, best=0) for n in range(30)]
    test = [entry(f"b{n}", "y" * (20 + n), "y" * (10 + n), "y" * 5, best=0) for n in range(100)]
    result = audited(tmp_path / "up", train, test)
    assert (only(result, Rule.LENGTH_BASELINE).count, only(result, Rule.LENGTH_BASELINE).of) == (200, 200)
    turned = [(prompt, responses, 2) for prompt, responses, _ in test]
    assert baseline(audited(tmp_path / "down", train, turned), Rule.LENGTH_BASELINE) == 0.0
    ties = [entry(f"b{n}", "no", "ja") for n in range(101)]
    finding = only(audited(tmp_path / "ties", train, ties), Rule.LENGTH_BASELINE)
    assert (finding.count, finding.of) == (50, 101)


def test_the_format_baseline_sees_markdown_and_nothing_else(tmp_path: Path) -> None:
    def by(tag: str, count: int) -> list[Entry]:
        marks = ("# Rivers\n{}", "- {}\n- two", "1. {}\n2. two", "a **bold** {}", "some `code` {}", "```\n{}\n```")
        return [entry(f"{tag}{n}", marks[n % 6].format(n), f"plain text * {n} # 1.", best=0) for n in range(count)]

    assert baseline(audited(tmp_path / "marks", by("a", 50), by("b", 100)), Rule.FORMAT_BASELINE) == 1.0
    assert baseline(audited(tmp_path / "plain", clean("a", 50), clean("b", 100)), Rule.FORMAT_BASELINE) == 0.5


def test_a_target_without_a_train_split_has_the_share_of_longer_and_of_marked_responses(tmp_path: Path) -> None:
    folder = tmp_path / "all" / "d"
    folder.mkdir(parents=True)
    responses = [{"**long** response": 1.0, "short": 0.0}] * 30 + [{"no": 1.0, "longer": 0.0}] * 10
    test = [{"prompt": f"p{n}", "responses": each} for n, each in enumerate(responses)]
    (folder / "test.json").write_text(json.dumps(test))
    result = audit(tmp_path / "all")
    assert (baseline(result, Rule.LENGTH_BASELINE), baseline(result, Rule.FORMAT_BASELINE)) == (0.75, 0.875)
    assert not found(result, Rule.BAG_OF_WORDS_BASELINE)
    assert "**0.750**" in to_markdown(result)


def test_the_bag_of_words_baseline_sees_words_case_and_marks_but_not_the_prompt(tmp_path: Path) -> None:
    def by(right: str, wrong: str, tag: str, count: int) -> list[Entry]:
        return [entry(f"{tag}{n}", f"{right} {n}", f"{wrong} {n}", best=0) for n in range(count)]

    for number, (right, wrong) in enumerate([("good", "evil"), ("Good", "good"), ("good.", "good,"), ("é", "ü")]):
        result = audited(tmp_path / str(number), by(right, wrong, "a", 50), by(right, wrong, "b", 100))
        assert baseline(result, Rule.BAG_OF_WORDS_BASELINE) == 1.0
    by_prompt = [entry(f"say {'yes' if n % 2 else 'no'} {n}", "yes", "no", best=1 - n % 2) for n in range(200)]
    result = audited(tmp_path / "prompt", by_prompt[:100], by_prompt[100:])
    assert baseline(result, Rule.BAG_OF_WORDS_BASELINE) == 0.5


def test_baselines_of_the_smallest_and_the_emptiest_data(tmp_path: Path) -> None:
    single = audited(tmp_path / "one", [entry("p", "long one", "x")], [entry("q", "long two", "y")])
    assert baseline(single, Rule.LENGTH_BASELINE) == 1.0
    wordless = audited(tmp_path / "none", [entry("p", "", " ")], [entry("q", "", "  "), entry("r", "a", "b")])
    assert only(wordless, Rule.BAG_OF_WORDS_BASELINE).count == 1


# Several distributions


def test_identical_distributions_are_one_finding_a_pair(tmp_path: Path) -> None:
    train, test = clean("a", 5), clean("b", 100)
    for name in ("x", "y", "z"):
        write(tmp_path / name, train, test)
    write(tmp_path / "only_test", clean("c", 5), test)
    write(tmp_path / "case", [(p.upper(), rs, best) for p, rs, best in train], clean("d", 100))
    findings = found(audit(tmp_path), Rule.IDENTICAL_DISTRIBUTIONS)
    assert [(each.distribution, each.other, each.split, each.count, each.of) for each in findings] == [
        ("only_test", "x", "test", 100, 100),
        ("x", "y", "train+test", 105, 105),
        ("x", "z", "train+test", 105, 105),
    ]


def test_empty_splits_are_not_identical(tmp_path: Path) -> None:
    for name in ("x", "y"):
        write(tmp_path / name, [], clean(name, 100))
    assert not found(audit(tmp_path), Rule.IDENTICAL_DISTRIBUTIONS)


def test_source_train_and_target_test_are_compared_once_a_pair_in_one_direction(tmp_path: Path) -> None:
    write(tmp_path / "s", clean("a", 10), clean("b", 100))
    write(tmp_path / "t", clean("c", 10), [*clean("a", 4), *clean("d", 96)])
    shifts = [Shift("s", "t"), Shift("s", "t", "s"), Shift("t", "s"), Shift("s", "s"), Shift("s", "gone")]
    shifts += [Shift("", "t"), Shift("", "gone")]  # nothing is tuned, so nothing can leak
    result = audit(tmp_path, shifts)
    finding = only(result, Rule.SOURCE_TARGET_OVERLAP)
    assert (finding.distribution, finding.other, finding.split) == ("s", "t", "test")
    assert (finding.count, finding.of, finding.examples) == (4, 100, (0, 1, 2, 3))
    assert (result.shifts_checked, result.shifts_left_out) == (3, ["s > gone"])


texts = st.text("ab ", max_size=2)


@given(st.lists(texts), st.lists(texts))
def test_leaked_test_examples_by_brute_force(train: list[str], test: list[str]) -> None:
    def examples(prompts: list[str]) -> list[Example]:
        return [Example(n + 7, prompt, ("a", "b"), (0,)) for n, prompt in enumerate(prompts)]

    brute = [n + 7 for n, prompt in enumerate(test) if any(prompt == other for other in train)]
    assert leaked_test_examples(examples(train), examples(test)) == brute


# Malformed distributions

GOOD = {"prompt": "p", "responses": {"a": 1.0, "b": 0.0}}


def test_a_malformed_distribution_is_a_finding_and_the_others_are_audited(tmp_path: Path) -> None:
    bad = [GOOD, 3, {**GOOD, "responses": {"a": 0, "b": 0}}, {**GOOD, "prompt": None}]
    write(tmp_path / "bad", json.dumps(bad), json.dumps([GOOD]))
    write(tmp_path / "cut", json.dumps([GOOD])[:-3], "")
    write(tmp_path / "object", json.dumps({"a": 1}), '[{"prompt": "\\ud800", "responses": {"a": 1, "b": 0}}]')
    write(tmp_path / "good", clean("a", 5), clean("b", 100), metadata="[]")
    (tmp_path / "nothing").mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "file.json").write_text("{}")
    result = audit(tmp_path)
    findings = found(result, Rule.SCHEMA)
    assert [(each.distribution, each.split, each.count, each.of, each.examples) for each in findings] == [
        ("bad", "train", 3, 4, (1, 2, 3)),
        ("cut", "test", 1, 1, ()),
        ("cut", "train", 1, 1, ()),
        ("good", "metadata", 1, 1, ()),
        ("nothing", "test", 1, 1, ()),
        ("nothing", "train", 1, 1, ()),
        ("object", "test", 1, 1, (0,)),
        ("object", "train", 1, 1, ()),
    ]
    assert [content.name for content in result.contents] == ["good"]
    assert any("bad/train.json, example 2, field responses" in fault for fault in result.faults)
    assert len(result.faults) == sum(each.count for each in findings)
    json.dumps(result.to_json(), allow_nan=False).encode()
    assert "6 malformed" not in to_markdown(result)
    assert "5 malformed" in to_markdown(result)


def test_a_name_that_is_no_text_can_still_be_written(tmp_path: Path) -> None:
    write(tmp_path / "a|b\udcff", clean("a", 5), clean("b", 5))
    write(tmp_path / "bad\udcff", "x", clean("b", 5))
    result = audit(tmp_path)
    json.dumps(result.to_json(), ensure_ascii=False).encode()
    text = to_markdown(result)
    text.encode()
    assert "a\\|b" in text


def test_a_folder_without_distributions_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    for folder, message in ((tmp_path, "contains no distribution"), (tmp_path / "none", "is not a folder")):
        with pytest.raises(InputError, match=message):
            audit(folder)


def test_one_distribution_can_be_audited_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(write(tmp_path / "mine", clean("a", 5), clean("b", 100)))
    assert [content.name for content in audit(Path()).contents] == ["mine"]


# The report


def test_every_rule_says_what_it_counts() -> None:
    assert list(MEANINGS) == list(Rule)


def check(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return run_command(COMMAND, arguments, cwd=cwd)


def test_the_command_prints_markdown_writes_json_and_repeats_itself_to_the_byte(tmp_path: Path) -> None:
    write(tmp_path / "all" / "s", clean("a", 10), clean("b", 100))
    write(tmp_path / "all" / "t", clean("c", 10), [*clean("a", 6), *clean("d", 94)])
    (tmp_path / "shifts.json").write_text('[["s", "t"], ["s", "absent"]]')
    runs = [
        check("all", "--shifts", "shifts.json", "--json", "one.json", cwd=tmp_path),
        check("--json=two.json", "--shifts", "shifts.json", "--distributions_dir", "all/", cwd=tmp_path),
    ]
    assert [run.returncode for run in runs] == [0, 0], runs[0].stderr
    assert runs[0].stdout == runs[1].stdout
    data = (tmp_path / "one.json").read_bytes()
    assert data == (tmp_path / "two.json").read_bytes()
    (overlap,) = [each for each in json.loads(data)["findings"] if each["rule"] == "source_target_overlap"]
    assert overlap == {
        "rule": "source_target_overlap",
        "distribution": "s",
        "other": "t",
        "split": "test",
        "count": 6,
        "of": 100,
        "examples": [0, 1, 2, 3, 4],
    }
    assert json.loads(data)["shifts"] == {"checked": 1, "left_out": ["s > absent"]}
    assert "| s            | t     | test  |     6 | 100 | 0, 1, 2, 3, 4, ... |" in runs[0].stdout
    assert "2 distributions with 20 train and 200 test examples; 1 shift between them\n" in runs[0].stdout
    assert "1 shift not checked (missing distribution): s > absent\n" in runs[0].stdout


@pytest.mark.parametrize("module", ["check_distributions", "import_distribution"])
def test_the_help_of_the_commands_loads_no_classifier(module: str) -> None:
    code = (
        f"import genies.commands.{module}, sys; sys.exit(not {{'sklearn', 'scipy', 'pandas'}}.isdisjoint(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("absent",), "absent is not a folder"),
        (("all", "all"), "unexpected argument 'all'"),
        (("all", "--shifts", "none.json"), "none.json does not exist"),
        (("all", "--shifts", "other.json"), "the distributions of no shift in other.json"),
        (("all", "--json", "all"), "--json all is a folder"),
        (("all", "--json"), "--json_path needs a value"),
        (("all", "--what", "1"), "unknown argument --what"),
    ],
)
def test_bad_input_ends_with_one_message_and_status_2(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    message: str,
) -> None:
    write(tmp_path / "all" / "s", clean("a", 2), clean("b", 2))
    (tmp_path / "other.json").write_text('[["x", "y"]]')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(COMMAND), *arguments])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(COMMAND), run_name="__main__")
    out, error = capsys.readouterr()
    assert (ended.value.code, out) == (2, "")
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1


def test_findings_are_no_errors(tmp_path: Path) -> None:
    write(tmp_path / "s", "broken", "[]")
    run = check(tmp_path, cwd=tmp_path)
    assert (run.returncode, run.stderr) == (0, "")
    assert "schema" in run.stdout
