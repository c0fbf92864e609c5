"""Transformed distributions: what changes, what does not, and that the best response is the same."""

from __future__ import annotations

import doctest
import importlib
import json
from pathlib import Path

import pytest

from genies.command_line import parse
from genies.commands.transform_distribution import TransformDistributionArguments, main
from genies.data.conversation import Message
from genies.data.distribution import Distribution, Example, read_example
from genies.data.shifts import read_shifts
from genies.data.transforming import TRANSFORMATIONS, transformed, typos
from genies.errors import InputError
from tests.support.project import ROOT

STARTER = ROOT / "distributions" / "starter_long_right"
PLAIN = Example(3, "### Instruction:\nName a river.\n\n### Response:\n", ("The Nile. It is long.", "Sand."), (0,))


def run(*items: str) -> int:
    return main(parse(TransformDistributionArguments, list(items)), ROOT)


def test_every_transformation_keeps_the_examples_and_which_response_is_best(tmp_path: Path) -> None:
    shifts = tmp_path / "shifts.json"
    for _ in range(2):
        names = json.dumps(list(TRANSFORMATIONS))
        items = ["--distribution", str(STARTER), "--name", names, "--output_dir", str(tmp_path / "all")]
        assert run(*items, "--shifts_path", str(shifts), "--overwrite", "True") == 0
    before = Distribution(STARTER)
    for shift, name in zip(read_shifts(shifts), TRANSFORMATIONS, strict=True):
        assert (shift.source, shift.label, shift.category) == ("starter_long_right", "probing", name)
        after = Distribution(tmp_path / "all" / shift.target)
        assert after.metadata["transformation"] == name
        assert (len(after.train), len(after.test)) == (len(before.train), len(before.test))
        for old, new in zip(before.test, after.test, strict=True):
            assert name.startswith("prompt_") or old.prompt == new.prompt
            assert len(new.best) == len(old.best) == 1
            letters = [sorted(filter(str.isalpha, each.best_response.casefold())) for each in (old, new)]
            assert letters[0] == letters[1] or name == "shorten_best"
        changed = [old.prompt != new.prompt or old.responses != new.responses
                   for old, new in zip(before.test, after.test, strict=True)]  # fmt: skip
        assert any(changed)


@pytest.mark.parametrize(
    ("name", "prompt", "best", "worse"),
    [
        ("upper_case", None, "THE NILE. IT IS LONG.", "SAND."),
        ("lower_case", None, "the nile. it is long.", "sand."),
        ("quotes", None, '"The Nile. It is long."', '"Sand."'),
        ("markdown", None, "- The Nile.\n- It is long.", "- Sand."),
        ("shorten_best", None, "The Nile.", "Sand."),
        (
            "pad_worse",
            None,
            "The Nile. It is long.",
            "Sand. Please let me know if there is anything else that I can do for you.",
        ),
        ("prompt_upper_case", "NAME A RIVER.", "The Nile. It is long.", "Sand."),
        ("prompt_white_space", "Name  a  river.", "The Nile. It is long.", "Sand."),
    ],
)
def test_what_becomes_of_texts(name: str, prompt: str | None, best: str, worse: str) -> None:
    entry = transformed(PLAIN, name)
    assert entry is not None
    assert entry["prompt"] == f"### Instruction:\n{prompt or 'Name a river.'}\n\n### Response:\n"
    assert entry["responses"] == {best: 1.0, worse: 0.0}


def test_a_conversation_changes_in_its_last_message() -> None:
    turns = (Message("user", "Hello"), Message("assistant", "Hi."), Message("user", "Who?"))
    entry = transformed(Example(0, turns, ("a", "b"), (1,), id="tied:1", styles=(1, 0)), "prompt_upper_case")
    assert entry is not None
    again = read_example(entry, 0, Path("x.json"))
    assert again.prompt == (*turns[:2], Message("user", "WHO?"))
    assert (again.best, again.id, again.styles) == ((1,), "tied:1", (1, 0))


def test_typos_keep_the_letters_and_are_the_same_each_time() -> None:
    text = "Several ordinary sentences contain letters that could change places, and numbers such as 12345 do not."
    assert typos(text) == typos(text) != text
    assert sorted(typos(text)) == sorted(text)
    assert "12345" in typos(text)
    assert typos("a bc") == "a bc"


def test_responses_that_become_equal_are_left_out_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    entries = [{"prompt": "p", "responses": {"Yes": 1.0, "YES": 0.0}}, {"prompt": "q", "responses": {"a": 1, "b": 0}}]
    (folder / "test.json").write_text(json.dumps(entries))
    items = ["--distribution", str(folder), "--output_dir", str(tmp_path / "all")]
    assert run(*items, "--name", "upper_case") == 0
    assert "1 test examples; 1 left out, whose responses became equal" in capsys.readouterr().out
    with pytest.raises(InputError, match="exists"):
        run(*items, "--name", "upper_case")
    (folder / "test.json").write_text(json.dumps(entries[:1]))
    with pytest.raises(InputError, match="after lower_case, no example has different responses"):
        run(*items, "--name", "lower_case")
    with pytest.raises(InputError, match="--name"):
        run(*items, "--name", "rot13")
    with pytest.raises(InputError, match="--name is missing"):
        run(*items)


def test_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--list_transformations", "True") == 0
    assert capsys.readouterr().out.count("\n") == len(TRANSFORMATIONS)


@pytest.mark.parametrize(
    "name",
    ["conversation", "transforming", "importing.suites", "importing.transcripts", "evaluated"],
)
def test_examples_in_docstrings(name: str) -> None:
    found = doctest.testmod(importlib.import_module(f"genies.data.{name}"))
    assert (found.failed, found.attempted > 0) == (0, True)
