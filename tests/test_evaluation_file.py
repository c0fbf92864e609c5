import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genies.errors import InputError
from genies.evaluation_file import read_evaluation
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
