"""Preference data in files of every format, whole, malformed and damaged."""

from __future__ import annotations

import contextlib
import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genies.data.importing.rows import MAX_ROW_BYTES, Malformed
from genies.data.importing.sources import open_source
from genies.errors import InputError

ROWS: list[dict[str, Any]] = [
    {"prompt": "two\nlines", "chosen": 'a "quoted", word', "rejected": "b\r\nc"},
    {"prompt": "é 漢 \u2028", "chosen": " padded ", "rejected": "NA"},
    {"prompt": "42", "chosen": "null", "rejected": "true"},
]
CHATS = [{"chosen": [{"role": "user", "content": f"q{n}"}, {"role": "assistant", "content": "a"}]} for n in range(3)]


def write_jsonl(path: Path, rows: list[Any]) -> Path:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def write_csv(path: Path, rows: list[dict[str, Any]], delimiter: str = ",") -> Path:
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_parquet(path: Path, rows: list[Any], **options: Any) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path, **options)
    return path


def write_arrow(path: Path, rows: list[Any], file_form: bool = False) -> Path:
    table = pa.Table.from_pylist(rows)
    with (pa.ipc.new_file if file_form else pa.ipc.new_stream)(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    return path


def write_datasets(folder: Path, rows: list[Any]) -> Path:
    """As `Dataset.save_to_disk` of the `datasets` library lays it out, in two shards."""
    folder.mkdir(parents=True)
    half = len(rows) // 2
    names = [f"data-{n:05}-of-00002.arrow" for n in range(2)]
    for name, part in zip(names, (rows[:half], rows[half:]), strict=True):
        write_arrow(folder / name, part)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in names]}))
    (folder / "dataset_info.json").write_text("{}")
    (folder / "cache-1.arrow").write_bytes(b"a stray")
    return folder


def read(path: Path, *arguments: Any, wanted: tuple[str, ...] = ("prompt", "chosen", "rejected")) -> list[Any]:
    source = open_source(path, *arguments)
    rows = list(source.rows(wanted))
    assert [row.number for row in rows] == list(range(len(rows)))
    return [row.values for row in rows]


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: write_jsonl(folder / "d.jsonl", ROWS),
        lambda folder: write_jsonl(folder / "d.jsonl.gz", ROWS),
        lambda folder: write_jsonl(folder / "d.v1.JSON", ROWS),
        lambda folder: write_csv(folder / "d.csv", ROWS),
        lambda folder: write_csv(folder / "d.tsv", ROWS, "\t"),
        lambda folder: write_parquet(folder / "d.parquet", ROWS),
        lambda folder: write_parquet(folder / "d.parquet", ROWS, row_group_size=1, use_dictionary=False),
        lambda folder: write_arrow(folder / "d.arrow", ROWS),
        lambda folder: write_arrow(folder / "d.arrow", ROWS, file_form=True),
        lambda folder: write_datasets(folder / "d", ROWS),
    ],
)
def test_every_format_gives_the_same_rows(tmp_path: Path, make: Any) -> None:
    path = make(tmp_path)
    assert read(path) == ROWS
    assert open_source(path).columns == ("prompt", "chosen", "rejected")


def test_only_wanted_columns_of_a_columnar_format_are_read(tmp_path: Path) -> None:
    rows = [{**row, "other": n} for n, row in enumerate(ROWS)]
    for path in (write_parquet(tmp_path / "d.parquet", rows), write_arrow(tmp_path / "d.arrow", rows)):
        assert read(path, wanted=("chosen", "absent")) == [{"chosen": row["chosen"]} for row in ROWS]


def test_nested_columns_and_nulls_come_as_they_are(tmp_path: Path) -> None:
    rows = [*CHATS, {"chosen": [{"role": None, "content": "x"}, None]}, {"chosen": None}]
    for path in (
        write_parquet(tmp_path / "d.parquet", rows),
        write_jsonl(tmp_path / "d.jsonl", rows),
        write_datasets(tmp_path / "d", rows),
    ):
        assert read(path, wanted=("chosen",)) == rows


def test_many_rows_in_one_row_group_come_in_order(tmp_path: Path) -> None:
    rows = [{"prompt": str(n)} for n in range(3000)]
    assert read(write_parquet(tmp_path / "d.parquet", rows), wanted=("prompt",)) == rows
    assert read(write_arrow(tmp_path / "d.arrow", rows), wanted=("prompt",)) == rows


