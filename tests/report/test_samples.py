"""Samples in script files: what is in them, how large they are, and what their names may be."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from genies.data.distribution import Distribution, Example
from genies.report.embedding import data_script, file_name, script_json, visible
from genies.report.samples import SHOWN, Leak, Scored, by_example, write_samples
from tests.support.present import present


def distribution(folder: Path, test: list[dict[str, Any]], name: str = "made") -> Distribution:
    place = folder / name
    place.mkdir()
    (place / "test.json").write_text(json.dumps(test), encoding="utf-8")
    (place / "train.json").write_text("[]", encoding="utf-8")
    return Distribution(place)


def examples(count: int, words: int = 3) -> list[dict[str, Any]]:
    return [
        {
            "prompt": f"prompt {number}",
            "responses": {f"no {number}": 0.0, f"yes {number} " * words: 1.0, "also no": 0.0},
        }
        for number in range(count)
    ]


def loaded(path: Path) -> tuple[str, Any]:
    """Key and value of a data script, read as a browser would."""
    found = re.fullmatch(r'genies\.add\(("[^"]*"),(.*)\);\n', path.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    return json.loads(found[1]), json.loads(found[2])


@pytest.mark.parametrize(
    "text", ["</script>", "<!-- <script>", "a & b &amp; c", "\u2028\u2029", '"\\u003c"', "\x00\x1f", "😀 שלום"]
)
def test_embedded_json_holds_no_markup_and_reads_back_the_same(text: str) -> None:
    embedded = script_json({"text": [text]})
    assert not re.search("[<>&\u2028\u2029\x00]", embedded)
    assert json.loads(embedded) == {"text": [text]}


def test_data_script_is_one_call_that_a_script_engine_accepts(tmp_path: Path) -> None:
    script = data_script("samples/</script>", ["\u2028 </script> __proto__", {"a": None}])
    assert script.count("\n") == 1
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node to run the script with; the browser tests load such scripts too")
    program = "const genies = {add: (k, v) => console.log(JSON.stringify([k, v]))};\n" + script
    done = subprocess.run([node, "-e", program], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == ["samples/</script>", ["\u2028 </script> __proto__", {"a": None}]]


@pytest.mark.parametrize(
    "name", ["..", ".", "../x", "a/b", "a\\b", "CON", "A", "a", "ä", "", "x" * 300, "a b", "a%20b", ".hidden", "a" * 80]
)
def test_file_names_are_plain_and_short(name: str) -> None:
    assert re.fullmatch(r"[a-z0-9_][a-z0-9_-]{0,99}", file_name(name))


def test_different_names_have_different_files() -> None:
    names = ["a b", "a-b", "A b", "a  b", "a.b", "a", "A", file_name("a b"), file_name(file_name("a b")), "", ".", ".."]
    assert len({file_name(name) for name in names}) == len(names)


def test_what_cannot_be_seen_is_written_out_and_scripts_that_need_joiners_keep_them() -> None:
    assert visible("a\x00b\u202ec\td\n") == "a[U+0000]b[U+202E]c\td\n"
    assert visible("👩\u200d🔬 می\u200cخواهم") == "👩\u200d🔬 می\u200cخواهم"


def test_shards_hold_fifty_examples_in_order_and_say_where_they_begin(tmp_path: Path) -> None:
    made = distribution(tmp_path, examples(120))
    sampled = write_samples(made, ["test"], [], None, tmp_path / "data")
    assert sampled.splits == [{"name": "test", "examples": 120, "responses": [3, 3], "shards": [0, 50, 100]}]
    read = [loaded(tmp_path / "data" / "samples" / "made" / f"test-{shard}.js") for shard in range(3)]
    assert [key for key, _ in read] == ["samples/made/test-0", "samples/made/test-1", "samples/made/test-2"]
    assert [len(value) for _, value in read] == [50, 50, 20]
    shown = [example for _, value in read for example in value]
    assert [example[0] for example in shown] == list(range(120))
    for example, original in zip(shown, made.test, strict=True):
        assert example[1:] == [original.prompt, original.best_response, list(original.worse_responses)]


def test_long_texts_are_cut_and_their_rest_has_a_file_of_its_own(tmp_path: Path) -> None:
    text = "<b>" + "long " * 300_000
    test = [{"prompt": text, "responses": {"a": 1.0, "b": 0.0}}, *examples(3)]
    write_samples(distribution(tmp_path, test), ["test"], [], None, tmp_path / "data")
    folder = tmp_path / "data" / "samples" / "made"
    _, shard = loaded(folder / "test-0.js")
    beginning, length, number = shard[0][1]
    assert (len(beginning), length) == (SHOWN, len(text))
    key, rest = loaded(folder / f"long-{number}.js")
    assert key == f"samples/made/long-{number}"
    assert beginning + rest == text
    assert (folder / "test-0.js").stat().st_size < 100_000


def test_examples_with_much_text_are_spread_over_more_shards(tmp_path: Path) -> None:
    sampled = write_samples(distribution(tmp_path, examples(50, words=1_000)), ["test"], [], None, tmp_path / "data")
    assert len(sampled.splits[0]["shards"]) > 2
    files = list((tmp_path / "data" / "samples" / "made").iterdir())
    assert max(path.stat().st_size for path in files) < 200_000


def test_scores_keep_ties_and_near_ties_apart(tmp_path: Path) -> None:
    made = distribution(tmp_path, examples(3))
    scored = Scored("mms/m-s", "mms/m-s", "mms", "m", "s", None, {0: [0.5, 0.500001], 2: [0.499999, 0.123456]}, 0.5)
    sampled = write_samples(made, ["test"], [scored], [Leak("made", [1])], tmp_path / "data")
    assert (sampled.scores, sampled.evaluations, sampled.leaked) == (True, 1, 1)
    key, value = loaded(tmp_path / "data" / "scores" / "made.js")
    assert key == "scores/made"
    assert value["evaluations"][0]["p"] == [[0.5, 0.5001], 0, [0.4999, 0.1235]]
    assert value["leaks"] == [["made", [1]]]


def test_what_metadata_says_in_words_is_kept(tmp_path: Path) -> None:
    made = distribution(tmp_path, examples(1))
    external = [{"name": "MATH", "url": "u"}, {"name": 3}, "GSM8K"]
    metadata = {"id": "x", "license": "MIT", "external_datasets": external, "seed": 3, "how_it_was_made": "by <hand>"}
    (made.folder / "metadata.json").write_text(json.dumps(metadata), encoding="utf-8")
    sampled = write_samples(made, ["test"], [], None, tmp_path / "data")
    told = [("license", "MIT"), ("external datasets", "MATH, GSM8K"), ("how it was made", "by <hand>")]
    assert (sampled.license, sampled.about) == ("MIT", told)


def test_probabilities_find_their_examples(tmp_path: Path) -> None:
    test = distribution(tmp_path, examples(3)).test
    assert by_example(test, [0.1, 0.2, 0.3, 0.4], None) == {0: [0.1, 0.2], 1: [0.3, 0.4]}
    assert by_example(test, [0.1, 0.2, 0.3, 0.4], [2, 2, 0, 0]) == {2: [0.1, 0.2], 0: [0.3, 0.4]}


def test_a_worse_response_has_the_mean_over_the_best_ones() -> None:
    several = Example(0, "p", ("a", "b", "c", "d"), (0, 2))
    found = present(by_example([several], [0.1, 0.2, 0.5, 0.8], None))
    assert found[0] == pytest.approx([0.3, 0.5])
    assert by_example([several], [0.1, 0.2, 0.5], None) is None


@pytest.mark.parametrize(
    ("probabilities", "indices"),
    [([0.1] * 3, None), ([0.1] * 7, None), ([0.1] * 2, [3, 3]), ([0.1] * 2, [0, 1]), ([0.1], [0, 0]), ([], None)],
)
def test_probabilities_that_do_not_fit_the_split_are_not_shown(
    tmp_path: Path, probabilities: list[float], indices: list[int] | None
) -> None:
    assert by_example(distribution(tmp_path, examples(3)).test, probabilities, indices) is None
