"""Whether interventions differ: the tests by hand, the families of Holm's method, and who may be called the best."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from genies.data.shifts import Shift
from genies.report.comparing import THE_BASELINE, PairedDifferences
from genies.report.exports import to_csv, to_json
from genies.report.pages import shift_page_name
from genies.report.reading import read_study
from genies.report.study import Study
from genies.report.summary import Summary, summarize
from genies.report.verdicts import direction
from genies.report.writing import Content, write_report
from tests.report.conftest import loaded
from tests.support.present import present
from tests.support.written_results import WrittenResults

MAIN = "generalization_accuracy"
SHIFTS = [Shift(f"s{number}", f"t{number}") for number in range(6)]
RIGHT = {"mms": (38, 30, 22, 34, 20, 31), "cra": (12, 31, 30, 33, 8, 20), "ccs": (37, 20, 29, 30, 21, 29)}
UNTUNED = (20, 30, 25, 20, 22, 30)
OF = 40


def written(folder: Path, right: Mapping[str, Sequence[int]] = RIGHT) -> WrittenResults:
    """Interventions with so many of 40 pairs right on each target, zero_shot as the baseline and as one of them."""
    results = WrittenResults(folder / "results")
    for name, counts in {**right, "zero_shot": UNTUNED}.items():
        for shift, count, untuned in zip(SHIFTS, counts, UNTUNED, strict=True):
            results.shift(name, shift, (count, 36, untuned, 38), OF)
        results.table(name, SHIFTS)
    return results


def summary_of(results: WrittenResults) -> Summary:
    return summarize(read_study(results.folder))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm (1979) written out: the smallest times m, the next times m - 1, never falling."""
    ordered = sorted(range(len(p_values)), key=lambda place: p_values[place])
    found, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(ordered):
        largest = max(largest, min(1.0, p_values[place] * (len(p_values) - rank)))
        found[place] = largest
    return found


def mcnemar(first: int, second: int) -> float:
    """Of results in which the better one has all that the other has right: the discordant pairs are the difference."""
    return 1.0 if first == second else float(binomtest(max(first - second, 0), abs(first - second)).pvalue)


def test_every_cell_is_tested_against_the_baseline_and_all_cells_are_one_family(tmp_path: Path) -> None:
    summary = summary_of(written(tmp_path))
    cells = {
        (line.intervention, line.shift.target): summary.verdict(line).against_baseline
        for line in summary.shifts
        if line.intervention != "zero_shot"
    }
    counts = {
        (name, shift.target): pair for name in RIGHT for shift, *pair in zip(SHIFTS, RIGHT[name], UNTUNED, strict=True)
    }
    assert set(cells) == set(counts)
    expected = dict(zip(counts, holm([mcnemar(*pair) for pair in counts.values()]), strict=True))
    for key, difference in cells.items():
        assert difference is not None
        assert difference.value == pytest.approx((counts[key][0] - counts[key][1]) / OF)
        assert difference.adjusted_p_value == pytest.approx(expected[key])
        below = counts[key][0] < counts[key][1]
        significant = expected[key] < 0.05
        assert difference.verdict == ("not significant" if not significant else "lower" if below else "higher")
    assert {each.verdict for each in cells.values() if each} == {"higher", "lower", "not significant"}


def test_the_baseline_itself_is_never_tested_nor_marked(tmp_path: Path) -> None:
    summary = summary_of(written(tmp_path, {"mms": (5,) * 6, "cra": (6,) * 6}))
    for line in summary.shifts:
        if line.intervention == "zero_shot":
            assert summary.verdict(line).against_baseline is None
            assert not summary.verdict(line).mark(MAIN).starred
    (mean,) = [mean for mean in summary.groups[0].means if mean.intervention == "zero_shot"]
    assert mean.verdict.against_baseline is None
    assert not any(mark.starred for mark in mean.verdict.marks.values())


def test_a_scorer_that_gives_every_pair_one_half_wins_in_no_metric(tmp_path: Path) -> None:
    results = written(tmp_path)
    for shift in SHIFTS:
        for place in (shift.target, shift.source):
            results.evaluation("coin", f"base-{shift.source}", place, [0.5] * OF)
    results.table("coin", SHIFTS)
    summary = summary_of(results)
    (coin,) = [mean for mean in summary.groups[0].means if mean.intervention == "coin"]
    assert coin.estimates["RMS_calibration_error"].value == 0
    assert {mark.standing for mark in coin.verdict.marks.values()} == {"not compared"}
    assert all(summary.verdict(line).marks == {} for line in summary.shifts if line.intervention == "coin")


