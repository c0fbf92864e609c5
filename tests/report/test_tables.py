"""Tables to paste: one set of figures in Markdown, LaTeX, CSV and JSON."""

import csv
import io
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from genies.data.shifts import Shift, read_shifts, unique_pairs
from genies.markdown import escaped
from genies.report.markup import Cell, TextTable, latex_table, latex_text, markdown_table
from genies.report.reading import read_study
from genies.report.summary import Summary, summarize
from genies.report.tables import to_csv, to_json, to_latex, to_markdown
from genies.table.rows import COLUMNS
from tests.support.commands import ROOT, run_command
from tests.support.present import present
from tests.support.written_results import WrittenResults

SHARED = Path(os.environ.get("GENIES_SHARED", ROOT.parent / "shared"))
TABLES = SHARED / "golden" / "tables"
SHIFTS = [
    Shift("a_1", "b|2", "", "extreme", "100%"),
    Shift("a_1", "c*3", "", "extreme", "100%"),
    Shift("a_1", "d", "b|2", "probing", "cues"),
]


@pytest.fixture
def results(tmp_path: Path) -> WrittenResults:
    written = WrittenResults(tmp_path / "results")
    for name, more in (("mms", 0), ("ccs_2", 8)):
        for number, shift in enumerate(SHIFTS):
            written.shift(name, shift, (20 + number + more, 36, 18, 38))
        written.table(name, SHIFTS)
    return written


@pytest.fixture
def summary(results: WrittenResults) -> Summary:
    return summarize(read_study(results.folder))


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return run_command("api/tables.py", arguments)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_every_format_gives_the_same_figures(summary: Summary) -> None:
    means = json.loads(to_json(summary))["groups"][0]["means"]
    assert [each["intervention"] for each in means] == ["ccs_2", "mms"]
    for mean in means:
        figures = mean["metrics"]["generalization_accuracy"]
        shown = f"{figures['value']:.3f}"
        interval = f"[{figures['low']:.3f}, {figures['high']:.3f}]"
        strong = figures["against_best"]["standing"] in ("best", "not different")
        (line,) = [
            line
            for line in to_markdown(summary, ["means"]).splitlines()
            if line.startswith(f"| {mean['intervention']} ")
        ]
        assert cells(line)[3] == (f"**{shown}**" if strong else shown) + f" {interval}"
        name = mean["intervention"].replace("_", r"\_")
        (line,) = [line for line in to_latex(summary, ["means"]).splitlines() if line.startswith(f"{name} & 3 & 1 ")]
        assert (rf"\bfseries {shown}" if strong else shown) + rf" & {{\scriptsize {interval}}}" in line
        (row,) = [
            row
            for row in csv.DictReader(io.StringIO(to_csv(summary, "means")))
            if (row["group"], row["intervention"]) == ("all", mean["intervention"])
        ]
        assert float(row["generalization_accuracy"]) == figures["value"]
        assert float(row["generalization_accuracy_low"]) == figures["low"]
        assert row["generalization_accuracy_against_best"] == figures["against_best"]["standing"]


def test_the_notes_say_in_one_sentence_what_brackets_are_and_why_a_figure_has_none(
    results: WrittenResults, summary: Summary
) -> None:
    def notes(of: Summary) -> list[str]:
        return [line for line in to_markdown(of).splitlines() if line.startswith("- ")]

    brackets, few, without, bold, paired, prompts = notes(summary)
    assert few.startswith(
        "- the interval of a mean over fewer than 5 sources (untuned model: test sets) is about these"
    )
    assert brackets.startswith("- in brackets: 95 % intervals (bootstrap over prompts of these shifts; Wilson; ")
    assert without == (
        "- without brackets: no interval, because there are fewer than 5 sources (for the untuned "
        "model: test sets), and no probabilities; this metric has intervals only for means over several sources"
    )
    assert bold.startswith("- bold in a column of metrics: the best intervention of its base model, or not sig")
    assert paired.startswith("- paired differences: the baseline is the untuned model")
    assert "do not contain prompt clusters" in prompts
    for name, model in (("mms", "base-a_1"), ("zero_shot", "base")):
        results.evaluation(name, model, "d", [0.9])
    (without,) = [note for note in notes(summarize(read_study(results.folder))) if "without brackets" in note]
    assert "the test examples have 1 different prompt; an interval needs at least 5" in without


