import csv
import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genies.data.shifts import Shift, folders, folders_in, read_shifts, repeats, resolve, shifts_from_dirs, unique_pairs
from genies.errors import InputError

PROJECT = Path(__file__).resolve().parents[2]
SHIFTS = PROJECT / "distribution_shifts"
SHARED = Path(os.environ.get("GENIES_SHARED") or PROJECT.parent / "shared")
EXTREME = {"context": 8, "difficulty": 6, "encoding": 4, "pretraining_similarity": 4, "quality": 3, "skill": 12}
PROBING = {"spurious_cues": 6, "unwanted_personas": 13}


def write(folder: Path, value: object) -> Path:
    path = folder / "shifts.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


def made(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).mkdir(parents=True)
    return folder


# Reading


def test_objects_and_pairs_may_stand_in_one_file(tmp_path) -> None:
    path = write(
        tmp_path,
        [
            {"source": "a", "target": "b"},
            ["b", "b"],
            {
                "_note": ["why"],
                "source": "c",
                "target": "d",
                "target_reference": "e",
                "label": "probing",
                "category": "x",
            },
        ],
    )
    assert read_shifts(path) == [
        Shift("a", "b", "b", None, None),
        Shift("b", "b", "b", None, None),
        Shift("c", "d", "e", "probing", "x"),
    ]


def test_null_stands_for_an_absent_field_and_the_reference_is_the_target(tmp_path) -> None:
    entry = {"source": "a", "target": "b", "target_reference": None, "label": None, "category": None}
    assert read_shifts(str(write(tmp_path, [entry]))) == [Shift("a", "b")]
    assert Shift("a", "b").target_reference == "b"


def test_a_shift_reads_as_source_and_target() -> None:
    assert str(Shift("a", "b", "c")) == "a > b"


@pytest.mark.parametrize(
    "name", ["räven_matrices", "two words", "50%", "a.b", "-x", "..a", "問題", "it's", '"q"', "a,b"]
)
def test_names_of_any_script_and_with_spaces_are_taken(tmp_path, name) -> None:
    assert read_shifts(write(tmp_path, [[name, "b"]]))[0].source == name


BAD_NAMES = {
    "a/": "path separator",
    "b/..": "path separator",
    "a\\b": "path separator",
    "..": "relative path",
    ".": "relative path",
    "": "empty",
    " ": "white space",
    "a ": "white space",
    "a\0b": "control character",
    "a\nb": "control character",
    "a\x1b[31m": "control character",
    "\ud800": "half a character",
    "x" * 256: "longer than 255 bytes",
    "ä" * 128: "longer than 255 bytes",
}


@pytest.mark.parametrize("field", ["source", "target", "target_reference"])
@pytest.mark.parametrize(("name", "message"), BAD_NAMES.items(), ids=[repr(name)[:12] for name in BAD_NAMES])
def test_a_name_that_is_no_folder_name_is_refused_with_file_entry_and_field(tmp_path, field, name, message) -> None:
    good = {"source": "a", "target": "b"}
    path = write(tmp_path, [good, {**good, field: name}])
    with pytest.raises(InputError) as caught:
        read_shifts(path)
    assert f"shift file {path}, entry 1, field {field}: expected" in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize("name", [None, 1, True, ["a"], {"a": 1}, 0.5])
