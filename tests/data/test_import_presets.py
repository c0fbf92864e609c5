"""Published preference data: a small file of each shape, what it becomes, and suites."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from genies.command_line import parse
from genies.commands.import_distribution import ImportDistributionArguments, main
from genies.data.audit.finding import Rule
from genies.data.audit.suite import audit
from genies.data.conversation import Message
from genies.data.distribution import Distribution, Example, pairs
from genies.data.importing.presets import PRESETS, listed
from genies.data.importing.suites import suite_shifts
from genies.data.importing.transcripts import parse as parse_transcript
from genies.data.shifts import read_shifts
from genies.errors import InputError

HELLO = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi."}]
ASK = {"role": "user", "content": "Name a river."}
CONVERSATION = (Message("user", "Hello"), Message("assistant", "Hi."), Message("user", "Name a river."))


def run(tmp_path: Path, preset: str, data: Path, **more: Any) -> dict[str, list[Example]]:
    """Import with a preset; the test examples of each distribution."""
    items = ["--preset", preset, "--data_path", str(data), "--output_dir", str(tmp_path / "all" / preset)]
    for name, value in more.items():
        items += [f"--{name}", value if isinstance(value, str) else json.dumps(value)]
    assert main(parse(ImportDistributionArguments, items), tmp_path) == 0
    return {
        folder.name: Distribution(folder).test for folder in sorted((tmp_path / "all").iterdir()) if folder.is_dir()
    }


def parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def json_list(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows, indent=1))
    return path


def lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def by_text(examples: list[Example]) -> set[tuple[Any, frozenset[str], frozenset[str]]]:
    """(user's message or conversation, best, worse)."""
    return {
        (
            each.user_message[0] if isinstance(each.prompt, str) else each.prompt,
            frozenset(each.best_responses),
            frozenset(each.worse_responses),
        )
        for each in examples
    }


def test_rewardbench_2(tmp_path: Path) -> None:
    rows = [
        {"prompt": "1 + 1?", "chosen": ["2"], "rejected": ["3", "4", "5"], "subset": "Math", "id": "7"},
        {"prompt": "A color?", "chosen": ["red"], "rejected": ["dog", "cat"], "subset": "Ties", "id": "ref:1"},
        {"prompt": "Any color?", "chosen": ["red", "blue"], "rejected": ["dog"], "subset": "Ties", "id": "tied:1"},
    ]
    found = run(tmp_path, "rewardbench_2", parquet(tmp_path / "d.parquet", rows))
    assert sorted(found) == ["rewardbench_2_math", "rewardbench_2_ties"]
    assert by_text(found["rewardbench_2_math"]) == {("1 + 1?", frozenset("2"), frozenset("345"))}
    assert {each.id: len(each.best) for each in found["rewardbench_2_ties"]} == {"ref:1": 1, "tied:1": 2}
    metadata = Distribution(tmp_path / "all" / "rewardbench_2_math").metadata
    assert (metadata["preset"], metadata["part"]) == ("rewardbench_2", {"subset": "Math"})
    assert "arXiv 2506.01937" in metadata["citation"]
    shifts = read_shifts(tmp_path / "distribution_shifts" / "rewardbench_2.json")
    assert [(each.source, each.target) for each in shifts] == [("", "rewardbench_2_math"), ("", "rewardbench_2_ties")]


def rm_bench(path: Path) -> Path:
    return json_list(
        path,
        [
            {"id": n, "prompt": f"p {n}", "chosen": [f"c{n}", f"c{n} {n}", f"# c{n} {n}"],
             "rejected": [f"r{n}", f"r{n} {n}", f"# r{n} {n}"], "domain": domain}
            for n, domain in enumerate(["chat", "chat", "code"])
        ],
    )  # fmt: skip


def test_rm_bench(tmp_path: Path) -> None:
    found = run(tmp_path, "rm_bench", rm_bench(tmp_path / "total_dataset.json"))
    assert {name: len(examples) for name, examples in found.items()} == {"rm_bench_chat": 2, "rm_bench_code": 1}
    (example,) = found["rm_bench_code"]
    by_difficulty: dict[Any, set[tuple[str, str]]] = {}
    for pair in pairs([example]):
        by_difficulty.setdefault(pair.difficulty, set()).add((pair.best, pair.worse))
    chosen, rejected = ["c2", "c2 2", "# c2 2"], ["r2", "r2 2", "# r2 2"]
    assert by_difficulty == {
        "easy": {(chosen[i], rejected[j]) for i in range(3) for j in range(i)},
        "normal": {(chosen[i], rejected[i]) for i in range(3)},
        "hard": {(chosen[i], rejected[j]) for i in range(3) for j in range(i + 1, 3)},
    }


def test_rmb_from_a_folder_of_both_kinds(tmp_path: Path) -> None:
    answer = {"llm_name": "x", "answer": "The Nile."}
    json_list(
        tmp_path / "rmb" / "bon" / "qa.json",
        [{"conversation_input": [*HELLO, ASK], "bon_best": answer,
          "loser_list": [{"llm_name": "y", "answer": "No."}, {"llm_name": "z", "answer": "Hm."}],
          "category_path": "Helpfulness/Open QA"}],
    )  # fmt: skip
    json_list(
        tmp_path / "rmb" / "pairs" / "safety.json",
        [{"conversation_input": [ASK], "chosen": answer, "reject": {"llm_name": "y", "answer": "No."},
          "category_path": "Harmlessness/S1"}],
    )  # fmt: skip
    found = run(tmp_path, "rmb", tmp_path / "rmb")
    assert by_text(found["rmb_helpfulness_open_qa"]) == {
        (CONVERSATION, frozenset(["The Nile."]), frozenset(["No.", "Hm."]))
    }
    assert by_text(found["rmb_harmlessness_s1"]) == {("Name a river.", frozenset(["The Nile."]), frozenset(["No."]))}


def test_judgebench(tmp_path: Path) -> None:
    rows = [
        {"question": "q", "response_A": "a", "response_B": "b", "label": "B>A", "source": "mmlu-pro-law"},
        {"question": "r", "response_A": "a", "response_B": "b", "label": "A>B", "source": "mmlu-pro-law"},
    ]
    found = run(tmp_path, "judgebench", lines(tmp_path / "d.jsonl", rows))
    assert by_text(found["judgebench_mmlu_pro_law"]) == {
        ("q", frozenset("b"), frozenset("a")),
        ("r", frozenset("a"), frozenset("b")),
    }


def test_ppe_counts_its_ties_and_keeps_them_if_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"prompt": f"p {n}", "response_1": "a", "response_2": "b", "winner": winner}
        for n, winner in enumerate(["model_a", "model_b", "tie", "tie (bothbad)"])
    ]
    data = parquet(tmp_path / "d.parquet", rows)
    found = run(tmp_path, "ppe", data)["ppe"]
    assert by_text(found) == {("p 0", frozenset("a"), frozenset("b")), ("p 1", frozenset("b"), frozenset("a"))}
    assert "ties: 2 rows, left out (--ties keep keeps them)" in capsys.readouterr().out
    kept = run(tmp_path, "ppe", data, ties="keep", overwrite="True")["ppe"]
    assert len(kept) == 4
    assert sum(not each.worse for each in kept) == 2
    assert len(pairs(kept)) == 2


