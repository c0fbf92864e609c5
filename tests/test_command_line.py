import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, model_validator

from genies import spelling
from genies.command_line import Arguments, help_text, in_order, parse
from genies.errors import INTERRUPTED_MESSAGE, InputError
from tests.support.messages import states

ROOT = Path(__file__).resolve().parents[1]


class Small(Arguments):
    """Do 100% of a small thing."""

    model_dir: Path
    """Where 5% of the model lies."""
    items: list[Path] = Field(default_factory=list)
    """Things, in order."""
    names: list[str] | None = None
    seeds: list[int] | None = None
    kwargs: dict[str, Any] = Field(default_factory=dict)
    retrain: bool = False
    dry_run: bool = False
    maybe: bool | None = None
    count: Annotated[int, Field(ge=1)] | None = None
    rate: float = 1.0
    text: str = "plain"
    kind: Literal["mean", "sum"] = "mean"


class Checked(Arguments):
    low: int = 0
    high: int = 1

    @model_validator(mode="after")
    def _ordered(self) -> "Checked":
        if self.low > self.high:
            raise ValueError("--low must not be above --high")
        return self


def small(*items: str) -> Small:
    return parse(Small, ["--model_dir", "m", *items])


def refusal(*items: str) -> str:
    with pytest.raises(InputError) as caught:
        small(*items)
    return str(caught.value)


@pytest.mark.parametrize(
    ("items", "said"),
    [
        (("--retrian", "True"), "unknown argument --retrian; did you mean --retrain? (--help lists all)"),
        (("--kind", "men"), "--kind: expected 'mean' or 'sum', got 'men'; did you mean 'mean'?"),
        (("--kind", "product"), "--kind: expected 'mean' or 'sum', got 'product'"),
        (("--count", "0"), "--count: expected at least 1, got '0'"),
        (("--count", "x"), "--count: expected a whole number, got 'x'"),
        (("--kwargs", "[1]"), "--kwargs: expected a JSON object such as '{\"seed\": 1}', got [1]"),
    ],
)
def test_a_refusal_says_what_was_expected_and_the_nearest_choice(items: tuple[str, ...], said: str) -> None:
    assert refusal(*items) == said


def test_the_help_lists_the_arguments_of_a_command_before_those_that_every_command_takes() -> None:
    class Shared(Arguments):
        listed_last: ClassVar[bool] = True

        folder: Path = Path()

    class Own(Shared):
        """Do it.

        Example:
          python api/own.py --what x
        """

        what: str
        how: str = "well"

    assert in_order(Own) == ["what", "how", "folder"]
    assert in_order(Shared) == ["folder"]
    shown = help_text(Own)
    assert shown.index("--what TEXT") < shown.index("--how TEXT") < shown.index("--folder PATH")
    with pytest.raises(InputError, match=r"^--what is required; --help shows an example$"):
        parse(Own, [])


class Renamed(Arguments):
    aliases: ClassVar[dict[str, str]] = {"results": "results_dir"}

    results_dir: Path = Path("results")
    train_kwargs: dict[str, Any] = Field(default_factory=dict)
    eval_kwargs: dict[str, Any] = Field(default_factory=dict)


