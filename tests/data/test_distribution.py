import json
import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genies.data.distribution import Distribution, Example, Pair, one_pair_per_example, pairs, read_split
from genies.data.shifts import folders, read_shifts, resolve
from genies.errors import InputError

PROJECT = Path(__file__).resolve().parents[2]
GOOD = {"prompt": "2 + 2 = ", "responses": {"4": 1.0, "5": 0.0}}


def write(folder: Path, value: object, name: str = "train.json") -> Path:
    path = folder / name
    data = value if isinstance(value, bytes) else (value if isinstance(value, str) else json.dumps(value)).encode()
    path.write_bytes(data)
    return path


# What is read


def test_an_example_keeps_its_texts_and_the_order_of_its_responses(tmp_path) -> None:
    responses = {"no ": 0.0, "yes": 1.0, "No ": 0.0, "": 0}
    write(tmp_path, [{"prompt": " é\n", "responses": responses, "extra": [1]}, GOOD])
    assert Distribution(tmp_path).train == [
        Example(0, " é\n", ("no ", "yes", "No ", ""), (1,)),
        Example(1, "2 + 2 = ", ("4", "5"), (0,)),
    ]


def test_best_and_worse_responses_keep_file_order() -> None:
    example = Example(0, "p", ("a", "b", "c", "d"), (2,))
    assert (example.best_response, example.worse_responses) == ("c", ("a", "b", "d"))


def test_only_the_three_files_of_a_distribution_are_read(tmp_path) -> None:
    write(tmp_path, [GOOD], "train.json")
    write(tmp_path, [GOOD, GOOD], "test.json")
    for stray in ("extra.json", "train-copy.json", ".train.json.swp"):
        write(tmp_path, "not JSON", stray)
    distribution = Distribution(tmp_path)
    assert (len(distribution.train), len(distribution.test), distribution.metadata) == (1, 2, {})


def test_a_missing_split_is_no_fault_until_it_is_asked_for(tmp_path) -> None:
    write(tmp_path, [GOOD], "test.json")
    distribution = Distribution(tmp_path)
    assert len(distribution.test) == 1
    with pytest.raises(InputError, match=r"train\.json does not exist.* source .*target_reference"):
        distribution.split("train")


def test_the_folder_gives_the_name_whatever_its_spelling(tmp_path, monkeypatch) -> None:
    folder = tmp_path / "räven 1%"
    folder.mkdir()
    write(folder, {"id": "other"}, "metadata.json")
    monkeypatch.chdir(folder)
    for spelling in (folder, f"{folder}/", f"{folder}//", ".", "./", "../räven 1%/"):
        assert Distribution(spelling).name == "räven 1%"
    assert Distribution("..").name == tmp_path.name


def test_the_first_examples_of_a_split(tmp_path) -> None:
    write(tmp_path, [GOOD] * 3)
    distribution = Distribution(tmp_path)
    assert [len(distribution.split("train", count)) for count in (None, 1, 3, 9)] == [3, 1, 3, 3]


def test_a_training_sample_follows_the_seed_and_is_part_of_a_larger_one(tmp_path) -> None:
    write(tmp_path, [GOOD] * 200)
    distribution = Distribution(tmp_path)

    def drawn(count, seed):
        return [example.index for example in distribution.training_sample(count, "seeded", seed)]

    small, large = drawn(50, 1), drawn(120, 1)
    assert len(set(small)) == 50
    assert small == sorted(small) != list(range(50))
    assert set(small) < set(large)
    random.seed(5)
    assert drawn(50, 1) == small
    assert drawn(50, 2) != small
    # Every example has the same chance: of 400 draws of a quarter, each is in about 100.
    seen = Counter(index for seed in range(400) for index in drawn(50, seed))
    assert len(seen) == 200
    assert 60 < min(seen.values()) <= max(seen.values()) < 140
    for sample in ("first", "seeded"):
        everything = distribution.training_sample(None, sample, 3)
        assert [example.index for example in everything] == list(range(200))
        assert distribution.training_sample(999, sample, 3) == everything
    assert [example.index for example in distribution.training_sample(3, "first", 1)] == [0, 1, 2]


def test_an_empty_split_is_refused_when_it_is_needed(tmp_path) -> None:
    write(tmp_path, [])
    assert Distribution(tmp_path).train == []
    with pytest.raises(InputError, match=r"train\.json has no examples"):
        Distribution(tmp_path).split("train")


# Pairs


def test_pairs_by_hand() -> None:
    examples = [Example(0, "p", ("a", "b", "c"), (1,)), Example(7, "q", ("d", "e"), (0,))]
    assert pairs(examples) == [Pair(0, "p", "b", "a"), Pair(0, "p", "b", "c"), Pair(7, "q", "d", "e")]


