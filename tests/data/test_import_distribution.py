"""The import as a whole: nothing leaks or is lost, the same input gives the same bytes, refusals leave no trace."""

from __future__ import annotations

import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genies.data.audit.suite import audit
from genies.data.distribution import Distribution, Example
from genies.data.importing.distribution_writer import Split, prompt_key
from genies.data.importing.importer import Columns, Imported, Rules, import_distribution
from genies.data.importing.sources import open_source
from genies.data.importing.template import DEFAULT, make_template
from genies.errors import InputError

COMMAND = Path(__file__).resolve().parents[2] / "api" / "import_distribution.py"
TEMPLATE = make_template(DEFAULT)


def rows_of(count: int, prompts: int | None = None) -> list[dict[str, Any]]:
    return [
        {"prompt": f"prompt {n % (prompts or count)}", "chosen": f"good {n}", "rejected": f"bad {n}"}
        for n in range(count)
    ]


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def imported(data: Path, folder: Path, split: Split | None = None, **options: Any) -> Imported:
    source = open_source(data)
    layout = Columns().layout_of(source.columns)
    rules = Rules(**{name: options.pop(name) for name in ("json_columns", "skip_malformed") if name in options})
    return import_distribution(source, layout, TEMPLATE, split or Split(0, 0.2), folder, rules=rules, **options)


def texts(examples: list[Example]) -> set[tuple[str, str, tuple[str, ...]]]:
    return {(each.prompt_text, each.best_response, each.worse_responses) for each in examples}


# What is written


def test_every_row_becomes_one_example_that_the_reader_reads(tmp_path: Path) -> None:
    rows = rows_of(100)
    result = imported(write(tmp_path / "d.jsonl", rows), tmp_path / "all" / "mine")
    distribution = Distribution(tmp_path / "all" / "mine")
    assert (result.rows, result.train + result.test, result.prompts) == (100, 100, 100)
    assert (len(distribution.split("train")), len(distribution.split("test"))) == (result.train, result.test)
    assert texts([*distribution.train, *distribution.test]) == {
        (f"### Instruction:\n{row['prompt']}\n\n### Response:\n", row["chosen"], (row["rejected"],)) for row in rows
    }
    assert sorted(each.name for each in (tmp_path / "all" / "mine").iterdir()) == [
        "metadata.json",
        "test.json",
        "train.json",
    ]


def test_the_audit_finds_nothing_to_say_about_clean_data(tmp_path: Path) -> None:
    imported(write(tmp_path / "d.jsonl", rows_of(600)), tmp_path / "all" / "mine")
    findings = audit(tmp_path / "all").findings
    assert {each.rule.value for each in findings} == {"length_baseline", "format_baseline", "bag_of_words_baseline"}


def test_best_responses_stand_at_all_positions(tmp_path: Path) -> None:
    rows = [{**row, "rejected": [row["rejected"], f"worse {n}"]} for n, row in enumerate(rows_of(300))]
    imported(write(tmp_path / "d.jsonl", rows), tmp_path / "mine")
    positions = [example.best[0] for example in Distribution(tmp_path / "mine").train]
    counts = np.bincount(positions, minlength=3)
    assert counts.min() > 230 / 3 - 4 * np.sqrt(230 * 2 / 9)  # four standard deviations


def test_every_example_says_which_row_it_was(tmp_path: Path) -> None:
    rows = rows_of(30)
    imported(write(tmp_path / "d.jsonl", rows), tmp_path / "mine")
    for name in ("train", "test"):
        for example in json.loads((tmp_path / "mine" / f"{name}.json").read_text()):
            assert rows[example["row"]]["chosen"] in example["responses"]


def test_metadata_says_where_it_comes_from_and_how_it_was_made(tmp_path: Path) -> None:
    data = write(tmp_path / "d.jsonl", [*rows_of(50), {"prompt": "p", "chosen": None, "rejected": "x"}])
    about = {"source": "https://example.org/data", "license": "CC0"}
    imported(data, tmp_path / "mine", Split(7, 0.1), about=about, skip_malformed=True)
    metadata = Distribution(tmp_path / "mine").metadata
    assert metadata["id"] == "mine"
    assert (metadata["source"], metadata["license"], metadata["seed"]) == ("https://example.org/data", "CC0", 7)
    assert metadata["template"] == "### Instruction:\n{prompt}\n\n### Response:\n"
    assert metadata["counts"] == {
        "rows": 51,
        "left_out": {"chosen": 1},
        "ties": 0,
        "parting": 0,
        "in_both": 0,
        "prompts": 50,
        "train": 43,
        "test": 7,
        "responses": {"2": 50},
    }
    assert metadata["data"]["files"][0]["name"] == "d.jsonl"
    assert str(tmp_path) not in json.dumps(metadata)


