"""Write a report on a results folder, on distributions, or on both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from genies.data.distribution import SplitName
from genies.data.shifts import Shift
from genies.errors import InputError
from genies.report.browser import PAGE as SAMPLES
from genies.report.browser import Browser, write_browser
from genies.report.cells import make_grid
from genies.report.compare_page import PAGE as COMPARE
from genies.report.compare_page import write_compare_page
from genies.report.leaks import exclude_leaked
from genies.report.origins import together
from genies.report.pages import Navigation, Site
from genies.report.paper_figures import drawing
from genies.report.placing import check_place, new_report
from genies.report.process_settings import for_many_evaluations
from genies.report.reading import read_study
from genies.report.section import Part
from genies.report.shift_page import write_shift_page
from genies.report.study import Study
from genies.report.suites import suites
from genies.report.summary import Weights, summarize
from genies.report.summary_page import write_summary_page
from genies.report.token_scores import TokenRequest, TokenScores

ENTRY = "index.html"


@dataclass(frozen=True)
class Content:
    """The input of a report: results, distributions, or both."""

    results_dir: Path | None = None
    distributions_dir: Path | None = None
    """Folder of distributions, for samples and for matching pairs with examples."""
    shifts: Sequence[Shift] | None = None
    """Shifts to report on; None for those in the tables of the results folder."""
    baseline: str = "zero_shot"
    """With `shifts`: the baseline intervention."""
    capability: str = "lora_fine_tune"
    """With `shifts`: the reference intervention of the target-tuned capability."""
    weights: Weights = "unique"
    without_leaked: bool = False
    """Exclude test examples whose prompt was tuned on."""
    splits: Sequence[SplitName] = ("test",)
    """The splits in the sample browser."""
    token_scores: TokenRequest | None = None
    """Samples with log-probabilities by token."""
    live: int | None = None
    """While a run goes on: the number of the report, for pages that poll its status."""

    def study(self) -> Study | None:
        if self.results_dir is None:
            return None
        study = read_study(self.results_dir, self.shifts, self.baseline, self.capability, self.distributions_dir)
        if not self.without_leaked:
            return study
        if self.distributions_dir is None:
            raise InputError("excluding leaked examples requires the distributions; pass their folder")
        return exclude_leaked(study, self.distributions_dir)


@dataclass(frozen=True)
class Written:
    """The result of writing a report."""

    entry: Path
    """The page to open first."""
    pages: int
    distributions: int
    notes: list[str]


def write_report(output_dir: Path, content: Content) -> Written:
    """Write a report to a new folder and move it into place. The output is deterministic.

    Raises InputError if `output_dir` contains something else, and if the shifts of the results folder are unknown.
    """
    check_place(output_dir)
    if content.results_dir is None and content.distributions_dir is None:
        raise InputError("nothing to report on: pass a folder of results, of distributions, or both")
    with for_many_evaluations():
        study = content.study()
        with new_report(output_dir) as folder:
            browser = _write_pages(folder, content, study)
            pages = len(list(folder.glob("*.html")))
    notes = browser.notes if study is None else [*study.notes, *browser.notes]
    return Written(output_dir / ENTRY, pages, len(browser.sampled), notes)


def write_waiting_page(folder: Path, content: Content) -> None:
    """Write the first page of a run without any evaluation yet."""
    site = Site(folder, [Navigation("summary", "Summary", ENTRY)], [], content.live)
    site.assets()
    site.page("waiting.html", ENTRY, "summary")


def _write_pages(folder: Path, content: Content, study: Study | None) -> Browser:
    origins = [] if study is None else together(study.readings)
    site = Site(folder, _navigation(study is not None), origins, content.live)
    site.assets()
    readings = [] if study is None else study.readings
    tokens = None if content.token_scores is None else TokenScores(content.token_scores)
    browser = write_browser(site, content.distributions_dir, readings, content.splits, tokens)
    if study is None or content.results_dir is None:
        (folder / ENTRY).write_bytes((folder / SAMPLES).read_bytes())
        return browser
    parts = _parts(study, content)
    with drawing(folder, [figure for part in parts for figure in part.figures]):
        for part in parts:
            for shift in part.grid.shifts:
                write_shift_page(site, part, shift, browser)
        write_compare_page(site, parts, browser)
        write_summary_page(site, study, parts, browser)
    return browser


def _parts(study: Study, content: Content) -> list[Part]:
    """The suites of the study. Each has its own means, tests and corrections."""
    assert content.results_dir is not None
    found = suites(study, content.distributions_dir)
    parts = []
    for suite in found:
        summary = summarize(suite.study, content.weights)
        parts.append(Part(suite, summary, make_grid(summary, content.results_dir), len(found) == 1))
    return parts


def _navigation(results: bool) -> list[Navigation]:
    """The pages in the navigation."""
    samples = Navigation("samples", "Samples", SAMPLES)
    if not results:
        return [samples]
    return [Navigation("summary", "Summary", ENTRY), Navigation("compare", "Compare", COMPARE), samples]