def test_every_best_response_is_paired_with_every_worse_one() -> None:
    several = Example(3, "p", ("a", "b", "c", "d"), (0, 2), id="tied:1", styles=(0, 0, 1, 1))
    tie = Example(4, "q", ("a", "b"), (0, 1))
    found = pairs([several, tie])
    assert [(pair.best, pair.worse) for pair in found] == [("a", "b"), ("a", "d"), ("c", "b"), ("c", "d")]
    assert [pair.difficulty for pair in found] == ["normal", "hard", "easy", "normal"]
    assert {pair.example_id for pair in found} == {"tied:1"}
    drawn = {(pair.best, pair.worse) for seed in range(40) for pair in one_pair_per_example([several, tie], seed)}
    assert drawn == {(pair.best, pair.worse) for pair in found}


examples_strategy = st.lists(
    st.lists(st.text(), min_size=2, max_size=4, unique=True).flatmap(
        lambda texts: st.integers(0, len(texts) - 1).map(lambda best: (tuple(texts), best))
    ),
    max_size=20,
).map(lambda made: [Example(index, f"prompt {index}", texts, (best,)) for index, (texts, best) in enumerate(made)])


@settings(max_examples=40, deadline=None)
@given(examples_strategy, st.integers(0, 2**32 - 1))
def test_training_draws_one_of_the_pairs_of_each_example(examples, seed) -> None:
    drawn = one_pair_per_example(examples, seed)
    assert [pair.example_index for pair in drawn] == [example.index for example in examples]
    assert set(drawn) <= set(pairs(examples))
    assert drawn == one_pair_per_example(examples, seed)


def test_the_drawn_pairs_depend_on_the_seed_alone_and_reach_every_response() -> None:
    examples = [Example(index, "p", ("a", "b", "c", "d"), (index % 4,)) for index in range(300)]
    drawn = one_pair_per_example(examples, 1)
    random.seed(5)
    assert one_pair_per_example(examples, 1) == drawn
    assert one_pair_per_example(examples, 2) != drawn
    assert {(pair.best, pair.worse) for pair in drawn} == {(b, w) for b in "abcd" for w in "abcd" if b != w}


# What is refused

MALFORMED = [
    (3, "expected an object with prompt and responses, got a number"),
    (None, "expected an object with prompt and responses, got null"),
    (["p"], "expected an object with prompt and responses, got a list"),
    ({}, "field prompt: expected text or a list of messages, got nothing"),
    ({**GOOD, "prompt": None}, "field prompt: expected text or a list of messages, got null"),
    ({**GOOD, "prompt": 3}, "field prompt: expected text or a list of messages, got a number"),
    ({**GOOD, "prompt": ["p"]}, "field prompt: message 0: expected an object with role and content, got text"),
    ({**GOOD, "prompt": []}, "field prompt: expected a conversation that ends with the user's turn, got an empty list"),
    ({**GOOD, "prompt": [{"role": "user"}]}, "field prompt: message 0: expected an object with role and content"),
    ({**GOOD, "prompt": [{"role": "tool", "content": "x"}]}, "message 0: expected the role system, user or assistant"),
    ({**GOOD, "prompt": [{"role": "user", "content": ["x"]}]}, "message 0: expected text as content, got a list"),
    ({**GOOD, "prompt": [{"role": "user", "content": "\ud800"}]}, "message 0: contains half of a surrogate pair"),
    (
        {**GOOD, "prompt": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]},
        "expected a conversation that ends with the user's turn, got one that ends with the role assistant",
    ),
    (
        {**GOOD, "prompt": [{"role": role, "content": "x"} for role in ("user", "system", "user")]},
        "expected a system message only at the beginning",
    ),
    ({**GOOD, "prompt": "\ud800"}, "field prompt: contains half of a surrogate pair"),
    ({"prompt": "p"}, "field responses: expected an object {response text: 1.0 or 0.0}, got nothing"),
    ({"prompt": "p", "responses": None}, "field responses: expected an object {response text: 1.0 or 0.0}, got null"),
    ({"prompt": "p", "responses": ["a", "b"]}, "field responses: expected an object"),
    ({"prompt": "p", "responses": {}}, "field responses: expected at least 2 responses, got 0"),
    ({"prompt": "p", "responses": {"a": 1.0}}, "field responses: expected at least 2 responses, got 1"),
    ({"prompt": "p", "responses": {"a": 0.0, "b": 0.0}}, "field responses: expected at least one best response"),
    ({"prompt": "p", "responses": {"a": 1.0, "b": 0.5}}, "every label to be 1.0 (best) or 0.0, got 0.5"),
    ({"prompt": "p", "responses": {"a": 1.0, "b": -1}}, "every label to be 1.0 (best) or 0.0, got -1"),
    ({"prompt": "p", "responses": {"a": True, "b": False}}, "every label to be 1.0 (best) or 0.0, got True"),
    ({"prompt": "p", "responses": {"a": "1.0", "b": 0.0}}, "every label to be 1.0 (best) or 0.0, got '1.0'"),
    ({"prompt": "p", "responses": {"a": 1.0, "b": None}}, "every label to be 1.0 (best) or 0.0, got None"),
    ({"prompt": "p", "responses": {"a": 1.0, "b": float("nan")}}, "every label to be 1.0 (best) or 0.0, got nan"),
    ({"prompt": "p", "responses": {"a": 1.0, "b": [0]}}, "every label to be 1.0 (best) or 0.0, got [0]"),
    ({"prompt": "p", "responses": {"a": 1.0, "\udfff": 0.0}}, "field responses: contains half of a surrogate pair"),
]


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize(("example", "message"), MALFORMED)
def test_a_malformed_example_is_named_with_its_file_its_index_and_its_field(tmp_path, split, example, message) -> None:
    path = write(tmp_path, [GOOD, GOOD, example, GOOD], f"{split}.json")
    with pytest.raises(InputError) as caught:
        Distribution(tmp_path).split(split)
    assert f"{path}, example 2" in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        ("{}", "contains an object; expected a list of examples"),
        ("null", "contains null; expected a list of examples"),
        ('"text"', "contains text"),
        (json.dumps([GOOD])[:-5], "truncated"),
        (json.dumps([GOOD]).encode("utf-16"), "not UTF-8"),
        (b'[{"prompt": "\xe9"}]', "not UTF-8 text (byte 13)"),
        ("[" * 100_000, "nested too deep"),
        (f"[{json.dumps(GOOD)}, {'[' * 200 + ']' * 200}]", "nested too deep"),
        (
            f'[{json.dumps(GOOD)}, {{"prompt": "p", "responses": {{"a": 1.0, "a": 0.0}}}}]',
            "at 1.responses: the key 'a'",
        ),
        (f'[{json.dumps(GOOD)}, {{"prompt": "p", "prompt": "q"}}]', "at 1: the key 'prompt' occurs twice"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, content, message) -> None:
    path = write(tmp_path, content, "test.json")
    with pytest.raises(InputError) as caught:
        Distribution(tmp_path).split("test")
    assert f"distribution file {path}" in str(caught.value)
    assert message in str(caught.value)


