"""Cost of a report: seconds and memory to make it, and bytes and time until its pages are painted.

python benchmarks/report.py --distributions_dir distributions [--json FILE]

The results are random, with a fixed seed: by default nine interventions on the 15 GENIES shifts, with evaluations as
long as real ones. The samples are those of all distributions in the folder. Painting is measured in headless Chromium,
if it and the package playwright are installed.
"""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from findings import ROOT, Findings, FindingsArguments, Target
from findings import report as status

from genies.command_line import run
from genies.data.shifts import read_shifts

sys.path.insert(0, str(ROOT))
from tests.support.seeded_results import SeededStudy


class ReportArguments(FindingsArguments):
    """Make the report of random results and open its pages."""

    distributions_dir: Path = Path("distributions")
    """Folder of the distributions whose samples are shown."""
    path_to_distribution_shift_pairs: Path = ROOT / "distribution_shifts" / "GENIES.json"
    """The shifts of the results."""


def benchmark(arguments: ReportArguments) -> int:
    """Measure one report and three of its pages."""
    findings = Findings("Report", threads=1)
    with tempfile.TemporaryDirectory() as folder:
        results, output = Path(folder) / "results", Path(folder) / "report"
        shifts = read_shifts(arguments.path_to_distribution_shift_pairs)
        distributions = arguments.distributions_dir.resolve()
        SeededStudy(results, distributions).write(shifts)
        make(findings, results, distributions, output, f"report of nine interventions on {len(shifts)} shifts")
        paints(findings, output, shifts[0].target)
    return status(arguments, findings)


def make(findings: Findings, results: Path, distributions: Path, output: Path, subject: str) -> None:
    """Run the command once and return wall seconds, processor seconds and the peak memory of the process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "api/report.py", "--results_dir", results, "--distributions_dir", distributions]
    start = time.perf_counter()
    subprocess.run([*map(str, command), "--output", str(output)], cwd=ROOT, check=True, capture_output=True)
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    files = [path for path in output.rglob("*") if path.is_file()]
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    findings.add(subject, "seconds", seconds, "s")
    findings.add(subject, "processor seconds", processor, "s")
    findings.add(subject, "peak memory", after.ru_maxrss / 1024, "MB")
    findings.add(subject, "size", sum(path.stat().st_size for path in files) / 1e6, "MB")
    findings.add(subject, "files", len(files))
    findings.add(subject, "pages", len(list(output.glob("*.html"))))


def paints(findings: Findings, output: Path, target: str) -> None:
    """Milliseconds from the start of navigation to the first contentful paint, and kB loaded, for three pages."""
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        print("paints are not measured: the package playwright is not installed", file=sys.stderr)
        return
    if executable is None:
        print("paints are not measured: no Chromium is installed", file=sys.stderr)
        return
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        for name, address in (
            ("summary", "index.html"),
            ("compare", "compare.html"),
            ("samples", f"samples.html#d={target}"),
        ):
            page = browser.new_context().new_page()
            asked: set[str] = set()
            page.on("request", lambda request, asked=asked: asked.add(request.url.partition("#")[0]))
            page.goto(f"{output.as_uri()}/{address}")
            page.locator("[aria-busy=true]").first.wait_for(state="detached")
            page.wait_for_timeout(200)
            entries = page.evaluate("performance.getEntriesByName('first-contentful-paint').map(e => e.startTime)")
            sizes = [path.stat().st_size for path in output.rglob("*") if path.as_uri() in asked]
            findings.add(f"page {name}", "first paint", entries[0], "ms", Target(at_most=1000))
            findings.add(f"page {name}", "loaded", sum(sizes) / 1e3, "kB")
        browser.close()


if __name__ == "__main__":
    run(benchmark)
