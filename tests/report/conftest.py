"""One made report and one browser for all tests of the report."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.made_report import MadeReport, make_report


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeReport:
    """A report from seeded results; see tests/support/made_report.py."""
    return make_report(tmp_path_factory.mktemp("made_report"))


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A headless browser; skips where there is none (Debian: apt-get install chromium)."""
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if executable is None:
        pytest.skip("no Chromium is installed; on Debian: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="the browser tests need the package playwright")
    with playwright.sync_playwright() as driver:
        # Containers seldom allow Chromium's own sandbox; the pages are ours.
        browser = driver.chromium.launch(executable_path=executable, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


def loaded(folder: Path, key: str) -> Any:
    """The value in a data file of a report, data/<key>.js."""
    text = (folder / "data" / f"{key}.js").read_text(encoding="utf-8")
    return json.loads(text.removeprefix(f'genies.add("{key}",').removesuffix(");\n"))


class Tab:
    """A page of the browser that remembers every fault it met."""

    def __init__(self, browser: Any, folder: Path, width: int = 1440, **options: Any) -> None:
        self.folder = folder
        self.faults: list[str] = []
        self.context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        self.page = self.context.new_page()
        self.page.on("console", lambda said: self._note(said.type, said.text))
        self.page.on("pageerror", lambda error: self._note("error", str(error)))
        self.page.on("requestfailed", lambda request: self._note("error", f"cannot load {request.url}"))
        self.page.on("dialog", self._dismiss)
        # A page of ours that asks for anything else than its own files is a fault.
        self.page.on("request", lambda request: self._foreign(request.url))

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.faults.append(text)

    def _dismiss(self, dialog: Any) -> None:
        self._note("error", f"dialog {dialog.message}")
        dialog.dismiss()

    def _foreign(self, url: str) -> None:
        if not url.startswith((self.folder.as_uri(), "data:")):
            self.faults.append(f"asks for {url}")

    def open(self, address: str) -> Any:
        """Open a page of the report, as index.html or samples.html#d=math; its scripts have run when this returns."""
        self.page.goto("about:blank")
        self.faults = [fault for fault in self.faults if "about:blank" not in fault]
        self.page.goto(f"{self.folder.as_uri()}/{address}")
        self.page.locator("[aria-busy=true]").first.wait_for(state="detached")
        return self.page

    def text(self, selector: str) -> str:
        return str(self.page.locator(selector).first.text_content())


@pytest.fixture
def tab(chromium: Any, made: MadeReport) -> Iterator[Tab]:
    """A wide page on the made report; the test fails when the page met any fault."""
    tab = Tab(chromium, made.folder)
    yield tab
    tab.context.close()
    assert tab.faults == []
