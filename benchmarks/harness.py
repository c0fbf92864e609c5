"""Cost of the harness itself: planning, a run with nothing to do, a step, and the use of slots.

python benchmarks/harness.py [--json FILE]

Everything runs as real subprocesses in a temporary folder. The steps do almost nothing, so that the cost of the harness
remains. Values are medians where that makes sense, and ratios within one run where two things are compared.
"""

from __future__ import annotations

import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Annotated

from findings import ROOT, Findings, FindingsArguments, Target, report
from pydantic import Field

from genies.command_line import run

TRAIN = "import sys, time, json, os\nt = time.time()\n{work}\nprint(json.dumps([t, time.time()]))\n"
EVAL = """import sys, time, json, os
t = time.time()
{work}
args = dict(zip(sys.argv[1::2], sys.argv[2::2]))
for path in json.loads(args["--output_paths"]):
    with open(path, "w") as file:
        file.write('{{"eval_accuracy": 0.5}}')
print(json.dumps([t, time.time()]))
"""


def make_project(folder: Path, distributions: int, work: str) -> None:
    """Write a base model, an intervention whose steps execute `work`, and small distributions."""
    (folder / "models" / "base").mkdir(parents=True)
    (folder / "models" / "base" / "config.json").write_text("{}")
    stub = folder / "stub"
    stub.mkdir()
    (stub / "train.py").write_text(TRAIN.format(work=work))
    (stub / "eval.py").write_text(EVAL.format(work=work))
    example = [{"prompt": "q", "responses": {"a": 1.0, "b": 0.0}}]
    for number in range(distributions):
        place = folder / "distributions" / f"d{number}"
        place.mkdir(parents=True)
        for split in ("train", "test"):
            (place / f"{split}.json").write_text(json.dumps(example))