def test_the_same_data_gives_the_same_bytes_and_another_seed_another_order(tmp_path: Path) -> None:
    data = write(tmp_path / "d.jsonl", rows_of(200))
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        imported(data, tmp_path / name / "mine", Split(seed, 0.25))
    read = {
        name: [(tmp_path / name / "mine" / file).read_bytes() for file in ("train.json", "test.json", "metadata.json")]
        for name in "abc"
    }
    assert read["a"] == read["b"]
    assert read["a"] != read["c"]
    assert texts(Distribution(tmp_path / "a" / "mine").test) == texts(Distribution(tmp_path / "c" / "mine").test)


def test_at_most_so_many_examples_are_kept(tmp_path: Path) -> None:
    data = write(tmp_path / "d.jsonl", rows_of(1000))
    result = imported(data, tmp_path / "mine", Split(0, 0.5, 60, 25))
    assert (result.train, result.test) == (60, 25)
    kept = [example["row"] for example in json.loads((tmp_path / "mine" / "train.json").read_text())]
    assert max(kept) > 500  # not the first rows alone


# The split


@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=60),
    st.floats(0.01, 0.99),
    st.integers(0, 2**70),
)
def test_no_prompt_ever_stands_in_both_splits(keys: list[int], share: float, seed: int) -> None:
    split = Split(seed, share)
    if len(set(keys)) < 2:
        with pytest.raises(InputError, match="expected at least 2"):
            split.divide(keys)
        return
    train, test = split.divide(keys)
    assert sorted([*train.tolist(), *test.tolist()]) == list(range(len(keys)))
    assert len(train) > 0 < len(test)
    assert not {keys[position] for position in train} & {keys[position] for position in test}


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text("ab \n", min_size=1, max_size=2).filter(str.strip), min_size=3, max_size=25), st.integers(0, 9))
def test_an_imported_distribution_never_leaks(prompts: list[str], seed: int) -> None:
    if len({" ".join(prompt.split()) for prompt in prompts}) < 2:
        return
    with tempfile.TemporaryDirectory() as folder:
        rows = [{"prompt": prompt, "chosen": "yes", "rejected": "no"} for prompt in prompts]
        imported(write(Path(folder, "d.jsonl"), rows), Path(folder, "mine"), Split(seed, 0.3))
        distribution = Distribution(Path(folder, "mine"))
        train, test = ([example.prompt for example in split] for split in (distribution.train, distribution.test))
        assert train
        assert test
        assert not set(train) & set(test)
        filled = sorted(f"### Instruction:\n{prompt}\n\n### Response:\n" for prompt in prompts)
        assert sorted(train + test) == filled


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_a_prompts_split_depends_on_nothing_but_the_prompt_and_the_share(share: float) -> None:
    keys = [prompt_key(f"prompt {number}") for number in range(2000)]
    _, test = Split(1, share).divide(keys)
    assert abs(len(test) - share * 2000) < 4 * np.sqrt(2000 * share * (1 - share))  # four standard deviations
    of_test = {keys[place] for place in test}
    for seed, some in ((2, keys[:1000]), (3, keys[700:])):
        _, again = Split(seed, share).divide(some)
        assert {some[place] for place in again} == of_test & set(some)
    assert prompt_key("Two  Words\n") == prompt_key("two words") != prompt_key("two word")


def test_a_share_of_one_makes_a_target_without_a_train_split(tmp_path: Path) -> None:
    made = imported(write(tmp_path / "d.jsonl", rows_of(3)), tmp_path / "mine", Split(0, 1))
    assert (made.train, made.test) == (0, 3)
    assert not (tmp_path / "mine" / "train.json").exists()
    with pytest.raises(InputError, match=r"train\.json does not exist"):
        _ = Distribution(tmp_path / "mine").train
    assert [each.rule for each in audit(tmp_path / "mine").findings if each.split == "train"] == []


# Refusals


def test_malformed_rows_are_named_and_nothing_is_written(tmp_path: Path) -> None:
    rows: list[Any] = rows_of(20)
    rows[3] = {**rows[3], "chosen": 5}
    rows[17] = {**rows[17], "rejected": rows[17]["chosen"]}
    data = write(tmp_path / "d.jsonl", rows)
    with pytest.raises(InputError) as caught:
        imported(data, tmp_path / "all" / "mine")
    message = str(caught.value)
    assert "row 3, field chosen: expected text or a list of messages, got a number" in message
    assert "row 17, field rejected: expected different responses, got the same text as in chosen" in message
    assert list((tmp_path / "all").iterdir()) == []
    result = imported(data, tmp_path / "all" / "mine", skip_malformed=True)
    assert (result.rows, result.train + result.test, result.left_out) == (20, 18, {"chosen": 1, "rejected": 1})


