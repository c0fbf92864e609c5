"""A report during a run: it is rewritten while jobs end, its pages show the progress, and the last one is static."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from genies.report.live import STATUS, LiveReport
from genies.report.writing import Content
from tests.report.conftest import Tab
from tests.support.made_report import MadeReport
from tests.support.project import Project


def status(folder: Path) -> dict[str, Any]:
    text = (folder / STATUS).read_text(encoding="utf-8")
    value: dict[str, Any] = json.loads(text.removeprefix("genies_status(").removesuffix(");\n"))
    return value


def wait_for(path: Path) -> None:
    end = time.monotonic() + 60
    while not path.is_file():
        assert time.monotonic() < end, f"{path} was not written"
        time.sleep(0.05)


def test_a_page_follows_the_run_shows_the_first_results_and_offers_new_ones(
    chromium: Any, made: MadeReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genies.report.live._SHORTEST_PAUSE", 0.1)
    monkeypatch.setattr("genies.report.live._PAUSE", 0)
    results = tmp_path / "results"
    results.mkdir()
    output = tmp_path / "live"
    with LiveReport(output, Content(results)) as live:
        wait_for(output / STATUS)
        live.told(4, 1, 1, ["evaluate mms"])
        value = status(output)
        assert (value["total"], value["done"], value["failed"], value["running"]) == (4, 1, 1, ["evaluate mms"])
        assert value["seconds_left"] is not None
        tab = Tab(chromium, output)
        page = tab.open("index.html")
        assert page.locator("h1").text_content() == "No results yet"
        page.locator("#live", has_text="1 of 4 jobs done, 1 failed").wait_for()
        live._content = made.content()
        live.told(4, 2, 1, ["evaluate mms"])  # which has the report written again, now with results
        page.locator("h1", has_text="generalize").wait_for()
        live.told(4, 3, 1, [])
        page.get_by_role("button", name="Show new results").wait_for()
    tab.context.close()


def test_the_last_report_of_a_watched_run_is_the_static_one(project: Project) -> None:
    output = project.folder / "report"
    done = project.metrics(report_dir=output, watch=True)
    assert done.returncode == 0, done.stderr
    assert not (output / STATUS).exists()
    index = (output / "index.html").read_text(encoding="utf-8")
    assert "live.js" not in index
    assert "length" in index


def test_watching_without_a_report_is_one_message(project: Project) -> None:
    done = project.metrics(watch=True)
    assert done.returncode == 2
    assert "--report_dir" in done.stderr
    assert "Traceback" not in done.stderr
