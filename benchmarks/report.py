"""What a report costs: seconds and memory to make it, bytes and time until its pages are painted.

    python benchmarks/report.py --distributions distributions [--shifts FILE] [--json FILE]

The results folder is drawn from a seed (nine interventions on the 15 GENIES shifts by default), its evaluations as long
as real ones; the samples are those of all distributions in the folder. Paints are measured in headless Chromium where
it and the package playwright are installed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.report.seeded_results import SeededStudy  # noqa: E402

from genies.data.shifts import read_shifts  # noqa: E402


def make(results: Path, distributions: Path, output: Path) -> dict[str, Any]:
    """Run the command once; wall and processor seconds, and the peak memory of the process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "api/report.py", "--results", results, "--distributions", distributions]
    start = time.perf_counter()
    subprocess.run([*map(str, command), "--output", str(output)], cwd=ROOT, check=True, capture_output=True)
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    files = [path for path in output.rglob("*") if path.is_file()]
    return {
        "seconds": round(seconds, 2),
        "processor_seconds": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 2),
        "peak_MB": round(after.ru_maxrss / 1024),
        "report_MB": round(sum(path.stat().st_size for path in files) / 1e6, 1),
        "files": len(files),
        "pages": len(list(output.glob("*.html"))),
    }


def paints(output: Path, target: str) -> dict[str, Any]:
    """Milliseconds from the start of navigation to the first contentful paint, and kB loaded, of three pages."""
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return {"paints": "playwright is not installed"}
    if executable is None:
        return {"paints": "no Chromium is installed"}
    found: dict[str, Any] = {}
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
            found[name] = {"first_paint_ms": round(entries[0]), "loaded_kB": round(sum(sizes) / 1e3)}
        browser.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--distributions", type=Path, default=ROOT / "distributions")
    parser.add_argument("--shifts", type=Path, default=ROOT / "distribution_shifts" / "GENIES.json")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results, output = Path(folder) / "results", Path(folder) / "report"
        shifts = read_shifts(arguments.shifts)
        distributions = arguments.distributions.resolve()
        SeededStudy(results, distributions).write(shifts)
        result = {
            "shifts": len(shifts),
            "machine": {"platform": platform.platform(), "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1)},
            **make(results, distributions, output),
            **paints(output, shifts[0].target),
        }
    text = json.dumps(result, indent=2)
    print(text)
    if arguments.json is not None:
        arguments.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