def test_hh_rlhf_and_conversations_that_part_early(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    start = "\n\nHuman: Hello\n\nAssistant: Hi.\n\nHuman: Name a river."
    rows = [
        {"chosen": f"{start}\n\nAssistant: The Nile.", "rejected": f"{start}\n\nAssistant: No."},
        {"chosen": "\n\nHuman: A?\n\nAssistant: B.\n\nHuman: C?\n\nAssistant: D.",
         "rejected": "\n\nHuman: A?\n\nAssistant: E.\n\nHuman: F?\n\nAssistant: G."},
    ]  # fmt: skip
    data = lines(tmp_path / "d.jsonl", rows)
    found = run(tmp_path, "hh_rlhf", data, test_share="1")["hh_rlhf"]
    assert by_text(found) == {(CONVERSATION, frozenset(["The Nile."]), frozenset(["No."]))}
    assert "differ before the last turn: 1 rows, left out" in capsys.readouterr().out
    kept = run(tmp_path, "hh_rlhf", data, test_share="1", parting_turns="keep", overwrite="True")["hh_rlhf"]
    assert ("A?", frozenset(["B.\n\nHuman: C?\n\nAssistant: D."]),
            frozenset(["E.\n\nHuman: F?\n\nAssistant: G."])) in by_text(kept)  # fmt: skip
    assert parse_transcript("no transcript") == ()
    with pytest.raises(InputError, match="field chosen: expected a text with the turns"):
        run(tmp_path, "hh_rlhf", lines(tmp_path / "bad.jsonl", [{"chosen": "x", "rejected": "y"}]), overwrite="True")


def test_ultrafeedback_and_skywork(tmp_path: Path) -> None:
    rows = [
        {"prompt": "Name a river.", "chosen": [ASK, {"role": "assistant", "content": good}],
         "rejected": [ASK, {"role": "assistant", "content": "No."}], "score_chosen": score, "score_rejected": 5.0}
        for good, score in (("The Nile.", 8.5), ("The Rhine.", 5.0))
    ]  # fmt: skip
    data = parquet(tmp_path / "d.parquet", rows)
    found = run(tmp_path, "ultrafeedback", data, test_share="1")["ultrafeedback"]
    assert by_text(found) == {("Name a river.", frozenset(["The Nile."]), frozenset(["No."]))}
    assert len(run(tmp_path, "skywork", data, test_share="1")["skywork"]) == 2


def test_helpsteer3_and_pku_saferlhf(tmp_path: Path) -> None:
    rows = [
        {"context": [*HELLO, ASK], "response1": "a", "response2": "b", "overall_preference": preference}
        for preference in (-3, 0, 2)
    ]
    found = run(tmp_path, "helpsteer3", lines(tmp_path / "d.jsonl", rows), test_share="1")["helpsteer3"]
    assert by_text(found) == {
        (CONVERSATION, frozenset("a"), frozenset("b")),
        (CONVERSATION, frozenset("b"), frozenset("a")),
    }
    safer = [
        {"prompt": "p", "response_0": "a", "response_1": "b", "better_response_id": 0, "safer_response_id": 1},
    ]
    safe = run(tmp_path, "pku_saferlhf", lines(tmp_path / "e.jsonl", safer), test_share="1")
    assert by_text(safe["pku_saferlhf"]) == {("p", frozenset("b"), frozenset("a"))}
    wrong = lines(tmp_path / "f.jsonl", [{**safer[0], "safer_response_id": 2}])
    with pytest.raises(InputError, match="field safer_response_id: expected one of '0', '1', got '2'"):
        run(tmp_path, "pku_saferlhf", wrong, overwrite="True")


def test_a_suite_with_sources(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"prompt": f"p {n}", "chosen": f"good {n}", "rejected": f"bad {n}", "domain": f"Part {n % 3}"}
        for n in range(90)
    ]
    data = lines(tmp_path / "d.jsonl", rows)
    items = ["--data_path", str(data), "--output_dir", str(tmp_path / "all" / "mine"), "--split_by", "domain"]
    assert main(parse(ImportDistributionArguments, [*items, "--sources", '["Part 1"]']), tmp_path) == 0
    assert "mine_part_0" in (out := capsys.readouterr().out)
    assert "Sizes and baselines" in out
    shifts = read_shifts(tmp_path / "distribution_shifts" / "mine.json")
    assert [str(each) for each in shifts] == ["mine_part_1 > mine_part_0", "mine_part_1 > mine_part_2"]
    assert Distribution(tmp_path / "all" / "mine_part_1").train
    plain = items[:4]
    for more, said in (
        (
            ["--split_by", "domain", "--sources", '["Part 7"]'],
            "domain has no value 'Part 7'; it has Part 0, Part 1",
        ),
        (["--split_by", "domain", "--sources", '["Part 1"]', "--test_share", "1"], "--sources needs a train split"),
        (["--split_by", "topic"], "the data has no such column; it has prompt, chosen, rejected, domain"),
    ):
        with pytest.raises(InputError, match=said):
            main(parse(ImportDistributionArguments, [*plain, *more]), tmp_path)


