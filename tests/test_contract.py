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
    read_evaluation,
    train_items,
)
from genies.errors import InputError
from genies.files import write_json


def write(folder: Path, content: object) -> Path:
    path = folder / "target.json"
    path.write_bytes(content if isinstance(content, bytes) else str(content).encode("utf-8", "surrogatepass"))
    return path


def refusal(folder: Path, content: object) -> str:
    path = write(folder, content)
    with pytest.raises(InputError) as caught:
        read_evaluation(path)
    assert f"evaluation {path}" in str(caught.value)
    return str(caught.value)


# A valid evaluation


def test_accuracy_alone_is_enough(tmp_path) -> None:
    for text, expected in (("0", 0.0), ("1", 1.0), ("0.5", 0.5), ("1e-3", 0.001), ("-0.0", 0.0)):
        evaluation, value = read_evaluation(write(tmp_path, f'{{"eval_accuracy": {text}}}'))
        assert evaluation.eval_accuracy == expected
        assert list(value) == ["eval_accuracy"]


def test_unknown_keys_are_kept_in_order_with_their_types(tmp_path) -> None:
    text = (
        '{"zeta": [1, 1.0, "é", null, true, {"a": {}}], "eval_accuracy": 1, "model_config": 3, "__class__": "x", "": 0}'
    )
    evaluation, value = read_evaluation(write(tmp_path, text))
    assert json.dumps(value, ensure_ascii=False) == text
    assert evaluation.eval_accuracy == 1.0
    assert evaluation.model_extra is not None
    assert evaluation.model_extra["zeta"] == [1, 1.0, "é", None, True, {"a": {}}]


def test_the_known_keys_are_read(tmp_path) -> None:
    known = {
        "eval_accuracy": 0.75,
        "eval_probabilities": [0.9, 0.5],
        "eval_example_indices": [0, 0],
        "eval_prompt_clusters": [0, 0],
        "eval_left_out_examples": 2,
        "eval_left_out_indices": [1, 3],
        "eval_ties": 1,
        "eval_brier_score": 0.1,
        "eval_log_loss": 40.5,
        "eval_average_probability": 0.7,
        "eval_rms_calibration_error": 0.2,
        "eval_rms_calibration_formula": "confidence",
        "eval_rms_calibration_error_published": None,
        "eval_best_of_n_accuracy": 0.5,
        "eval_easy_accuracy": 1.0,
        "eval_normal_accuracy": 0.5,
        "eval_hard_accuracy": 0.0,
        "eval_ties_score": 0.4,
        "eval_scores": [{"example": 0, "best": [-1.5], "worse": [-2.0, -1.5]}],
        "eval_score": -12.5,
        "dtype": "float32",
        "prompt_format": "chat",
        "system_prompt": "Be brief.",
        "chat_template_kwargs": {"enable_thinking": False},
        "device": "cpu",
        "uses_target_texts": True,
        "assumptions": ["The reward is the mean of 2 outputs."],
        "provenance": {"seconds": 3},
    }
    evaluation, _ = read_evaluation(write(tmp_path, json.dumps(known)))
    assert evaluation.model_dump() == known


def test_a_byte_order_mark_is_no_fault(tmp_path) -> None:
    assert read_evaluation(write(tmp_path, b'\xef\xbb\xbf{"eval_accuracy": 0.5}'))[0].eval_accuracy == 0.5


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(st.text(), st.recursive(st.none() | st.integers() | st.floats() | st.text(), st.lists), max_size=4)
)
def test_whatever_is_accepted_can_be_written_again(tmp_path_factory, extra) -> None:
    folder = tmp_path_factory.getbasetemp()
    path = write(folder, json.dumps({"eval_accuracy": 0.5, **extra}))
    try:
        value = read_evaluation(path)[1]
    except InputError:
        return
    write_json(folder / "again.json", value)
    assert read_evaluation(folder / "again.json")[1] == value