def test_a_markdown_table_keeps_its_shape_whatever_the_names_hold(summary: Summary) -> None:
    blocks = [block for block in to_markdown(summary).split("\n\n") if block.startswith("|")]
    assert len(blocks) == 7  # means and differences over all, by label, by category; every shift
    for block in blocks:
        widths = {len(cells(line)) for line in block.splitlines()}
        assert len(widths) == 1
        assert len({len(line) for line in block.splitlines()}) == 1
    assert "a_1 > b\\|2" in to_markdown(summary)
    assert "a_1 > d (ref. b\\|2)" in to_markdown(summary)
    assert "a_1 > c\\*3" in to_markdown(summary)


def test_latex_is_escaped_and_balanced(summary: Summary) -> None:
    text = to_latex(summary)
    assert text.count(r"\begin{longtable}") == text.count(r"\end{longtable}") == 7
    for rule in (r"\toprule", r"\midrule", r"\bottomrule"):
        assert text.count(rule) == 7
    body = [line for line in text.splitlines() if line.endswith(r"\\") and "&" in line]
    assert all(line.count("{") == line.count("}") for line in body)
    assert r"100\%" in text
    assert r"a\_1 $\rightarrow$ b|2" in text
    assert not re.search(r"(?<!\\)[%_#]", "\n".join(body))


def test_the_csv_of_shifts_begins_with_the_columns_of_the_main_job(summary: Summary) -> None:
    text = to_csv(summary)
    header = text.splitlines()[0].split(",")
    assert header[: len(COLUMNS)] == COLUMNS
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 6
    for row in rows:
        low, value, high = (float(row[f"generalization_accuracy{end}"]) for end in ("_low", "", "_high"))
        assert low < value < high
        assert row["examples"] == "40"


def test_the_releases_weights_repeat_the_lines_of_shifts_it_lists_twice(results: WrittenResults) -> None:
    results.table("mms", [*SHIFTS, SHIFTS[2]])
    done = run("--results", str(results.folder), "--format", "csv", "--published_weights")
    assert done.returncode == 0, done.stderr
    rows = [row for row in csv.DictReader(io.StringIO(done.stdout)) if row["intervention"] == "mms"]
    assert [row["target"] for row in rows] == ["b|2", "c*3", "d", "d"]
    markdown = run("--results", str(results.folder), "--published_weights", "--table", "means")
    assert "each counted as often as it is listed" in markdown.stdout


def test_the_69_listed_shifts_of_the_release_are_56_different_ones(tmp_path: Path) -> None:
    shifts = read_shifts(ROOT / "distribution_shifts" / "all.json")
    results = WrittenResults(tmp_path / "results")
    right = {shift: 5 + number % 14 for number, shift in enumerate(unique_pairs(shifts))}
    for shift, count in right.items():
        results.shift("mms", shift, (count, 18, 9, 19), of=20)
    # A source is evaluated on itself for several shifts, and some targets are the source of others.
    study = read_study(results.folder, shifts)
    accuracies = {each.shift: present(each.row.generalization_accuracy) for each in study.shifts}
    summary = summarize(study, "published")
    mean = summary.groups[0].means[0].estimates["generalization_accuracy"].value
    assert mean == pytest.approx(sum(accuracies[shift] for shift in shifts) / 69)
    assert len(list(csv.DictReader(io.StringIO(to_csv(summary))))) == 69
    unique = summarize(study)
    mean = unique.groups[0].means[0].estimates["generalization_accuracy"].value
    assert mean == pytest.approx(sum(accuracies.values()) / 56)
    assert len(list(csv.DictReader(io.StringIO(to_csv(unique))))) == 56
    assert len([group for group in unique.groups if group.kind == "category"]) == 8


