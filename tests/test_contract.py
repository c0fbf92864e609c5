import ast
import doctest
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genies import contract
from genies.command_line import parse
from genies.contract import (
    EvaluationArguments,
    TrainArguments,
    argument_items,
    check_kwargs,
    evaluation_items,
    train_items,
)
from genies.errors import InputError


def test_the_examples_in_the_docstrings_are_true() -> None:
    assert doctest.testmod(contract).failed == 0


def test_names_and_values_are_an_item_each() -> None:
    values = {"text": "a b", "flag": True, "off": False, "none": None, "n": 3, "x": 1e-05, "empty": "", "dash": "--n"}
    assert argument_items(values) == (
        [
            "--text",
            "a b",
            "--flag",
            "True",
            "--off",
            "False",
            "--n",
            "3",
            "--x",
            "1e-05",
            "--empty",
            "",
            "--dash",
            "--n",
        ]
    )
    assert argument_items({"a": [True, None, "é\"'", 0.5], "b": {"c": []}, "d": ()}) == (
        ["--a", '[true, null, "é\\"\'", 0.5]', "--b", '{"c": []}', "--d", "[]"]
    )


def test_train_items_start_with_the_contract() -> None:
    items = train_items("m m", "d", "o", {"seed": 3, "notes": None})
    assert items == ["--model_dir", "m m", "--train_distribution", "d", "--output_dir", "o", "--seed", "3"]


names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)


@settings(max_examples=60, deadline=None)
@given(st.lists(names, min_size=1, max_size=4), st.integers(0, 2**32 - 1))
def test_any_folder_name_survives_the_command_line(folders, seed) -> None:
    items = evaluation_items(folders[0], folders, [f"{name}.json" for name in folders], {"seed": seed})
    arguments = parse(EvaluationArguments, items)
    assert arguments.model_dir == Path(folders[0])
    assert arguments.distribution_dirs == [Path(name) for name in folders]
    assert arguments.output_paths == [Path(f"{name}.json") for name in folders]
    assert arguments.seed == seed


def test_a_plain_argparse_intervention_gets_the_same_values_through_a_real_process(tmp_path) -> None:
    script = tmp_path / "räum 'e\" ,.py"
    script.write_text(
        "import argparse, json\n"
        "parser = argparse.ArgumentParser()\n"
        "for name in ('model_dir', 'distribution_dirs', 'output_paths', 'flag', 'text'):\n"
        "    parser.add_argument('--' + name)\n"
        "print(ascii(vars(parser.parse_args())))\n"
    )
    folders = ["a b", "c,d", "e\"f'g", "räven/問題", "$(touch x)", "*;&|"]
    items = evaluation_items("m $HOME", folders, folders, {"flag": True, "text": 'line\n"two" \\'})
    output = subprocess.run([sys.executable, script, *items], capture_output=True, text=True, check=True).stdout
    got = ast.literal_eval(output)
    assert json.loads(got["distribution_dirs"]) == json.loads(got["output_paths"]) == folders
    assert (got["model_dir"], got["flag"], got["text"]) == ("m $HOME", "True", 'line\n"two" \\')


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.from_regex(r"\A[a-z_][a-z0-9_]{0,9}\Z"), json_values, max_size=4))
def test_any_json_kwargs_pass_and_can_be_read_back(kwargs) -> None:
    check_kwargs("train_kwargs", kwargs)
    items = argument_items(kwargs)
    kept = {name: value for name, value in kwargs.items() if value is not None}
    assert items[::2] == [f"--{name}" for name in kept]
    for text, value in zip(items[1::2], kept.values(), strict=True):
        assert "\0" not in text
        assert text == value or text == str(value) or json.loads(text) == value


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"model_dir": "m"}, "'model_dir' is passed by the harness"),
        ({"output_paths": []}, "'output_paths' is passed by the harness"),
        ({"a b": 1}, "'a b' cannot be an argument name"),
        ({"--a": 1}, "'--a' cannot be an argument name"),
        ({"a-b": 1}, "'a-b' cannot be an argument name"),
        ({"": 1}, "'' cannot be an argument name"),
        ({"a=b": 1}, "cannot be an argument name"),
        ({3: 1}, "3 cannot be an argument name"),
        ({"a": math.nan}, "the value of 'a' cannot be written as JSON"),
        ({"a": [{"b": math.inf}]}, "the value of 'a' cannot be written as JSON"),
        ({"a": {1, 2}}, "set is not JSON"),
        ({"a": b"x"}, "bytes is not JSON"),
        ({"a": "x\0"}, "the value of 'a' contains a NUL character"),
        ({"a": ["\ud800"]}, "the value of 'a' contains half of a surrogate pair"),
    ],
)
def test_kwargs_that_cannot_become_a_command_line_are_refused(kwargs, message) -> None:
    with pytest.raises(InputError) as caught:
        check_kwargs("train_kwargs", kwargs)
    assert str(caught.value).startswith("--train_kwargs: ")
    assert message in str(caught.value)


def test_a_value_that_holds_itself_is_refused() -> None:
    value: list[object] = []
    value.append(value)
    with pytest.raises(InputError, match="Circular"):
        check_kwargs("eval_kwargs", {"a": value})


def test_evaluation_arguments_pair_folders_and_files() -> None:
    with pytest.raises(InputError, match=r"2 folders, but --output_paths has 1 files"):
        parse(EvaluationArguments, evaluation_items("m", ["a", "b"], ["a.json"], {}))


@pytest.mark.parametrize(
    ("name", "value"),
    [("seed", "-1"), ("seed", str(2**32)), ("seed", "1.5"), ("max_examples", "0"), ("batch_tokens", "x")],
)
def test_training_arguments_have_ranges(name, value) -> None:
    with pytest.raises(InputError, match=f"--{name}: expected (at least|less than|a whole number)"):
        parse(
            TrainArguments, ["--model_dir", "m", "--train_distribution", "d", "--output_dir", "o", f"--{name}", value]
        )


def test_the_contract_loads_no_torch() -> None:
    code = (
        "import genies.contract, genies.data.shifts, sys; sys.exit(any(m in sys.modules for m in ('torch', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_step_ends_without_visiting_the_objects_of_its_libraries() -> None:
    code = """
import atexit, gc
from genies.contract import TrainArguments, run
atexit.register(lambda: print(gc.get_freeze_count()))
def train(arguments: TrainArguments) -> None:
    print(gc.get_freeze_count())
run(train)
"""
    items = ["--model_dir", "m", "--train_distribution", "d", "--output_dir", "o"]
    done = subprocess.run([sys.executable, "-c", code, *items], capture_output=True, text=True, check=True)
    during, after = map(int, done.stdout.split())
    assert during < 1_000  # from Python 3.12, some hundred objects are frozen from the start
    assert after > 10_000
