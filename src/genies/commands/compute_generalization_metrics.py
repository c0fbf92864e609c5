"""Measure how an intervention generalizes across distribution shifts: the main job of GENIES."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from genies.errors import BAD_INPUT, InputError
from genies.main_job.main import compute_generalization_metrics
from genies.main_job.request import MetricsRequest
from genies.quantities import counted

if TYPE_CHECKING:
    from genies.report.writing import Content


def main(request: MetricsRequest, root: Path) -> int:
    if request.watch and request.report_dir is None:
        raise InputError("--watch rewrites the report while the run goes on; add --report_dir FOLDER for the report")
    if request.report_dir is None or request.dry_run or request.emit_commands is not None:
        return compute_generalization_metrics(request, root)
    # Imported here: a run without a report starts without templates.
    from genies.report.placing import check_place

    check_place(request.report_dir)  # now, not after hours
    if request.watch:
        from genies.report.live import LiveReport

        with LiveReport(request.report_dir, report_content(request, root)) as live:
            status = compute_generalization_metrics(request, root, live.told)
    else:
        status = compute_generalization_metrics(request, root)
    try:
        report(request, request.report_dir, root)
    except InputError as error:
        print(f"error: no report: {error}", file=sys.stderr)
        return status or BAD_INPUT
    return status


def report(request: MetricsRequest, report_dir: Path, root: Path) -> None:
    """Write the report of the requested shifts from the results folder; it shows missing evaluations."""
    from genies.report.writing import write_report

    written = write_report(report_dir, report_content(request, root))
    noted = f"   {counted(len(written.notes), 'note')} on its first page" if written.notes else ""
    print(f"report: {written.entry}{noted}")


def report_content(request: MetricsRequest, root: Path) -> Content:
    """The input of the report of a request."""
    from genies.report.writing import Content

    distributions, plan = request.distributions_folder(root), request.plan(root)
    return Content(
        request.store(root).results_dir,
        distributions if distributions.is_dir() else None,
        request.shifts,
        plan.baseline_intervention,
        plan.capability_intervention,
        without_leaked=request.exclude_leaked,
    )