def test_the_audit_finds_prompts_that_two_suites_share(tmp_path: Path) -> None:
    rows = [{"prompt": f"p {n}", "chosen": "a", "rejected": "b", "winner": "model_a", "part": "x"} for n in range(60)]
    items = ["--output_dir", str(tmp_path / "all" / "mine"), "--split_by", "part", "--test_share", "0.5"]
    data = lines(tmp_path / "d.jsonl", rows)
    assert main(parse(ImportDistributionArguments, ["--data_path", str(data), *items]), tmp_path) == 0
    asked = [{"prompt": f"P  {n}\n", "response_1": "a", "response_2": "b", "winner": "model_a"} for n in range(60)]
    run(tmp_path, "ppe", parquet(tmp_path / "d.parquet", asked))
    (found,) = [each for each in audit(tmp_path / "all").findings if each.rule == Rule.SUITE_OVERLAP]
    assert (found.distribution, found.other, found.of) == ("mine_x", "ppe", 60)
    assert found.count == len(Distribution(tmp_path / "all" / "mine_x").train)


def test_each_part_of_a_suite_counts_its_own_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows: list[dict[str, Any]] = [
        {"prompt": f"p {n}", "response_A": "a", "response_B": "b", "label": label, "source": part}
        for n, (label, part) in enumerate([("A>B", "x"), ("A=B", "x"), ("A>B", "y"), ("B>A", "y")])
    ]
    for row in rows:
        row["question"] = row.pop("prompt")
    rows[3].pop("response_B")
    rows.append({**rows[2], "source": None, "question": "z"})
    data = lines(tmp_path / "d.jsonl", rows)
    with pytest.raises(InputError, match=r"row 3, field response_B: is missing; row 4, field source: is missing"):
        run(tmp_path, "judgebench", data)
    assert not (tmp_path / "distribution_shifts").exists()
    run(tmp_path, "judgebench", data, skip_malformed="True")
    counts = {part: Distribution(tmp_path / "all" / f"judgebench_{part}").metadata["counts"] for part in "xy"}
    assert (counts["x"]["rows"], counts["x"]["ties"], counts["x"]["left_out"]) == (2, 1, {})
    assert (counts["y"]["rows"], counts["y"]["ties"], counts["y"]["left_out"]) == (2, 0, {"response_B": 1})
    assert "left out: 1 rows of no distribution, with a malformed source" in capsys.readouterr().out