def test_a_folder_of_parquet_files_is_read_by_name(tmp_path: Path) -> None:
    for number in (1, 0):
        write_parquet(tmp_path / f"train-{number}.parquet", [{"prompt": str(number)}])
    assert read(tmp_path, wanted=("prompt",)) == [{"prompt": "0"}, {"prompt": "1"}]


def test_a_data_set_with_several_splits_asks_for_one(tmp_path: Path) -> None:
    for name in ("train", "test"):
        write_datasets(tmp_path / name, [{"prompt": name}, {"prompt": "x"}])
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    assert read(tmp_path, None, "test", wanted=("prompt",)) == [{"prompt": "test"}, {"prompt": "x"}]
    for split in (None, "tset"):
        with pytest.raises(InputError, match=r"has the splits train, test, .*choose one"):
            open_source(tmp_path, None, split)
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train"]}')
    assert len(read(tmp_path, wanted=("prompt",))) == 2
    with pytest.raises(InputError, match="has no splits"):
        open_source(tmp_path / "train", None, "train")


@pytest.mark.parametrize("name", ["../other.arrow", "/etc/passwd", "", "..", 3, None, "a\0b"])
def test_a_data_set_cannot_name_a_file_outside_its_folder(tmp_path: Path, name: object) -> None:
    write_arrow(tmp_path / "other.arrow", ROWS)
    folder = write_datasets(tmp_path / "d", ROWS)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name}]}))
    with pytest.raises(InputError, match="expected the name of a file in the same folder"):
        open_source(folder)


def test_a_byte_order_mark_and_blank_lines_are_no_data(tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_bytes(b'\xef\xbb\xbf{"prompt": "a"}\n\n  \n{"prompt": "b"}')
    (tmp_path / "d.csv").write_bytes(b"\xef\xbb\xbfprompt\r\na\r\n\r\nb")
    for name in ("d.jsonl", "d.csv"):
        assert read(tmp_path / name) == [{"prompt": "a"}, {"prompt": "b"}]


# Malformed rows: the others are still read


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"prompt": "a"', "line 2 is not valid JSON"),
        (b"[1]", "line 2 is not an object"),
        (b"null", "line 2 is not an object"),
        (b'{"prompt": "\xff"}', r"line 2 is not UTF-8 text \(byte 12\)"),
        (b'{"prompt": "a", "prompt": "b"}', "line 2 is not valid JSON .*'prompt' occurs twice"),
        (b"[" * 100_000, "line 2 is nested too deep"),
        (b'{"a": ' + b"9" * 5000 + b"}", "line 2 is not valid JSON"),
        (b"\x00", "line 2 is not valid JSON"),
    ],
)
def test_a_malformed_line_is_one_malformed_row(tmp_path: Path, line: bytes, message: str) -> None:
    (tmp_path / "d.jsonl").write_bytes(b'{"prompt": "a"}\n' + line + b'\n{"prompt": "b"}\n')
    first, malformed, last = read(tmp_path / "d.jsonl")
    assert (first, last) == ({"prompt": "a"}, {"prompt": "b"})
    assert isinstance(malformed, Malformed)
    with pytest.raises(Malformed, match=message):
        raise malformed


def test_a_ragged_record_is_one_malformed_row(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text('a,b\n1,2\n3\n4,5,6\n"7\n,",8\n')
    rows = read(tmp_path / "d.csv")
    assert (rows[0], rows[3]) == ({"a": "1", "b": "2"}, {"a": "7\n,", "b": "8"})
    assert [str(row) for row in rows[1:3]] == [f"expected 2 fields as in the header, got {n}" for n in (1, 3)]


def test_text_that_is_no_utf_8_is_told_by_its_row(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_bytes(b"prompt,chosen\na,b\nc,\xff\n")
    assert read(tmp_path / "d.csv")[1] == {"prompt": "c", "chosen": "\udcff"}  # which no row may hold
    array = pa.array([b"a", b"\xff", b"c"], pa.binary()).view(pa.string())
    table = pa.table({"prompt": pa.array(["x", "y", "z"]), "chosen": array})
    pq.write_table(table, tmp_path / "d.parquet")
    with pa.ipc.new_stream(str(tmp_path / "d.arrow"), table.schema) as writer:
        writer.write_table(table)
    for name in ("d.parquet", "d.arrow"):
        first, malformed, last = read(tmp_path / name)
        assert (first, last) == ({"prompt": "x", "chosen": "a"}, {"prompt": "z", "chosen": "c"})
        assert str(malformed) == "field chosen: is not UTF-8 text (byte 0)"


# Damaged files


def damaged(path: Path, *arguments: Any) -> str:
    with pytest.raises(InputError) as caught:
        list(open_source(path, *arguments).rows(("prompt", "chosen", "rejected")))
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('a,b\n1,"2\n3,4\n', "line 3 is not valid CSV: unexpected end of data"),
        ('a,b\n1,"2" x\n3,4\n', "line 2 is not valid CSV"),
        ("", "is empty; expected a header line"),
        ("a,a\n1,2\n", "the header contains a column twice"),
        ("a\n" + "x" * (MAX_ROW_BYTES + 1), "field larger than field limit"),
    ],
)
def test_damaged_csv(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "d.csv").write_text(text)
    assert message in damaged(tmp_path / "d.csv")