def test_a_former_name_of_an_argument_is_accepted_on_the_command_line_and_in_a_config_file(tmp_path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("results: here\n")
    assert parse(Renamed, ["--results", "there"]).results_dir == Path("there")
    assert parse(Renamed, ["--config", str(config)]).results_dir == Path("here")
    assert parse(Renamed, ["--config", str(config), "--results_dir", "there"]).results_dir == Path("there")
    config.write_text("results: here\nresults_dir: there\n")
    for items in (["--results", "a", "--results_dir", "b"], ["--config", str(config)]):
        with pytest.raises(InputError, match="twice"):
            parse(Renamed, items)


def test_an_argument_of_an_intervention_is_answered_with_where_it_goes() -> None:
    with pytest.raises(InputError) as caught:
        parse(Renamed, ["--reward_output", "0"])
    assert "goes into --train_kwargs or --eval_kwargs: '{\"reward_output\": ...}'" in str(caught.value)
    assert "kwargs" not in refusal("--retrian", "True")


def test_commands_call_the_same_thing_by_the_same_name() -> None:
    """The names that several commands had for one thing are aliases everywhere, and fields nowhere."""
    former = {"results", "capability", "models", "retrain", "use_cached"}
    for module in spelling.COMMANDS.values():
        model = next(iter(get_type_hints(import_module(f"genies.commands.{module}").main).values()))
        assert former.isdisjoint(model.model_fields), module
        assert set(model.aliases.values()) <= set(model.model_fields), module


def test_an_argument_given_twice_is_refused() -> None:
    with pytest.raises(InputError, match=r"--retrain.*twice"):
        parse(Small, ["--retrain", "--retrain", "False"])


# Booleans


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ((), False),
        (("--retrain",), True),
        (("--retrain", "--text", "True"), True),
        (("--retrain", "True"), True),
        (("--retrain", "true"), True),
        (("--retrain", "1"), True),
        (("--retrain", "yes"), True),
        (("--retrain", "False"), False),
        (("--retrain", "FALSE"), False),
        (("--retrain=False",), False),
    ],
)
def test_a_boolean_stands_bare_or_with_a_value(items, expected) -> None:
    assert small(*items).retrain is expected


def test_bare_and_valued_booleans_mix() -> None:
    arguments = small("--retrain", "--dry_run", "True", "--maybe")
    assert (arguments.retrain, arguments.dry_run, arguments.maybe) == (True, True, True)
    assert small("--maybe", "None").maybe is small("--maybe=None").maybe is None


def test_a_word_that_is_no_boolean_is_refused_and_never_taken_for_true() -> None:
    for items in (("--retrain", "maybe"), ("--retrain=maybe",), ("--text", "a", "--retrain", "maybe", "--dry_run")):
        assert states(refusal(*items), "--retrain ... True ... False ... 'maybe'")
    assert states(refusal("--retrain", "None"), "--retrain ... True ... False ... 'None'")
    assert states(refusal("--retrain", ""), "--retrain ... True ... False ... ''")
    assert states(refusal("--maybe", "maybe"), "--maybe ... True ... False ... 'maybe'")
    assert "'-x'" in refusal("--retrain", "-x")


def test_a_boolean_of_a_config_file_that_is_none_is_refused_in_the_same_words(tmp_path) -> None:
    for text in ("retrain: maybe", "retrain: [true]"):
        assert "--retrain: expected True or False, got " in refusal("--config", yaml_file(tmp_path, text))


# Lists and objects

AWKWARD = ["a, b", 'say "x"', "it's", "[1]", "räven", "-x", "--text", "a\\b", "{", "", " ", "None", "True"]


def test_lists_are_json_or_python_literals_with_anything_inside_their_items() -> None:
    assert small("--names", json.dumps(AWKWARD)).names == AWKWARD
    assert small("--names", json.dumps(AWKWARD, ensure_ascii=False)).names == AWKWARD
    assert small("--names", repr(AWKWARD)).names == AWKWARD
    assert small("--names", repr(tuple(AWKWARD))).names == AWKWARD
    assert small("--names", f"  {json.dumps(AWKWARD)}\n").names == AWKWARD
    assert small(f"--names={json.dumps(AWKWARD)}").names == AWKWARD


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_every_list_of_texts_survives_both_spellings(names) -> None:
    assert small("--names", json.dumps(names)).names == small("--names", repr(names)).names == names


def test_one_folder_needs_no_brackets() -> None:
    assert small("--items", "distributions/a, b").items == [Path("distributions/a, b")]
    assert small("--items", "[]").items == []


def test_whole_numbers_may_stand_between_commas() -> None:
    assert small("--seeds", "0,1, 2").seeds == small("--seeds", "[0, 1, 2]").seeds == [0, 1, 2]
    assert small("--seeds", "7").seeds == [7]
    assert states(refusal("--seeds", "0,b"), "--seeds, item 1 ... 'b'")


