"""What the pages say in words of ties with no tuning at all, of seeds, of ties in a histogram and of missing data."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from genies.data.shifts import Shift
from genies.report.pages import shift_page_name
from genies.report.reading import read_study
from genies.report.shift_page import margin_counts
from genies.report.summary import summarize
from genies.report.tables import to_markdown
from genies.report.writing import Content, write_report
from tests.support.written_results import WrittenResults

SHIFTS = [Shift("a", "b"), Shift("a", "c")]


def results_of(folder: Path, right: Mapping[str, int], of: int = 40) -> WrittenResults:
    """Every intervention with so many of `of` right on each target; the untuned model has 30."""
    results = WrittenResults(folder / "results")
    for name, count in right.items():
        for shift in SHIFTS:
            results.shift(name, shift, (count, 36, 30, 38), of)
        results.table(name, SHIFTS)
    return results


def page(results: WrittenResults, name: str = "index.html") -> str:
    output = results.folder.parent / "report"
    write_report(output, Content(results.folder))
    return (output / name).read_text(encoding="utf-8")


def lead(text: str) -> str:
    """The opening sentences of a page without their tags."""
    (found,) = re.findall(r'<p class="lead">(.*?)</p>', text, re.DOTALL)
    return " ".join(html.unescape(re.sub("<.*?>", "", found)).split())


def test_no_intervention_is_praised_for_what_the_untuned_model_gets(tmp_path: Path) -> None:
    results = results_of(tmp_path, {"mms": 10, "zero_shot": 30, "cra": 5})
    said = lead(page(results))
    assert said.startswith(
        "On average over 2 shifts, no intervention is more accurate than the untuned model. The most accurate one is "
        "mms, with 0.250. This is 0.500 below the untuned model (0.750). The difference is significant (95 % interval −"
    )
    assert said.endswith("lora_fine_tune reaches 0.950.")
    shift = lead((tmp_path / "report" / shift_page_name(SHIFTS[0])).read_text(encoding="utf-8"))
    assert shift.startswith("Tuned on a and tested on b, no intervention is more accurate than the untuned model.")
    assert "This is 0.500 below the untuned model (0.750). The difference is significant" in shift
    assert "p < 0.001)" in shift


def test_an_interval_above_0_beside_a_difference_that_is_not_significant_is_explained(tmp_path: Path) -> None:
    """Six more of 40 prompts: p = 0.031, and 0.125 as one of four comparisons."""
    page(results_of(tmp_path, {"mms": 36, "zero_shot": 30, "cra": 31}))
    said = lead((tmp_path / "report" / shift_page_name(SHIFTS[0])).read_text(encoding="utf-8"))
    assert "The difference is not significant (95 % interval +0." in said
    assert "adjusted p = 0.125). The interval is not adjusted for the number of comparisons." in said


def test_no_intervention_is_praised_for_what_a_guess_gets(tmp_path: Path) -> None:
    results = WrittenResults(tmp_path / "results")
    for name, count in {"mms": 18, "cra": 15, "zero_shot": 10}.items():
        for shift in SHIFTS:
            results.shift(name, shift, (count, 36, 10, 38), 40)
        results.table(name, SHIFTS)
    said = lead(page(results))
    assert said.startswith(
        "On average over 2 shifts, no intervention is more accurate than a guess (0.500). The most accurate one is "
        "mms, with 0.450. This is 0.200 above the untuned model (0.250)."
    )


def test_a_shift_says_what_the_best_is_not_significantly_different_from(tmp_path: Path) -> None:
    page(results_of(tmp_path, {"mms": 31, "zero_shot": 30, "cra": 10, "ccs": 29}))
    said = lead((tmp_path / "report" / shift_page_name(SHIFTS[0])).read_text(encoding="utf-8"))
    assert said.startswith("Tuned on a and tested on b, mms is the most accurate intervention, with 0.775. ")
    assert "This is 0.025 above the untuned model (0.750). The difference is not significant (" in said
    assert "p = 1.000)" in said
    assert " Not significantly different from mms: ccs. Significantly less accurate: the other 1." in said


def test_a_shift_that_one_intervention_is_clearly_best_on_says_so(tmp_path: Path) -> None:
    page(results_of(tmp_path, {"mms": 40, "zero_shot": 30, "cra": 10}))
    said = lead((tmp_path / "report" / shift_page_name(SHIFTS[0])).read_text(encoding="utf-8"))
    assert "mms is the most accurate intervention, with 1.000. This is 0.250 above the untuned model (0.750)." in said
    assert re.search(r"The difference is significant \(.*p = 0\.004\)\.", said)
    assert " All other interventions are significantly less accurate." in said


def test_an_intervention_as_good_as_the_untuned_model_does_no_better(tmp_path: Path) -> None:
    said = lead(page(results_of(tmp_path, {"mms": 30, "zero_shot": 30})))
    assert "mms has an accuracy of 0.750. This equals the accuracy of the untuned model (0.750)." in said
    assert "The difference is not significant (adjusted p = 1.000)." in said


def test_an_intervention_that_does_better_is_named_with_what_the_untuned_model_gets(tmp_path: Path) -> None:
    said = lead(page(results_of(tmp_path, {"mms": 36, "zero_shot": 30})))
    assert said.startswith("On average over 2 shifts, mms has an accuracy of 0.900. This is 0.150 above the untuned ")
    assert "The difference is significant (95 % interval +0." in said
    assert said.endswith(" Tuned on the target reference, lora_fine_tune reaches 0.950.")


def test_a_baseline_alone_is_compared_with_nothing(tmp_path: Path) -> None:
    said = lead(page(results_of(tmp_path, {"zero_shot": 30})))
    assert said.startswith("On average over 2 shifts, the untuned model (zero_shot) has an accuracy of 0.750 (95")
    assert "significant" not in said


def test_an_intervention_without_a_seed_is_none_of_the_seeds(tmp_path: Path) -> None:
    results = results_of(tmp_path, {"zero_shot": 30})
    for seed in range(3):
        for shift in SHIFTS:
            results.shift("mms", shift, (34 + seed, 36, 30, 38), seed=seed)
    results.table("mms", SHIFTS, seeds=range(3))
    assert "<span>seeds 0, 1, 2</span>" in page(results)
    row = r'<th scope="row" data-value="(\w+)">.*?<td class="number quiet" data-value="(\d)">'
    assert dict(re.findall(row, page(results), re.DOTALL)) == {"zero_shot": "1", "mms": "3"}
    text = (tmp_path / "report" / shift_page_name(SHIFTS[0])).read_text(encoding="utf-8")
    assert "Means over the seeds of each (up to 3)." in text


def test_interventions_with_different_references_are_shown_with_the_figure_of_each(tmp_path: Path) -> None:
    results = results_of(tmp_path, {"mms": 36, "cra": 34})
    for shift in SHIFTS:
        results.evaluation("prompt_tuning", f"base-{shift.target}", shift.target, [0.9] * 32 + [0.2] * 8)
    table = results.table("cra", SHIFTS)
    table.write_text(table.read_text().replace("lora_fine_tune", "prompt_tuning"))
    text = " ".join(re.sub("<.*?>", "", page(results)).split())
    assert (
        "Target-tuned capability: each intervention has its own reference, tuned and tested on the target "
        "reference: lora_fine_tune, 0.950; prompt_tuning, 0.800."
    ) in text
    note = (
        "cra against baseline zero_shot, reference prompt_tuning; mms against baseline zero_shot, reference "
        "lora_fine_tune"
    )
    assert note in text
    assert note in to_markdown(summarize(read_study(results.folder))).replace("\\", "")


def test_interventions_with_one_reference_name_it_once(tmp_path: Path) -> None:
    text = " ".join(re.sub("<.*?>", "", page(results_of(tmp_path, {"mms": 36, "cra": 34}))).split())
    assert "Baseline: the untuned model, evaluated with zero_shot, 0.750." in text
    assert "Target-tuned capability: lora_fine_tune tuned and tested on the target reference, 0.950." in text
    assert "different references" not in text


@pytest.mark.parametrize(("right", "wrong", "ties"), [(0, 0, 100), (3, 1, 5), (2, 2, 0)])
def test_ties_are_as_much_on_the_wrong_side_of_a_histogram_as_on_the_right(right: int, wrong: int, ties: int) -> None:
    counts = margin_counts([0.04] * right + [-0.04] * wrong + [0.0] * ties + [1.0, -1.0])
    assert counts[9:11] == [wrong + ties / 2, right + ties / 2]
    assert (counts[0], counts[-1], sum(counts)) == (1, 1, right + wrong + ties + 2)


def test_a_histogram_says_how_its_ties_are_drawn(tmp_path: Path) -> None:
    results = results_of(tmp_path, {"random": 20})
    results.evaluation("random", "base-a", "b", [0.5] * 40)
    text = page(results, shift_page_name(SHIFTS[0]))
    (drawn,) = re.findall(r"<title>(Margins of random.*?)</title>(.*?)</svg>", text, re.DOTALL)
    assert drawn[0].endswith("The 40 ties count half in each of the two middle bins.")
    bars = re.findall(r'<rect class="(wrong|right)".*?height="([\d.]+)"', drawn[1])
    assert bars == [("wrong", "74"), ("right", "74")]


def distribution(folder: Path, name: str) -> None:
    (folder / name).mkdir(parents=True)
    for split in ("train", "test"):
        examples = [{"prompt": f"{split} {name} {n}?", "responses": {"yes": 1.0, "no": 0.0}} for n in range(40)]
        (folder / name / f"{split}.json").write_text(json.dumps(examples))


def test_samples_are_those_of_distributions_that_were_tested_on_and_absent_ones_are_named(tmp_path: Path) -> None:
    results = results_of(tmp_path, {"mms": 36})
    for name in ("b", "other"):
        distribution(tmp_path / "distributions", name)
    written = write_report(tmp_path / "report", Content(results.folder, tmp_path / "distributions"))
    note = (
        "no samples of these distributions, because their data is not in distributions "
        "(python download_data.py downloads it): a, c"
    )
    assert note in written.notes
    for name in ("index.html", "samples.html"):
        assert note in (tmp_path / "report" / name).read_text(encoding="utf-8")
    assert re.findall(
        r'<th scope="row"><a href="samples.html#d=(\w+)"', (tmp_path / "report" / "samples.html").read_text()
    ) == ["b"]
    assert written.distributions == 1


def test_without_the_data_of_any_the_samples_page_asks_for_no_folder_that_was_given(tmp_path: Path) -> None:
    results = results_of(tmp_path, {"mms": 36})
    distribution(tmp_path / "distributions", "other")
    write_report(tmp_path / "report", Content(results.folder, tmp_path / "distributions"))
    text = (tmp_path / "report" / "samples.html").read_text(encoding="utf-8")
    assert "contains no samples of its distributions" in text
    assert "(python download_data.py downloads it): a, b, c" in text
    assert "--distributions" not in text