def test_a_field_as_long_as_the_limit_is_read(tmp_path: Path) -> None:
    long = "x" * (MAX_ROW_BYTES - 100)
    for path in (
        write_csv(tmp_path / "d.csv", [{"prompt": long}]),
        write_jsonl(tmp_path / "d.jsonl", [{"prompt": long}]),
    ):
        assert read(path) == [{"prompt": long}]
    assert csv.field_size_limit() < MAX_ROW_BYTES


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "has no rows"),
        (b"\n\n", "has no rows"),
        (b"question,chosen\na,b\n", "has no rows: line 1 is not valid JSON"),
        (b'[{"prompt": "a"}', "is not valid JSON"),
        (b"[3]", "has no rows: entry 0 is not an object"),
        (b'{"prompt": "' + b"x" * MAX_ROW_BYTES + b'"}', "line 1 is longer than 16,777,216 bytes"),
        (b"x" * (MAX_ROW_BYTES + 1), "line 1 is longer than"),
    ],
)
def test_damaged_jsonl(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "d.jsonl").write_bytes(data)
    assert message in damaged(tmp_path / "d.jsonl")


def test_every_binary_file_cut_off_or_of_another_format_is_said_to_be_damaged(tmp_path: Path) -> None:
    made = [
        write_parquet(tmp_path / "d.parquet", ROWS * 100),
        write_arrow(tmp_path / "d.arrow", ROWS * 100),
        write_arrow(tmp_path / "e.arrow", ROWS * 100, file_form=True),
        write_jsonl(tmp_path / "d.jsonl.gz", ROWS * 100),
    ]
    for path in made:
        whole = path.read_bytes()
        for data in (b"", b"no such format", whole[:5], whole[: len(whole) // 2], whole[: len(whole) - 9]):
            path.write_bytes(data)
            if path.name == "d.arrow" and len(data) > len(whole) // 2:
                continue  # without its end mark a stream is still whole
            assert "damaged" in damaged(path) or "has no rows" in damaged(path)
        path.write_bytes(whole)


def test_a_flipped_bit_never_ends_in_a_traceback(tmp_path: Path) -> None:
    for path in (write_parquet(tmp_path / "d.parquet", ROWS * 10), write_jsonl(tmp_path / "d.jsonl.gz", ROWS * 10)):
        whole = path.read_bytes()
        for position in range(0, len(whole), max(1, len(whole) // 60)):
            data = bytearray(whole)
            data[position] ^= 0x40
            path.write_bytes(bytes(data))
            with contextlib.suppress(InputError):
                list(open_source(path).rows(("prompt", "chosen")))


def test_what_is_no_data_is_refused(tmp_path: Path) -> None:
    (tmp_path / "d.txt").write_text("{}")
    (tmp_path / "empty").mkdir()
    write_datasets(tmp_path / "d", ROWS)
    (tmp_path / "d" / "data-00001-of-00002.arrow").unlink()
    for path, message in (
        (tmp_path / "none.jsonl", "does not exist"),
        (tmp_path / "d.txt", "unknown file name extension"),
        (tmp_path / "empty", "was not saved by `datasets`"),
        (tmp_path / "d", "the data set is incomplete"),
    ):
        assert message in damaged(path)
    assert read(tmp_path / "d.txt", "jsonl") == [{}]
    with pytest.raises(InputError, match=r"is a folder without a \.csv file"):
        open_source(tmp_path / "empty", "csv")
    with pytest.raises(InputError, match="has no splits; only folders"):
        open_source(tmp_path / "d.txt", "jsonl", "train")