def test_several_values_without_brackets_are_answered_with_the_list() -> None:
    assert refusal("--names", "a", "b").endswith('--names \'["a", "b"]\'')
    assert states(refusal("--text", "a", "b"), "--name value ... --help")


def test_objects_are_json_or_python_literals() -> None:
    expected = {"a": [1, "x,y"], "b": None, "c": True, "d": {"e": 0.5}}
    assert small("--kwargs", json.dumps(expected)).kwargs == small("--kwargs", repr(expected)).kwargs == expected


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (("--names", '["a"'), "--names: ... list"),
        (("--names", "[a, b]"), "--names: ... list"),
        (("--names", "[1]"), "--names, item 0: ... string ... 1"),
        (("--names", "(3)"), "--names: ... list ... 3"),
        (("--items", "[NaN]"), "--items, item 0: ... path"),
        (("--names", "[" * 100_000), "--names: ... list"),
        (("--names", "[" + "-" * 100_000 + "1]"), "--names: ... list"),
        (("--names", "[__import__('os').getcwd()]"), "--names: ... list"),
        (("--kwargs", "{"), "--kwargs: ... object ... '{\"a\": 1}' ... JSON ... {"),
        (("--kwargs", "a=1"), "--kwargs: ... object"),
        (("--kwargs", "[1]"), "--kwargs: ... JSON object ... '{\"seed\": 1}' ... [1]"),
        (("--kwargs", "None"), "--kwargs: ... JSON object ... '{\"seed\": 1}' ... None"),
        (("--kwargs", '{"a": 1, "a": 2}'), "--kwargs: ... 'a' ... twice"),
        (("--kwargs", ""), "--kwargs ... value ... empty"),
        (("--items", ""), "--items ... value ... empty"),
    ],
)
def test_a_malformed_list_or_object_is_refused(items, message) -> None:
    assert states(refusal(*items), message)
    assert len(refusal(*items)) < 400


# Values


def test_a_value_may_start_with_dashes_or_be_empty_text() -> None:
    assert small("--text", "--x").text == small("--text=--x").text == "--x"
    assert small("--text", "-5").text == "-5"
    assert small("--text", "--help").text == "--help"
    assert small("--text", "").text == small("--text=").text == ""
    assert small("--text", "a=b").text == small("--text=a=b").text == "a=b"
    assert small("--rate", "-1e-3").rate == -0.001


def test_an_empty_path_is_refused_for_it_would_mean_the_current_folder() -> None:
    for items in (["--model_dir", ""], ["--model_dir="]):
        with pytest.raises(InputError, match=r"--model_dir.*empty"):
            parse(Small, items)


def test_none_is_a_value_of_what_may_be_absent_and_text_elsewhere() -> None:
    assert small("--count", "None").count is small("--count", "null").count is None
    assert small("--names", "None").names is None
    assert small("--text", "None").text == "None"


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (("--count", "0"), "--count: ... 1 ... '0'"),
        (("--count", "1.5"), "--count: ... whole number ... '1.5'"),
        (("--count", ""), "--count: ... whole number"),
        (("--rate", "nan"), "--rate: ... finite ... 'nan'"),
        (("--rate", "inf"), "--rate: ... finite ... 'inf'"),
        (("--kind", "man"), "--kind: ... 'mean' ... 'sum' ... 'man'"),
        (("--text",), "--text ... value"),
        (("--model_dir",), "--model_dir ... value"),
        (("--config",), "--config ... value"),
        (("--txet", "a"), "--txet ... --text?"),
        (("--model-dir", "a"), "--model-dir ... --model_dir?"),
        (("--qqq",), "--qqq ... --model_dir"),
        (("--",), "unknown argument --"),
        (("a",), "'a' ... --name value"),
        (("-x",), "'-x'"),
        (("",), "''"),
        (("--count", "0", "--kind", "x"), "--count: "),
    ],
)
def test_a_value_or_a_name_that_does_not_fit_is_refused(items, message) -> None:
    assert states(refusal(*items), message)


def test_every_fault_is_named_in_one_message() -> None:
    message = refusal("--count", "0", "--kind", "x")
    assert "--count: " in message
    assert "--kind: " in message


