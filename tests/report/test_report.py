"""The report as files: where it may be written, that it is the same every time, and what its pages say."""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from genies.data.shifts import Shift, read_shifts
from genies.errors import InputError
from genies.report.pages import shift_page_name
from genies.report.placing import MARKER, new_report
from genies.report.published import published_for
from genies.report.writing import Content, write_report
from tests.report.conftest import loaded
from tests.support.commands import run_command
from tests.support.made_report import INTERVENTIONS, ROOT, SHIFTS, MadeReport
from tests.support.project import Project


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def report(*arguments: object) -> subprocess.CompletedProcess[str]:
    return run_command("api/report.py", arguments)


def test_command_makes_the_same_bytes_twice_and_replaces_its_own_report(made: MadeReport, tmp_path: Path) -> None:
    output = tmp_path / "report"
    arguments = ("--results", made.results, "--distributions", made.distributions, "--output", output)
    done = report(*arguments)
    assert done.returncode == 0, done.stderr
    assert f"{len(SHIFTS) + 3} pages" in done.stdout
    first = files(output)
    assert first == files(made.folder)
    (output / "left over").write_text("of an older report")
    assert report(*arguments).returncode == 0
    assert files(output) == first
    assert [each.name for each in tmp_path.iterdir()] == ["report"]


def test_a_folder_that_is_no_report_is_refused_and_kept(made: MadeReport, tmp_path: Path) -> None:
    output = tmp_path / "mine"
    output.mkdir()
    (output / "thesis.txt").write_text("years of work")
    done = report("--results", made.results, "--output", output)
    assert done.returncode == 2
    assert str(output) in done.stderr
    assert MARKER in done.stderr
    assert "Traceback" not in done.stderr
    assert files(output) == {"thesis.txt": b"years of work"}


def test_an_empty_folder_is_filled_and_a_file_is_refused(made: MadeReport, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write_report(tmp_path / "empty", Content(None, made.distributions))
    assert (tmp_path / "empty" / "index.html").is_file()
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="not a folder"):
        write_report(tmp_path / "file", Content(None, made.distributions))