def test_no_intervention_is_marked_in_a_metric_that_a_constant_half_would_win(tmp_path: Path) -> None:
    # All are right in fewer than half of the pairs of most targets; 0.9 and 0.2 give a Brier score above 1/4 there.
    summary = summary_of(written(tmp_path, {"mms": (15,) * 6, "cra": (14,) * 6}))
    for mean in summary.groups[0].means:
        for metric in (MAIN, "brier_score", "log_loss", "RMS_calibration_error"):
            assert not mean.verdict.mark(metric).starred, metric
        compared = mean.verdict.mark("source_ID_accuracy").standing in ("best", "not different")
        assert compared == (mean.intervention != "zero_shot")


def test_stars_are_given_only_where_they_distinguish(tmp_path: Path) -> None:
    alike = summary_of(written(tmp_path / "alike", {"mms": (38, 37, 36, 38, 37, 36), "cra": (37, 38, 36, 37, 38, 37)}))
    verdicts = [mean.verdict for mean in alike.groups[0].means if mean.intervention != "zero_shot"]
    assert {verdict.mark(MAIN).standing for verdict in verdicts} == {"best", "not different"}
    assert not any(verdict.mark(MAIN).starred for verdict in verdicts)
    apart = summary_of(written(tmp_path / "apart", {"mms": (38, 37, 36, 38, 37, 36), "cra": (5, 6, 7, 8, 5, 6)}))
    starred = {mean.intervention: mean.verdict.mark(MAIN).starred for mean in apart.groups[0].means}
    assert starred == {"mms": True, "cra": False, "zero_shot": False}


def test_one_intervention_without_probabilities_takes_no_mark_from_the_others(tmp_path: Path) -> None:
    results = written(tmp_path)
    before = summary_of(results)
    for shift in SHIFTS:
        for place in (shift.target, shift.source):
            results.evaluation("ccs_2", f"base-{shift.source}", place, [0.9], None, eval_probabilities=None)
    results.table("ccs_2", SHIFTS)
    after = summary_of(results)
    (bare,) = [mean for mean in after.groups[0].means if mean.intervention == "ccs_2"]
    assert bare.estimates[MAIN].value == pytest.approx(1.0)
    for line in before.shifts:
        assert after.verdict(line).mark(MAIN).standing == before.verdict(line).mark(MAIN).standing
    for line in after.shifts:
        if line.intervention == "ccs_2":
            assert after.verdict(line).mark(MAIN).standing == "unknown"
            assert direction(after.verdict(line).against_baseline) == "untested"
    standings = [mark.standing for mean in after.groups[0].means for mark in mean.verdict.marks.values()]
    assert "best" in standings


def test_only_common_examples_are_compared_and_the_others_are_counted(tmp_path: Path) -> None:
    results = written(tmp_path)
    # mms did not see the first three examples, which it would have had right, nor the last two, which it had wrong.
    kept = list(range(3, OF - 2))
    p = [0.9] * 35 + [0.2] * 5
    results.evaluation("mms", "base-s0", "t0", [p[example] for example in kept], kept)
    summary = summary_of(results)
    (line,) = [each for each in summary.shifts if (each.intervention, each.shift.target) == ("mms", "t0")]
    difference = summary.verdict(line).against_baseline
    assert difference is not None
    untuned = [0.9] * UNTUNED[0] + [0.2] * (OF - UNTUNED[0])
    on_both = [(p[example] > 0.5) - (untuned[example] > 0.5) for example in kept]
    assert difference.value == pytest.approx(np.mean(on_both))
    assert (difference.left_out, difference.n_clusters) == (5, len(kept))
    (mean,) = [each for each in summary.groups[0].means if each.intervention == "mms"]
    assert mean.verdict.against_baseline is not None
    assert mean.verdict.against_baseline.left_out == 5
    others = [(count - untuned) / OF for count, untuned in zip(RIGHT["mms"][1:], UNTUNED[1:], strict=True)]
    assert mean.verdict.against_baseline.value == pytest.approx(np.mean([np.mean(on_both), *others]))
    (found,) = [each for each in PairedDifferences(summary).against(summary.groups[0], "ccs") if each.first == "mms"]
    assert found.mean is not None
    assert found.mean.left_out == 5