def test_what_is_missing_is_named() -> None:
    with pytest.raises(InputError, match=r"--model_dir.*required"):
        parse(Small, [])


def test_a_rule_between_arguments_is_told_in_its_own_words() -> None:
    with pytest.raises(InputError, match=r"^--low must not be above --high$"):
        parse(Checked, ["--low", "3"])


def test_environment_variables_are_never_arguments(monkeypatch) -> None:
    for name in ("COUNT", "count", "TEXT", "text", "MODEL_DIR"):
        monkeypatch.setenv(name, "9")
    assert small() == Small(model_dir=Path("m"))


# A YAML file


def yaml_file(folder: Path, text: str | bytes) -> str:
    path = folder / "run.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def test_the_command_line_wins_over_the_config_file_wherever_it_stands(tmp_path) -> None:
    config = yaml_file(
        tmp_path, "model_dir: c\ncount: 3\ntext: from file\nitems: [a, 'b, c']\nkwargs: {x: [1, 2]}\nretrain: yes"
    )
    arguments = parse(Small, ["--count", "5", "--config", config, "--model_dir", "m", "--retrain", "False"])
    assert (arguments.model_dir, arguments.count, arguments.text) == (Path("m"), 5, "from file")
    assert (arguments.items, arguments.kwargs, arguments.retrain) == ([Path("a"), Path("b, c")], {"x": [1, 2]}, False)
    assert parse(Small, [f"--config={config}"]).retrain is True


def test_text_in_a_config_file_means_what_it_means_on_the_command_line(tmp_path) -> None:
    config = yaml_file(
        tmp_path, "items: a\nnames: '[\"b\"]'\nkwargs: '{\"c\": 1}'\ncount: None\nmaybe: 'False'\nrate: 1e3"
    )
    arguments = small("--config", config)
    assert (arguments.items, arguments.names, arguments.kwargs) == ([Path("a")], ["b"], {"c": 1})
    assert (arguments.count, arguments.maybe, arguments.rate) == (None, False, 1000.0)


def test_an_empty_config_file_changes_nothing(tmp_path) -> None:
    assert small("--config", yaml_file(tmp_path, "# nothing\n")) == small()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cuont: 3", "--cuont ... --count?"),
        ("3: 3", "--3"),
        ("config: a", "--config"),
        ("count: 0", "--count: ... 1 ... 0"),
        ("count: 3\ncount: 4", "twice"),
        ("model_dir: ''\n", "--model_dir needs a value"),
        ("text: 5", "--text: ... string ... 5"),
        ("[]", "names and values"),
        ("0", "names and values"),
        ("false", "names and values"),
        ("a", "names and values"),
        ("count: [", "YAML"),
        ("count: 2024-13-45", "YAML"),
        ("? [a]\n: b", "YAML"),
        ("[" * 3000, "YAML"),
        ("--- {}\n--- {}", "YAML"),
        ("text: !!python/object/apply:os.getcwd []", "YAML"),
        (b"text: \xff", "UTF-8 ... byte 6"),
        (b"text: \x07", "YAML"),
    ],
)
def test_a_config_file_that_does_not_fit_is_refused(tmp_path, text, message) -> None:
    assert states(refusal("--config", yaml_file(tmp_path, text)), message)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("count: 1\ncount: 2\n", "line 2: contains count twice"),
        ("kwargs:\n  a: {b: 1}\n  c: [{d: 1, e: 2, d: 3}]\n", "line 3: contains d twice"),
    ],
)
def test_a_name_that_is_twice_in_a_config_file_is_refused_at_any_depth(tmp_path, text, said) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(text)
    with pytest.raises(InputError, match=said):
        small("--config", str(config))