def test_a_shift_file_that_exists_is_kept_unless_overwriting_is_asked_for(tmp_path: Path) -> None:
    shifts = tmp_path / "distribution_shifts" / "rm_bench.json"
    shifts.parent.mkdir()
    shifts.write_text("mine")
    data = rm_bench(tmp_path / "d.json")
    with pytest.raises(InputError, match=r"rm_bench\.json exists; .*--overwrite True"):
        run(tmp_path, "rm_bench", data)
    assert shifts.read_text() == "mine"
    assert not (tmp_path / "all").exists()
    run(tmp_path, "rm_bench", data, overwrite="True")
    assert len(read_shifts(shifts)) == 2


@pytest.mark.parametrize(
    ("items", "said"),
    [
        (["--preset", "ppe", "--chosen_column", "x"], "--chosen_column has no effect with --preset ppe"),
        (["--preset", "ppe", "--parting_turns", "keep"], "--parting_turns is for transcripts"),
        (["--parting_turns", "keep"], "--parting_turns is for transcripts"),
        (["--shifts_path", "x.json"], "--shifts_path is for a suite; add --split_by COLUMN"),
        (["--preset", "ppe", "--sources", '["x"]'], "--sources is for a suite"),
    ],
)
def test_arguments_without_effect_are_refused(items: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        parse(ImportDistributionArguments, ["--data_path", "d.jsonl", "--output_dir", "mine", *items])


def test_presets_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(parse(ImportDistributionArguments, ["--list_presets", "True"]), tmp_path) == 0
    assert capsys.readouterr().out == f"{listed()}\n"
    assert all(name in listed() and preset.citation in listed() for name, preset in PRESETS.items())
    assert suite_shifts(["a", "b"], []) == [{"target": "a"}, {"target": "b"}]


@pytest.mark.parametrize(("preset", "column"), [("rewardbench_2", "subset"), ("judgebench", "source")])
def test_data_of_another_shape_than_the_preset_is_refused_by_the_name_of_the_preset(
    tmp_path: Path, preset: str, column: str
) -> None:
    data = rm_bench(tmp_path / "d.json")
    said = rf"^--preset {preset} expects the column '{column}', which .*d\.json does not have; its columns are id, "
    with pytest.raises(InputError, match=said):
        run(tmp_path, preset, data)
    assert not (tmp_path / "all").exists()
    assert run(tmp_path, preset, data, split_by="domain") if preset == "rewardbench_2" else True


def test_the_audit_of_a_new_suite_checks_its_shifts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"prompt": f"p{n}", "chosen": "a", "rejected": "b", "domain": "xyz"[n % 3]} for n in range(30)]
    data = lines(tmp_path / "d.jsonl", rows)
    items = ["--data_path", str(data), "--output_dir", str(tmp_path / "all" / "d"), "--split_by", "domain"]
    for more, checked in (([], ""), (["--sources", '["x"]', "--overwrite"], "; 2 shifts between them")):
        assert main(parse(ImportDistributionArguments, [*items, *more]), tmp_path) == 0
        train, test = (sum(len(Distribution(each).split(part)) for each in (tmp_path / "all").iterdir())
                       for part in ("train", "test"))  # fmt: skip
        first = f"3 distributions with {train} train and {test} test examples{checked}"
        assert capsys.readouterr().out.split("# Audit\n\n")[1].splitlines()[0] == first