def test_json_says_what_is_missing_and_holds_no_nan(results: WrittenResults) -> None:
    (results.folder / "evaluations" / "mms" / "base-a_1" / "d.json").unlink()
    value = json.loads(to_json(summarize(read_study(results.folder))), parse_constant=pytest.fail)
    line = next(each for each in value["shifts"] if (each["intervention"], each["target"]) == ("mms", "d"))
    assert line["metrics"]["generalization_accuracy"]["value"] is None
    assert line["metrics"]["generalization_accuracy"]["missing"] == "there is no evaluation"
    assert any("1 of 3 rows have missing evaluations" in note for note in value["notes"])
    assert "2 of 3" in to_markdown(summarize(read_study(results.folder)))


def test_a_table_is_written_to_a_file_and_is_the_same_every_time(results: WrittenResults, tmp_path: Path) -> None:
    outputs = [tmp_path / "one.md", tmp_path / "two.md"]
    for output in outputs:
        done = run("--results", str(results.folder), "--output", str(output))
        assert done.returncode == 0, done.stderr
    assert outputs[0].read_bytes() == outputs[1].read_bytes()
    assert outputs[0].read_text() == run("--results", str(results.folder), "--full", "True").stdout


def test_a_terminal_shows_the_main_results_best_first_in_a_hundred_columns(results: WrittenResults) -> None:
    for shift in SHIFTS:
        results.shift("an_intervention_with_a_very_long_name", shift, (37, 36, 18, 38))
    results.table("an_intervention_with_a_very_long_name", SHIFTS)
    text = run("--results", str(results.folder)).stdout
    assert max(map(len, text.splitlines())) <= 100
    names = [cells(line)[0].replace("\\", "") for line in text.splitlines() if line.startswith("| ")]
    assert names[-3:] == ["an_intervention_with_…", "ccs_2", "mms"]
    assert "--full True" in text
    assert "Brier" not in text
    assert "Brier" in run("--results", str(results.folder), "--full", "True").stdout


def test_chosen_columns_and_interventions_have_the_figures_of_the_whole_table(results: WrittenResults) -> None:
    chosen = ["--columns", '["brier_score", "generalization_accuracy"]', "--interventions", '["mms"]']
    whole, part = (
        run("--results", str(results.folder), "--table", "means", *more).stdout.split("\n\n")[1].splitlines()
        for more in ([], chosen)
    )
    assert cells(part[0])[3:] == ["Brier score", "generalization", "generalization, mean over sources"]
    (row,) = [cells(line) for line in part if line.startswith("| mms")]
    (wanted,) = [cells(line) for line in whole if line.startswith("| mms")]
    titles = cells(whole[0])
    assert row[3:] == [wanted[titles.index(title)] for title in cells(part[0])[3:]]
    assert not [line for line in part if "ccs" in line]