# Every way an evaluation can be wrong


@pytest.mark.parametrize(
    ("accuracy", "message"),
    [
        ("NaN", "expected a finite number, got nan"),
        ("Infinity", "expected a finite number, got inf"),
        ("-Infinity", "expected a finite number, got -inf"),
        ("1e999", "expected a finite number, got inf"),
        ("true", "expected a number, got True"),
        ("false", "expected a number, got False"),
        ('"0.5"', "expected a number, got '0.5'"),
        ("null", "expected a number, got None"),
        ("[0.5]", "expected a number, got [0.5]"),
        ("{}", "expected a number, got {}"),
        ("1.0000001", "expected a number of at most 1.0, got 1.0000001"),
        ("-1e-9", "expected a number of at least 0.0, got -1e-09"),
        ("75", "expected a number of at most 1.0, got 75"),
        ("1" + "0" * 400, "expected a number"),
    ],
)
def test_an_accuracy_that_is_no_share_is_refused(tmp_path, accuracy, message) -> None:
    assert f"field eval_accuracy: {message}" in refusal(tmp_path, f'{{"eval_accuracy": {accuracy}}}')


@pytest.mark.parametrize(
    ("field", "text", "message"),
    [
        ("eval_probabilities", "0.5", "field eval_probabilities: expected a list, got 0.5"),
        ("eval_probabilities", '"0.5"', "field eval_probabilities: expected a list, got '0.5'"),
        ("eval_probabilities", "[0.5, NaN]", "field eval_probabilities.1: expected a finite number, got nan"),
        ("eval_probabilities", "[0.5, 1.5]", "field eval_probabilities.1: expected a number of at most 1.0, got 1.5"),
        ("eval_probabilities", "[true]", "field eval_probabilities.0: expected a number, got True"),
        ("eval_probabilities", "[null]", "field eval_probabilities.0: expected a number, got None"),
        ("eval_example_indices", "[0.5]", "field eval_example_indices.0: expected a whole number, got 0.5"),
        ("eval_example_indices", "[-1]", "field eval_example_indices.0: expected a number of at least 0, got -1"),
        ("eval_example_indices", "[true]", "field eval_example_indices.0: expected a whole number, got True"),
        ("eval_ties", "1.0", "field eval_ties: expected a whole number, got 1.0"),
        ("eval_ties", "-1", "field eval_ties: expected a number of at least 0, got -1"),
        ("eval_ties", "true", "field eval_ties: expected a whole number, got True"),
        ("eval_brier_score", "-0.1", "field eval_brier_score: expected a number of at least 0.0, got -0.1"),
        ("eval_brier_score", "Infinity", "field eval_brier_score: expected a finite number, got inf"),
        ("eval_average_probability", "2", "field eval_average_probability: expected a number of at most 1.0, got 2"),
        ("eval_rms_calibration_error", '""', "field eval_rms_calibration_error: expected a number, got ''"),
        ("eval_rms_calibration_error_published", "NaN", "expected a finite number, got nan"),
        ("eval_rms_calibration_formula", '"ece"', "expected 'confidence', 'weighted' or 'published', got 'ece'"),
        ("eval_log_loss", "-0.5", "expected a number of at least 0.0, got -0.5"),
        ("eval_prompt_clusters", "[-1]", "expected a number of at least 0"),
        ("eval_score", "NaN", "field eval_score: expected a finite number, got nan"),
        ("dtype", "16", "field dtype: expected text, got 16"),
        ("provenance", "[]", "field provenance: expected an object, got []"),
        ("mine", '[[{"a": NaN}]]', "field mine.0.0.a: expected a finite number, got nan"),
        ("", "NaN", "field '': expected a finite number, got nan"),
        ("mine", '"\\ud800"', "field mine: expected text, got half of a surrogate pair"),
        ("\\udfff", "1", "expected a name, got half of a surrogate pair"),
    ],
)
def test_any_other_field_that_is_wrong_is_named(tmp_path, field, text, message) -> None:
    assert message in refusal(tmp_path, f'{{"eval_accuracy": 0.5, "{field}": {text}}}')


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty; expected JSON"),
        (" \n", "is empty; expected JSON"),
        (b"\xef\xbb\xbf", "is empty; expected JSON"),
        ('{"eval_accuracy": 0.5', "truncated: line 1, column 22"),
        ('{"eval_accuracy": 0.', "truncated"),
        ('{"eval_accuracy": 0.5}{}', "not valid JSON"),
        ("{'eval_accuracy': 0.5}", "not valid JSON"),
        ("0.5", "expected an object with eval_accuracy, got 0.5"),
        ("null", "expected an object with eval_accuracy, got None"),
        ('[{"eval_accuracy": 0.5}]', "expected an object with eval_accuracy, got [{"),
        ("{}", "field eval_accuracy is missing; expected a number from 0 to 1"),
        ('{"Eval_accuracy": 0.5}', "field eval_accuracy is missing"),
        ('{"accuracy": 0.5}', "field eval_accuracy is missing"),
        ('{"eval_accuracy": 0.5, "eval_accuracy": 0.9}', "the key 'eval_accuracy' occurs twice"),
        ('{"eval_accuracy": 0.5, "a": [0, {"b": 1, "b": 1}]}', ", at a.1: the key 'b' occurs twice"),
        ('{"a": {"b": 1, "b": 1}, "a": 0}', "the key 'a' occurs twice"),
        ('{"eval_accuracy": 0.5, "a": ' + "[" * 100 + "]" * 100 + "}", "nested too deep"),
        ('{"eval_accuracy": 0.5, "a": ' + '{"b":' * 5000 + "1" + "}" * 5001, "nested too deep"),
        ("[" * 200_000, "nested too deep"),
        ('{"eval_accuracy": 0.5, "a": ' + "1" * 5000 + "}", "limit"),
        ('{"eval_accuracy": 0.5}'.encode("utf-16"), "not UTF-8 text (byte 0)"),
        (b'{"eval_accuracy": 0.5, "a": "\xff"}', "not UTF-8 text (byte 29)"),
        ("\0" * 100, "not valid JSON"),
        (
            '{"eval_accuracy": 0.5, "eval_probabilities": [0.5], "eval_example_indices": [0, 0]}',
            "eval_example_indices has 2 entries, but eval_probabilities has 1",
        ),
        (
            '{"eval_accuracy": 0.5, "eval_probabilities": [0.5, 0.5], "eval_prompt_clusters": [0]}',
            "eval_prompt_clusters has 1 entries, but eval_probabilities has 2",
        ),
    ],
)
def test_a_file_that_is_no_evaluation_is_refused(tmp_path, content, message) -> None:
    assert message in refusal(tmp_path, content)


def test_an_absent_file_and_a_folder_are_refused(tmp_path) -> None:
    for path, message in ((tmp_path / "none.json", "does not exist"), (tmp_path, "is a folder")):
        with pytest.raises(InputError, match=message):
            read_evaluation(path)


def test_a_message_stays_short_whatever_the_value(tmp_path) -> None:
    assert len(refusal(tmp_path, json.dumps({"eval_accuracy": "x" * 10**6}))) < 300 + len(str(tmp_path))
    assert len(refusal(tmp_path, json.dumps({"eval_accuracy": 0, "eval_probabilities": [2] * 10**4}))) < 600


# Command lines


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
    with pytest.raises(InputError, match=f"--{name}: (Input should be|expected a whole number)"):
        parse(
            TrainArguments, ["--model_dir", "m", "--train_distribution", "d", "--output_dir", "o", f"--{name}", value]
        )


def test_the_contract_loads_no_torch() -> None:
    code = (
        "import genies.contract, genies.data.shifts, sys; sys.exit(any(m in sys.modules for m in ('torch', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
