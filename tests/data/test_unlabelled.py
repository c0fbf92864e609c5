"""A target's texts without its labels."""

import json
from pathlib import Path
from typing import Any

import pytest

from genies.data.distribution import Distribution
from genies.data.unlabelled import FILE, unlabelled_pairs, write_unlabelled
from genies.errors import InputError


def write(folder: Path, examples: list[dict[str, Any]]) -> Path:
    folder.mkdir()
    (folder / "train.json").write_text(json.dumps(examples))
    return folder


def labelled(best: bool, number: int, reverse: bool) -> dict[str, Any]:
    responses = {f"yes {number}": float(best), f"no {number}": float(not best)}
    items = list(responses.items())
    label = "first is chosen" if best else "second is chosen"
    return {
        "prompt": f"Question {number}?",
        "responses": dict(items[::-1] if reverse else items),
        "instruction": f"Instruction {number}",
        "id": label,
        "styles": [int(best), int(not best)],
        "note": label,
    }


def test_the_copy_does_not_depend_on_labels_or_on_the_order_of_responses(tmp_path: Path) -> None:
    copies = []
    for best in (True, False):
        for reverse in (True, False):
            name = f"{best}-{reverse}"
            source = write(tmp_path / name, [labelled(best, number, reverse) for number in range(20)])
            write_unlabelled(source, tmp_path / "copies" / name)
            copies.append((tmp_path / "copies" / name / FILE).read_bytes())
    assert len(set(copies)) == 1
    (first, *_) = json.loads(copies[0])
    assert set(first) == {"prompt", "responses", "instruction"}
    assert set(first["responses"]) == {"yes 0", "no 0"}


def test_a_pair_contains_two_responses_in_random_order(tmp_path: Path) -> None:
    source = write(tmp_path / "source", [labelled(True, number, False) for number in range(200)])
    write_unlabelled(source, tmp_path / "copy")
    pairs = unlabelled_pairs(tmp_path / "copy", None, "first", 0)
    assert [each.example_index for each in pairs] == list(range(200))
    assert all({each.best, each.worse} == {f"yes {n}", f"no {n}"} for n, each in enumerate(pairs))
    assert 70 < sum(each.best.startswith("yes") for each in pairs) < 130
    assert pairs == unlabelled_pairs(tmp_path / "copy", None, "first", 0)
    assert pairs != unlabelled_pairs(tmp_path / "copy", None, "first", 1)
    # Chat format takes the user's message from the same fields as with labels.
    assert pairs[3].conversation == Distribution(source).train[3].conversation


def test_samples_with_the_same_seed_are_nested(tmp_path: Path) -> None:
    source = write(tmp_path / "source", [labelled(True, number, False) for number in range(50)])
    write_unlabelled(source, tmp_path / "copy")
    small, large = ({p.example_index for p in unlabelled_pairs(tmp_path / "copy", n, "seeded", 4)} for n in (5, 20))
    assert len(small) == 5
    assert small < large
    assert [each.example_index for each in unlabelled_pairs(tmp_path / "copy", 3, "first", 4)] == [0, 1, 2]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "does not exist"),
        ([], "at least one example"),
        ({}, "an object"),
        ([{"prompt": "a", "responses": ["one"]}], "example 0, field responses"),
        ([{"prompt": "a", "responses": {"one": 1.0, "two": 0.0}}], "example 0, field responses"),
        ([{"responses": ["one", "two"]}], "example 0, field prompt"),
    ],
)
def test_a_damaged_copy_is_an_input_error(tmp_path: Path, content: Any, expected: str) -> None:
    if content is not None:
        (tmp_path / FILE).write_text(json.dumps(content))
    with pytest.raises(InputError) as error:
        unlabelled_pairs(tmp_path, None, "first", 0)
    assert expected in str(error.value)
