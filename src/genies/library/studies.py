"""The main job and the check of an intervention, from Python: values instead of printed text."""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from genies.command_line import validate
from genies.data.shifts import Shift
from genies.errors import InputError, speaks_of_arguments
from genies.harness.checking.check import CheckRequest, examine
from genies.harness.checking.report import Verdict
from genies.main_job.main import measure
from genies.main_job.request import MetricsRequest
from genies.report.frames import to_frame
from genies.table.rows import COLUMNS, LEAKED

_NO_TABLE = "no_table.csv"
"""Stands for the required output_path of the command where no file is asked for."""

_COMMAND_ONLY = (
    "dry_run",
    "emit_commands",
    "report_dir",
    "watch",
    "output_path",
    "path_to_distribution_shift_pairs",
    "verbose",
)


class StudyFailed(Exception):
    """Steps of a study failed; the others ran."""

    def __init__(self, message: str, table: pd.DataFrame) -> None:
        super().__init__(message)
        self.table = table
        """The table, with missing values where steps failed."""


def run_study(
    base_model_dir: str | Path | Sequence[str | Path] | None = None,
    intervention_dir: str | Path | Sequence[str | Path] | None = None,
    shifts: str | Path | Sequence[Shift] | None = None,
    *,
    study: str | Path | None = None,
    output_path: str | Path | None = None,
    **arguments: Any,
) -> pd.DataFrame:
    """Train and evaluate what a table of generalization metrics needs, and return the table. Prints nothing.

    base_model_dir, intervention_dir: one folder or several; interventions of the project by name ("mms"). shifts: a
    shift file, or a list of Shift. study: a study file instead of these three. output_path: also write the table to
    this CSV file. arguments: those of `genies run` by their names, as train_kwargs={"max_examples": 60}, seeds=[0, 1],
    slots=2, models_dir="models" and results_dir="results", which are in the current folder by default.

    The frame has a row for each base model, intervention, seed and shift, with the columns of the main job's table.
    Steps run in processes of their own; results of an earlier run with the same inputs are reused. What the numbers
    cannot mean is said in a UserWarning, for example that evaluations were reused without verification. Raises
    InputError for bad arguments, and StudyFailed, with the table so far, when a step failed: its logs are in
    results/logs, and the same call goes on from there.

    >>> table = genies.run_study(
    ...     "models/SmolLM2-135M-Instruct", "mms", [genies.Shift("starter_sums", "starter_scenes")]
    ... )  # doctest: +SKIP
    >>> table.loc[0, ["source", "target", "generalization_accuracy"]].tolist()  # doctest: +SKIP
    ['starter_sums', 'starter_scenes', 0.53125]
    """
    given = {"base_model_dir": base_model_dir, "intervention_dir": intervention_dir, "study": study}
    values = {**{name: value for name, value in given.items() if value is not None}, **arguments}
    for name in ("base_model_dir", "intervention_dir"):
        if isinstance(values.get(name), str | Path):
            values[name] = [values[name]]
    if known := [name for name in _COMMAND_ONLY if name in arguments]:
        raise InputError(f"{known[0]}: this is an argument of the command; run_study does not take it")
    with tempfile.TemporaryDirectory(prefix="genies-") as folder:
        file = Path(folder, "shifts.json")
        if shifts is not None:
            values["path_to_distribution_shift_pairs"] = _shift_file(shifts, file)
        try:
            return _run(values, output_path)
        except InputError as error:
            # What the request calls a file is a list here, and has another name.
            text = str(error).replace(f"shift file {file}", "shifts")
            raise InputError(text.replace("path_to_distribution_shift_pairs", "shifts")) from None


@speaks_of_arguments
def _run(values: Mapping[str, Any], output_path: str | Path | None) -> pd.DataFrame:
    request = validate(MetricsRequest, {**values, "output_path": output_path or _NO_TABLE})
    found = measure(request, Path.cwd(), write_table=output_path is not None)
    columns = [*COLUMNS, LEAKED] if request.exclude_leaked else COLUMNS
    table = to_frame([{name: getattr(row, name) for name in columns} for row in found.rows])
    for doubt in found.doubts:
        warnings.warn(doubt, UserWarning, stacklevel=4)
    if found.failures.results:
        raise StudyFailed("\n".join(found.failures.lines()), table)
    return table


def _shift_file(shifts: str | Path | Sequence[Shift], file: Path) -> Path:
    if isinstance(shifts, str | Path):
        return Path(shifts)
    wrong = next((each for each in shifts if not isinstance(each, Shift)), None)
    if wrong is not None:
        raise InputError(f"shifts: expected genies.Shift(source, target) or a shift file, got {type(wrong).__name__}")
    file.write_text(json.dumps([asdict(shift) for shift in shifts]), encoding="utf-8")
    return file


@speaks_of_arguments
def check_intervention(
    intervention_dir: str | Path,
    *,
    base_model_dir: str | Path | None = None,
    train_kwargs: Mapping[str, Any] | None = None,
    eval_kwargs: Mapping[str, Any] | None = None,
    timeout: float = 120.0,
) -> list[Verdict]:
    """Check that an intervention honours the contract, and return a verdict for every check. Prints nothing.

    The scripts run several times on made distributions, by default on a made two-layer model, each for at most
    `timeout` seconds. A verdict's state is ok, FAILED or skipped; a failed one says what was expected, what came, and
    what to change, and names the log. Raises InputError for folders that do not exist.

    >>> [verdict.check for verdict in genies.check_intervention("mms") if verdict.state == "FAILED"]  # doctest: +SKIP
    []
    """
    given = {
        "intervention_dir": intervention_dir,
        "base_model_dir": base_model_dir,
        "train_kwargs": dict(train_kwargs or {}),
        "eval_kwargs": dict(eval_kwargs or {}),
        "timeout": timeout,
    }
    verdicts, _ = examine(validate(CheckRequest, given), Path.cwd())
    return verdicts