def test_a_name_that_is_no_text_is_refused(tmp_path, name) -> None:
    with pytest.raises(InputError, match="entry 0, field source: expected the name of a distribution, got"):
        read_shifts(write(tmp_path, [{"source": name, "target": "b"}]))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "is empty"),
        ("[", "not valid JSON"),
        ([], "contains no shifts"),
        ({}, "expected a list of shifts, got {}"),
        ({"source": "a", "target": "b"}, "expected a list of shifts"),
        ("null", "expected a list of shifts"),
        ("a", "not valid JSON"),
        (["a>b"], "entry 0: expected an object with source and target, got 'a>b'"),
        ([["a", "b"], None], "entry 1: expected an object"),
        ([["a"]], r"expected a pair \[source, target\], got 1 items"),
        ([["a", "b", "c"]], "got 3 items"),
        ([[]], "got 0 items"),
        ([{}], "entry 0, field target is missing"),
        ([{"source": "a"}], "entry 0, field target is missing"),
        ([{"target": "a", "target_reference": "b"}], "entry 0, field target_reference has no effect without a source"),
        ([{"source": "a", "target": "b", "target_refrence": "c"}], "unknown; did you mean target_reference?"),
        ([{"source": "a", "target": "b", "x": 1}], "field 'x' is unknown; Known: source, target, target_reference"),
        ([{"source": "a", "target": "b", "label": "extrem"}], "field label: expected extreme or probing, got 'extrem'"),
        ([{"source": "a", "target": "b", "label": ["extreme"]}], "field label: expected"),
        ([{"source": "a", "target": "b", "category": 3}], "field category: expected text, got 3"),
        ([{"source": "a", "target": "b", "category": " "}], "field category: expected text"),
        ('[{"source": "a", "source": "c", "target": "b"}]', "'source' occurs twice"),
    ],
)
def test_a_malformed_shift_file_is_refused_with_a_message(tmp_path, value, message) -> None:
    path = write(tmp_path, value)
    with pytest.raises(InputError, match=message) as caught:
        read_shifts(path)
    assert str(path) in str(caught.value)


def test_an_absent_shift_file_is_named(tmp_path) -> None:
    with pytest.raises(InputError, match=r"shift file .*none\.json does not exist"):
        read_shifts(tmp_path / "none.json")


def test_an_absent_shift_file_is_told_with_where_it_was_looked_for_and_what_lies_near(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "GENIES.json").write_text("[]")
    with pytest.raises(InputError) as caught:
        read_shifts("lists/GENEIS.json")
    assert str(caught.value) == (
        f"shift file lists/GENEIS.json does not exist in the working directory, {tmp_path} "
        f"(nearest names: GENIES.json); the project's own lists are in {SHIFTS}"
    )
    with pytest.raises(InputError, match=rf"^shift file {tmp_path}/none.json does not exist; the project's own lists"):
        read_shifts(tmp_path / "none.json")
    with pytest.raises(InputError, match="does not exist"):
        read_shifts("a\0b")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["source", "target", "label", "category", "_x"]) | st.text(), inner, max_size=4
        )
    ),
)


@settings(max_examples=40, deadline=None)
@given(json_values)
def test_whatever_a_shift_file_holds_it_is_read_or_refused_with_a_message(tmp_path_factory, value) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps(value), encoding="utf-8")
    try:
        shifts, message = read_shifts(path), ""
    except InputError as error:
        shifts, message = [], str(error)
    assert bool(shifts) != bool(message)
    assert message.isprintable()
    assert all("/" not in name for shift in shifts for name in (shift.source, shift.target))


# Repeats


def test_repeats_are_reported_and_unique_pairs_keep_the_first() -> None:
    first, again = Shift("a", "b", label="extreme"), Shift("a", "b")
    other_reference, other = Shift("a", "b", "c"), Shift("b", "a")
    listed = [first, other, again, other_reference, again]
    assert repeats(listed) == [again, again]
    assert unique_pairs(listed) == [first, other, other_reference]
    assert unique_pairs(listed)[0].label == "extreme"


# Folders


def test_source_and_target_dirs_pair_item_by_item_and_a_trailing_slash_changes_nothing() -> None:
    assert shifts_from_dirs(["distributions/a/", Path("b")], ["/data/c//", "b/"]) == [Shift("a", "c"), Shift("b", "b")]


@pytest.mark.parametrize(("sources", "targets"), [(["a"], []), (["a"], ["b", "c"]), ([], ["a"])])
def test_lists_of_different_length_are_refused(sources, targets) -> None:
    with pytest.raises(InputError, match=f"--source_dirs has {len(sources)} .*--target_dirs has {len(targets)}"):
        shifts_from_dirs(sources, targets)


def test_empty_lists_are_refused() -> None:
    with pytest.raises(InputError, match="at least one distribution in each"):
        shifts_from_dirs([], [])