def test_a_report_that_fails_leaves_the_old_one_and_nothing_else(tmp_path: Path) -> None:
    output = tmp_path / "report"
    with new_report(output) as folder:
        (folder / "index.html").write_text("old")

    def fail() -> None:
        with new_report(output) as folder:
            (folder / "index.html").write_text("new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert (output / "index.html").read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["report"]


def test_folders_that_are_not_there_are_named(tmp_path: Path) -> None:
    for arguments in (["--results", tmp_path / "none"], ["--distributions", tmp_path / "none"]):
        done = report(*arguments, "--output", tmp_path / "report")
        assert done.returncode == 2
        assert str(tmp_path / "none") in done.stderr
        assert not (tmp_path / "report").exists()


class Markup(HTMLParser):
    """Every tag of a page, with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_pages_hold_no_inline_script_or_style_and_a_policy_that_forbids_them(made: MadeReport) -> None:
    for page in made.folder.glob("*.html"):
        tags = Markup(page.read_text(encoding="utf-8")).tags
        policy = next(each["content"] for tag, each in tags if each.get("http-equiv") == "Content-Security-Policy")
        assert policy is not None
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        for tag, attributes in tags:
            assert not [name for name in attributes if name.startswith("on") or name == "style"], tag
            assert tag not in ("style", "img", "iframe", "object", "embed", "form", "base")
            if tag == "script":
                assert attributes.get("type") == "application/json" or str(attributes["src"]).startswith("assets/")
            for name in ("href", "src"):
                assert not re.match(r"\s*(javascript|https?|//|/)", attributes.get(name) or "", re.I)


def test_names_from_data_never_leave_the_folder_and_are_escaped(made: MadeReport) -> None:
    page = made.folder / shift_page_name(SHIFTS[4])
    assert page.parent == made.folder
    assert re.fullmatch(r"[a-z0-9_.-]+", page.name)
    text = page.read_text(encoding="utf-8")
    assert "<b>stile" not in text
    assert "ho&lt;b&gt;stile" in text
    index = (made.folder / "index.html").read_text(encoding="utf-8")
    assert "<script>alert" not in index
    assert "<img" not in index
    assert re.fullmatch(r"[a-z0-9_./-]+", "".join(sorted(set("".join(files(made.folder))))))


def test_summary_and_heat_map_show_the_figures_of_the_files(made: MadeReport) -> None:
    index = (made.folder / "index.html").read_text(encoding="utf-8")
    details = loaded(made.folder, "details/heat-0")
    assert len(details) == len(SHIFTS) * len(INTERVENTIONS)
    for intervention in INTERVENTIONS:
        for shift in SHIFTS:
            lines = next(each for each in details if each[0] == f"{intervention}: {shift.source} → {shift.target}")
            if (intervention, shift.target) == ("mms", "starter_sums"):
                assert lines[1] == "no value"
                continue
            accuracy = made.evaluation(intervention, shift.source, shift.target)["eval_accuracy"]
            baseline = made.evaluation("zero_shot", None, shift.target)["eval_accuracy"]
            assert any(f"{accuracy:.3f}" == each[1] for each in details if each[0] == lines[0])
            assert any(f"{accuracy - baseline:+.3f} against".replace("-", "−") in " ".join(each) for each in details)
    assert "have missing evaluations" in index
    assert "unverified" in index


def test_an_intervention_that_lacks_a_shift_is_not_called_the_best(made: MadeReport) -> None:
    index = (made.folder / "index.html").read_text(encoding="utf-8")
    means = {
        name: sum(made.evaluation(name, each.source, each.target)["eval_accuracy"] for each in SHIFTS) / len(SHIFTS)
        for name in INTERVENTIONS
        if name != "mms"  # which has a hole
    }
    lead = re.findall(r'<p class="lead">(.*?)</p>', index, re.DOTALL)[0]
    best = max(means, key=means.__getitem__)
    said = " ".join(lead.split())
    assert f"<b>{html.escape(best)}</b> is the most accurate intervention, with <b>{means[best]:.3f}</b>" in said
    assert "Not compared, because evaluations are missing: mms." in lead


def test_failed_step_is_the_reason_of_its_hole(made: MadeReport, tmp_path: Path) -> None:
    state = made.results / ".state" / "mms" / "tiny-starter_everyday" / "evaluate.json"
    state.parent.mkdir(parents=True)
    state.write_text(json.dumps({"state": "failed", "failure": "eval.py ran out of <memory>"}), encoding="utf-8")
    try:
        write_report(tmp_path / "report", made.content())
    finally:
        state.unlink()
    index = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert "no value: eval.py ran out of &lt;memory&gt;" in index


def test_damaged_evaluation_is_the_reason_of_its_hole(made: MadeReport, tmp_path: Path) -> None:
    path = made.study.evaluation_file("mms", "starter_sums", None, "starter_everyday")
    before = path.read_bytes()
    path.write_bytes(before[:100])
    try:
        write_report(tmp_path / "report", made.content())
    finally:
        path.write_bytes(before)
    page = (tmp_path / "report" / shift_page_name(SHIFTS[3])).read_text(encoding="utf-8")
    assert "is not valid JSON, or it is truncated" in page


def test_published_means_are_shown_for_their_own_shifts_only() -> None:
    shifts = read_shifts(ROOT / "distribution_shifts" / "GENIES.json")
    published = published_for(shifts)
    assert published is not None
    assert published.value("mms", "generalization_accuracy") == 0.62
    assert published.value("mine", "generalization_accuracy") is None
    assert published_for(shifts[:14]) is None
    assert published_for([*shifts, Shift("math", "code")]) is None
    assert published_for([Shift(each.source, each.target) for each in shifts]) is None


def test_main_job_ends_with_a_report_also_when_a_step_failed(project: Project) -> None:
    broken = project.intervention("broken", "raise SystemExit(1)", "raise SystemExit(1)")
    output = project.folder / "report"
    done = project.metrics(
        intervention_dir=[str(project.length), str(broken)],
        output_path=project.folder / "out" / "{intervention}.csv",
        report_dir=output,
    )
    assert done.returncode == 1
    assert f"report: {output / 'index.html'}" in done.stdout
    index = (output / "index.html").read_text(encoding="utf-8")
    assert "length" in index
    noted = index.count('<li class="note">')  # the page has them in full, so the run need not repeat them
    assert noted
    assert f"index.html   {noted} note" in done.stdout
    assert (output / shift_page_name(Shift("long", "short"))).is_file()
    assert (output / "samples.html").is_file()


def test_main_job_refuses_a_place_for_the_report_before_it_runs_anything(project: Project) -> None:
    output = project.folder / "mine"
    output.mkdir()
    (output / "thesis.txt").write_text("years of work")
    done = project.metrics(report_dir=output)
    assert done.returncode == 2
    assert MARKER in done.stderr
    assert project.logs() == []


def test_without_distributions_there_are_no_samples_and_the_page_says_how_to_get_them(
    made: MadeReport, tmp_path: Path
) -> None:
    write_report(tmp_path / "report", Content(made.results, None))
    assert "--distributions" in (tmp_path / "report" / "samples.html").read_text(encoding="utf-8")


def test_making_a_report_never_loads_torch_and_a_job_without_one_loads_no_templates() -> None:
    program = "import sys, runpy; sys.path.insert(0, 'api'); runpy.run_path('api/{}'); print(*sorted(sys.modules))"
    loaded = {}
    for script in ("report.py", "compute_generalization_metrics.py"):
        command = [sys.executable, "-c", program.format(script)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        loaded[script] = set(done.stdout.split())
    assert not {"torch", "transformers", "sklearn", "pandas"} & loaded["report.py"]
    assert "genies.report.writing" in loaded["report.py"]
    assert not [name for name in loaded["compute_generalization_metrics.py"] if name.startswith("genies.report")]
    assert not {"jinja2", "matplotlib"} & loaded["compute_generalization_metrics.py"]