def test_an_older_evaluation_is_paired_with_one_that_stores_its_prompts(tmp_path: Path) -> None:
    # Two examples a prompt, which only the evaluation of mms says.
    clusters = [number // 2 * 2 for number in range(OF)]
    values = []
    for old in (False, True):
        results = written(tmp_path / str(old))
        for name, model, right in (("mms", "base-s0", 38), ("zero_shot", "base", 20), ("zero_shot", "base-s0", 20)):
            p = [0.9] * right + [0.2] * (OF - right)
            results.evaluation(name, model, "t0", p, eval_prompt_clusters=None if old and name != "mms" else clusters)
        summary = summary_of(results)
        (line,) = [each for each in summary.shifts if (each.intervention, each.shift.target) == ("mms", "t0")]
        (mean,) = [each for each in summary.groups[0].means if each.intervention == "mms"]
        values.append((summary.verdict(line).against_baseline, mean.verdict.against_baseline))
    assert values[0] == values[1]
    assert values[0][0] is not None
    assert values[0][0].value == pytest.approx(18 / OF)
    assert values[0][0].n_clusters == OF // 2


def test_a_prompt_is_paired_where_one_side_left_out_its_first_example(tmp_path: Path) -> None:
    results = written(tmp_path)
    clusters = [0, 1, 0, 1, *range(4, OF)]
    p = [0.9] * 38 + [0.2] * 2
    kept = list(range(1, OF))  # so that the prompt of examples 0 and 2 is number 2 here
    labels = [2 if each == 2 else clusters[each] for each in kept]
    results.evaluation("mms", "base-s0", "t0", [p[each] for each in kept], kept, eval_prompt_clusters=labels)
    untuned = [0.9] * UNTUNED[0] + [0.2] * (OF - UNTUNED[0])
    results.evaluation("zero_shot", "base", "t0", untuned, eval_prompt_clusters=clusters)
    summary = summary_of(results)
    (line,) = [each for each in summary.shifts if (each.intervention, each.shift.target) == ("mms", "t0")]
    difference = summary.verdict(line).against_baseline
    assert difference is not None
    assert difference.value == pytest.approx(18 / 39)
    assert (difference.left_out, difference.n_clusters) == (1, 38)


def test_pages_show_the_difference_that_is_tested(tmp_path: Path) -> None:
    results = written(tmp_path)
    # On the first 20 examples, where the untuned model is always right, mms is right in 6; of all, it seems better.
    results.evaluation("mms", "base-s0", "t0", [0.9] * 12 + [0.2] * 8, list(range(20)))
    results.evaluation("zero_shot", "base", "t0", [0.9] * 20 + [0.2] * 20)
    summary = summary_of(results)
    (line,) = [each for each in summary.shifts if (each.intervention, each.shift.target) == ("mms", "t0")]
    difference = summary.verdict(line).against_baseline
    assert difference is not None
    assert difference.value == pytest.approx(-8 / 20)
    write_report(tmp_path / "report", Content(results.folder))
    details = loaded(tmp_path / "report", "details/heat-0")
    (box,) = [each for each in details if each[0] == "mms: s0 → t0"]
    assert any("\u22120.400 against the baseline" in each and "without 20 examples" in each for each in box), box
    page = (tmp_path / "report" / shift_page_name(SHIFTS[0])).read_text(encoding="utf-8")
    (row,) = re.findall(r'<tr id="row-\d"><th scope="row" data-value="mms">.*?</tr>', page, re.DOTALL)
    assert "\u22120.400" in html.unescape(row)


def test_the_best_is_not_one_that_was_tested_on_easier_examples(tmp_path: Path) -> None:
    results = written(tmp_path)
    # cra is right in the first 30 of 40 examples; mms was tested on those only, and is right in 24 of them.
    results.evaluation("cra", "base-s0", "t0", [0.9] * 30 + [0.2] * 10)
    results.evaluation("mms", "base-s0", "t0", [0.9] * 24 + [0.2] * 6, list(range(30)))
    results.evaluation("ccs", "base-s0", "t0", [0.9] * 8 + [0.2] * 32)
    summary = summary_of(results)
    marks = {
        line.intervention: summary.verdict(line).mark(MAIN) for line in summary.shifts if line.shift.target == "t0"
    }
    accuracies = {
        line.intervention: present(line.estimate(MAIN).value) for line in summary.shifts if line.shift.target == "t0"
    }
    assert accuracies["mms"] > accuracies["cra"]
    assert marks["cra"].standing == "best"
    assert marks["mms"].difference is not None
    assert marks["mms"].difference.value == pytest.approx(-6 / 30)


def test_one_that_is_always_right_is_the_best(tmp_path: Path) -> None:
    summary = summary_of(written(tmp_path, {"mms": (OF,) * 6, "cra": (0,) * 6, "ccs": (0,) * 6}))
    marks = {mean.intervention: mean.verdict.mark(MAIN) for mean in summary.groups[0].means}
    assert {name: mark.standing for name, mark in marks.items() if name != "zero_shot"} == {
        "mms": "best",
        "cra": "different",
        "ccs": "different",
    }


def test_seeds_are_paired_in_whatever_order_tables_list_them(tmp_path: Path) -> None:
    found = []
    for place, order in enumerate([(0, 1, 2), (2, 0, 1)]):
        results = WrittenResults(tmp_path / str(place) / "results")
        for name, right in (("mms", (30, 20, 36)), ("cra", (28, 18, 35))):
            for shift in SHIFTS[:2]:
                for seed, count in enumerate(right):
                    results.shift(name, shift, (count, 36, 20, 38), OF, seed)
            results.table(name, SHIFTS[:2], order if name == "cra" else (0, 1, 2))
        found.append([mean.verdict for mean in summary_of(results).groups[0].means])
    assert found[0] == found[1]


def test_pages_tables_and_comparisons_read_one_answer(tmp_path: Path) -> None:
    results = written(tmp_path)
    write_report(tmp_path / "report", Content(results.folder))
    summary = summary_of(results)
    index = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    details = loaded(tmp_path / "report", "details/heat-0")
    kinds = re.findall(r'<td class="(\w+)" data-detail="(\d+)">', index)
    heat = {details[int(number)][0]: kind for kind, number in kinds}
    model = loaded(tmp_path / "report", "compare/0")
    rows = {row["target"]: row for row in json.loads(to_json(summary))["shifts"] if row["intervention"] == "mms"}
    seen = set()
    for line in summary.shifts:
        if line.intervention == "zero_shot":
            continue
        difference = summary.verdict(line).against_baseline
        assert difference is not None
        sign = {"higher": "u", "lower": "d", "not significant": "h"}[difference.verdict]
        seen.add(sign)
        shift = line.shift
        assert heat[f"{line.intervention}: {shift.source} → {shift.target}"][0] == sign
        page = (tmp_path / "report" / shift_page_name(shift)).read_text(encoding="utf-8")
        (row,) = re.findall(
            rf'<tr id="row-\d"><th scope="row" data-value="{line.intervention}">.*?</tr>', page, re.DOTALL
        )
        track = {"u": "up", "d": "down", "h": "level"}[sign]
        assert f'<svg class="track {track}"' in row
        assert ("★" in row) == summary.verdict(line).mark(MAIN).starred
        p_value = present(difference.adjusted_p_value)
        shown = "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"
        assert shown in html.unescape(row)
        names = model["names"]
        order = names.index(line.intervention), names.index("zero_shot")
        pair = model["pairs"][f"{min(order)}-{max(order)}"]  # the script turns it for the other order
        turned = {"up": "down", "down": "up", "level": "level"}
        assert pair["rows"][SHIFTS.index(shift)][3] == (track if order[0] < order[1] else turned[track])
        if line.intervention == "mms":
            assert rows[shift.target]["against_baseline"]["verdict"] == difference.verdict
    assert seen == {"u", "d", "h"}
    whole = summary.groups[0]
    for mean in whole.means:
        if mean.intervention != "zero_shot":
            order = names.index(mean.intervention), names.index("zero_shot")
            pair = model["pairs"][f"{min(order)}-{max(order)}"]
            direction = mean.verdict.direction
            assert pair["mean"][3] == (direction if order[0] < order[1] else turned.get(direction, direction))
    for each in PairedDifferences(summary).against_baseline(whole):
        assert each.second == THE_BASELINE
        assert f",{each.first},baseline," in to_csv(summary, "differences")


def test_a_chosen_intervention_is_compared_as_on_every_other_page(tmp_path: Path) -> None:
    summary = summary_of(written(tmp_path))
    whole = summary.groups[0]
    differences = PairedDifferences(summary)
    (best,) = [mean.intervention for mean in whole.means if mean.verdict.mark(MAIN).standing == "best"]
    for each in differences.against(whole, best):
        (mean,) = [mean for mean in whole.means if mean.intervention == each.first]
        if each.first == "zero_shot":
            (other,) = [one for one in differences.against_baseline(whole) if one.first == best]
            assert each.mean is not None
            assert other.mean is not None
            assert (each.mean.value, each.mean.adjusted_p_value) == (-other.mean.value, other.mean.adjusted_p_value)
        else:
            assert each.mean == mean.verdict.mark(MAIN).difference


def test_a_group_of_one_shift_has_the_verdicts_of_its_cell(tmp_path: Path) -> None:
    """A category with one shift: its table and the heat map are about the same test, so they must not disagree."""
    shifts = [replace(shift, category=f"c{number}") for number, shift in enumerate(SHIFTS)]
    results = written(tmp_path)
    for name in (*RIGHT, "zero_shot"):
        results.table(name, shifts)
    summary = summary_of(results)
    groups = [group for group in summary.groups if group.kind == "category"]
    assert [len(group.shifts) for group in groups] == [1] * len(SHIFTS)
    lines = {(line.intervention, line.shift): line for line in summary.shifts}
    differences, own = PairedDifferences(summary), 0
    for group in groups:
        (shift,) = group.shifts
        for mean in group.means:
            cell = summary.verdict(lines[mean.intervention, shift])
            assert mean.verdict.against_baseline == cell.against_baseline
            assert mean.verdict.mark(MAIN) == cell.mark(MAIN)
        rivals = [difference for mean in group.means if (difference := mean.verdict.against_baseline) is not None]
        own += holm([present(each.p_value) for each in rivals]) != [each.adjusted_p_value for each in rivals]
        for first, second in combinations(RIGHT, 2):
            found = differences.compare(group, ("base", first), ("base", second))
            assert found.mean == found.shifts[shift][1]
    assert own  # with a family of its own, a group would have had other p-values


def test_accuracies_of_single_responses_in_the_release_are_compared_with_nothing(tmp_path: Path) -> None:
    """The release stored those of ccs, without probabilities: they are at least 1/2 and not about pairs."""

    def release(folder: Path, *more: str) -> Study:
        results = written(folder)
        for name in ("ccs", *more):
            for shift in SHIFTS:
                for place in (shift.target, shift.source):
                    results.evaluation(name, f"base-{shift.source}", place, [0.9] * 9 + [0.1], eval_probabilities=None)
                results.evaluation("zero_shot", "base", shift.source, [0.9] * OF)
        for shift in SHIFTS:
            path = results.folder / "target_tuned_capability" / "base" / f"{shift.target}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({"best_intervention_accuracy": 0.95, "target_reference": shift.target}))
        return read_study(results.folder, SHIFTS)

    study = release(tmp_path)
    summary = summarize(study)
    (ccs,) = [mean for mean in summary.groups[0].means if mean.intervention == "ccs"]
    assert ccs.estimates[MAIN].value == pytest.approx(0.9)
    assert ccs.verdict.against_baseline is None
    assert {mark.standing for mark in ccs.verdict.marks.values()} == {"not compared"}
    compared = {each.first: each.mean for each in PairedDifferences(summary).against_baseline(summary.groups[0])}
    tested = [name for name, difference in compared.items() if difference is not None]
    assert tested == [name for name in compared if name != "ccs"]
    said = " ".join(study.notes)
    assert "ccs: the accuracies are those of single responses" in said
    (unlearned,) = [note for note in study.notes if "not more accurate than the untuned one" in note]
    assert unlearned.startswith("12 of 12 tuned models")  # mms and cra
    assert "ccs" not in unlearned
    # Of another intervention nothing of the kind is known.
    other = summarize(release(tmp_path / "other", "cra"))
    (cra,) = [mean for mean in other.groups[0].means if mean.intervention == "cra"]
    assert cra.verdict.against_baseline is not None
    write_report(tmp_path / "report", Content(tmp_path / "results", shifts=SHIFTS))
    details = loaded(tmp_path / "report", "details/heat-0")
    boxes = [each for each in details if each[0].startswith("ccs: ")]
    assert all("accuracy of single responses, not compared" in each for each in boxes)
    assert len(boxes) == len(SHIFTS)
