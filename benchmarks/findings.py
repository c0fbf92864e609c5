"""What benchmarks report: measurements with their targets, as a Markdown table and as a JSON file with the machine, the
date, the commit and the command."""

from __future__ import annotations

import json
import os
import platform
import shlex
import subprocess
import sys
import warnings
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from genies.command_line import Arguments

ROOT = Path(__file__).resolve().parents[1]

warnings.filterwarnings("ignore", message='Field name "json"')


class FindingsArguments(Arguments):
    """Arguments of every benchmark."""

    json: Path | None = None  # type: ignore[assignment]
    """Write the measurements to this file."""
    check: bool = False
    """End with status 1 when a target is missed."""


@dataclass(frozen=True)
class Target:
    """The range in which a measured value is expected."""

    at_least: float | None = None
    at_most: float | None = None

    def __str__(self) -> str:
        return f"≥ {self.at_least:g}" if self.at_least is not None else f"≤ {self.at_most:g}"

    def holds(self, value: float) -> bool:
        """Whether a value is in the range."""
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)


@dataclass(frozen=True)
class Measurement:
    """A measured value and its target."""

    subject: str
    """The case that was measured, for example an intervention and a distribution."""
    name: str
    value: float
    unit: str = ""
    target: Target | None = None

    def row(self) -> str:
        """The measurement as a row of a table: case, measurement, value, target."""
        target = "" if self.target is None else f"{self.target}{'' if self.target.holds(self.value) else ' (missed)'}"
        return f"| {self.subject} | {self.name} | {f'{number(self.value)} {self.unit}'.strip()} | {target} |"


@dataclass
class Findings:
    """The measurements of one benchmark, in the order in which they were taken."""

    title: str
    threads: int
    model: str = ""
    """Name of the model, if one is used."""
    measurements: list[Measurement] = field(default_factory=list)
    load_before: float = field(default_factory=lambda: os.getloadavg()[0])

    def add(self, subject: str, name: str, value: float, unit: str = "", target: Target | None = None) -> None:
        self.measurements.append(Measurement(subject, name, value, unit, target))

    def missed(self) -> list[Measurement]:
        """Measurements that miss their target."""
        return [each for each in self.measurements if each.target is not None and not each.target.holds(each.value)]


def number(value: float) -> str:
    """A number with four digits and separated thousands.

    >>> number(12345.6), number(0.123456), number(24)
    ('12,346', '0.1235', '24')
    """
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 1000 else f"{value:.4g}"


def table(measurements: list[Measurement]) -> str:
    """A Markdown table of measurements."""
    return "\n".join(
        ["| case | measurement | value | target |", "|---|---|---:|---:|", *(each.row() for each in measurements)]
    )


def machine(findings: Findings) -> dict[str, Any]:
    """The machine on which the measurements were taken."""
    processor = platform.processor() or platform.machine()
    extensions: list[str] = []
    if Path("/proc/cpuinfo").is_file():
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        processor = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), processor)
        flags = set(next((line for line in lines if line.startswith("flags")), "").split())
        extensions = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_tile") if name in flags]
    return {
        "processor": processor,
        "extensions": extensions,
        "cores": os.cpu_count(),
        "threads": findings.threads,
        "model": findings.model,
        "load_average_before": findings.load_before,
        "load_average": os.getloadavg()[0],
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "transformers")},
    }


def commit() -> str:
    """The commit of the project, with a plus when files differ from it; empty outside a checkout."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--exclude=*"],
            cwd=ROOT, capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def described(about: dict[str, Any]) -> str:
    """The machine in one line."""
    model = f", {about['model']}" if about["model"] else ""
    return (
        f"{about['processor']} ({' '.join(about['extensions']) or platform.machine()}), {about['cores']} cores, "
        f"{about['threads']} thread{'s' * (about['threads'] != 1)}, Python {about['python']}, torch {about['torch']}, "
        f"transformers {about['transformers']}{model}; load average {about['load_average_before']:.2f} before and "
        f"{about['load_average']:.2f} after"
    )


def command_line() -> str:
    """The command that was given, without the file its measurements go to."""
    items = ["python", *sys.argv]
    places = [index for index, item in enumerate(items) if item == "--json" or item.startswith("--json=")]
    for index in reversed(places):
        del items[index : index + (2 if items[index] == "--json" else 1)]
    return shlex.join(items)


def report(arguments: FindingsArguments, findings: Findings) -> int:
    """Print the table, write --json, and give the exit status: 1 with --check where a target is missed."""
    about = machine(findings)
    print(f"# {findings.title}\n\n{described(about)}\n\n{table(findings.measurements)}", flush=True)
    if arguments.json:
        values = [
            {**asdict(each), "reached": None if each.target is None else each.target.holds(each.value)}
            for each in findings.measurements
        ]
        record = {
            "benchmark": findings.title,
            "command": command_line(),
            "date": datetime.now(UTC).date().isoformat(),
            "commit": commit(),
            "machine": about,
            "measurements": values,
        }
        arguments.json.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return 1 if arguments.check and findings.missed() else 0