def main_job(folder: Path, shifts: list[tuple[str, str]], *options: str) -> tuple[float, float, str]:
    """Run the main job and return seconds, peak memory of the harness in MB, and its output."""
    (folder / "shifts.json").write_text(json.dumps(shifts))
    command = [sys.executable, "api/compute_generalization_metrics.py", "--base_model_dir", folder / "models/base"]
    command += ["--intervention_dir", folder / "stub", "--baseline_intervention", folder / "stub"]
    command += ["--target_tuned_capability_intervention", folder / "stub", "--models_dir", folder / "models"]
    command += ["--results_dir", folder / "results", "--distributions_dir", folder / "distributions"]
    command += [
        "--path_to_distribution_shift_pairs",
        folder / "shifts.json",
        "--output_path",
        folder / "t.csv",
        *options,
    ]
    environment = {**os.environ, "GENIES_CACHE": str(folder / "cache")}
    started = time.perf_counter()
    done = subprocess.run([*map(str, command)], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024, done.stdout


def spans(folder: Path) -> list[tuple[float, float]]:
    """Start and end of the work of every step, as written by the steps to their logs."""
    logs = (folder / "results" / "logs").rglob("*.log")
    return sorted(tuple(json.loads(log.read_text().splitlines()[-1])) for log in logs)


def busy_share(folder: Path, slots: int, own: bool) -> float:
    """Share of slot time, from the first line of the first step to the last line of the last one, in which a step ran.

    With `own`, a step runs from its first to its last line. Otherwise it runs for the lifetime of its process, as
    measured by its supervisor, including the start and the end of the interpreter.
    """
    found = spans(folder)
    wall = max(end for _, end in found) - found[0][0]
    if own:
        return sum(end - start for start, end in found) / (wall * slots)
    records = [json.loads(path.read_text()) for path in (folder / "models").rglob("training_step.json")]
    stored = (folder / "results" / "evaluations").rglob("*.json")
    records += [json.loads(path.read_text())["provenance"] for path in stored]
    steps = {tuple(each["argv"]): each["seconds"] for each in records}
    assert len(steps) == len(found)
    return sum(steps.values()) / (wall * slots)


class HarnessArguments(FindingsArguments):
    """Run the main job with steps that do almost nothing."""

    distributions: Annotated[int, Field(ge=10)] = 200
    """Number of small distributions."""
    shifts: Annotated[int, Field(ge=1)] = 10_000
    """Number of planned shifts."""
    steps: Annotated[int, Field(ge=4)] = 250
    """Number of distributions that are trained on and evaluated in steps of half a second."""
    computing: Annotated[int, Field(ge=1)] = 6_000_000
    """Number of additions in a step that computes."""


def benchmark(arguments: HarnessArguments) -> int:
    """Measure planning, a run with nothing to do, the cost of a step, and the use of slots."""
    findings = Findings("Harness", threads=1)
    with tempfile.TemporaryDirectory() as folder:
        planning(arguments, findings, Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        price_of_a_step(findings, Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        use_of_slots(arguments, findings, Path(folder))
    walls = {}
    for slots in (1, 2):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            make_project(folder, 4, f"sum(i * i for i in range({arguments.computing}))")
            pairs = [(f"d{number}", f"d{number}") for number in range(4)]
            walls[slots], _, _ = main_job(folder, pairs, "--slots", str(slots))
    findings.add("9 computing steps", "wall time of two slots over one", walls[2] / walls[1])
    return report(arguments, findings)


def planning(arguments: HarnessArguments, findings: Findings, folder: Path) -> None:
    count = arguments.distributions
    make_project(folder, count, "")
    names = [f"d{number}" for number in range(count)]
    shifts = [(names[i % count], names[(i * 7 + i // count) % count]) for i in range(arguments.shifts)]
    seconds, memory, _ = main_job(folder, shifts, "--dry_run", "True")
    subject = f"plan of {arguments.shifts:,} shifts over {count} distributions"
    findings.add(subject, "seconds", seconds, "s", Target(at_most=2))
    findings.add(subject, "peak memory", memory, "MB", Target(at_most=300))


def price_of_a_step(findings: Findings, folder: Path) -> None:
    make_project(folder, 66, "")
    listed = json.loads((ROOT / "distribution_shifts" / "all.json").read_text())
    used = sorted({entry[key] for entry in listed for key in ("source", "target", "target_reference") if key in entry})
    places = {each: f"d{number}" for number, each in enumerate(used)}
    shifts = [(places[entry["source"]], places[entry["target"]]) for entry in listed]
    first, _, said = main_job(folder, shifts)
    steps = int(said.split(" jobs run")[0].rsplit(" ", 1)[1])
    again, _, said = main_job(folder, shifts)
    assert " 0 jobs run" in said
    found = spans(folder)
    gaps = [start - end for (_, end), (start, _) in itertools.pairwise(found)]
    bare = []
    for _ in range(20):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import sys, time, json, os"], check=True)
        bare.append(time.perf_counter() - started)
    subject = "all.json with steps that do nothing, one slot"
    findings.add(subject, "wall time of a step", 1000 * first / steps, "ms")
    findings.add(subject, "from a step's last line to the next one's first, median", 1000 * median(gaps), "ms")
    findings.add(subject, "of which an interpreter's own start and end, median", 1000 * median(bare), "ms")
    findings.add("all.json again, everything there", "seconds", again, "s", Target(at_most=1))


def use_of_slots(arguments: HarnessArguments, findings: Findings, folder: Path) -> None:
    count = arguments.steps
    make_project(folder, count, "time.sleep(0.5)")
    main_job(folder, [(f"d{number}", f"d{(number + 1) % count}") for number in range(count)], "--slots", "2")
    subject = f"{len(spans(folder))} steps of half a second on two slots"
    there, at_work = (busy_share(folder, 2, own) for own in (False, True))
    findings.add(subject, "share of slot time in which a step's process was there", there, "", Target(at_least=0.95))
    findings.add(subject, "share of slot time between a step's own first and last line", at_work)


if __name__ == "__main__":
    run(benchmark)
