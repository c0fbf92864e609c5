"""Check an intervention in four rounds of two runs each; failed runs are followed by runs that find the cause."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field

from genies.command_line import Arguments
from genies.contract import check_kwargs
from genies.errors import InputError
from genies.folders import intervention_folder, named_folder
from genies.harness.checking.advice import advice
from genies.harness.checking.bad_input import judge_bad_input
from genies.harness.checking.evaluating import judge_evaluation, paths_fail
from genies.harness.checking.report import Verdict, failed, ok, skipped, to_text
from genies.harness.checking.runs import Ran, Runs
from genies.harness.checking.seeds import judge_seeds
from genies.harness.inputs import check_script
from genies.harness.store import Store

CHECKS = (
    "train.py runs",
    "eval.py runs",
    "several distributions",
    "valid evaluations",
    "values of pairs",
    "2 to 4 responses",
    "source as target",
    "paths",
    "same values again",
    "seeds",
    "order of responses",
    "nothing else written",
    "malformed distribution",
    "missing distribution",
)
"""In the order of the report."""

_STRAYS_SHOWN = 8


class CheckRequest(Arguments):
    """Check that an intervention honours the contract, on a generated two-layer model and generated distributions.

    Example:
      python api/check_intervention.py src/interventions/mms

    The first argument may be the folder of the intervention instead of --intervention_dir. The check takes
    about a minute. The exit status is 0 if all checks pass and 1 if one fails; then the logs are kept, and the report
    says what to change.
    """

    positional: ClassVar[str | None] = "intervention_dir"

    intervention_dir: Path
    """Folder of the intervention, which contains train.py and eval.py."""
    base_model_dir: Path | None = None
    """Folder of the untuned model to use (default: a generated model of two layers)."""
    train_kwargs: Annotated[dict[str, Any], Field(default_factory=dict)]
    """Arguments for train.py, as '{"seed": 1}'."""
    eval_kwargs: Annotated[dict[str, Any], Field(default_factory=dict)]
    """Arguments for eval.py."""
    timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 120.0
    """Seconds one run of a script may take."""


def check_intervention(request: CheckRequest, root: Path) -> int:
    """Check the intervention, print the report, and return the exit status: 0, or 1 when a check failed."""
    started = time.monotonic()
    verdicts, folder = examine(request, root)
    shown = Store(root, root / "models", root / "results").shown(
        intervention_folder(request.intervention_dir, root, "intervention_dir")
    )
    print(f"{shown} against the contract, {time.monotonic() - started:.0f} s\n")
    print(to_text(verdicts), end="")
    return _conclude(verdicts, folder)


def examine(request: CheckRequest, root: Path) -> tuple[list[Verdict], Path]:
    """A verdict for every check, and the folder with the logs and all that the scripts were given.

    The folder is deleted when no check failed. `root` is the project root, the scripts' working directory. Raises
    InputError for folders that are not there.
    """
    check_kwargs("train_kwargs", request.train_kwargs)
    check_kwargs("eval_kwargs", request.eval_kwargs)
    store = Store(root, root / "models", root / "results")
    intervention = intervention_folder(request.intervention_dir, root, "intervention_dir")
    for script in ("train.py", "eval.py"):
        check_script(intervention / script, store)
    base_model = None if request.base_model_dir is None else named_folder(request.base_model_dir, "base_model_dir")
    if base_model is not None and not base_model.is_dir():
        raise InputError(
            f"model folder {store.shown(base_model)} does not exist; name another with --base_model_dir, "
            "or leave it out to use a generated model"
        )
    folder = Path(tempfile.mkdtemp(prefix="genies-check-")).resolve()
    try:
        runs = Runs(intervention, root, folder, base_model, request.timeout, request.train_kwargs, request.eval_kwargs)
        try:
            verdicts = judge(runs)
        finally:
            runs.close()
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    if all(verdict.state != "FAILED" for verdict in verdicts):
        shutil.rmtree(folder, ignore_errors=True)
    return verdicts, folder


def _conclude(verdicts: list[Verdict], folder: Path) -> int:
    states = [verdict.state for verdict in verdicts]
    if "FAILED" not in states:
        print("\nAll checks passed.")
        return 0
    left_out = f", {states.count('skipped')} skipped" if "skipped" in states else ""
    print(f"\n{states.count('FAILED')} of {len(states)} checks failed{left_out}.")
    print(f"The logs and the inputs of the scripts are in {folder}; delete it when you are done.")
    return 1


@dataclass
class Findings:
    """The verdicts so far; checks without a verdict are reported as skipped."""

    verdicts: dict[str, Verdict] = field(default_factory=dict)

    def add(self, verdict: Verdict) -> None:
        """Keep a verdict, unless the check failed before."""
        known = self.verdicts.get(verdict.check)
        if known is None or known.state != "FAILED":
            self.verdicts[verdict.check] = verdict

    def in_order(self, why: str) -> list[Verdict]:
        return [self.verdicts.get(check, skipped(check, why)) for check in CHECKS]


def judge(runs: Runs) -> list[Verdict]:
    """Run the scripts and return a verdict for every check, in the order of CHECKS."""
    findings = Findings()
    why = _judge_runs(runs, findings)
    if runs.strays:
        shown = runs.strays[:_STRAYS_SHOWN]
        more = len(runs.strays) - len(shown)
        findings.add(
            failed(
                "nothing else written",
                expected="train.py changes only what is in --output_dir, and eval.py writes only --output_paths",
                came="\n".join([*shown, *([f"and {more} more"] if more else [])]),
                log=None,
                change="write what eval.py needs to --output_dir, and everything else to a temporary folder "
                "(tempfile); the model folder, the distributions, the scripts' own folder and the working directory "
                "are shared with other runs at the same time",
            )
        )
    elif findings.verdicts["train.py runs"].state == "ok":
        findings.add(ok("nothing else written", "inputs, own folder and working directory are unchanged"))
    return findings.in_order(why)


def _judge_runs(runs: Runs, findings: Findings) -> str:
    """Add all verdicts but that on stray files; returns why verdicts are missing."""
    plain, awkward = runs.project.plain, runs.project.awkward
    usual, unusual = runs.train((plain, "source"), (awkward, "source"))
    if usual.outcome.timed_out:
        findings.add(_train_fails(usual, runs.train_kwargs))
        return "train.py does not run"
    if not usual.succeeded:
        easy, easy_unusual = runs.train((plain, "two"), (awkward, "two"))
        if not easy.succeeded:
            findings.add(_train_fails(usual, runs.train_kwargs))
            return "train.py does not run"
        findings.add(
            failed(
                "2 to 4 responses",
                expected="train.py accepts a source whose examples have 2 to 4 responses; "
                "it accepts one whose examples have 2",
                came=usual.describe(),
                log=usual.log,
                change="exactly one response of an example has the value 1.0, and there can be several others: "
                "use one of them for each example, or all",
            )
        )
        usual, unusual = easy, easy_unusual
    findings.add(ok("train.py runs", f"{usual.outcome.seconds:.1f} s, exit status 0"))
    if not unusual.succeeded:
        findings.add(paths_fail(unusual))
    for verdict in judge_evaluation(runs, usual, unusual if unusual.succeeded else None):
        findings.add(verdict)
    if findings.verdicts["eval.py runs"].state == "ok":
        for verdict in judge_bad_input(runs, usual.output_dir):
            findings.add(verdict)
        findings.add(judge_seeds(runs, usual.output_dir))
    return "eval.py does not run"


def _train_fails(ran: Ran, kwargs: Mapping[str, Any]) -> Verdict:
    given = "".join(f", --{name}" for name in kwargs)
    return failed(
        "train.py runs",
        expected=f"train.py exits with status 0 when it is given --model_dir, --train_distribution, "
        f"--output_dir{given}, each followed by its value as a separate argument",
        came=ran.describe(),
        log=ran.log,
        change=advice(
            ran,
            "accept these arguments and require no others; other arguments need a default, or must be passed here "
            "with --train_kwargs as in the main job",
        ),
    )
