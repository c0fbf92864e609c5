"""A report from seeded results and real and hostile distributions, made once for all tests that look at it."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genies.data.shifts import Shift
from genies.report.writing import Content, write_report
from tests.support.seeded_results import SeededStudy

ROOT = Path(__file__).resolve().parents[2]

HOSTILE = "ho<b>stile & \"quoted\" 'name'"
"""A name that a folder may have."""

LONG = "word " * 200_000

INTERVENTIONS = ("zero_shot", "mms", "lora_fine_tune", "<img src=x onerror=alert(1)>")

SHIFTS = [
    Shift("starter_everyday", "starter_wrong_on_request", label="probing", category="unwanted_personas"),
    Shift("starter_everyday", "starter_ordering", label="extreme", category="skill"),
    Shift("starter_everyday", "starter_sums", label="extreme", category="skill"),
    Shift("starter_sums", "starter_everyday", label="extreme", category="skill"),
    Shift("starter_everyday", HOSTILE, label="probing", category="<script>alert('category')</script>"),
    Shift("starter_sums", "starter_ordering", "starter_everyday", label="extreme", category="difficulty"),
]

HOSTILE_TEXTS = [
    "<script>window.hacked = 1</script>",
    "</script><script>window.hacked = 1</script>",
    "</textarea></title></style><img src=x onerror='window.hacked = 1'>",
    "<svg onload='window.hacked = 1'><a href='javascript:window.hacked=1'>x</a>",
    "before\x00after",
    "abc\u202edlrow olleh\u202c and \u2067isolated\u2069",
    "line\u2028separator\u2029paragraph &lt;already&gt; &amp; escaped",
    "<!--<script>",
    "{{ 7 * 7 }} {% raw %} ${7 * 7} `backticks` \\u003c",
    "שלום עולם (rtl) שלום",
    "unbroken" * 400,
    "",
]


def hostile_examples() -> list[dict[str, Any]]:
    made = [
        {"prompt": f"Question {number}: {text}", "responses": {text: 1.0, f"worse {text}": 0.0}}
        for number, text in enumerate(HOSTILE_TEXTS)
    ]
    return [*made, {"prompt": LONG + "the end", "responses": {"short": 0.0, "__proto__": 1.0}}]


@dataclass(frozen=True)
class MadeReport:
    """Where the report lies, and what it was made from."""

    folder: Path
    results: Path
    distributions: Path
    study: SeededStudy

    def evaluation(self, intervention: str, source: str | None, target: str) -> dict[str, Any]:
        path = self.study.evaluation_file(intervention, source, None, target)
        value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return value

    def content(self) -> Content:
        return Content(self.results, self.distributions)


def make_report(folder: Path) -> MadeReport:
    """One hole (mms on starter_sums), one evaluation without provenance, one hostile distribution, one leak."""
    distributions, results = folder / "distributions", folder / "results"
    for name in sorted({name for shift in SHIFTS for name in (shift.source, shift.target)} - {HOSTILE}):
        shutil.copytree(ROOT / "distributions" / name, distributions / name)
    examples = json.dumps(hostile_examples())
    (distributions / HOSTILE).mkdir()
    (distributions / HOSTILE / "test.json").write_text(examples, encoding="utf-8")
    (distributions / HOSTILE / "train.json").write_text(json.dumps(hostile_examples()[:2]), encoding="utf-8")
    study = SeededStudy(results, distributions, base_model="tiny")
    study.write(SHIFTS, INTERVENTIONS)
    study.evaluation_file("mms", "starter_everyday", None, "starter_sums").unlink()
    bare = study.evaluation_file("mms", "starter_everyday", None, "starter_ordering")
    value = json.loads(bare.read_text(encoding="utf-8"))
    del value["provenance"]
    bare.write_text(json.dumps(value), encoding="utf-8")
    made = MadeReport(folder / "report", results, distributions, study)
    write_report(made.folder, made.content())
    return made