def test_a_mapping_of_a_config_file_may_be_used_twice_by_its_alias(tmp_path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("kwargs: {a: &same {b: 1}, c: *same, d: {<<: *same, e: 2}}\n")
    assert small("--config", str(config)).kwargs == {"a": {"b": 1}, "c": {"b": 1}, "d": {"b": 1, "e": 2}}


def test_a_config_file_that_is_no_regular_file_is_refused_and_not_waited_for(tmp_path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    assert states(refusal("--config", str(tmp_path / "pipe.yaml")), "pipe.yaml ... named pipe ... regular file")
    assert "a folder" in refusal("--config", str(tmp_path))


def test_the_aliases_of_a_config_file_cannot_stand_for_more_than_a_file_may_hold(tmp_path) -> None:
    few = "kwargs: {a: &a [x, y], b: [*a, *a], c: {<<: &c {d: 1}, e: *c}}"
    expected = {"a": ["x", "y"], "b": [["x", "y"]] * 2, "c": {"d": 1, "e": {"d": 1}}}
    assert small("--config", yaml_file(tmp_path, few)).kwargs == expected
    lists = "kwargs:\n  a0: &a0 [lol]\n" + "".join(f"  a{n}: &a{n} [{f'*a{n - 1},' * 10}]\n" for n in range(1, 12))
    merges = "kwargs:\n  a0: &a0 {k: 1}\n" + "".join(
        f"  a{n}: &a{n} {{<<: [{','.join([f'*a{n - 1}'] * 10)}]}}\n" for n in range(1, 12)
    )
    endless = "kwargs: {a: &a [*a]}"
    text = f"kwargs: {{a: &a {'x' * 10_000}, b: [{','.join(['*a'] * 1000)}]}}"
    for bomb in (lists, merges, endless, text):
        message = refusal("--config", yaml_file(tmp_path, bomb))
        assert "aliases" in message
        assert len(message) < 300
    assert "longer than" in refusal("--config", yaml_file(tmp_path, "#" * ((1 << 20) + 1)))


def test_an_absent_config_file_is_named() -> None:
    assert states(refusal("--config", "none.yaml"), "--config ... none.yaml ... not exist")


# Help and the end of a command


def test_help_names_every_argument_with_its_doc_and_default(monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/tmp/50% d/small.py"])
    text = help_text(Small)
    for name in Small.model_fields:
        assert f"--{name}" in text
    for shown in (
        "/tmp/50% d/small.py",
        "100% of a small",
        "Where 5% of the",
        "(default: plain)",
        "mean|sum",
        "--config",
    ):
        assert shown in text


def test_help_shows_one_default_where_the_doc_of_an_argument_names_it() -> None:
    class Told(Arguments):
        splits: list[str] = Field(default_factory=lambda: ["test"])
        """Which splits (default: only the test split)."""
        names: list[str] = Field(default_factory=lambda: ["a"])
        """Which names."""

    text = " ".join(help_text(Told).split())
    assert "Which splits (default: only the test split). --names" in text
    assert "Which names. (default: ['a'])" in text


PROGRAM = '''
import os, signal, sys
from genies.command_line import Arguments, run
from genies.errors import InputError
class Small(Arguments):
    """A small program."""
    way: str = "ok"
def main(args: Small) -> int | None:
    if args.way == "status": return 3
    if args.way == "input": raise InputError("a is wrong; do b")
    if args.way == "interrupt": os.kill(os.getpid(), signal.SIGINT)
    if args.way == "folder": open("/")
    if args.way == "defect": raise ValueError("ours")
    if args.way == "surrogate": raise InputError("name \\udcff")
    if args.way == "controls": raise InputError("name \\x1b]0;title\\x07 \\x9b1A")
    if args.way in ("thread", "process"):
        import resource, subprocess, threading
        if os.getuid() == 0: os.setuid(65534)  # no limit binds root
        resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
        threading.Thread(target=print).start() if args.way == "thread" else subprocess.run(["true"])
    if args.way == "streams": return os.fstat(2).st_rdev != os.stat("/dev/null").st_rdev or open(__file__).fileno() < 3
    print("x" * 200_000 if args.way == "much" else "done")
run(main)
'''


def program(folder: Path, *items: str, tail: str = "") -> subprocess.CompletedProcess[str]:
    script = folder / "small program.py"
    script.write_text(PROGRAM)
    argv = [sys.executable, str(script), *items]
    if tail:  # the shell of the test, for redirections alone
        argv = ["bash", "-c", f'set -o pipefail; "$@" {tail}', "bash", *argv]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(
    ("way", "status", "error"),
    [
        ("ok", 0, ""),
        ("status", 3, ""),
        ("input", 2, "error: a is wrong; do b\n"),
        ("surrogate", 2, "error: name \\udcff\n"),
        ("controls", 2, "error: name \\x1b]0;title\\x07 \\x9b1A\n"),
        ("interrupt", 130, INTERRUPTED_MESSAGE + "\n"),
        ("folder", 2, "error: ... / ... folder ... file ... \n"),
    ],
)
def test_a_command_ends_with_its_status_and_one_line(tmp_path, way, status, error) -> None:
    ended = program(tmp_path, "--way", way)
    assert ended.returncode == status
    assert states(ended.stderr, error)
    assert ended.stderr.count("\n") == error.count("\n")


def test_a_defect_of_ours_keeps_its_traceback(tmp_path) -> None:
    ended = program(tmp_path, "--way", "defect")
    assert ended.returncode == 1
    assert "Traceback" in ended.stderr


def test_a_wrong_argument_ends_with_status_2_and_help_with_0(tmp_path) -> None:
    ended = program(tmp_path, "--wya", "ok")
    assert (ended.returncode, ended.stderr.count("\n"), ended.stdout) == (2, 1, "")
    assert "did you mean --way?" in ended.stderr
    ended = program(tmp_path, "--help")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "A small program." in ended.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_output_that_cannot_be_written_is_told_once(tmp_path) -> None:
    ended = program(tmp_path, tail="> /dev/full")
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert "the disk is full" in ended.stderr


def test_a_reader_that_leaves_early_gets_no_complaint(tmp_path) -> None:
    ended = program(tmp_path, "--way", "much", tail="| true")
    assert (ended.returncode, ended.stderr) == (1, "")


def test_a_closed_output_is_no_fault(tmp_path) -> None:
    ended = program(tmp_path, tail=">&-")
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("way", ["thread", "process"])
def test_a_thread_or_process_that_the_system_refuses_is_told_in_one_line(tmp_path, way) -> None:
    ended = program(tmp_path, "--way", way)
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert "ulimit -u" in ended.stderr


def test_a_closed_standard_error_is_no_fault_and_no_file_takes_its_place(tmp_path) -> None:
    assert program(tmp_path, "--way", "streams", tail="2>&-").returncode == 0
    ended = program(tmp_path, "--way", "input", tail="2>&-")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert program(tmp_path, "--way", "streams", tail="<&- >&- 2>&-").returncode == 0


def python_path(folder: Path) -> str:
    """PYTHONPATH with a folder before all others."""
    return os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])


COMMANDS = [*sorted((ROOT / "api").glob("[!i]*.py")), ROOT / "api" / "import_distribution.py", *ROOT.glob("download_*")]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda each: each.name)
def test_ctrl_c_while_a_command_loads_its_libraries_ends_it_with_one_line(tmp_path, command) -> None:
    # The first library that is loaded after the command's first import sends the signal, whatever the machine's speed.
    (tmp_path / "pydantic").mkdir()
    for name in ("pydantic", "yaml"):
        (tmp_path / f"{name}.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGINT)")
    environment = {**os.environ, "PYTHONPATH": python_path(tmp_path)}
    ended = subprocess.run([sys.executable, command], env=environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (130, f"{INTERRUPTED_MESSAGE}\n")


def test_a_program_that_imports_a_command_keeps_its_own_answer_to_ctrl_c() -> None:
    code = "import signal; before = signal.getsignal(2); import installed; assert signal.getsignal(2) is before"
    environment = {**os.environ, "PYTHONPATH": python_path(ROOT / "api")}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


def test_starting_a_command_loads_no_torch() -> None:
    code = (
        "import genies.command_line, sys; sys.exit(any(m in sys.modules for m in ('torch', 'numpy', 'transformers')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