@pytest.mark.parametrize("item", ["", "/", "a\0b", "x/a\nb", "x/" + "y" * 300, "a\0/.."])
def test_an_item_without_a_usable_name_is_refused_with_its_place(item) -> None:
    with pytest.raises(InputError, match="--target_dirs, item 1: expected"):
        shifts_from_dirs(["a", "a"], ["a", item])


def test_names_resolve_under_the_distributions_folder_and_folders_stand_as_given(tmp_path, monkeypatch) -> None:
    made(tmp_path, "distributions/a", "distributions/b", "elsewhere/c")
    monkeypatch.chdir(tmp_path)
    sources, targets = ["a", "elsewhere/c/"], ["distributions/b/", "a"]
    assert folders(shifts_from_dirs(sources, targets), "distributions", [*sources, *targets]) == {
        "a": Path("distributions/a"),
        "b": Path("distributions/b"),
        "c": Path("elsewhere/c"),
    }


def test_a_reference_gets_its_folder_too(tmp_path) -> None:
    made(tmp_path, "a", "b", "c")
    assert list(folders([Shift("a", "b", "c"), Shift("c", "a")], tmp_path)) == ["a", "b", "c"]


def test_the_current_folder_and_its_parent_have_names(tmp_path, monkeypatch) -> None:
    made(tmp_path, "top/inner")
    monkeypatch.chdir(tmp_path / "top" / "inner")
    found = folders(shifts_from_dirs(["."], [".."]), tmp_path, [".", ".."])
    assert {name: path.name for name, path in found.items()} == {"inner": "inner", "top": "top"}


@pytest.mark.parametrize("items", [["x/a", "y/a"], ["x/a", "a"], ["a", "y/a"]])
def test_two_folders_of_one_name_are_refused(tmp_path, monkeypatch, items) -> None:
    made(tmp_path, "x/a", "y/a", "distributions/a")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="two folders with the same name"):
        folders(shifts_from_dirs(items, items), "distributions", items)


def test_one_folder_under_two_spellings_is_one(tmp_path, monkeypatch) -> None:
    made(tmp_path, "x/a")
    monkeypatch.chdir(tmp_path)
    items = ["x/a", "./x/a/", str(tmp_path / "x" / "a"), "a"]
    assert folders(shifts_from_dirs(items, items), "x", items) == {"a": Path("x/a")}


def test_folders_are_named_whether_they_are_there_or_not_for_a_table_may_need_none_of_them(tmp_path) -> None:
    items = ["a", str(tmp_path / "elsewhere" / "b")]
    assert folders(shifts_from_dirs(items, items), tmp_path, items) == {
        "a": tmp_path / "a",
        "b": tmp_path / "elsewhere" / "b",
    }


def test_an_unknown_name_is_answered_with_near_names_and_how_to_get_data(tmp_path) -> None:
    made(tmp_path, "alpaca_easy", "alpaca_hard", "math")
    (tmp_path / "alpaca_esay").write_text("a file is no distribution")
    with pytest.raises(InputError, match=r"unknown distribution 'alpaca_esay'.*nearest names: alpaca_easy.*download"):
        resolve("alpaca_esay", tmp_path)
    with pytest.raises(InputError, match="it contains 3 others"):
        resolve("zzz", tmp_path)
    with pytest.raises(InputError, match="that folder does not exist"):
        resolve("zzz", tmp_path / "none")


@pytest.mark.parametrize("name", ["..", "../x", "", "/etc", "a\0"])
def test_resolve_never_leaves_its_folder(tmp_path, name) -> None:
    with pytest.raises(InputError, match="expected the name of a distribution"):
        resolve(name, tmp_path)


# The shift files of the project, against the facts of the 2023 release


def test_every_shift_file_is_read_and_says_label_and_category() -> None:
    parts = [f"extreme/{name}" for name in EXTREME] + [f"probing/{name}" for name in PROBING]
    for path in [SHIFTS / f"{name}.json" for name in ("GENIES", "all", "test", "starter", *parts)]:
        for shift in read_shifts(path):
            assert shift.label in ("extreme", "probing"), path
            assert shift.category, path