def test_a_byte_order_mark_is_no_fault(tmp_path) -> None:
    assert len(read_split(write(tmp_path, b"\xef\xbb\xbf" + json.dumps([GOOD]).encode()))) == 1


@pytest.mark.parametrize("content", ["[]", "3", "null", "{", ""])
def test_metadata_is_an_object_when_it_is_there(tmp_path, content) -> None:
    write(tmp_path, content, "metadata.json")
    with pytest.raises(InputError, match=r"metadata .*metadata\.json"):
        _ = Distribution(tmp_path).metadata


def test_a_folder_that_is_absent_is_named_with_advice(tmp_path) -> None:
    for path in (tmp_path / "none", write(tmp_path, "", "file")):
        with pytest.raises(InputError, match=rf"distribution folder {path} does not exist; .*download_data"):
            Distribution(path)


def test_a_folder_in_place_of_a_split_is_refused(tmp_path) -> None:
    (tmp_path / "train.json").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        Distribution(tmp_path).split("train")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.fixed_dictionaries({"prompt": inner, "responses": inner})
        | st.dictionaries(st.text(), st.sampled_from([0.0, 1.0, 1, 0]) | inner, max_size=4)
    ),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(json_values, max_size=3) | json_values)
def test_whatever_a_split_holds_it_is_read_or_refused_with_a_message(tmp_path_factory, value) -> None:
    path = write(tmp_path_factory.getbasetemp(), value, "any.json")
    try:
        examples, message = read_split(path), None
    except InputError as error:
        examples, message = [], str(error)
    assert message is None or str(path) in message
    assert all(len(example.responses) == len(example.worse_responses) + 1 for example in examples)


# The official data


def test_the_official_distributions_are_read_whole(official_distributions: Path) -> None:
    folders = [path for path in sorted(official_distributions.iterdir()) if not path.name.startswith(".")]
    distributions = [Distribution(path) for path in folders]
    assert len(distributions) == 66
    assert sum(len(each.train) for each in distributions) == 45_237
    assert sum(len(each.test) for each in distributions) == 18_996
    assert sum((len(each.train), len(each.test)) == (600, 250) for each in distributions) == 55
    for each in distributions:
        for split in (each.train, each.test):
            assert len({len(example.responses) for example in split}) == 1
            assert len(pairs(split)) == len(split) * (len(split[0].responses) - 1)
        assert isinstance(each.metadata, dict)


def test_every_name_in_the_shift_files_is_an_official_distribution(official_distributions: Path) -> None:
    names = folders(read_shifts(PROJECT / "distribution_shifts" / "all.json"), official_distributions)
    assert all(
        (resolve(name, official_distributions) / split).is_file()
        for name in names
        for split in ("train.json", "test.json")
    )