def test_numbers_in_latex_are_ready_for_siunitx() -> None:
    rows = [[Cell("mms"), Cell("-0.146", "[-0.443, 0.150]", True), Cell("< 0.001")], [Cell("a"), Cell(""), Cell("1")]]
    text = latex_table(TextTable("x", ["name", "difference", "p"], rows, 1))
    assert r"\begin{longtable}{lS[table-format=-1.3]lS[table-format=-1.3]}" in text
    assert r"mms & \bfseries -0.146 & {\scriptsize [$-$0.443, 0.150]} & {$<$ 0.001} \\" in text
    assert r"a &  &  & 1 \\" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--results", "nowhere"], "does not exist"),
        (["--format", "html"], "format"),
        (["--format", "json", "--table", "means"], "JSON holds all"),
    ],
)
def test_bad_input_is_one_message_and_status_2(arguments: list[str], message: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("argument", ["--columns", "--interventions"])
def test_an_unknown_column_or_intervention_is_one_message(results: WrittenResults, argument: str) -> None:
    done = run("--results", str(results.folder), argument, '["unknown"]')
    assert done.returncode == 2
    assert f"{argument} unknown: expected names among" in done.stderr


@pytest.mark.skipif(not TABLES.is_dir(), reason=f"the published result files are not in {TABLES}")
def test_the_published_evaluations_give_the_published_table_as_csv() -> None:
    shifts = ROOT / "distribution_shifts" / "GENIES.json"
    arguments = ["--shifts", str(shifts), "--capability", "published_ttc", "--format", "csv"]
    done = run("--results", str(TABLES / "mms" / "results"), *arguments)
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    with open(TABLES / "mms" / "expected_GENIES.csv", newline="") as file:
        expected = list(csv.DictReader(file))
    assert len(rows) == len(expected) == 15
    for row, published in zip(rows, expected, strict=True):
        for column in set(published) - {"target_tuned_capability_intervention"}:
            if column in ("source", "target", "target_reference", "baseline_intervention"):
                assert row[column] == published[column]
            else:
                assert float(row[column]) == pytest.approx(float(published[column]), abs=1e-12)


def test_markup_shows_text_as_it_is() -> None:
    assert escaped("a\n| <b> `c` [d](e) *f* \\") == "a \\| \\<b> \\`c\\` \\[d\\](e) \\*f\\* \\\\"
    assert latex_text("~^\\{}") == r"\textasciitilde{}\textasciicircum{}\textbackslash{}\{\}"
    table = TextTable("x & y", ["name", "n"], [[Cell("a"), Cell("1", "[0, 2]", True)], [Cell("b"), Cell("")]], 1)
    assert markdown_table(table).splitlines()[2] == "| a    | **1** [0, 2] |"
    assert r"\caption{x \& y}\\" in latex_table(table)
    assert r"b &  &  \\" in latex_table(table)


def test_the_gain_on_the_source_stands_beside_the_gain_on_the_target(tmp_path: Path) -> None:
    """The mean over shifts of 36 / 40 - 10 / 40 on source a and of 36 / 40 - 20 / 40 on source e."""
    written = WrittenResults(tmp_path / "results")
    shifts = [Shift("a", "b"), Shift("a", "c"), Shift("e", "b")]
    for shift in shifts:
        written.shift("mms", shift, (28, 36, 18, 38))
    for source, right in (("a", 10), ("e", 20)):
        written.evaluation("zero_shot", "base", source, [0.9] * right + [0.2] * (40 - right))
    written.table("mms", shifts)
    text = to_markdown(summarize(read_study(written.folder)), ("differences",))
    header, line = (
        cells(each) for each in text.splitlines() if each.startswith("|") and ("gain on" in each or "mms" in each)
    )
    gain = dict(zip(header, line, strict=True))["gain on source"]
    assert gain.startswith("+0.567 [")  # (0.65 + 0.65 + 0.4) / 3
    assert dict(zip(header, line, strict=True))["difference"].startswith("**+0.250")


def test_where_no_shift_can_be_tested_none_is_counted_as_alike(tmp_path: Path) -> None:
    """Six sources without probabilities: means are tested, single shifts are not; "0 better" would be a claim."""
    written = WrittenResults(tmp_path / "results")
    shifts = [Shift(f"s{number}", f"t{number}") for number in range(6)]
    for number, shift in enumerate(shifts):
        for name, model, right in (("mms", f"base-s{number}", 14 + number % 3), ("zero_shot", "base", 10)):
            p = [0.9] * right + [0.2] * (20 - right)
            for place in (shift.target, shift.source):
                written.evaluation(name, model, place, p, eval_probabilities=None, eval_example_indices=None)
        written.evaluation("lora_fine_tune", f"base-t{number}", shift.target, [0.9] * 20)
    written.table("mms", shifts)
    text = to_markdown(summarize(read_study(written.folder)), ("differences",))
    header, line = (cells(each) for each in text.splitlines() if "better on |" in each or each.startswith("| mms"))
    row = dict(zip(header, line, strict=True))
    assert row["verdict"] == "higher"
    assert (row["better on"], row["worse on"]) == ("", "")
    (note,) = [each for each in text.splitlines() if each.startswith("- paired differences")]
    assert "no single shift can be tested" in note
    assert "()" not in text