@pytest.mark.parametrize(
    ("label", "category", "count"),
    [("extreme", *item) for item in EXTREME.items()] + [("probing", *item) for item in PROBING.items()],
)
def test_a_category_file_holds_its_shifts_once(label, category, count) -> None:
    shifts = read_shifts(SHIFTS / label / f"{category}.json")
    assert len(shifts) == len(unique_pairs(shifts)) == count
    assert {(shift.label, shift.category) for shift in shifts} == {(label, category)}


def test_all_lists_69_entries_56_of_them_unique_and_the_personas_twice() -> None:
    every = read_shifts(SHIFTS / "all.json")
    assert len(every) == 69
    assert len(unique_pairs(every)) == 56
    assert repeats(every) == every[56:] == every[43:56] == read_shifts(SHIFTS / "probing" / "unwanted_personas.json")
    parts = [("extreme", name) for name in EXTREME] + [("probing", name) for name in PROBING]
    assert every[:56] == [shift for part in parts for shift in read_shifts(SHIFTS.joinpath(*part).with_suffix(".json"))]


def test_genies_is_fifteen_of_all_with_the_same_fields_and_test_is_its_first() -> None:
    genies = read_shifts(SHIFTS / "GENIES.json")
    assert len(genies) == len(unique_pairs(genies)) == 15
    assert set(genies) <= set(read_shifts(SHIFTS / "all.json"))
    assert (
        read_shifts(SHIFTS / "test.json")
        == genies[:1]
        == [Shift("us_history_textbook", "us_history_fiction", label="extreme", category="context")]
    )
    assert {shift.category for shift in genies} == {*EXTREME, *PROBING}


@pytest.mark.parametrize(("name", "sources", "references"), [("GENIES", 8, 15), ("all", 26, 44)])
def test_the_work_a_file_asks_for(name, sources, references) -> None:
    shifts = read_shifts(SHIFTS / f"{name}.json")
    assert len({shift.source for shift in shifts}) == sources
    assert len({shift.target_reference for shift in shifts}) == references


def test_references_are_written_only_where_they_differ() -> None:
    differing = {
        "alpaca_long": "alpaca_mmlu",
        "sycophancy_mimicry": "quote_attribution",
        "sycophancy_answer": "arc_easy",
        "sycophancy_feedback": "code_is_correct",
        "sycophancy_are_you_sure": "arc_easy",
    }
    entries = json.loads((SHIFTS / "all.json").read_text(encoding="utf-8"))
    written = {entry["target"]: entry["target_reference"] for entry in entries if "target_reference" in entry}
    assert written == differing


@pytest.mark.parametrize("table", ["mms", "lora_fine_tuning"])
def test_genies_has_the_rows_of_the_published_table(table) -> None:
    path = SHARED / "golden" / "tables" / table / "expected_GENIES.csv"
    if not path.exists():
        pytest.skip(f"the published tables of the 2023 release are not at {SHARED} (set GENIES_SHARED)")
    with open(path, encoding="utf-8", newline="") as file:
        rows = [(row["source"], row["target"], row["target_reference"]) for row in csv.DictReader(file)]
    assert [(s.source, s.target, s.target_reference) for s in read_shifts(SHIFTS / "GENIES.json")] == rows


def test_a_shift_file_names_distributions_by_path_from_its_own_folder(tmp_path) -> None:
    path = write(tmp_path, [["../data/a", "b"], {"source": "/x/c", "target": "b", "target_reference": "more/d"}])
    assert read_shifts(path) == [Shift("a", "b"), Shift("c", "b", "d")]
    assert folders_in(path) == [tmp_path / "../data/a", Path("/x/c"), tmp_path / "more/d"]
    placed = folders(read_shifts(path), "distributions", folders_in(path))
    assert placed["a"] == tmp_path / "../data/a"
    assert placed["b"] == Path("distributions/b")


def test_two_folders_with_one_name_are_refused(tmp_path) -> None:
    path = write(tmp_path, [["one/a", "other/a"]])
    with pytest.raises(InputError, match="two folders with the same name"):
        folders(read_shifts(path), "distributions", folders_in(path))