def test_a_hopeless_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    data = write(tmp_path / "d.jsonl", [{"prompt": "p", "chosen": n, "rejected": "r"} for n in range(1000)])
    with pytest.raises(InputError, match=r"row 4, [^;]*; \.\.\.\. Nothing was written"):
        imported(data, tmp_path / "mine")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"prompt": "p", "chosen": "a", "rejected": "b"}] * 9, "the data has 1 distinct prompts; expected at least 2"),
        (
            [{"question": "p", "answer": "a"}],
            r"no column 'chosen' \(--chosen_column\); its columns are question, answer",
        ),
        ([{"prompt": "p", "responses": ["a", "b"]}], "row 0, field responses.0.: expected an object with score"),
        ([{"prompt": "p", "chosen": "c"}], r"no column 'rejected' \(--rejected_column\)"),
    ],
)
def test_data_that_cannot_become_a_distribution(tmp_path: Path, rows: list[Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        imported(write(tmp_path / "d.jsonl", rows), tmp_path / "mine")
    assert not (tmp_path / "mine").exists()


def test_only_malformed_rows_give_no_distribution(tmp_path: Path) -> None:
    data = write(tmp_path / "d.jsonl", [{"prompt": "p", "chosen": "", "rejected": "r"}] * 3)
    with pytest.raises(InputError, match="has 3 rows, but no valid example"):
        imported(data, tmp_path / "mine", skip_malformed=True)


# The folder


def test_a_distribution_is_never_written_over_unless_asked(tmp_path: Path) -> None:
    imported(write(tmp_path / "a.jsonl", rows_of(10)), tmp_path / "mine")
    before = (tmp_path / "mine" / "train.json").read_bytes()
    (tmp_path / "mine" / "note.txt").write_text("mine")
    other = write(tmp_path / "b.jsonl", rows_of(50))
    with pytest.raises(InputError, match=r"exists; .*--overwrite True"):
        imported(other, tmp_path / "mine")
    assert (tmp_path / "mine" / "train.json").read_bytes() == before
    with pytest.raises(InputError, match="malformed"):
        imported(write(tmp_path / "c.jsonl", [*rows_of(9), {}]), tmp_path / "mine", overwrite=True)
    assert (tmp_path / "mine" / "train.json").read_bytes() == before
    imported(other, tmp_path / "mine", overwrite=True)
    assert len(Distribution(tmp_path / "mine").train) > 30
    assert not (tmp_path / "mine" / "note.txt").exists()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.jsonl", "b.jsonl", "c.jsonl", "mine"]


def test_what_is_no_distribution_is_never_replaced(tmp_path: Path) -> None:
    data = write(tmp_path / "d.jsonl", rows_of(10))
    for make in (
        lambda path: (path.mkdir(), (path / "thesis.tex").write_text("x")),
        lambda path: path.write_text("a file"),
        lambda path: path.symlink_to(tmp_path / "elsewhere"),
    ):
        target = tmp_path / "target"
        make(target)
        with pytest.raises(InputError, match="--output_dir"):
            imported(data, target, overwrite=True)
        assert target.is_symlink() or target.exists()
        target.unlink() if not target.is_dir() else target.rename(tmp_path / "moved")
    (tmp_path / "empty").mkdir()
    imported(data, tmp_path / "empty")
    assert len(Distribution(tmp_path / "empty").test) == 2


def test_what_a_run_killed_between_two_renames_took_away_comes_back(tmp_path: Path) -> None:
    imported(write(tmp_path / "a.jsonl", rows_of(10)), tmp_path / "mine")
    before = (tmp_path / "mine" / "train.json").read_bytes()
    (tmp_path / ".mine.import").mkdir()
    (tmp_path / "mine").rename(tmp_path / ".mine.import" / "old")
    with pytest.raises(InputError, match="exists"):
        imported(tmp_path / "a.jsonl", tmp_path / "mine")
    assert (tmp_path / "mine" / "train.json").read_bytes() == before


def test_a_killed_import_leaves_nothing_to_be_taken_for_a_distribution(tmp_path: Path) -> None:
    write(tmp_path / "long.jsonl", rows_of(100_000))
    process = subprocess.Popen(
        [sys.executable, str(COMMAND), "--data_path", "long.jsonl", "--output_dir", "all/mine"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "all" / ".mine.import" / "new").exists() and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    left = {each.name for each in (tmp_path / "all").rglob("*") if each.is_file()}
    assert left <= {".mine.import.lock", "test.json", "train.json"}  # what was spooled went with the process
    assert not (tmp_path / "all" / "mine").exists()
    imported(write(tmp_path / "d.jsonl", rows_of(10)), tmp_path / "all" / "mine")
    assert [each.name for each in (tmp_path / "all").iterdir()] == ["mine"]


def bomb(path: Path, size: int) -> Path:
    """Parquet of a few kilobytes whose 2,000 rows hold three texts of `size` characters each."""
    numbers = pa.array([number % 2 for number in range(2000)], pa.int32())
    columns = {
        name: pa.DictionaryArray.from_arrays(numbers, [f"{name} x{'x' * size}", f"{name} y{'y' * size}"])
        for name in ("prompt", "chosen", "rejected")
    }
    pq.write_table(pa.table(columns), path, compression="gzip")
    return path


def test_data_that_grows_out_of_proportion_is_refused_before_it_fills_the_disk(tmp_path: Path) -> None:
    path = bomb(tmp_path / "bomb.parquet", 100_000)
    assert path.stat().st_size < 20_000
    with pytest.raises(InputError, match=r"row 22\d: the examples take more than 67,108,864 bytes"):
        imported(path, tmp_path / "mine")
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    assert imported(bomb(path, 1000), tmp_path / "mine").rows == 2000  # only six megabytes


@pytest.mark.parametrize("name", ["pipe.jsonl", "pipe.csv", "pipe.parquet", "pipe.arrow", "pipe.jsonl.gz"])
def test_data_that_is_no_regular_file_is_refused_and_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(InputError, match="is a named pipe; expected a regular file"):
        imported(tmp_path / name, tmp_path / "mine")


# The command


def run(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[Any, str, str]:
    monkeypatch.setattr(sys, "argv", [str(COMMAND), *arguments])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(COMMAND), run_name="__main__")
    return ended.value.code, *capsys.readouterr()


def test_the_command_from_a_csv_of_conversations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = ["liked,disliked"]
    for n in range(10):
        chats = [
            json.dumps([{"role": "user", "content": f"q{n}"}, {"role": "assistant", "content": text}])
            for text in ("yes", "no")
        ]
        lines.append(",".join('"' + text.replace('"', '""') + '"' for text in chats))
    (tmp_path / "d.csv").write_text("\n".join(lines))
    code, out, error = run(
        [
            *("--data_path", "d.csv", "--output_dir", "all/mine/", "--chosen_column", "liked"),
            *("--rejected_column", "disliked", "--json_columns", '["liked", "disliked"]'),
            *("--template", r"Q: {prompt}\nA: ", "--license", "MIT", "--seed", "5", "--test_share", "0.3"),
        ],
        monkeypatch,
        capsys,
    )
    assert (code, error) == (0, "")
    assert "10 rows, 10 distinct prompts" in out
    assert "6 train and 4 test examples" in out
    distribution = Distribution("all/mine")
    assert {example.prompt for example in distribution.train + distribution.test} == {
        f"Q: q{n}\nA: " for n in range(10)
    }
    assert (distribution.metadata["source"], distribution.metadata["license"]) == ("d.csv", "MIT")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--data_path": "none.jsonl"}, "none.jsonl does not exist"),
        ({"--output_dir": "/"}, "--output_dir"),
        ({"--output_dir": "d.jsonl/mine"}, "is not a folder"),
        ({"--template": "Q"}, "--template: expected {prompt} once"),
        ({"--test_share": "1.1"}, "--test_share: expected at most 1"),
        ({"--test_share": "nan"}, "--test_share"),
        ({"--max_test_examples": "0"}, "--max_test_examples"),
        ({"--seed": "-5"}, "--seed: expected at least 0"),
        ({"--format": "xml"}, "--format"),
        ({"--format": "parquet"}, "d.jsonl is damaged or has another format"),
        ({"--layout": "scores"}, "no column 'responses' (--responses_column)"),
        ({"--prompt_column": "question"}, "field chosen: expected a conversation"),
    ],
)
def test_bad_arguments_end_with_one_message_and_status_2(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: dict[str, str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "d.jsonl", rows_of(10))
    arguments = {"--data_path": "d.jsonl", "--output_dir": "mine", **change}
    code, out, error = run([item for pair in arguments.items() for item in pair], monkeypatch, capsys)
    assert (code, out) == (2, "")
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1
    assert sorted(each.name for each in tmp_path.iterdir()) == ["d.jsonl"]
